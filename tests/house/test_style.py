"""The style budgets: short functions, files that fit in the head, a docstring where a reader begins.

A budget that must be raised for one place is a reviewed line in RAISED, with the reason beside it.
"""

from __future__ import annotations

import ast
from statistics import median
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from tests.house.conftest import Source

MEDIAN, NINETIETH, LONGEST = 8, 25, 60
FILE = 300
RAISED: dict[str, int] = {}
"""`path` of a file or `path:function` -> the lines it may have."""

FORBIDDEN_NAMES = ("utils.py", "util.py", "helpers.py", "helper.py", "misc.py", "common.py")


class Function(NamedTuple):
    """One function's place and length in lines, from `def` to its last line."""

    place: str
    line: int
    length: int


def functions(sources: list[Source]) -> list[Function]:
    """Every function and method, nested ones too, longest first."""
    found = [
        Function(f"{source.path}:{node.name}", node.lineno, node.end_lineno - node.lineno + 1)
        for source in sources
        for node in ast.walk(source.tree)
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.end_lineno is not None
    ]
    return sorted(found, key=lambda function: -function.length)


def percentile(lengths: list[int], share: float) -> int:
    """The smallest length that at least `share` of them do not exceed."""
    ordered = sorted(lengths)
    return ordered[max(0, -int(-share * len(ordered) // 1) - 1)]


def test_functions_are_short(shipped: list[Source]) -> None:
    every = functions(shipped)
    lengths = [function.length for function in every]
    longest = "\n".join(f"  {length:3} {place} (line {line})" for place, line, length in every[:15])
    assert median(lengths) <= MEDIAN, (
        f"median {median(lengths)} lines, budget {MEDIAN}; the longest:\n{longest}"
    )
    ninetieth = percentile(lengths, 0.9)
    assert ninetieth <= NINETIETH, f"9 of 10 have {ninetieth} lines, budget {NINETIETH}; longest:\n{longest}"


def test_no_function_is_long(python: list[Source]) -> None:
    long = [f for f in functions(python) if f.length > RAISED.get(f.place, LONGEST)]
    shown = "\n".join(f"  {length:3} {place} (line {line})" for place, line, length in long)
    assert not long, f"no function may have more than {LONGEST} lines:\n{shown}"


def test_no_file_is_long(shipped: list[Source]) -> None:
    lengths = {source.path: source.text.count("\n") for source in shipped}
    long = [f"  {n} {path}" for path, n in lengths.items() if n > RAISED.get(path, FILE)]
    assert not long, f"a file has at most {FILE} lines; split by responsibility:\n" + "\n".join(long)


def test_raised_budgets_are_still_needed(python: list[Source]) -> None:
    real = {function.place: function.length for function in functions(python)}
    real |= {source.path: source.text.count("\n") for source in python}
    idle = [k for k in RAISED if real.get(k, 0) <= (LONGEST if ":" in k else FILE)]
    assert not idle, f"these lines of RAISED are no longer needed: {idle}"


def test_readers_are_met_with_a_docstring(python: list[Source]) -> None:
    spoken = [source for source in python if source.tree.body]  # an empty __init__ has nothing to say
    missing = [f"  {source.path}: the module" for source in spoken if ast.get_docstring(source.tree) is None]
    missing += [
        f"  {source.path}:{node.lineno}: class {node.name}"
        for source in python
        for node in source.tree.body
        if source.shipped and isinstance(node, ast.ClassDef)
        if not node.name.startswith("_") and ast.get_docstring(node) is None
    ]
    assert not missing, "a docstring says what lives here and what must not:\n" + "\n".join(missing)


def test_files_are_named_for_what_they_hold(files: list[str]) -> None:
    nameless = [path for path in files if path.rpartition("/")[2] in FORBIDDEN_NAMES]
    assert not nameless, f"name these for what lives in them: {nameless}"


def test_percentile_counts_as_people_do() -> None:
    assert percentile(list(range(1, 11)), 0.9) == 9
    assert percentile([5], 0.9) == 5
    assert percentile([1] * 9 + [100], 0.9) == 1
    assert percentile([1] * 8 + [100] * 2, 0.9) == 100
