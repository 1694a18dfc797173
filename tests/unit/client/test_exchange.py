"""The rules of a session's stream by themselves: no connection, no thread."""

from __future__ import annotations

import pytest
from google.protobuf.duration_pb2 import Duration
from rhapsode import Cancelled, StreamBroken
from rhapsode.exchange import Exchange
from rhapsode.tts.v1 import session_pb2

Event = session_pb2.StreamSynthesizeResponse


def started(idle_timeout: Duration | None) -> Event:
    limits = session_pb2.SessionLimits(idle_timeout=idle_timeout)
    return Event(session_started=session_pb2.SessionStarted(limits=limits))


def pong(nonce: int) -> Event:
    return Event(pong=session_pb2.Pong(nonce=nonce))


@pytest.mark.parametrize(
    ("idle_timeout", "quiet"),
    [
        (Duration(seconds=600), 20.0),
        (Duration(seconds=60), 20.0),
        (Duration(seconds=9), 3.0),
        (Duration(nanos=300_000_000), 0.1),
        (Duration(), 20.0),
        (None, 20.0),
    ],
)
def test_the_client_pings_well_before_the_server_loses_patience(
    idle_timeout: Duration | None, quiet: float
) -> None:
    session = Exchange()
    session.take(started(idle_timeout))
    assert session.keep_alive == pytest.approx(quiet)


def test_pings_at_the_same_time_each_have_an_answer_of_their_own() -> None:
    """All pongs may have come before the first who waits can look."""
    session = Exchange()
    (first, command), (second, _), (third, _) = session.ask(), session.ask(), session.ask()
    assert command.ping.nonce == first
    session.take(pong(second))
    session.take(pong(first))
    session.take(pong(0))  # that of the client's own, to stay alive
    assert [session.settled(nonce) for nonce in (first, second, third)] == [True, True, False]
    session.answered(first)
    session.answered(second)


@pytest.mark.parametrize("error", [None, StreamBroken("The line is dead.")])
def test_who_waits_for_an_answer_hears_of_the_end_instead(error: StreamBroken | None) -> None:
    session = Exchange()
    (before, _), (never, _) = session.ask(), session.ask()
    session.take(pong(before))
    session.close(error)
    after, _ = session.ask()
    for nonce in (never, after):
        assert session.settled(nonce)
        with pytest.raises(StreamBroken if error else Cancelled):
            session.answered(nonce)
    session.answered(before)
