"""From the standard OTEL_* variables to providers that export; nothing is started where nothing is asked for.

Both providers are ours, not global ones, and neither may hold the process up when it ends.
What must not live here: what is measured.
"""

from __future__ import annotations

import importlib
import os
import socket
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any
from wsgiref.simple_server import WSGIServer

from opentelemetry.sdk.environment_variables import (
    OTEL_EXPORTER_OTLP_ENDPOINT,
    OTEL_EXPORTER_OTLP_METRICS_ENDPOINT,
    OTEL_EXPORTER_OTLP_METRICS_PROTOCOL,
    OTEL_EXPORTER_OTLP_PROTOCOL,
    OTEL_EXPORTER_OTLP_TRACES_ENDPOINT,
    OTEL_EXPORTER_OTLP_TRACES_PROTOCOL,
    OTEL_EXPORTER_PROMETHEUS_HOST,
    OTEL_EXPORTER_PROMETHEUS_PORT,
    OTEL_RESOURCE_ATTRIBUTES,
    OTEL_SDK_DISABLED,
    OTEL_SERVICE_NAME,
    OTEL_SPAN_LINK_COUNT_LIMIT,
)

from rhapsode_server.errors import ConfigError
from rhapsode_server.telemetry import names

OTEL_TRACES_EXPORTER = "OTEL_TRACES_EXPORTER"
OTEL_METRICS_EXPORTER = "OTEL_METRICS_EXPORTER"
"""Standard, but the SDK leaves them to its automatic set-up."""

MOST_LINKS = 1024
"""Links of a step's span where OTEL_SPAN_LINK_COUNT_LIMIT says nothing: a batch may pass the usual 128."""

PROTOCOLS = {
    "grpc": "opentelemetry.exporter.otlp.proto.grpc",
    "http/protobuf": "opentelemetry.exporter.otlp.proto.http",
}


@dataclass(frozen=True, slots=True)
class Wanted:
    """What the environment asks for; a protocol is "" where that signal is not exported."""

    traces: str = ""
    metrics: str = ""
    prometheus: tuple[str, int] | None = None

    def __bool__(self) -> bool:
        return bool(self.traces or self.metrics or self.prometheus)


def wanted(environ: Mapping[str, str] = os.environ) -> Wanted:
    """Read the variables; raises ConfigError for an exporter, a protocol or a port that cannot be had."""
    if environ.get(OTEL_SDK_DISABLED, "").strip().lower() == "true":
        return Wanted()
    traces = _exporters(environ, OTEL_TRACES_EXPORTER, ("otlp", "none"))
    metrics = _exporters(environ, OTEL_METRICS_EXPORTER, ("otlp", "prometheus", "none"))
    return Wanted(
        traces=_protocol(environ, OTEL_EXPORTER_OTLP_TRACES_ENDPOINT, OTEL_EXPORTER_OTLP_TRACES_PROTOCOL)
        if "otlp" in traces
        else "",
        metrics=_protocol(environ, OTEL_EXPORTER_OTLP_METRICS_ENDPOINT, OTEL_EXPORTER_OTLP_METRICS_PROTOCOL)
        if "otlp" in metrics
        else "",
        prometheus=_prometheus_address(environ) if "prometheus" in metrics else None,
    )


def _exporters(environ: Mapping[str, str], variable: str, allowed: tuple[str, ...]) -> tuple[str, ...]:
    chosen = tuple(part.strip() for part in environ.get(variable, "").split(",") if part.strip()) or ("otlp",)
    strange = [name for name in chosen if name not in allowed]
    if strange:
        raise ConfigError(
            f"{variable} asks for {strange[0]!r}, which this server has not got. Use {', '.join(allowed)}."
        )
    return chosen


def _protocol(environ: Mapping[str, str], endpoint: str, protocol: str) -> str:
    """The protocol of one signal; "" without an endpoint."""
    if not (environ.get(endpoint) or environ.get(OTEL_EXPORTER_OTLP_ENDPOINT)):
        return ""
    chosen = environ.get(protocol) or environ.get(OTEL_EXPORTER_OTLP_PROTOCOL) or "grpc"
    if chosen not in PROTOCOLS:
        raise ConfigError(f"{protocol} is {chosen!r}. Use {' or '.join(PROTOCOLS)}.")
    return chosen


def _prometheus_address(environ: Mapping[str, str]) -> tuple[str, int]:
    text = environ.get(OTEL_EXPORTER_PROMETHEUS_PORT) or "9464"
    if not text.isdecimal() or int(text) > 65535:
        raise ConfigError(f"{OTEL_EXPORTER_PROMETHEUS_PORT} is {text!r}. Use a port from 0 to 65535.")
    return environ.get(OTEL_EXPORTER_PROMETHEUS_HOST) or "localhost", int(text)


def both_families(host: str) -> str:
    """The address to listen on: every interface is of IPv4 and IPv6, as for gRPC, where there are both."""
    every = host == "0.0.0.0" and socket.has_dualstack_ipv6()  # noqa: S104
    return "::" if every else host


class Exporting:
    """Providers that run. `tracer` and `step_tracer` differ in their sampler: steps choose for themselves.

    Every part is started by `__init__`; `close` takes as long as a collector that does not answer lets it,
    so call it on a thread that may be left behind.
    """

    def __init__(self, what: Wanted, version: str) -> None:
        from opentelemetry.sdk.metrics import MeterProvider
        from opentelemetry.sdk.metrics.export import MetricReader
        from opentelemetry.sdk.trace import TracerProvider, sampling

        resource = _resource(version)
        self._exporters: list[Any] = []
        self._closing: list[Callable[[], object]] = []
        self.prometheus_port: int | None = None
        readers: list[MetricReader] = []
        if what.metrics:
            readers.append(self._otlp_reader(what.metrics))
        if what.prometheus:
            readers.append(self._prometheus_reader(what.prometheus))
        meters = MeterProvider(readers, resource, shutdown_on_exit=False)
        self.meter = meters.get_meter(names.SCOPE, version, names.SCHEMA_URL)
        limits = _span_limits()
        requests = TracerProvider(resource=resource, shutdown_on_exit=False, span_limits=limits)
        steps = TracerProvider(sampling.ALWAYS_ON, resource, shutdown_on_exit=False, span_limits=limits)
        if what.traces:
            processor = _batching(self._otlp(what.traces, "trace_exporter", "OTLPSpanExporter"))
            requests.add_span_processor(processor)
            steps.add_span_processor(processor)
            self._closing.append(processor.shutdown)
        self.tracer = requests.get_tracer(names.SCOPE, version, schema_url=names.SCHEMA_URL)
        self.step_tracer = steps.get_tracer(names.SCOPE, version, schema_url=names.SCHEMA_URL)
        self._closing.append(meters.shutdown)

    def close(self) -> None:
        """Send what is left, then stop; both signals at once, since either may have to wait."""
        threads = [threading.Thread(target=close, daemon=True) for close in self._closing]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    def abandon(self) -> None:
        """Cut the connections, which ends an export that is still waiting for an answer."""
        for exporter in self._exporters:
            exporter.shutdown()

    def _otlp(self, protocol: str, module: str, name: str) -> Any:
        try:
            package = importlib.import_module(f"{PROTOCOLS[protocol]}.{module}")
        except ImportError as error:
            raise ConfigError(
                f"OTLP over {protocol} needs a package that is not installed ({error.name})."
                " Install opentelemetry-exporter-otlp-proto-http, or use the protocol grpc."
            ) from None
        exporter = getattr(package, name)()
        self._exporters.append(exporter)
        return exporter

    def _otlp_reader(self, protocol: str) -> Any:
        from opentelemetry.sdk.metrics.export import PeriodicExportingMetricReader

        return PeriodicExportingMetricReader(self._otlp(protocol, "metric_exporter", "OTLPMetricExporter"))

    def _prometheus_reader(self, address: tuple[str, int]) -> Any:
        """A reader that is asked by a small HTTP server of its own port and registry."""
        from opentelemetry.exporter.prometheus import PrometheusMetricReader
        from prometheus_client import CollectorRegistry, start_http_server

        registry = CollectorRegistry()
        reader = PrometheusMetricReader(scope_info_enabled=False, registry=registry)
        host, port = address
        try:
            server, _ = start_http_server(port, both_families(host), registry)
        except OSError as error:
            raise ConfigError(
                f"Cannot serve metrics for Prometheus at {host}:{port}: {error.strerror}."
                f" Set {OTEL_EXPORTER_PROMETHEUS_HOST} and {OTEL_EXPORTER_PROMETHEUS_PORT}."
            ) from None
        self.prometheus_port = server.server_port
        self._closing.append(lambda: _close_http(server))
        return reader


def _close_http(server: WSGIServer) -> None:
    server.shutdown()
    server.server_close()


def _resource(version: str) -> Any:
    """OTEL_SERVICE_NAME and OTEL_RESOURCE_ATTRIBUTES win over our own name."""
    from opentelemetry.sdk.resources import SERVICE_NAME, SERVICE_VERSION, Resource

    attributes = {SERVICE_VERSION: version}
    listed = os.environ.get(OTEL_RESOURCE_ATTRIBUTES, "")
    named = os.environ.get(OTEL_SERVICE_NAME) or f"{SERVICE_NAME}=" in listed
    if not named:
        attributes[SERVICE_NAME] = names.SERVICE
    return Resource.create(attributes)


def _batching(exporter: Any) -> Any:
    """Spans are sent in batches, as the OTEL_BSP_* variables say. Raises ConfigError."""
    from opentelemetry.sdk.trace.export import BatchSpanProcessor

    try:
        return BatchSpanProcessor(exporter)
    except ValueError as error:
        raise ConfigError(f"The OTEL_BSP_ variables do not go together: {error}") from None


def _span_limits() -> Any:
    from opentelemetry.sdk.trace import SpanLimits

    return SpanLimits() if os.environ.get(OTEL_SPAN_LINK_COUNT_LIMIT) else SpanLimits(max_links=MOST_LINKS)
