"""A session for asyncio: the twin of session.py, which says what belongs in these two files."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any, Self, Unpack

import grpc
import grpc.aio

from rhapsode import session_wire as wire
from rhapsode.aio_context import AsyncContext, Tokens
from rhapsode.errors import Cancelled, StreamBroken, from_rpc
from rhapsode.exchange import Exchange
from rhapsode.options import ContextOptions, SessionOptions
from rhapsode.session import FAREWELL
from rhapsode.talk import Draining, SessionInfo


class AsyncSession:
    """Open with `async with client.session(...)`; see `Session` for what it promises. For one event loop."""

    def __init__(self, open_call: Callable[[], Any], target: str, options: SessionOptions) -> None:
        self.target = target
        self._exchange = Exchange()
        self._first = wire.configuration(options)
        self._open_call = open_call
        self._call: Any = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._news = asyncio.Condition()
        self._writing = asyncio.Lock()

    # ---- for its user

    async def started(self) -> SessionInfo:
        """What the server said when it opened the session; waits for it."""
        await self._until(lambda: self._exchange.info is not None or self._exchange.over)
        if self._exchange.info is None:
            raise self._exchange.error or Cancelled("The session was closed before the server had answered.")
        return self._exchange.info

    @property
    def draining(self) -> Draining | None:
        """Set once the server has said that it is about to end: start the next context elsewhere."""
        return self._exchange.notice

    async def start(self, name: str = "", **options: Unpack[ContextOptions]) -> AsyncContext:
        """Open a context; an empty name gets a number."""
        account, command = self._exchange.start(name, options)
        await self._tell(command)
        return AsyncContext(self, account)

    async def speak(self, tokens: Tokens, name: str = "", **options: Unpack[ContextOptions]) -> AsyncContext:
        """Open a context and write `tokens` to it as they come, in a task of its own, to their end.

        What the iterable raises is raised to whoever reads the context.
        """
        context = await self.start(name, **options)
        self._work(context.write_all(tokens))
        return context

    async def ping(self) -> float:
        """Seconds that a message takes to the server and back."""
        began = time.monotonic()
        nonce, command = self._exchange.ask()
        await self._tell(command)
        await self._until(lambda: self._exchange.settled(nonce))
        self._exchange.answered(nonce)
        return time.monotonic() - began

    async def change_speed(self, factor: float) -> None:
        """The speed of contexts that are started from now on."""
        await self._tell(wire.speed("", factor))

    async def close(self) -> None:
        """End the session. Contexts that are still open are cancelled, which frees the server at once."""
        quiet = not self._exchange.speaking
        self._exchange.leaving = True
        if self._call is not None and not self._exchange.over:
            if quiet:
                with suppress(grpc.RpcError, asyncio.InvalidStateError, TimeoutError):
                    async with asyncio.timeout(FAREWELL):
                        await self._call.done_writing()
                        await self._until(lambda: self._exchange.over)
            self._call.cancel()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._end(None)

    async def __aenter__(self) -> Self:
        self._call = self._open_call()
        await self._tell(self._first)
        self._work(self._read())
        self._work(self._keep_alive())
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    # ---- for its contexts

    async def _tell(self, command: wire.Command) -> None:
        """Send a command; waits while the server takes none. Nobody hears it where the stream has ended."""
        if self._call is None:
            raise RuntimeError("The session is not open yet: use `async with`.")
        if self._exchange.over:
            return
        with suppress(grpc.RpcError, asyncio.InvalidStateError):
            async with self._writing:
                await self._call.write(command)

    async def _until(self, true: Callable[[], object]) -> None:
        async with self._news:
            await self._news.wait_for(true)

    async def _tell_all(self) -> None:
        async with self._news:
            self._news.notify_all()

    # ---- its tasks

    def _work(self, work: Any) -> None:
        task: asyncio.Task[None] = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _read(self) -> None:
        """Take every event, to the end of the stream."""
        error = None
        try:
            while (event := await self._call.read()) is not grpc.aio.EOF:
                answer = self._exchange.take(event)
                await self._tell_all()
                if answer is not None:
                    await self._tell(answer)
        except grpc.RpcError as failed:
            if failed.code() is not grpc.StatusCode.CANCELLED:
                error = from_rpc(failed, self.target, self._exchange.info is not None)
        except StreamBroken as broken:
            error = broken
            self._call.cancel()
        except asyncio.CancelledError:
            if not self._exchange.leaving:
                raise
        await self._end(error)

    async def _end(self, error: Any) -> None:
        self._exchange.close(error)
        await self._tell_all()

    async def _keep_alive(self) -> None:
        """Say that somebody is still there while a context is open: a language model may think for long."""
        await self._until(lambda: self._exchange.info is not None or self._exchange.over)
        while not self._exchange.over:
            await asyncio.sleep(self._exchange.keep_alive)
            if self._exchange.speaking:
                await self._tell(wire.ping())
