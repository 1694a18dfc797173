"""A fake server for every test that asks for one."""

from __future__ import annotations

import socket
from collections.abc import Iterator

import pytest

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
