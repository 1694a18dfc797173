"""How an RPC ended: its status, why it was closed, and which word describes the error.

What must not live here: spans, metrics, the running of handlers.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from dataclasses import dataclass

import grpc

from rhapsode_server.errors import EngineStopped, NotReady, RhapsodeError, StreamTooLong

# Why a call was closed, the values of tts.close_reason.
COMPLETED = "completed"
CANCELLED = "cancelled"
DEADLINE = "deadline"
OVERLOADED = "overloaded"
DRAINING = "draining"
REFUSED = "refused"
FAILED = "failed"

_BY_STATUS = {
    grpc.StatusCode.OK: COMPLETED,
    grpc.StatusCode.CANCELLED: CANCELLED,
    grpc.StatusCode.DEADLINE_EXCEEDED: DEADLINE,
    grpc.StatusCode.RESOURCE_EXHAUSTED: OVERLOADED,
    grpc.StatusCode.UNAVAILABLE: DRAINING,
    grpc.StatusCode.UNKNOWN: FAILED,
    grpc.StatusCode.INTERNAL: FAILED,
    grpc.StatusCode.DATA_LOSS: FAILED,
}
_BY_NUMBER = {code.value[0]: code for code in grpc.StatusCode}

_LEAST_SLACK, _SHARE = 0.05, 0.01
"""A client's deadline passes a little before the server's copy of it: its timeout travels rounded up, and
travels. A cancellation in the last hundredth, or the last 50 ms, is the deadline."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """`status` is what the client is told; `reason` the word of errors.py behind it, or ""."""

    status: grpc.StatusCode
    close_reason: str
    error_type: str
    reason: str = ""
    rejected: bool = False


def status_of(code: object) -> grpc.StatusCode:
    """What a servicer context says its code is: a StatusCode, its number, or nothing for OK."""
    if isinstance(code, grpc.StatusCode):
        return code
    if isinstance(code, int):
        return _BY_NUMBER.get(code, grpc.StatusCode.UNKNOWN)
    return grpc.StatusCode.OK


def near_deadline(allowed: float | None, left: float | None) -> bool:
    """Whether a call that was given `allowed` seconds and has `left` of them has used them up."""
    if allowed is None or left is None:
        return False
    return left <= max(_LEAST_SLACK, allowed * _SHARE)


def judge(error: BaseException | None, code: object, *, late: bool, draining: bool) -> Outcome:
    """The outcome of a handler that ended with `error`, having set `code`.

    `late`: its time was up. `draining`: the server itself cancels what still runs, which clients are told
    as UNAVAILABLE.
    """
    if isinstance(error, asyncio.CancelledError):
        return _cancelled(late=late, draining=draining)
    told = status_of(code)
    if error is None or told is not grpc.StatusCode.OK:
        return _answered(told, error, draining=draining)
    return Outcome(grpc.StatusCode.UNKNOWN, FAILED, type(error).__name__)


def of_context(error: BaseException | None, *, draining: bool) -> str:
    """How a context of a session ended, in the words for RPCs: its session goes on and ends as it will."""
    if error is None:
        return COMPLETED
    if isinstance(error, asyncio.CancelledError):
        return CANCELLED
    if not isinstance(error, RhapsodeError):
        return FAILED
    return _close_reason(error, grpc.StatusCode[error.status], draining=draining)


def _cancelled(*, late: bool, draining: bool) -> Outcome:
    if late:
        return Outcome(grpc.StatusCode.DEADLINE_EXCEEDED, DEADLINE, grpc.StatusCode.DEADLINE_EXCEEDED.name)
    if draining:
        return Outcome(grpc.StatusCode.UNAVAILABLE, DRAINING, grpc.StatusCode.UNAVAILABLE.name)
    return Outcome(grpc.StatusCode.CANCELLED, CANCELLED, grpc.StatusCode.CANCELLED.name)


def _answered(told: grpc.StatusCode, error: BaseException | None, *, draining: bool) -> Outcome:
    """The handler said how it ended; an error of ours among the causes says why."""
    if told is grpc.StatusCode.OK:
        return Outcome(told, COMPLETED, "")
    ours = next((each for each in _causes(error) if isinstance(each, RhapsodeError)), None)
    if ours is None or ours.status != told.name:
        return Outcome(told, _BY_STATUS.get(told, REFUSED), told.name)
    close = _close_reason(ours, told, draining=draining)
    return Outcome(told, close, told.name, ours.reason, rejected=refuses(ours))


def refuses(error: RhapsodeError) -> bool:
    """Whether it says no to a caller, rather than that something went wrong on the way."""
    went_wrong = _BY_STATUS.get(grpc.StatusCode[error.status]) == FAILED
    return not isinstance(error, EngineStopped | StreamTooLong) and not went_wrong


def _close_reason(error: RhapsodeError, told: grpc.StatusCode, *, draining: bool) -> str:
    if isinstance(error, EngineStopped):
        return DRAINING if draining else FAILED
    return REFUSED if isinstance(error, NotReady) else _BY_STATUS.get(told, REFUSED)


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    """The error and all that led to it."""
    seen: set[int] = set()
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        yield error
        error = error.__cause__ or error.__context__
