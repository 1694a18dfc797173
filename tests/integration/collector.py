"""OTLP receivers to export to: a real one over gRPC that keeps what it gets, a deaf one, a closed port."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import grpc
from opentelemetry.proto.collector.metrics.v1 import metrics_service_pb2, metrics_service_pb2_grpc
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2, trace_service_pb2_grpc


class Traces(trace_service_pb2_grpc.TraceServiceServicer):
    """Keeps every batch of spans."""

    def __init__(self) -> None:
        self.received: list[Any] = []

    def Export(self, request: Any, context: Any) -> Any:  # noqa: N802 - the name on the wire
        self.received.append(request)
        return trace_service_pb2.ExportTraceServiceResponse()


class MetricsIn(metrics_service_pb2_grpc.MetricsServiceServicer):
    """Keeps every batch of metrics."""

    def __init__(self) -> None:
        self.received: list[Any] = []

    def Export(self, request: Any, context: Any) -> Any:  # noqa: N802 - the name on the wire
        self.received.append(request)
        return metrics_service_pb2.ExportMetricsServiceResponse()


class Collector:
    """What was received, flattened."""

    def __init__(self, address: str, traces: Traces, metrics: MetricsIn) -> None:
        self.address = address
        self._traces = traces
        self._metrics = metrics

    def spans(self, name: str = "") -> list[Any]:
        """Every span, or those of a name."""
        scopes = [s for r in self._traces.received for each in r.resource_spans for s in each.scope_spans]
        return [span for scope in scopes for span in scope.spans if not name or span.name == name]

    def resources(self) -> list[dict[str, str]]:
        """Attributes of every resource that spans came from."""
        found = [each.resource for r in self._traces.received for each in r.resource_spans]
        return [attributes(resource) for resource in found]

    def metrics(self) -> dict[str, Any]:
        """The last state of every metric."""
        scopes = [
            s for r in self._metrics.received for each in r.resource_metrics for s in each.scope_metrics
        ]
        return {metric.name: metric for scope in scopes for metric in scope.metrics}

    def everything(self) -> str:
        """All that was received, as text."""
        return "".join(str(request) for request in (*self._traces.received, *self._metrics.received))


def attributes(owner: Any) -> dict[str, Any]:
    """Attributes of a span, a link, a resource or a data point as a dict."""
    return {pair.key: getattr(pair.value, pair.value.WhichOneof("value")) for pair in owner.attributes}


@contextmanager
def collecting() -> Iterator[Collector]:
    """A receiver on a port of the loopback interface."""
    traces, metrics = Traces(), MetricsIn()
    server = grpc.server(ThreadPoolExecutor(2))
    trace_service_pb2_grpc.add_TraceServiceServicer_to_server(traces, server)  # type: ignore[no-untyped-call]
    metrics_service_pb2_grpc.add_MetricsServiceServicer_to_server(metrics, server)  # type: ignore[no-untyped-call]
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    yield Collector(f"http://127.0.0.1:{port}", traces, metrics)
    server.stop(None).wait()


@contextmanager
def deaf() -> Iterator[str]:
    """An address that accepts connections and never reads from them."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        taken: list[socket.socket] = []
        thread = threading.Thread(target=_accept, args=(listening, taken), daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{listening.getsockname()[1]}"
        listening.shutdown(socket.SHUT_RDWR)
    thread.join()
    for connection in taken:
        connection.close()


def _accept(listening: socket.socket, taken: list[socket.socket]) -> None:
    while True:
        try:
            taken.append(listening.accept()[0])
        except OSError:
            return


@contextmanager
def dead() -> Iterator[str]:
    """An address where nobody listens, and where nobody else can begin to."""
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        yield f"http://127.0.0.1:{bound.getsockname()[1]}"
