"""The interceptor on a real server: every arity, both styles of answering, every way to end."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any, NamedTuple

import grpc
import grpc.aio
import pytest
from opentelemetry.trace import SpanKind, StatusCode
from rhapsode_server.errors import Draining, EngineStopped, Overloaded, RhapsodeError, TextRefused
from rhapsode_server.telemetry import names
from rhapsode_server.telemetry.call import CURRENT
from rhapsode_server.telemetry.metrics import Metrics
from rhapsode_server.telemetry.server_interceptor import ServerInterceptor

from tests.unit.telemetry.made import Kept

ARITIES = ("unary_unary", "unary_stream", "stream_unary", "stream_stream")
STYLES = ("return", "write")
TRACE, PARENT = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"


class Ending(NamedTuple):
    """What the handler is asked to do, how the client behaves, and what must be told of it."""

    ask: bytes
    status: str
    close: str
    error: str = ""
    timeout: float | None = None
    cancel: bool = False


ENDINGS = {
    "ok": Ending(b"ok", "OK", "completed"),
    "abort": Ending(b"abort", "NOT_FOUND", "refused", "NOT_FOUND"),
    "exception": Ending(b"raise", "UNKNOWN", "failed", "ZeroDivisionError"),
    "set_code": Ending(b"code", "ALREADY_EXISTS", "refused", "ALREADY_EXISTS"),
    "cancel": Ending(b"wait", "CANCELLED", "cancelled", "CANCELLED", cancel=True),
    "deadline": Ending(b"wait", "DEADLINE_EXCEEDED", "deadline", "DEADLINE_EXCEEDED", timeout=0.5),
    "overload": Ending(b"Overloaded", "RESOURCE_EXHAUSTED", "overloaded", "RESOURCE_EXHAUSTED"),
    "drain": Ending(b"Draining", "UNAVAILABLE", "draining", "UNAVAILABLE"),
}
ERRORS: dict[bytes, Callable[[], RhapsodeError]] = {
    b"Overloaded": lambda: Overloaded("Full.", 1.0),
    b"Draining": lambda: Draining("Leaving."),
    b"TextRefused": lambda: TextRefused("Empty."),
    b"EngineStopped": lambda: EngineStopped("Gone."),
}


class Service:
    """Does what it is asked to; `entered` and `left` let a test wait for it without a clock."""

    def __init__(self) -> None:
        self.entered = asyncio.Event()
        self.left = asyncio.Event()
        self.calls: list[object] = []

    async def obey(self, ask: bytes, context: Any) -> None:
        self.entered.set()
        self.calls.append(CURRENT.get())
        if ask in ERRORS:
            try:
                raise ERRORS[ask]()
            except RhapsodeError as error:
                await context.abort(grpc.StatusCode[error.status], error.message)
        if ask == b"abort":
            await context.abort(grpc.StatusCode.NOT_FOUND, "no such thing")
        if ask == b"raise":
            raise ZeroDivisionError
        if ask == b"code":
            context.set_code(grpc.StatusCode.ALREADY_EXISTS)
        if ask == b"wait":
            await asyncio.Event().wait()

    async def asked(self, request: Any) -> bytes:
        """The request, or the last of a stream of them."""
        if isinstance(request, bytes):
            return request
        parts: list[bytes] = [part async for part in request]
        return parts[-1]

    async def single(self, request: Any, context: Any) -> bytes:
        try:
            ask = await self.asked(request)
            await self.obey(ask, context)
            return ask
        finally:
            self.left.set()

    async def yielding(self, request: Any, context: Any) -> AsyncIterator[bytes]:
        try:
            ask = await self.asked(request)
            yield b"one"
            await self.obey(ask, context)
            yield b"two"
        finally:
            self.left.set()

    async def writing(self, request: Any, context: Any) -> None:
        try:
            ask = await self.asked(request)
            await context.write(b"one")
            await self.obey(ask, context)
            await context.write(b"two")
        finally:
            self.left.set()

    def handler(self, arity: str, style: str) -> Any:
        streams = {"return": self.yielding, "write": self.writing}
        behaviour = streams[style] if arity.endswith("_stream") else self.single
        return getattr(grpc, f"{arity}_rpc_method_handler")(behaviour)


class Door(grpc.GenericRpcHandler):  # type: ignore[misc]
    """Serves /test.Service/<arity>-<style> and the health service's name."""

    def __init__(self, service: Service) -> None:
        self._service = service

    def service(self, details: Any) -> Any:
        _, package, method = details.method.split("/")
        if package.startswith("grpc.health"):
            return self._service.handler("unary_unary", "return")
        arity, _, style = method.partition("-")
        return self._service.handler(arity, style) if arity in ARITIES else None


class Setting(NamedTuple):
    """A running server, its channel and what it exports."""

    service: Service
    channel: Any
    kept: Kept
    server: Any


@asynccontextmanager
async def serving(kept: Kept, *inner: Any, **options: Any) -> AsyncIterator[Setting]:
    service = Service()
    interceptor = ServerInterceptor(kept.tracer, Metrics(kept.meter), **options)
    server = grpc.aio.server(interceptors=[interceptor, *inner])
    server.add_generic_rpc_handlers((Door(service),))
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
        await channel.channel_ready()
        yield Setting(service, channel, kept, server)
    await server.stop(0)


async def call(setting: Setting, path: str, arity: str, ending: Ending, metadata: Any = ()) -> None:
    """One RPC to its end, at both ends."""
    rpc = getattr(setting.channel, arity)(path)
    request = iter([ending.ask]) if arity.startswith("stream") else ending.ask
    running = rpc(request, timeout=ending.timeout, metadata=metadata)
    reading = asyncio.ensure_future(_read(running, arity))
    if ending.cancel:
        await setting.service.entered.wait()
        running.cancel()
    await asyncio.wait([reading])
    reading.exception() if not reading.cancelled() else None
    await setting.service.left.wait()


async def _read(running: Any, arity: str) -> None:
    if arity.endswith("_stream"):
        async for _ in running:
            pass
        code = await running.code()
        if code is not grpc.StatusCode.OK:
            raise RuntimeError(code)
    else:
        await running


async def exported(kept: Kept, count: int = 1) -> None:
    """The server has told of so many RPCs; it does so just after the client knows."""
    while len([s for s in kept.spans() if s.kind is SpanKind.SERVER]) < count:  # noqa: ASYNC110 - no event tells
        await asyncio.sleep(0.005)


@pytest.mark.parametrize("ending", ENDINGS)
@pytest.mark.parametrize("style", STYLES)
@pytest.mark.parametrize("arity", ARITIES)
async def test_every_rpc_leaves_one_span_with_the_true_status(
    kept: Kept, arity: str, style: str, ending: str
) -> None:
    expected = ENDINGS[ending]
    path = f"test.Service/{arity}-{style}"
    async with serving(kept) as setting, asyncio.timeout(20):
        await call(setting, f"/{path}", arity, expected)
        await exported(kept)
    span = kept.span(path)
    attributes = dict(span.attributes or {})
    assert span.kind is SpanKind.SERVER
    assert attributes[names.RPC_STATUS] == expected.status
    assert attributes[names.CLOSE_REASON] == expected.close
    assert attributes.get(names.ERROR_TYPE, "") == expected.error
    assert span.status.status_code is (StatusCode.UNSET if expected.status == "OK" else StatusCode.ERROR)
    assert not span.status.description
    (point,) = kept.points(names.RPC_DURATION.name)
    assert point.count == 1
    assert point.attributes[names.RPC_STATUS] == expected.status
    assert point.attributes[names.RPC_METHOD] == path


@pytest.mark.parametrize("arity", ARITIES)
async def test_the_span_joins_the_callers_trace(kept: Kept, arity: str) -> None:
    parent = (("traceparent", f"00-{TRACE}-{PARENT}-01"),)
    async with serving(kept) as setting, asyncio.timeout(20):
        await call(setting, f"/test.Service/{arity}-return", arity, ENDINGS["ok"], parent)
        await exported(kept)
    span = kept.span(f"test.Service/{arity}-return")
    assert f"{span.context.trace_id:032x}" == TRACE
    assert span.parent is not None
    assert f"{span.parent.span_id:016x}" == PARENT


@pytest.mark.parametrize(
    ("ask", "reason"),
    [(b"Overloaded", "overloaded"), (b"Draining", "draining"), (b"TextRefused", "text_refused")],
)
async def test_refusals_are_counted_by_the_error_behind_them(kept: Kept, ask: bytes, reason: str) -> None:
    async with serving(kept) as setting, asyncio.timeout(20):
        await call(setting, "/test.Service/unary_unary-return", "unary_unary", Ending(ask, "", ""))
        await exported(kept)
    (point,) = kept.points(names.REJECTED.name)
    assert (point.value, dict(point.attributes)) == (1, {names.LABEL_REASON: reason})
    assert kept.spans()[0].attributes[names.ERROR_REASON] == reason.upper()  # type: ignore[index]


async def test_an_engine_that_stops_is_no_refusal(kept: Kept) -> None:
    async with serving(kept) as setting, asyncio.timeout(20):
        ending = Ending(b"EngineStopped", "", "")
        await call(setting, "/test.Service/unary_unary-return", "unary_unary", ending)
        await exported(kept)
    assert not kept.points(names.REJECTED.name)
    assert kept.spans()[0].attributes[names.CLOSE_REASON] == "failed"  # type: ignore[index]


async def test_what_the_server_cuts_off_while_draining_is_told_apart_from_cancels(kept: Kept) -> None:
    cutting = False
    async with serving(kept, draining=lambda: cutting) as setting, asyncio.timeout(20):
        rpc = setting.channel.unary_unary("/test.Service/unary_unary-return")(b"wait")
        await setting.service.entered.wait()
        cutting = True
        await setting.server.stop(0)
        with pytest.raises(grpc.aio.AioRpcError) as told:
            await rpc
        await exported(kept)
    assert told.value.code() is grpc.StatusCode.UNAVAILABLE
    attributes = dict(kept.spans()[0].attributes or {})
    assert (attributes[names.RPC_STATUS], attributes[names.CLOSE_REASON]) == ("UNAVAILABLE", "draining")


async def test_health_checks_leave_no_trace(kept: Kept) -> None:
    async with serving(kept) as setting, asyncio.timeout(20):
        await call(setting, "/grpc.health.v1.Health/Check", "unary_unary", ENDINGS["ok"])
        await call(setting, "/test.Service/unary_unary-return", "unary_unary", ENDINGS["ok"])
        await exported(kept)
    assert [span.name for span in kept.spans()] == ["test.Service/unary_unary-return"]
    assert len(kept.points(names.RPC_DURATION.name)) == 1


async def test_an_invented_method_does_not_get_into_names(kept: Kept) -> None:
    async with serving(kept) as setting, asyncio.timeout(20):
        with pytest.raises(grpc.aio.AioRpcError, match="Method not found"):
            await setting.channel.unary_unary("/test.Service/zebra-quartz")(b"")
        await exported(kept)
    span = kept.span(names.OTHER_METHOD)
    assert span.attributes is not None
    assert span.attributes[names.RPC_STATUS] == "UNIMPLEMENTED"
    assert "zebra" not in span.to_json()


async def test_a_client_who_leaves_before_its_request_is_there_leaves_a_span(kept: Kept) -> None:
    arrived = asyncio.Event()

    class Witness(grpc.aio.ServerInterceptor):  # type: ignore[misc]
        async def intercept_service(self, continuation: Any, handler_call_details: Any) -> Any:
            arrived.set()
            return await continuation(handler_call_details)

    async with serving(kept, Witness()) as setting, asyncio.timeout(20):
        silent = setting.channel.stream_unary("/test.Service/unary_unary-return")()
        await silent.wait_for_connection()
        await arrived.wait()
        silent.cancel()
        await exported(kept)
    assert not setting.service.entered.is_set()
    assert (kept.spans()[0].attributes or {})[names.CLOSE_REASON] == "cancelled"
    assert [point.count for point in kept.points(names.RPC_DURATION.name)] == [1]


class Refusing(grpc.aio.ServerInterceptor):  # type: ignore[misc]
    """An interceptor further in that raises before there is a handler."""

    async def intercept_service(
        self, continuation: Callable[[Any], Awaitable[Any]], handler_call_details: Any
    ) -> Any:
        raise ZeroDivisionError


async def test_an_interceptor_that_raises_still_leaves_a_span(kept: Kept) -> None:
    async with serving(kept, Refusing()) as setting, asyncio.timeout(20):
        with pytest.raises(grpc.aio.AioRpcError):
            await setting.channel.unary_unary("/test.Service/unary_unary-return")(b"ok")
        await exported(kept)
    attributes = dict(kept.spans()[0].attributes or {})
    assert attributes[names.ERROR_TYPE] == "ZeroDivisionError"


async def test_the_call_is_there_for_whoever_asks_and_gone_afterwards(kept: Kept) -> None:
    async with serving(kept) as setting, asyncio.timeout(20):
        await call(setting, "/test.Service/unary_stream-return", "unary_stream", ENDINGS["ok"])
        await exported(kept)
    assert setting.service.calls
    assert all(setting.service.calls)
    assert CURRENT.get() is None
