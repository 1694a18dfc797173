"""Every value file of the chart renders, with both Helms alike, as it did when its golden file was reviewed.

`make chart` writes the golden files anew, with the schema and the table of values.
"""

from __future__ import annotations

import difflib
import re
import subprocess
from pathlib import Path

import pytest
import yaml

from tests.chart.rendering import (
    CASES,
    CHART,
    GOLDEN,
    HELMS,
    manifest,
    objects,
    program,
    rendered,
    values_file,
)

pytestmark = pytest.mark.chart


def test_there_are_enough_cases() -> None:
    assert len(CASES) >= 12
    assert {file.stem for file in GOLDEN.glob("*.yaml")} == set(CASES), "a golden file for each, and no other"


@pytest.mark.parametrize("case", CASES)
def test_it_renders_as_it_was_reviewed(case: str) -> None:
    golden = (GOLDEN / f"{case}.yaml").read_text()
    now = manifest("helm3", "--values", str(values_file(case)))
    difference = difflib.unified_diff(golden.splitlines(), now.splitlines(), "golden", "now", lineterm="")
    assert now == golden, "if this is meant, run `make chart`:\n" + "\n".join(difference)


@pytest.mark.parametrize("case", CASES)
def test_both_helms_agree(case: str) -> None:
    assert rendered(case, "helm4") == rendered(case, "helm3")


@pytest.mark.parametrize("helm", HELMS)
@pytest.mark.parametrize("case", CASES)
def test_lint_is_content(helm: str, case: str) -> None:
    command = [program(helm), "lint", str(CHART), "--strict", "--quiet", "--values", str(values_file(case))]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("case", CASES)
def test_rendering_again_changes_nothing(case: str) -> None:
    arguments = ("--values", str(values_file(case)))
    assert manifest.__wrapped__("helm3", *arguments) == manifest("helm3", *arguments)


@pytest.mark.parametrize("case", CASES)
def test_no_two_objects_share_a_name(case: str) -> None:
    named = [(o["kind"], o["metadata"]["name"]) for o in rendered(case)]
    assert len(named) == len(set(named))


def test_every_value_is_used() -> None:
    templates = "\n".join(
        path.read_text() for path in sorted((CHART / "templates").rglob("*")) if path.is_file()
    )
    # `with .Values.otel` makes its keys `.endpoint` and so on.
    opened = set(re.findall(r"with \.Values\.([\w.]+)", templates))
    unused = [
        name
        for name in _leaves(yaml.safe_load((CHART / "values.yaml").read_text()))
        if not re.search(rf"\.Values\.{re.escape(name)}\b", templates)
        and not (
            name.rpartition(".")[0] in opened and re.search(rf"\.{name.rpartition('.')[2]}\b", templates)
        )
    ]
    assert not unused, f"no template asks for {unused}"


def _leaves(tree: object, prefix: str = "") -> list[str]:
    if not isinstance(tree, dict) or not tree or prefix in OPEN:
        return [prefix]
    return [leaf for key, value in tree.items() for leaf in _leaves(value, f"{prefix}.{key}".strip("."))]


OPEN = ("resources", "weights.download.resources", "metrics.dashboard.labels")
"""Objects whose keys are not the chart's own."""


@pytest.mark.parametrize("helm", HELMS)
def test_the_chart_can_be_packed(helm: str, tmp_path: Path) -> None:
    command = [program(helm), "package", str(CHART), "--destination", str(tmp_path)]
    subprocess.run(command, check=True, capture_output=True)
    (packed,) = tmp_path.glob("rhapsode-*.tgz")
    shown = subprocess.run(
        [program(helm), "template", "demo", str(packed), "--kube-version", "1.34.0"],
        check=True,
        capture_output=True,
        text=True,
    )
    assert len(objects(shown.stdout)) == len(rendered("default"))
