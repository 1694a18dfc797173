"""Values that cannot work are refused before anything is installed, with a sentence that says what to do."""

from __future__ import annotations

import json
import re
import runpy
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.chart.refused import CONTRADICTIONS, UNACCEPTABLE
from tests.chart.refused_operands import ACCEPTED, OPERANDS, SENTENCES
from tests.chart.rendering import CHART, HELMS, ROOT, Refused, program, with_values

pytestmark = pytest.mark.chart


@pytest.mark.parametrize("what", [*CONTRADICTIONS, *OPERANDS])
def test_a_contradiction_is_refused_with_a_sentence(what: str, tmp_path: Path) -> None:
    values, sentence = (CONTRADICTIONS | OPERANDS)[what]
    with pytest.raises(Refused) as refused:
        with_values(tmp_path, values)
    assert sentence in str(refused.value)


@pytest.mark.parametrize("what", ACCEPTED)
def test_what_is_one_step_from_a_contradiction_is_taken(what: str, tmp_path: Path) -> None:
    assert with_values(tmp_path, ACCEPTED[what])


def test_no_row_hides_another() -> None:
    assert not CONTRADICTIONS.keys() & OPERANDS.keys()


@pytest.mark.parametrize("helm", HELMS)
@pytest.mark.parametrize("what", UNACCEPTABLE)
def test_the_schema_refuses(what: str, helm: str, tmp_path: Path) -> None:
    with pytest.raises(Refused, match=r"(?s)values don't meet the specifications|schema"):
        with_values(tmp_path, UNACCEPTABLE[what], helm)


@pytest.mark.parametrize("helm", HELMS)
def test_no_number_is_larger_than_kubernetes_or_the_server_can_count(helm: str, tmp_path: Path) -> None:
    """A drain of 2^63 - 1 s would be a grace of less than nothing."""
    schema = json.loads((CHART / "values.schema.json").read_text())
    numbers = _numbers(schema)
    assert len(numbers) > 30
    assert [name for name, most in numbers.items() if not most] == []
    assert max(most for most in numbers.values() if most) < 2**32
    every: dict[str, Any] = {}
    for name in numbers:
        *above, last = name.split(".")
        inner = every
        for key in above:
            inner = inner.setdefault(key, {})
        inner[last] = 2**63 - 1
    with pytest.raises(Refused) as refused:
        with_values(tmp_path, every, helm)
    said = str(refused.value)
    assert [name for name in numbers if name not in said and f"/{name.replace('.', '/')}'" not in said] == []


def _numbers(schema: dict[str, Any], path: str = "") -> dict[str, float | None]:
    """Values that are numbers, and the most that each may be; `settings` are the server's."""
    found: dict[str, float | None] = {}
    for key, below in schema.get("properties", {}).items():
        name = f"{path}.{key}".strip(".")
        types = below.get("type", [])
        if {"number", "integer"} & set([types] if isinstance(types, str) else types):
            found[name] = below.get("maximum")
        if name not in ("settings", "resources", "weights.download.resources"):
            found |= _numbers(below, name)
    return found


def test_a_grace_that_is_long_enough_is_taken(tmp_path: Path) -> None:
    found = with_values(tmp_path, {"shutdown": {"terminationGracePeriodSeconds": 220}})
    assert found


@pytest.mark.parametrize(
    ("template", "least"), [("_validate.tpl", 42), ("_clashes.tpl", 9), ("_quantities.tpl", 5)]
)
def test_every_contradiction_has_a_case(template: str, least: int, tmp_path: Path) -> None:
    said = "\n".join(_complaint(tmp_path, values) for values, _ in FIRST.values())
    text = (CHART / "templates" / template).read_text()
    fixed = [max(re.split(r"%\w|\(|\)", line), key=len) for line in re.findall(r'fail .*?"(.*?)"', text)]
    assert len(fixed) >= least
    assert [part for part in fixed if part not in said] == []


FIRST = CONTRADICTIONS | {what: OPERANDS[what] for what in SENTENCES}
"""A row for each sentence."""


def _complaint(tmp_path: Path, values: dict[str, Any]) -> str:
    with pytest.raises(Refused) as refused:
        with_values(tmp_path, values)
    return str(refused.value)


def test_the_schema_is_what_the_comments_say() -> None:
    schema_of = runpy.run_path(str(ROOT / "scripts" / "chart-schema.py"))["schema_of"]
    wanted = schema_of((CHART / "values.yaml").read_text())
    assert json.loads((CHART / "values.schema.json").read_text()) == wanted, "run `make chart`"


def test_the_readme_is_what_the_comments_say(tmp_path: Path) -> None:
    copied = shutil.copytree(CHART, tmp_path / "rhapsode")
    shown = (copied / "README.md").read_text()
    command = [program("helm-docs"), "--chart-search-root", str(tmp_path), "--log-level", "warning"]
    arguments = ["--template-files", "README.md.gotmpl", "--sort-values-order", "file"]
    subprocess.run([*command, *arguments], check=True, capture_output=True, cwd=tmp_path)
    assert (copied / "README.md").read_text() == shown, "run `make chart`"


def test_every_object_of_the_chart_is_closed() -> None:
    schema = json.loads((CHART / "values.schema.json").read_text())
    defaults = yaml.safe_load((CHART / "values.yaml").read_text())
    assert _open_objects(schema, defaults) == []


def _open_objects(schema: dict[str, Any], defaults: Any, path: str = "") -> list[str]:
    """Objects with keys of our own that would take others."""
    if not isinstance(defaults, dict) or not defaults:
        return []
    asks = [
        f"{of}.{what}"
        for of in ("resources", "weights.download.resources")
        for what in ("requests", "limits")
    ]
    free = [*asks, "metrics.dashboard.labels"]
    found = [] if schema.get("additionalProperties") is False or path in free else [path]
    for key, value in defaults.items():
        below = schema.get("properties", {}).get(key, {})
        found += _open_objects(below, value, f"{path}.{key}".strip(".")) if below else []
    return found


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("a: {}\n", "empty object"),
        ("# -- Means.\na: []\n", "is a list"),
        ("a: 1\n", "no comment"),
        ("# -- Means.\na: 1\n", "say its `maximum`"),
        ("# @schema\n# -- Means.\na: 1\n", "either no"),
    ],
)
def test_a_value_that_says_too_little_has_no_schema(text: str, complaint: str) -> None:
    schema_of = runpy.run_path(str(ROOT / "scripts" / "chart-schema.py"))["schema_of"]
    with pytest.raises(ValueError, match=complaint):
        schema_of(text)
