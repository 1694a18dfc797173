"""The rules of a session's stream by themselves: no connection, no thread."""

from __future__ import annotations

import pytest
from google.protobuf.duration_pb2 import Duration
from rhapsode.exchange import Exchange
from rhapsode.tts.v1 import session_pb2

Event = session_pb2.StreamSynthesizeResponse


def started(idle_timeout: Duration | None) -> Event:
    limits = session_pb2.SessionLimits(idle_timeout=idle_timeout)
    return Event(session_started=session_pb2.SessionStarted(limits=limits))


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
