"""The standard variables: what is asked for, what is refused, and off by default."""

from __future__ import annotations

import sys

import pytest
from rhapsode_server.errors import ConfigError
from rhapsode_server.telemetry.export import Exporting, Wanted, both_families, wanted

ENDPOINT = "OTEL_EXPORTER_OTLP_ENDPOINT"


@pytest.mark.parametrize(
    ("environ", "expected"),
    [
        ({}, Wanted()),
        ({ENDPOINT: "http://c:4317"}, Wanted("grpc", "grpc")),
        ({ENDPOINT: "http://c:4317", "OTEL_SDK_DISABLED": "true"}, Wanted()),
        ({ENDPOINT: ""}, Wanted()),
        ({"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "http://c:4317"}, Wanted("grpc")),
        ({"OTEL_EXPORTER_OTLP_METRICS_ENDPOINT": "http://c:4317"}, Wanted("", "grpc")),
        ({ENDPOINT: "http://c", "OTEL_TRACES_EXPORTER": "none"}, Wanted("", "grpc")),
        (
            {ENDPOINT: "http://c", "OTEL_EXPORTER_OTLP_PROTOCOL": "http/protobuf"},
            Wanted("http/protobuf", "http/protobuf"),
        ),
        ({"OTEL_METRICS_EXPORTER": "prometheus"}, Wanted(prometheus=("localhost", 9464))),
        (
            {
                ENDPOINT: "http://c",
                "OTEL_METRICS_EXPORTER": "otlp, prometheus",
                "OTEL_EXPORTER_PROMETHEUS_HOST": "::",
                "OTEL_EXPORTER_PROMETHEUS_PORT": "9000",
            },
            Wanted("grpc", "grpc", ("::", 9000)),
        ),
        (
            {ENDPOINT: "http://c", "OTEL_METRICS_EXPORTER": "prometheus"},
            Wanted("grpc", "", ("localhost", 9464)),
        ),
    ],
)
def test_what_the_environment_asks_for(environ: dict[str, str], expected: Wanted) -> None:
    assert wanted(environ) == expected
    assert bool(expected) == (expected != Wanted())


@pytest.mark.parametrize(
    ("environ", "names"),
    [
        ({"OTEL_TRACES_EXPORTER": "zipkin"}, "OTEL_TRACES_EXPORTER"),
        ({"OTEL_METRICS_EXPORTER": "console"}, "OTEL_METRICS_EXPORTER"),
        ({ENDPOINT: "http://c", "OTEL_EXPORTER_OTLP_PROTOCOL": "http/json"}, "OTEL_EXPORTER_OTLP"),
        (
            {"OTEL_METRICS_EXPORTER": "prometheus", "OTEL_EXPORTER_PROMETHEUS_PORT": "http"},
            "OTEL_EXPORTER_PROMETHEUS_PORT",
        ),
    ],
)
def test_what_cannot_be_had_is_refused_by_name(environ: dict[str, str], names: str) -> None:
    with pytest.raises(ConfigError, match=names) as refused:
        wanted(environ)
    assert "Use " in refused.value.message


@pytest.mark.parametrize("there_are_both", [True, False])
def test_every_interface_is_of_both_families(there_are_both: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """A pod may have an IPv6 address only, and a node no IPv6 at all."""
    monkeypatch.setattr("socket.has_dualstack_ipv6", lambda: there_are_both)
    assert both_families("0.0.0.0") == ("::" if there_are_both else "0.0.0.0")
    assert [both_families(host) for host in ("127.0.0.1", "localhost", "::")] == [
        "127.0.0.1",
        "localhost",
        "::",
    ]


def test_a_protocol_whose_package_is_not_installed_says_which(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "opentelemetry.exporter.otlp.proto.http.trace_exporter", None)
    with pytest.raises(ConfigError, match="opentelemetry-exporter-otlp-proto-http"):
        Exporting(Wanted(traces="http/protobuf"), "0")


def test_batches_that_do_not_fit_the_queue_are_told_in_a_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTEL_BSP_MAX_QUEUE_SIZE", "16")
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:1")
    with pytest.raises(ConfigError, match="OTEL_BSP_"):
        Exporting(Wanted(traces="grpc"), "0")
