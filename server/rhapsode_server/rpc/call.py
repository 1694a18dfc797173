"""One call: its id, what the access log will say of it, and the first metadata that it answers with.

What must not live here: an RPC's own logic, errors' answers (status.py), user text of any kind.
"""

from __future__ import annotations

import re
import time
import uuid
from collections.abc import Callable, Iterable
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import grpc

REQUEST_ID_KEY = "x-request-id"
_REQUEST_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:-]{0,127}")

Context: TypeAlias = grpc.aio.ServicerContext


def _anybody() -> None:
    """There are no quotas."""


def _anything(_characters: int) -> None:
    """Nobody counts."""


def _uncounted() -> Callable[[], None]:
    """Nobody counts, nor has anything back."""
    return _anybody


@dataclass(slots=True)
class Call:
    """One RPC. `facts` are counts and names for the access log, `sample_rate` that of its sound in Hz.

    `admit` raises QuotaExceeded where its caller may not begin another utterance now; `begun` counts a
    context that was let in, until what it gives back is called; `spoke` counts text that one takes on.
    `tenant` is who calls, "" where nobody is asked.
    """

    method: str
    request_id: str
    started: float = field(default_factory=time.monotonic)
    facts: dict[str, Any] = field(default_factory=dict)
    greeted: bool = False
    sample_rate: int = 0
    admit: Callable[[], None] = _anybody
    begun: Callable[[], Callable[[], None]] = _uncounted
    spoke: Callable[[int], None] = _anything
    tenant: str = field(default="", repr=False)

    def adopt(self, request_id: str) -> None:
        """The caller has named this request in the message itself."""
        if _REQUEST_ID.fullmatch(request_id):
            self.request_id = request_id

    async def greet(self, context: Context) -> None:
        """Send the initial metadata, with the request's id.

        Not before there is something to say: once a client has seen metadata its library no longer
        retries a refusal by itself (gRFC A6).
        """
        if not self.greeted:
            self.greeted = True
            await context.send_initial_metadata(((REQUEST_ID_KEY, self.request_id),))

    async def write(self, context: Context, message: object) -> None:
        """Send one message of a stream; waits while the client is slow."""
        await self.greet(context)
        await context.write(message)


_current: ContextVar[Call] = ContextVar("call")


def current() -> Call:
    """The call that this task serves."""
    return _current.get()


def request_id() -> str:
    """The id of the request that this task serves; "" outside of a call."""
    call = _current.get(None)
    return call.request_id if call else ""


def tenant() -> str:
    """The pseudonym of who makes the call that this task serves; "" where nobody is asked."""
    call = _current.get(None)
    return str(call.facts.get("tenant", "")) if call else ""


def begin(method: str, metadata: Iterable[tuple[str, str | bytes]]) -> Call:
    """A Call for a new RPC, named by the caller's `x-request-id` where that is fit for a log."""
    asked = dict(metadata).get(REQUEST_ID_KEY, "")
    fit = isinstance(asked, str) and _REQUEST_ID.fullmatch(asked) is not None
    return Call(method, str(asked) if fit else uuid.uuid4().hex)


def enter(call: Call) -> None:
    """Make `call` the current one for this task."""
    _current.set(call)
