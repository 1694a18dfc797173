"""Tells balancers how busy this server is, by ORCA: with the end of every call, and on a stream for who asks.

Utilization is (running + waiting) / slots, the number that the scaler follows. Clients with gRPC's
`weighted_round_robin`, and Envoy's policy of the same kind, give a busy or slow server less by it.
What must not live here: the wire format (orca.py), what the load is.
"""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any, Protocol

import grpc

from rhapsode_server.rpc import orca
from rhapsode_server.rpc.call import Context
from rhapsode_server.rpc.interceptors import kind_of

OURS = "/rhapsode."
MEMORY_SECONDS = 10.0
"""Over which rates are averaged; what is older counts less and less."""
SHORTEST_INTERVAL = 1.0
"""Seconds between two reports on a stream, whatever its client asks for."""
USUAL_INTERVAL = 10.0
"""Where it asks for nothing."""

Metadata = tuple[tuple[str, str | bytes], ...]


class Load(Protocol):
    """engine.engine.Load, as far as it is told."""

    @property
    def slots(self) -> int:
        """Slots there are."""

    @property
    def running(self) -> int:
        """Slots that are held."""

    @property
    def waiting(self) -> int:
        """Requests without a slot."""


class Rate:
    """Events a second, recent ones counting most. Times in seconds of any clock."""

    def __init__(self, memory: float = MEMORY_SECONDS) -> None:
        self._memory = memory
        self._sum, self._at = 0.0, -math.inf

    def at(self, now: float) -> float:
        """Events a second by now."""
        return self._sum * math.exp((self._at - now) / self._memory) / self._memory

    def count(self, now: float) -> None:
        """Something has happened."""
        self._sum, self._at = self.at(now) * self._memory + 1.0, now


class LoadReports(grpc.aio.ServerInterceptor):  # type: ignore[misc]
    """Put it around the edge, whose answers it adds to. `load` gives None before there is an engine."""

    def __init__(self, load: Callable[[], Load | None], clock: Callable[[], float] = time.monotonic) -> None:
        self._load = load
        self._clock = clock
        self._calls, self._errors = Rate(), Rate()

    def add_to(self, server: grpc.aio.Server) -> None:
        """Answer OpenRcaService on this server."""
        handler = grpc.unary_stream_rpc_method_handler(
            self._stream,
            request_deserializer=orca.ReportRequest.FromString,
            response_serializer=orca.Report.SerializeToString,
        )
        _, service, method = orca.METHOD.split("/")
        server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(service, {method: handler}),))

    async def intercept_service(
        self,
        continuation: Callable[[Any], Awaitable[grpc.RpcMethodHandler | None]],
        details: grpc.HandlerCallDetails,
    ) -> grpc.RpcMethodHandler | None:
        """The handler, whose call ends with a report."""
        handler = await continuation(details)
        if handler is None or not details.method.startswith(OURS):
            return handler
        kind = kind_of(handler)
        inner = getattr(handler, kind)

        async def handle(request: Any, context: Context) -> Any:
            self._calls.count(self._clock())
            result = await inner(request, _Reporting(context, self))
            context.set_trailing_metadata(self.trailer())
            return result

        return getattr(grpc, f"{kind}_rpc_method_handler")(
            handle, handler.request_deserializer, handler.response_serializer
        )

    def report(self) -> Any | None:
        """The present load; None before there is an engine."""
        load, now = self._load(), self._clock()
        if load is None:
            return None
        named = {"tts.running": load.running, "tts.waiting": load.waiting, "tts.slots": load.slots}
        utilization = (load.running + load.waiting) / load.slots
        return orca.report(utilization, self._calls.at(now), self._errors.at(now), named)

    def trailer(self) -> Metadata:
        """The present load as trailing metadata."""
        report = self.report()
        return () if report is None else ((orca.TRAILER, report.SerializeToString()),)

    def failed(self, code: grpc.StatusCode) -> None:
        """A call ends with this status; what is the caller's own fault does not speak against the server."""
        if code in _OWN_FAULTS:
            self._errors.count(self._clock())

    async def _stream(self, request: Any, context: Context) -> AsyncIterator[Any]:  # noqa: ARG002 - gRPC's
        asked = request.report_interval
        interval = max(SHORTEST_INTERVAL, asked.seconds + asked.nanos / 1e9 or USUAL_INTERVAL)
        while True:
            report = self.report()
            if report is not None:
                yield report
            await asyncio.sleep(interval)


_OWN_FAULTS = (
    *(grpc.StatusCode.INTERNAL, grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.UNKNOWN),
    *(grpc.StatusCode.RESOURCE_EXHAUSTED, grpc.StatusCode.DATA_LOSS),
)


class _Reporting:
    """A servicer context whose errors carry a report too; all else is the original's."""

    def __init__(self, context: Context, reports: LoadReports) -> None:
        self._context = context
        self._reports = reports

    def __getattr__(self, name: str) -> Any:
        return getattr(self._context, name)

    async def abort(self, code: grpc.StatusCode, details: str = "", trailing_metadata: Metadata = ()) -> None:
        """As grpc.aio.ServicerContext.abort."""
        self._reports.failed(code)
        await self._context.abort(code, details, (*trailing_metadata, *self._reports.trailer()))
