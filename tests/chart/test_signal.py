"""The two queries that a scaler asks, in Prometheus' own engine: KEDA's, and the one for an adapter."""

from __future__ import annotations

import re
import shutil
import subprocess
from math import ceil
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.chart.rendering import ROOT, one, rendered

pytestmark = pytest.mark.chart

JOB = "voice/demo-rhapsode"
"""As the chart's PodMonitor names it."""
GAUGES = ("requests_running", "queue_depth", "slots_limit")
Moment = dict[str, tuple[int, int, int]]
"""Running, waiting and slots of each pod."""


def series(moment: Moment, job: str = JOB) -> list[dict[str, str]]:
    """The gauges as recorded series that stay as they are."""
    of = f"namespace='voice',job='{job}'"
    return [
        {"series": f"tts_scheduler_{gauge}{{{of},pod='{pod}'}}", "values": f"{value}x5"}
        for pod, values in moment.items()
        for gauge, value in zip(GAUGES, values, strict=True)
    ]


def holds(tmp_path: Path, query: str, recorded: list[dict[str, str]], samples: list[dict[str, Any]]) -> None:
    """The query gives these samples, says promtool."""
    program = shutil.which("promtool")
    if program is None:
        pytest.skip("promtool is not installed (Debian: prometheus)")
    asked = {"expr": query, "eval_time": "3m", "exp_samples": samples}
    test = {"interval": "1m", "input_series": recorded, "promql_expr_test": [asked]}
    (tmp_path / "tests.yaml").write_text(yaml.safe_dump({"evaluation_interval": "1m", "tests": [test]}))
    done = subprocess.run(
        [program, "test", "rules", "tests.yaml"], cwd=tmp_path, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout + done.stderr


def trigger() -> dict[str, str]:
    """What the chart's ScaledObject asks."""
    found: dict[str, str] = one(rendered("keda"), "ScaledObject")["spec"]["triggers"][0]["metadata"]
    return found


@pytest.mark.parametrize(
    ("moment", "value", "pods"),
    [
        ({"a": (8, 0, 8), "b": (0, 0, 8)}, 0.5, 2),
        ({"a": (8, 4, 8), "b": (8, 4, 8)}, 1.5, 5),
        ({"a": (0, 0, 8), "b": (0, 0, 8), "c": (1, 0, 8)}, 1 / 24, 1),
    ],
)
def test_keda_asks_for_the_load_of_all_pods_together(
    tmp_path: Path, moment: Moment, value: float, pods: int
) -> None:
    """`pods` is what an HPA makes of it: pods now x value / threshold, rounded up."""
    asked = trigger()
    holds(tmp_path, asked["query"], series(moment), [{"labels": "{}", "value": value}])
    assert ceil(len(moment) * value / float(asked["threshold"])) == pods


def test_pods_that_are_gone_are_no_load_of_nothing(tmp_path: Path) -> None:
    holds(tmp_path, trigger()["query"], [], [])
    assert trigger()["ignoreNullValues"] == "false"


@pytest.mark.parametrize("job", ["voice/demo-rhapsode", "demo-rhapsode-metrics", "demo-rhapsode"])
def test_both_monitors_jobs_are_ours(tmp_path: Path, job: str) -> None:
    recorded = series({"a": (2, 0, 8)}, job)
    holds(tmp_path, trigger()["query"], recorded, [{"labels": "{}", "value": 0.25}])


@pytest.mark.parametrize(
    "job", ["voice/my-demo-rhapsode", "voice/demo-rhapsode-b", "demo-rhapsode-b-metrics"]
)
def test_a_release_whose_name_holds_ours_is_not_ours(tmp_path: Path, job: str) -> None:
    holds(tmp_path, trigger()["query"], series({"b": (8, 8, 8)}, job), [])


def test_the_adapters_rule_gives_the_load_of_each_pod(tmp_path: Path) -> None:
    page = (ROOT / "docs" / "operating.md").read_text()
    text = next(
        block for block in re.findall(r"```yaml\n(.*?)```", page, re.DOTALL) if "metricsQuery" in block
    )
    (rule,) = yaml.safe_load(text)["rules"]
    query = (
        rule["metricsQuery"].replace("<<.LabelMatchers>>", "namespace='voice'").replace("<<.GroupBy>>", "pod")
    )
    moment = {"a": (8, 4, 8), "b": (2, 0, 8)}
    expected = [{"labels": '{pod="a"}', "value": 1.5}, {"labels": '{pod="b"}', "value": 0.25}]
    holds(tmp_path, query, series(moment), expected)
    assert (
        rule["name"]["as"]
        == one(rendered("hpa"), "HorizontalPodAutoscaler")["spec"]["metrics"][0]["pods"]["metric"]["name"]
    )
