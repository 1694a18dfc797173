"""How an RPC's end is judged."""

from __future__ import annotations

import asyncio

import grpc
import pytest
from hypothesis import given
from hypothesis import strategies as st
from rhapsode_server import errors
from rhapsode_server.telemetry import outcome
from rhapsode_server.telemetry.outcome import judge, near_deadline, status_of


def told(error: errors.RhapsodeError, *, draining: bool = False) -> outcome.Outcome:
    """What is judged of a handler that was aborted because of `error`."""
    aborted = RuntimeError("locally aborted")
    aborted.__context__ = error
    return judge(aborted, grpc.StatusCode[error.status], late=False, draining=draining)


@pytest.mark.parametrize(
    ("error", "close", "rejected"),
    [
        (errors.Overloaded("", 1.0), "overloaded", True),
        (errors.QuotaExceeded("", 1.0), "overloaded", True),
        (errors.Draining(""), "draining", True),
        (errors.NotReady(""), "refused", True),
        (errors.TextRefused(""), "refused", True),
        (errors.DeadlineTooShort(""), "deadline", True),
        (errors.StreamTooLong(""), "deadline", False),
        (errors.GenerationFailed(""), "failed", False),
        (errors.EngineStopped(""), "failed", False),
    ],
)
def test_errors_of_ours_are_known_by_their_reason(
    error: errors.RhapsodeError, close: str, rejected: bool
) -> None:
    judged = told(error)
    assert (judged.close_reason, judged.rejected, judged.reason) == (close, rejected, error.reason)
    assert judged.error_type == error.status


def test_an_engine_that_is_stopped_by_a_drain_is_draining() -> None:
    assert told(errors.EngineStopped(""), draining=True).close_reason == "draining"


def test_an_error_of_ours_that_was_answered_otherwise_is_not_the_reason() -> None:
    aborted = RuntimeError()
    aborted.__context__ = errors.Overloaded("", 1.0)
    judged = judge(aborted, grpc.StatusCode.NOT_FOUND, late=False, draining=False)
    assert (judged.status, judged.reason) == (grpc.StatusCode.NOT_FOUND, "")


def test_causes_that_go_in_circles_end() -> None:
    one, two = RuntimeError(), RuntimeError()
    one.__context__, two.__context__ = two, one
    assert judge(one, None, late=False, draining=False).error_type == "RuntimeError"


@pytest.mark.parametrize("late", [True, False])
def test_cancelled_or_late(late: bool) -> None:
    judged = judge(asyncio.CancelledError(), None, late=late, draining=False)
    assert judged.close_reason == ("deadline" if late else "cancelled")


@pytest.mark.parametrize("code", list(grpc.StatusCode))
def test_a_code_is_known_as_itself_and_by_its_number(code: grpc.StatusCode) -> None:
    assert status_of(code) is status_of(code.value[0]) is code


def test_no_code_is_ok_and_a_strange_one_unknown() -> None:
    assert status_of(None) is grpc.StatusCode.OK
    assert status_of(99) is grpc.StatusCode.UNKNOWN


@given(st.floats(0.1, 3600), st.floats(0, 1))
def test_only_the_last_of_the_time_is_the_deadline(allowed: float, share: float) -> None:
    left = allowed * share
    assert near_deadline(allowed, left) == (left <= 0.05 or left <= allowed * 0.01)


def test_without_a_deadline_nothing_is_late() -> None:
    assert not near_deadline(None, None)
