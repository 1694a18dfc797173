"""Our own interceptor for grpc.aio: one SERVER span and one duration for each RPC, with the true status.

It serves all four arities and both ways of answering (returning or yielding, and `await context.write`),
and tells cancellation and deadline apart. Health checks, reflection and load reports pass untouched.
What must not live here: how a status is judged (outcome.py), spans of stages (tracing.py).
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Any

import grpc
import grpc.aio
from opentelemetry import propagate
from opentelemetry.context import attach, detach
from opentelemetry.trace import Span as AnySpan
from opentelemetry.trace import SpanKind, Status, StatusCode, Tracer, set_span_in_context

from rhapsode_server.telemetry import names
from rhapsode_server.telemetry.call import CURRENT, Call, epoch, epoch_offset
from rhapsode_server.telemetry.metrics import Metrics
from rhapsode_server.telemetry.outcome import Outcome, judge, near_deadline

Handler = Any
"""A grpc.RpcMethodHandler: grpc has no types."""

Behaviour = Callable[[Any, Any], Any]
"""What a servicer does with a request, or an iterator of them, and a context."""

UNTRACED = ("/grpc.health.", "/grpc.reflection.", "/xds.service.orca.")


class Watched:
    """A servicer context that counts the messages written through it; all else is the original's."""

    def __init__(self, context: Any, call: Call) -> None:
        self._context = context
        self._call = call

    def __getattr__(self, name: str) -> Any:
        return getattr(self._context, name)

    async def write(self, message: object) -> None:
        """As grpc.aio.ServicerContext.write."""
        await self._context.write(message)
        self._call.messages += 1


class ServerInterceptor(grpc.aio.ServerInterceptor):  # type: ignore[misc]
    """Put it first, so that it sees what the others answer."""

    def __init__(
        self,
        tracer: Tracer,
        metrics: Metrics,
        draining: Callable[[], bool] = lambda: False,
        tenant: Callable[[], str] = str,
    ) -> None:
        self._tracer = tracer
        self._metrics = metrics
        self._draining = draining
        self._tenant = tenant

    async def intercept_service(
        self, continuation: Callable[[Any], Awaitable[Handler]], handler_call_details: Any
    ) -> Handler:
        """The handler with a span around it."""
        method: str = handler_call_details.method
        if method.startswith(UNTRACED):
            return await continuation(handler_call_details)
        running = _Running(self, method, handler_call_details.invocation_metadata)
        serving = asyncio.current_task()
        if serving is not None:
            serving.add_done_callback(running.task_ended)
        try:
            handler = await continuation(handler_call_details)
        except BaseException as error:
            running.ended_early(error)
            raise
        if handler is None:
            running.unknown_method()
            return None
        return _rebuilt(handler, running)


class _Running:
    """One RPC from its arrival to its end."""

    def __init__(self, owner: ServerInterceptor, method: str, metadata: Any) -> None:
        self._owner = owner
        self._metrics = owner._metrics
        arrived, offset = time.monotonic(), epoch_offset()
        parent = propagate.extract({key: value for key, value in metadata or () if isinstance(value, str)})
        name = method.lstrip("/")
        self._span: AnySpan = owner._tracer.start_span(
            name,
            parent,
            SpanKind.SERVER,
            {names.RPC_SYSTEM: names.GRPC, names.RPC_METHOD: name},
            start_time=epoch(arrived, offset),
        )
        context = set_span_in_context(self._span, parent)
        self._call = Call(name, arrived, offset, context, single_request=True)
        self._told = False

    def unknown_method(self) -> None:
        """Nobody serves this; the client may have invented the name, so it goes nowhere."""
        self._call.method = names.OTHER_METHOD
        self._span.update_name(names.OTHER_METHOD)
        self._span.set_attribute(names.RPC_METHOD, names.OTHER_METHOD)
        self._end(judge(None, grpc.StatusCode.UNIMPLEMENTED, late=False, draining=False))

    def task_ended(self, task: asyncio.Task[Any]) -> None:
        """The client may leave before its request is there: then no handler ever runs."""
        if not self._told:
            error = asyncio.CancelledError() if task.cancelled() else task.exception()
            left = asyncio.CancelledError() if error is None else error
            self._end(judge(left, None, late=False, draining=self._owner._draining()))

    def ended_early(self, error: BaseException) -> None:
        """An interceptor further in has raised."""
        self._end(judge(error, None, late=False, draining=self._owner._draining()))

    async def run(self, behaviour: Behaviour, handler: Handler, request: Any, context: Any) -> Any:
        """Run the servicer's behaviour to its end, whatever that is, and tell of it."""
        self._call.single_request = not handler.request_streaming
        allowed = context.time_remaining()
        token, mark = attach(self._call.context), CURRENT.set(self._call)
        error: BaseException | None = None
        try:
            return await self._answer(behaviour, handler, request, context)
        except BaseException as raised:
            error = raised
            raise
        finally:
            tenant = self._owner._tenant()
            if tenant:
                self._span.set_attribute(names.TENANT, tenant)
            late = near_deadline(allowed, context.time_remaining())
            self._end(judge(error, context.code(), late=late, draining=self._owner._draining()))
            CURRENT.reset(mark)
            detach(token)

    async def _answer(self, behaviour: Behaviour, handler: Handler, request: Any, context: Any) -> Any:
        if not handler.response_streaming:
            answered = behaviour(request, context)
            return await answered if hasattr(answered, "__await__") else answered
        watched = Watched(context, self._call)
        answered = behaviour(request, watched)
        if not hasattr(answered, "__aiter__"):
            return await answered
        try:
            async for message in answered:
                await watched.write(message)
        finally:
            if hasattr(answered, "aclose"):
                await answered.aclose()
        return None

    def _end(self, outcome: Outcome) -> None:
        self._told = True
        ended = time.monotonic()
        span, call, status = self._span, self._call, outcome.status.name
        span.set_attribute(names.RPC_STATUS, status)
        span.set_attribute(names.CLOSE_REASON, outcome.close_reason)
        if outcome.error_type:
            span.set_attribute(names.ERROR_TYPE, outcome.error_type)
            span.set_status(Status(StatusCode.ERROR))
        if outcome.reason:
            span.set_attribute(names.ERROR_REASON, outcome.reason)
        span.end(epoch(ended, call.offset))
        self._metrics.call(call, status, outcome.error_type, ended - call.arrived, call.context)
        if outcome.rejected:
            self._metrics.rejected(outcome.reason)


def _rebuilt(handler: Handler, running: _Running) -> Handler:
    """The same handler, its behaviour run by `running`."""
    behaviour, rebuild = _parts(handler)

    async def run(request: Any, context: Any) -> Any:
        return await running.run(behaviour, handler, request, context)

    return rebuild(run, handler.request_deserializer, handler.response_serializer)


def _parts(handler: Handler) -> tuple[Behaviour, Callable[..., Handler]]:
    """A handler's behaviour and the function of grpc that makes such a handler."""
    kinds = {
        (False, False): (handler.unary_unary, grpc.unary_unary_rpc_method_handler),
        (False, True): (handler.unary_stream, grpc.unary_stream_rpc_method_handler),
        (True, False): (handler.stream_unary, grpc.stream_unary_rpc_method_handler),
        (True, True): (handler.stream_stream, grpc.stream_stream_rpc_method_handler),
    }
    return kinds[bool(handler.request_streaming), bool(handler.response_streaming)]
