"""The edge of every RPC, of every service: ids, errors, the access log.

Here an error of errors.py becomes its answer, and anything else becomes INTERNAL with an id: what really
happened goes to the log as type and place, never as message, for messages may quote the caller's text.
A request that is not valid protobuf reaches the handler as Malformed and is refused like any other.
What must not live here: what one RPC does, admission, tracing.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import grpc
from google.protobuf.message import DecodeError

from rhapsode_server.errors import InvalidRequest, RhapsodeError, place
from rhapsode_server.rpc import call as calls
from rhapsode_server.rpc.call import REQUEST_ID_KEY, Call, Context
from rhapsode_server.rpc.status import Answer, answer, unexpected

log = logging.getLogger(__name__)
access = logging.getLogger("rhapsode_server.access")

QUIET = ("/grpc.health.v1.Health/", "/grpc.reflection.")
"""Probes ask several times a minute; their calls are logged at DEBUG."""

Handler = Callable[[Any, Context], Any]
Continuation = Callable[[grpc.HandlerCallDetails], Awaitable[grpc.RpcMethodHandler | None]]


class Malformed:
    """Stands for a request that could not be read."""


class Edge(grpc.aio.ServerInterceptor):  # type: ignore[misc]
    """Wraps every handler of the server: the innermost interceptor but for the guard within it."""

    async def intercept_service(
        self, continuation: Continuation, details: grpc.HandlerCallDetails
    ) -> grpc.RpcMethodHandler | None:
        """The handler with the edge around it."""
        handler = await continuation(details)
        if handler is None:
            return None
        call = calls.begin(details.method, details.invocation_metadata or ())
        kind = kind_of(handler)
        wrap = _streamed if handler.response_streaming else _single
        return getattr(grpc, f"{kind}_rpc_method_handler")(
            wrap(getattr(handler, kind), call),
            request_deserializer=guarded(handler.request_deserializer),
            response_serializer=handler.response_serializer,
        )


_KINDS = {
    (False, False): "unary_unary",
    (False, True): "unary_stream",
    (True, False): "stream_unary",
    (True, True): "stream_stream",
}


def kind_of(handler: grpc.RpcMethodHandler) -> str:
    """The name of the handler's behaviour: "unary_stream" and so on."""
    return _KINDS[bool(handler.request_streaming), bool(handler.response_streaming)]


def guarded(deserialize: Callable[[bytes], Any] | None) -> Callable[[bytes], Any]:
    """Read a request, or give Malformed: grpc itself would answer UNKNOWN with the exception's name."""

    def read(data: bytes) -> Any:
        if deserialize is None:
            return data
        try:
            return deserialize(data)
        except (DecodeError, ValueError, RecursionError):
            return Malformed()

    return read


def _single(inner: Handler, call: Call) -> Handler:
    async def handle(request: Any, context: Context) -> Any:
        async with edge(call, context):
            result = await inner(_readable(request), context)
            await call.greet(context)
            return result

    return handle


def _streamed(inner: Handler, call: Call) -> Handler:
    async def handle(request: Any, context: Context) -> None:
        async with edge(call, context):
            answers = inner(_readable(request), context)
            if not hasattr(answers, "__aiter__"):
                await answers  # it writes by itself
                return
            async for message in answers:
                await call.write(context, message)

    return handle


def _readable(request: Any) -> Any:
    """The request, or the stream of requests, with Malformed raised as an error."""
    if hasattr(request, "__aiter__"):
        return _readable_stream(request)
    if isinstance(request, Malformed):
        raise InvalidRequest(
            "", "The request is not a valid protobuf message of this method. Check the client's stubs."
        )
    return request


async def _readable_stream(requests: AsyncIterator[Any]) -> AsyncIterator[Any]:
    async for request in requests:
        yield _readable(request)


@asynccontextmanager
async def edge(call: Call, context: Context) -> AsyncIterator[None]:
    """Nothing passes but an answer; every call leaves one line in the access log."""
    calls.enter(call)
    try:
        yield
        _log_access(call, grpc.StatusCode.OK)
    except RhapsodeError as error:
        await _abort(call, context, answer(error, call.request_id))
    except grpc.aio.AbortError:
        _log_access(call, _code_of(context))
        raise
    except asyncio.CancelledError:
        _log_access(call, _code_of_cancelled(context))
        raise
    except NotImplementedError:
        _log_access(call, grpc.StatusCode.UNIMPLEMENTED)
        await context.abort(
            grpc.StatusCode.UNIMPLEMENTED, f"This server does not offer {call.method.lstrip('/')}."
        )
    except Exception as error:  # noqa: BLE001 - the edge of every RPC
        name, where = type(error).__name__, place(error)
        log.error("%s failed of %s at %s", call.method, name, where, extra={"request_id": call.request_id})  # noqa: TRY400
        await _abort(call, context, unexpected(call.request_id))


async def _abort(call: Call, context: Context, told: Answer) -> None:
    """Answer with an error. Inside the `except`, so that the cause stays visible to what wraps the edge."""
    _log_access(call, told.code)
    await context.abort(told.code, told.message, (*told.trailing, (REQUEST_ID_KEY, call.request_id)))


def _code_of(context: Context) -> grpc.StatusCode:
    """What a handler that called `abort` itself has told."""
    known = {code.value[0]: code for code in grpc.StatusCode}
    return known.get(context.code(), grpc.StatusCode.UNKNOWN)


def _code_of_cancelled(context: Context) -> grpc.StatusCode:
    """gRPC ends a handler in the same way for a client that left and for a deadline that passed."""
    left = context.time_remaining()
    late = left is not None and left <= 0
    return grpc.StatusCode.DEADLINE_EXCEEDED if late else grpc.StatusCode.CANCELLED


def _log_access(call: Call, code: grpc.StatusCode) -> None:
    facts = {
        "method": call.method,
        "code": code.name,
        "seconds": round(time.monotonic() - call.started, 4),
    }
    level = logging.DEBUG if call.method.startswith(QUIET) else logging.INFO
    access.log(level, "call ended", extra={"facts": facts | call.facts, "request_id": call.request_id})
