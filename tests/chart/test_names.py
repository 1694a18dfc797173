"""Every metric that an alert, the dashboard or a scaler asks for is one that this server exports."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from opentelemetry.exporter.prometheus import PrometheusMetricReader
from opentelemetry.metrics import CallbackOptions, Observation
from opentelemetry.sdk.metrics import MeterProvider
from prometheus_client import CollectorRegistry
from rhapsode_server.errors import RhapsodeError
from rhapsode_server.telemetry import names

from tests.chart.rendering import CHART, one, rendered

pytestmark = pytest.mark.chart

NAME = re.compile(r"\b(?:tts|rpc|process)_\w+")
BY = re.compile(r"\b(?:by|without) \(([^)]*)\)")
MATCHED = re.compile(r"([a-z_]+)(?:=~|!~|!=|=)\"")
PROMETHEUS = {"namespace", "pod", "job", "instance", "le"}
"""Labels that Prometheus, its operator and histograms add."""


@pytest.fixture(scope="module")
def exported() -> set[str]:
    """The names of every series as the exporter spells them."""
    registry = CollectorRegistry()
    provider = MeterProvider([PrometheusMetricReader(scope_info_enabled=False, registry=registry)])
    meter = provider.get_meter("names")

    def seen(_: CallbackOptions) -> Iterator[Observation]:
        yield Observation(1)

    for metric in names.HISTOGRAMS:
        meter.create_histogram(metric.name, metric.unit).record(1)
    for metric in names.COUNTERS:
        meter.create_counter(metric.name, metric.unit).add(1)
    for metric in names.GAUGES:
        meter.create_observable_gauge(metric.name, [seen], metric.unit)
    for metric in names.OBSERVED_COUNTERS:
        meter.create_observable_counter(metric.name, [seen], metric.unit)
    found = {sample.name for family in registry.collect() for sample in family.samples}
    provider.shutdown()
    return found


def asked() -> list[str]:
    """Every expression of the chart."""
    rules = one(rendered("monitoring"), "PrometheusRule")["spec"]["groups"]
    dashboard = json.loads((CHART / "files" / "dashboard.json").read_text())
    return [
        *(rule["expr"] for group in rules for rule in group["rules"]),
        *(target["expr"] for panel in dashboard["panels"] for target in panel.get("targets", [])),
        one(rendered("keda"), "ScaledObject")["spec"]["triggers"][0]["metadata"]["query"],
    ]


def chosen() -> list[str]:
    """What the dashboard's variables are chosen from."""
    dashboard = json.loads((CHART / "files" / "dashboard.json").read_text())
    return [each["query"] for each in dashboard["templating"]["list"] if each["type"] == "query"]


def labels() -> set[str]:
    """Ours, as Prometheus spells them."""
    ours = {getattr(names, name) for name in dir(names) if name.startswith("LABEL_")}
    return ours | {name.replace(".", "_") for name in (names.RPC_METHOD, names.RPC_STATUS, names.RPC_SYSTEM)}


def test_every_series_that_is_asked_for_is_exported(exported: set[str]) -> None:
    wanted = {name for expression in [*asked(), *chosen()] for name in NAME.findall(expression)}
    assert len(wanted) > 15
    assert wanted - labels() - exported == set()
    assert not labels() & exported


def test_every_label_that_is_asked_for_is_one_of_ours() -> None:
    wanted = {label for expression in asked() for label in MATCHED.findall(expression)}
    wanted |= {label.strip() for text in asked() for group in BY.findall(text) for label in group.split(",")}
    assert wanted - labels() - PROMETHEUS == set()


def test_every_reason_that_is_asked_for_is_one_of_the_errors() -> None:
    kinds = [RhapsodeError]
    for kind in kinds:
        kinds.extend(kind.__subclasses__())
    reasons = {kind.reason.lower() for kind in kinds}
    text = Path(CHART / "files" / "alerts.yaml").read_text()
    wanted = {reason for group in re.findall(r'reason=~"([^"]*)"', text) for reason in group.split("|")}
    assert wanted
    assert wanted - reasons == set()


def test_the_three_gauges_of_the_scheduler_are_there(exported: set[str]) -> None:
    assert {
        "tts_scheduler_requests_running",
        "tts_scheduler_queue_depth",
        "tts_scheduler_slots_limit",
    } <= exported
