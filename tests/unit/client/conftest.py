"""A fake server for every test that asks for one."""

from __future__ import annotations

import socket
import sys
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest

from tests.unit.client.card import Card, PortAudioError
from tests.unit.client.fake import Fake, serve


@pytest.fixture
def fake() -> Fake:
    """What the server will say; change it before the call."""
    return Fake()


@pytest.fixture
def target(fake: Fake) -> Iterator[str]:
    """Address of a running server that says what `fake` says."""
    server, address = serve(fake)
    yield address
    server.stop(0).wait()


@pytest.fixture
def nowhere() -> Iterator[str]:
    """An address at which nobody listens: bound, so that nobody else gets it, but never accepting."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        yield f"127.0.0.1:{taken.getsockname()[1]}"


@pytest.fixture
def cards(monkeypatch: pytest.MonkeyPatch) -> list[Card]:
    """A sounddevice module whose cards are kept here."""
    made: list[Card] = []

    def open_card(**settings: Any) -> Card:
        if settings["samplerate"] == 1:
            raise PortAudioError
        made.append(Card(**settings))
        return made[-1]

    module = SimpleNamespace(
        RawOutputStream=open_card, PortAudioError=PortAudioError, query_devices=lambda kind: {"kind": kind}
    )
    monkeypatch.setitem(sys.modules, "sounddevice", module)
    return made
