"""A text that is still being written -> prompts, each as early as its words are certain.

The same face as PreparedPieces (pieces.py), for text that comes in fragments: `feed`, `flush` and `end`
queue what the client said, in order; a worker thread reads it; `take` waits for the next prompt.
ArrivingPieces waits for the end of each piece; growing.py is for families that need not.
What must not live here: the engine, sound, the rules of splitting (text/ has them).
"""

from __future__ import annotations

import asyncio
import time
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Callable
from concurrent.futures import Executor
from dataclasses import replace
from typing import Generic, TypeVar

from rhapsode_server.core import Piece
from rhapsode_server.errors import InvalidRequest
from rhapsode_server.models.base import TextFrontend, Utterance
from rhapsode_server.synthesizer.pieces import ArrivingDesk, Prepared, piece_seed

T = TypeVar("T")

MOST_UNREAD, MOST_UNREAD_CHARACTERS = 64, 65_536
"""Commands, and text in them, that may wait to be read before their sender has to."""
MOST_FLUSHES = 1000
"""Flushes that may wait for their sound: more than a text has sentences."""

Flushed = Callable[[str], None]
"""Called with the name of a flush when the sound of all text before it has been given."""


class Arriving(ABC, Generic[T]):
    """The prompts of one context. Use it on one event loop; `drop` it at the end, whatever the end."""

    def __init__(
        self,
        desk: ArrivingDesk[T],
        frontend: TextFrontend,
        utterance: Utterance,
        workers: Executor,
        flushed: Flushed,
    ) -> None:
        """`utterance` says how to speak; its piece and seed are replaced for each piece."""
        self._desk = desk
        self._frontend = frontend
        self._utterance = utterance
        self._workers = workers
        self._flushed = flushed
        self._written: list[str] = []
        self._commands: deque[tuple[str, str]] = deque()
        self._command = asyncio.Event()
        self._room = asyncio.Event()
        self._prepared: deque[Prepared] = deque()
        self._marks: deque[tuple[int, str]] = deque()
        self._cut = self._spoken = 0
        self._ended = False
        self._news = asyncio.Event()
        self._reader = asyncio.get_running_loop().create_task(self._read())
        self._reader.add_done_callback(self._woken)

    # ---- the client's side

    @property
    def text(self) -> str:
        """All text so far."""
        if len(self._written) > 1:
            self._written = ["".join(self._written)]
        return self._written[0] if self._written else ""

    def feed(self, text: str) -> None:
        """More text, cut anywhere. Ignored where nobody reads any more: it has ended, or was refused."""
        if not self._reader.done():
            self._written.append(text)
            self._tell("feed", text)

    def flush(self, name: str) -> None:
        """Speak all there is. Raises InvalidRequest where too many flushes wait already."""
        if len(self._marks) + len(self._commands) >= MOST_FLUSHES:
            raise InvalidRequest(
                "flush", f"{MOST_FLUSHES} flushes of this context wait for their sound. Flush less often."
            )
        self._tell("flush", name)

    async def room(self) -> None:
        """Wait while much of what was written is still to be read."""
        while self._crowded() and not self._reader.done():
            self._room.clear()
            await self._room.wait()

    def end(self) -> None:
        """There will be no more."""
        self._tell("end", "")

    def change_speed(self, speed: float) -> None:
        """Pieces that are not prepared yet are spoken at this speed."""
        self._utterance = replace(self._utterance, speed=speed)

    # ---- the speaker's side

    @property
    def ready(self) -> bool:
        """Whether `take` would not wait."""
        return bool(self._prepared)

    @property
    def growing(self) -> bool:
        """Whether the caller may write more."""
        return not self._ended

    def begin(self) -> None:
        """Text is prepared when it arrives; there is nothing to begin."""

    async def take(self) -> Prepared | None:
        """The next prompt, None after the last; raises what the desk and the family raise."""
        while not self._prepared:
            if self._reader.done():
                self._reader.result()
                return None
            self._news.clear()
            await self._news.wait()
        return self._prepared.popleft()

    def awaited(self) -> bool:
        """Whether a flush ends with the piece whose sound has just been given."""
        return bool(self._marks) and self._marks[0][0] <= self._spoken + 1

    def spoken(self) -> None:
        """All sound of one more piece has been given."""
        self._spoken += 1
        self._acknowledge()

    def drop(self) -> None:
        """Nobody wants the rest."""
        self._reader.cancel()

    # ---- reading

    def _tell(self, what: str, word: str) -> None:
        self._commands.append((what, word))
        self._command.set()

    def _crowded(self) -> bool:
        unread = sum(len(word) for _, word in self._commands)
        return len(self._commands) > MOST_UNREAD or unread > MOST_UNREAD_CHARACTERS

    async def _read(self) -> None:
        """Carry out commands in order; fragments that have piled up are read as one."""
        while not self._ended:
            await self._command.wait()
            what, word = self._commands.popleft()
            while what == "feed" and self._commands and self._commands[0][0] == "feed":
                word += self._commands.popleft()[1]
            if not self._commands:
                self._command.clear()
            self._room.set()
            await self._carry_out(what, word)

    async def _carry_out(self, what: str, word: str) -> None:
        work = {"feed": lambda: self._desk.feed(word), "flush": self._desk.flush, "end": self._desk.finish}
        started = time.monotonic()
        loop = asyncio.get_running_loop()
        for given in await loop.run_in_executor(self._workers, work[what]):
            await self._take_in(given, started)
            started = time.monotonic()
        if what == "flush":
            self._marks.append((self._cut, word))
            self._acknowledge()
        self._ended = what == "end"

    @abstractmethod
    async def _take_in(self, given: T, started: float) -> None:
        """Make prompts of what the desk has given, whose text was worked on from `started` on."""

    def _ready(self, prepared: Prepared) -> None:
        """There is one prompt more to take."""
        self._prepared.append(prepared)
        self._news.set()

    def _woken(self, reader: asyncio.Task[None]) -> None:
        """Wake whoever takes: the text has ended, or cannot be read. An error nobody takes is no news."""
        if not reader.cancelled():
            reader.exception()
        self._commands.clear()
        self._news.set()
        self._room.set()

    def _acknowledge(self) -> None:
        while self._marks and self._marks[0][0] <= self._spoken:
            self._flushed(self._marks.popleft()[1])


class ArrivingPieces(Arriving[Piece]):
    """A prompt for every piece, once it is known to its end."""

    async def _take_in(self, given: Piece, started: float) -> None:
        loop = asyncio.get_running_loop()
        self._ready(await loop.run_in_executor(self._workers, self._prepare, given, self._cut, started))
        self._cut += 1

    def _prepare(self, piece: Piece, number: int, started: float) -> Prepared:
        seed = piece_seed(self._utterance.seed, number)
        prompt = self._frontend.prepare(replace(self._utterance, piece=piece, seed=seed))
        return Prepared(piece, prompt, started, time.monotonic())
