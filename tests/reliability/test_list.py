"""The list of docs/reliability.md and the tests are the same list, and every test says what passes."""

from __future__ import annotations

import ast
import re
from pathlib import Path

HERE = Path(__file__).parent
PAGE = HERE.parents[1] / "docs" / "reliability.md"
ALL = {f"R{number}" for number in range(1, 19)}


def listed() -> dict[str, tuple[str, str]]:
    """Name of each test -> its file and its first words."""
    found = {}
    for path in HERE.glob("test_*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.name.startswith("test_r"):
                found[node.name] = (path.name, ast.get_docstring(node) or "")
    return found


def numbers(name: str) -> set[str]:
    """`test_r8_r9_…` is about R8 and R9."""
    return {f"R{number}" for number in re.findall(r"(?<=_r)\d+(?=_)", name)}


def test_every_line_of_the_list_has_a_test_and_the_other_way_round() -> None:
    rows = re.findall(r"^\| (R\d+) \|.*\| `([\w./]+)`", PAGE.read_text(), re.MULTILINE)
    assert {row for row, _ in rows} == ALL
    where = {(number, file) for name, (file, _) in listed().items() for number in numbers(name)}
    assert set(rows) == where


def test_every_test_says_what_passes() -> None:
    for name, (_, words) in listed().items():
        if name != "test_r14_the_slope_is_one":
            assert re.match(r"R\d+(, R\d+)*\. Pass: ", words), name
            assert set(re.findall(r"R\d+", words.partition(".")[0])) == numbers(name), name
