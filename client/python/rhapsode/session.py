"""A session of the blocking client: one warm stream, text out as it is written, sound back as it is made.

Two threads serve a session: gRPC's own sends the commands, ours reads the events; whoever uses the session
waits on one condition. aio_session.py has the twin for asyncio. What must not live here: the rules of the
stream (exchange.py), translation (session_wire.py).
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from typing import Any, Self, Unpack

import grpc

from rhapsode import session_wire as wire
from rhapsode.context import Context
from rhapsode.errors import Cancelled, StreamBroken, from_rpc
from rhapsode.exchange import Exchange
from rhapsode.options import ContextOptions, SessionOptions
from rhapsode.talk import Draining, SessionInfo

MOST_UNSENT = 64
"""Fragments of text that may wait to be sent; who writes more waits."""
FAREWELL = 5.0
"""Seconds that a session which is done may take to end in good order."""


class Session:
    """Open with `Client.session`; use as a context manager. Safe to share between threads.

    The errors of one context end that context and no other. Where the connection is lost every open context
    raises ServerUnreachable, and so does what comes after; `error.heard` says how far each listener had got.
    """

    def __init__(
        self, open_call: Callable[[Iterator[wire.Command]], Any], target: str, options: SessionOptions
    ) -> None:
        self.target = target
        self._exchange = Exchange()
        self._news = threading.Condition()
        self._commands: deque[wire.Command | None] = deque([wire.configuration(options)])
        self._call = open_call(iter(self._sent, None))
        self._reader = threading.Thread(target=self._read, name="rhapsode-session", daemon=True)
        self._reader.start()

    # ---- for its user

    @property
    def info(self) -> SessionInfo:
        """What the server said when it opened the session; waits for it."""
        with self._news:
            self._news.wait_for(lambda: self._exchange.info is not None or self._exchange.over)
            if self._exchange.info is None:
                raise self._exchange.error or Cancelled(
                    "The session was closed before the server had answered."
                )
            return self._exchange.info

    @property
    def draining(self) -> Draining | None:
        """Set once the server has said that it is about to end: start the next context elsewhere."""
        return self._exchange.notice

    def start(self, name: str = "", **options: Unpack[ContextOptions]) -> Context:
        """Open a context; an empty name gets a number. Returns at once."""
        with self._news:
            account, command = self._exchange.start(name, options)
            self._tell(command)
        return Context(self, account)

    def speak(self, tokens: Iterable[str], name: str = "", **options: Unpack[ContextOptions]) -> Context:
        """Open a context and write `tokens` to it as they come, in a thread of their own, to their end.

        What the iterable raises is raised to whoever reads the context.
        """
        context = self.start(name, **options)
        threading.Thread(target=context.write_all, args=(tokens,), name="rhapsode-text", daemon=True).start()
        return context

    def ping(self) -> float:
        """Seconds that a message takes to the server and back."""
        began = time.monotonic()
        with self._news:
            nonce, command = self._exchange.ask()
            self._tell(command)
            self._news.wait_for(lambda: self._exchange.settled(nonce))
            self._exchange.answered(nonce)
        return time.monotonic() - began

    def change_speed(self, factor: float) -> None:
        """The speed of contexts that are started from now on."""
        with self._news:
            self._tell(wire.speed("", factor))

    def close(self) -> None:
        """End the session. Contexts that are still open are cancelled, which frees the server at once."""
        with self._news:
            self._exchange.leaving, quiet = True, not self._exchange.speaking
            self._commands.append(None)
            self._news.notify_all()
        if quiet:
            self._reader.join(FAREWELL)
        if self._reader.is_alive():
            self._call.cancel()
            self._reader.join(FAREWELL)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    # ---- for its contexts, with the condition held

    def _tell(self, command: wire.Command) -> None:
        if not self._exchange.over:
            self._commands.append(command)
            self._news.notify_all()

    def _tell_in_turn(self, command: wire.Command) -> None:
        """The same for text, which waits where too much waits already."""
        self._news.wait_for(lambda: len(self._commands) < MOST_UNSENT or self._exchange.over)
        self._tell(command)

    # ---- the two threads

    def _sent(self) -> wire.Command | None:
        """The next command for gRPC, which waits here; None when there will be no more."""
        with self._news:
            self._news.wait_for(lambda: self._commands or self._exchange.over or self._exchange.info)
            quiet = self._exchange.keep_alive
            while not self._news.wait_for(lambda: self._commands or self._exchange.over, quiet):
                if self._exchange.speaking:
                    return wire.ping()
            command = self._commands.popleft() if self._commands else None
            self._news.notify_all()
            return command

    def _read(self) -> None:
        """Take every event, to the end of the stream."""
        error = None
        try:
            for event in self._call:
                with self._news:
                    answer = self._exchange.take(event)
                    if answer is not None:
                        self._tell(answer)
                    self._news.notify_all()
        except grpc.RpcError as failed:
            if failed.code() is not grpc.StatusCode.CANCELLED:
                error = from_rpc(failed, self.target, self._exchange.info is not None)
        except StreamBroken as broken:
            error = broken
            self._call.cancel()
        with self._news:
            self._exchange.close(error)
            self._news.notify_all()
