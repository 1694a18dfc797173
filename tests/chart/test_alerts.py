"""The ten alerts are understood by Prometheus, fire and stay silent as they should, and have a runbook."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.chart.rendering import CHART, ROOT, one, rendered, with_values

pytestmark = pytest.mark.chart

HERE = Path(__file__).parent
SELECTOR = "namespace='voice',job='voice/demo-rhapsode',pod='demo-1'"


@pytest.fixture
def rules() -> dict[str, Any]:
    """The rules as they are installed."""
    found: dict[str, Any] = one(rendered("monitoring"), "PrometheusRule")["spec"]
    return found


@pytest.fixture
def promtool() -> str:
    """The program; the test skips where it is not installed."""
    found = shutil.which("promtool")
    if found is None:
        pytest.skip("promtool is not installed (Debian: prometheus)")
    return found


def alerts(rules: dict[str, Any]) -> list[dict[str, Any]]:
    """Every alert."""
    return [rule for group in rules["groups"] for rule in group["rules"]]


def test_there_are_ten(rules: dict[str, Any]) -> None:
    assert len({alert["alert"] for alert in alerts(rules)}) == 10


def test_prometheus_understands_them(rules: dict[str, Any], promtool: str, tmp_path: Path) -> None:
    (tmp_path / "alerts.yaml").write_text(yaml.safe_dump(rules))
    done = subprocess.run(
        [promtool, "check", "rules", "--lint=all", "--lint-fatal", "alerts.yaml"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_each_fires_and_stays_silent_as_it_should(
    rules: dict[str, Any], promtool: str, tmp_path: Path
) -> None:
    (tmp_path / "alerts.yaml").write_text(yaml.safe_dump(rules))
    (tmp_path / "tests.yaml").write_text(
        (HERE / "rules" / "alerts.test.yaml").read_text().replace("SELECTOR", SELECTOR)
    )
    done = subprocess.run(
        [promtool, "test", "rules", "tests.yaml"], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_each_is_seen_to_fire_and_to_stay_silent(rules: dict[str, Any]) -> None:
    tried: dict[str, set[bool]] = {}
    for test in yaml.safe_load((HERE / "rules" / "alerts.test.yaml").read_text())["tests"]:
        for case in test["alert_rule_test"]:
            tried.setdefault(case["alertname"], set()).add(bool(case.get("exp_alerts")))
    assert tried == {alert["alert"]: {True, False} for alert in alerts(rules)}


def test_each_has_a_runbook(rules: dict[str, Any]) -> None:
    page = (ROOT / "docs" / "operating.md").read_text()
    headings = set(re.findall(r"^### (\w+)$", page, re.MULTILINE))
    for alert in alerts(rules):
        assert alert["annotations"]["runbook_url"].endswith(f"docs/operating.md#{alert['alert'].lower()}")
        assert alert["alert"] in headings
    assert headings >= {alert["alert"] for alert in alerts(rules)}


def test_each_expression_is_of_this_release_alone(rules: dict[str, Any]) -> None:
    for alert in alerts(rules):
        metrics = re.findall(r"\b((?:tts|rpc|process)_\w+)(\{[^}]*\})?", alert["expr"])
        assert metrics
        assert all('namespace="voice"' in selector and "demo-rhapsode" in selector for _, selector in metrics)


def test_a_hang_is_scraped_before_the_watchdog_ends_it(rules: dict[str, Any]) -> None:
    (hung,) = (alert for alert in alerts(rules) if alert["alert"] == "RhapsodeEngineHung")
    seen_after = float(hung["expr"].rpartition("> ")[2])
    endpoint = one(rendered("monitoring"), "PodMonitor")["spec"]["podMetricsEndpoints"][0]
    maps = [o for o in rendered("monitoring") if "settings.toml" in o.get("data", {})]
    ended_after = 2 * tomllib.loads(maps[0]["data"]["settings.toml"])["engine"]["hang_seconds"]
    assert float(endpoint["interval"].removesuffix("s")) <= ended_after - seen_after
    assert "for" not in hung, "it has ended by then"


@pytest.mark.parametrize(("hang", "apart"), [(2, 3), (10, 15), (60, 60)])
def test_every_hang_is_seen_and_no_long_step_is_one(
    hang: int, apart: int, promtool: str, tmp_path: Path
) -> None:
    """Wherever the looks of Prometheus fall between the beginning of a hang and its end."""
    metrics = {
        "podMonitor": {"enabled": True, "interval": f"{apart}s"},
        "prometheusRule": {"enabled": True},
    }
    found = with_values(tmp_path, {"engine": {"hangSeconds": hang}, "metrics": metrics})
    (tmp_path / "alerts.yaml").write_text(yaml.safe_dump(one(found, "PrometheusRule")["spec"]))
    tests = [_looks(apart, [hang / 2], "0", 0)]  # a step that takes long, and ends
    for share in (0.01, 0.3, 0.6, 0.99):
        ages = [age for n in range(9) if (age := (n + share) * apart) < 2 * hang]
        tests.append(_looks(apart, ages, "stale", 1))
    whole = {"rule_files": ["alerts.yaml"], "evaluation_interval": f"{apart}s", "tests": tests}
    (tmp_path / "tests.yaml").write_text(yaml.safe_dump(whole))
    done = subprocess.run(
        [promtool, "test", "rules", "tests.yaml"], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr


def _looks(apart: int, ages: list[float], end: str, fired: int) -> dict[str, Any]:
    """One pod's ages at each look from the third on, then `end`, when `fired` alerts are asked for."""
    values = " ".join(["0 0", *(f"{age:.3f}" for age in ages), end])
    asked = {
        "expr": 'count(ALERTS{alertname="RhapsodeEngineHung",pod="demo-1"}) or vector(0)',
        "eval_time": f"{apart * (2 + len(ages))}s",
        "exp_samples": [{"labels": "{}", "value": fired}],
    }
    series = {"series": f"tts_scheduler_last_step_age_seconds{{{SELECTOR}}}", "values": values}
    return {"interval": f"{apart}s", "input_series": [series], "promql_expr_test": [asked]}


def test_the_dashboard_is_whole() -> None:
    dashboard = json.loads((CHART / "files" / "dashboard.json").read_text())
    installed = one(rendered("monitoring"), "ConfigMap", "demo-rhapsode-dashboard")
    assert json.loads(installed["data"]["rhapsode.json"]) == dashboard
    panels = dashboard["panels"]
    assert len({panel["id"] for panel in panels}) == len(panels) >= 12
    assert all(panel["title"] for panel in panels)
    assert all(target["expr"] for panel in panels for target in panel.get("targets", []))


def test_prometheus_understands_the_dashboard(promtool: str, tmp_path: Path) -> None:
    dashboard = json.loads((CHART / "files" / "dashboard.json").read_text())
    asked = [target["expr"] for panel in dashboard["panels"] for target in panel.get("targets", [])]
    plain = [expression.replace("$__rate_interval", "5m") for expression in asked]
    records = [{"record": f"panel:{n}", "expr": expression} for n, expression in enumerate(plain)]
    (tmp_path / "rules.yaml").write_text(yaml.safe_dump({"groups": [{"name": "panels", "rules": records}]}))
    done = subprocess.run(
        [promtool, "check", "rules", "rules.yaml"], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert f"{len(asked)} rules found" in done.stdout
