"""A request's text -> prompts, one ahead of the one that is spoken, on worker threads.

The first piece costs what a short text costs however long the whole is; the second is prepared while the
first is spoken. What must not live here: the engine, sound, splitting itself (text/ does that).
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Executor
from dataclasses import dataclass, replace
from typing import Protocol, TypeVar

from rhapsode_server.core import Growth, Piece, Request, Voice
from rhapsode_server.models.base import Addition, Prompt, TextFrontend, Utterance

T = TypeVar("T")


class Desk(Protocol):
    """Who splits a text: text/desk.py, or a test."""

    def pieces(self, text: str, language: str = "en") -> Iterator[Piece]:
        """Pieces in order, each made when it is asked for; raises TextRefused. On a worker thread."""
        ...

    def session(self, language: str = "en") -> ArrivingDesk[Piece]:
        """The same for a text that is still being written; raises TextRefused for the language."""
        ...

    def growing(self, language: str = "en") -> ArrivingDesk[Growth]:
        """The same for a family that need not wait for the end of a piece."""
        ...


class ArrivingDesk(Protocol[T]):
    """Who cuts an arriving text. On a worker thread, one call at a time; raises TextRefused."""

    def feed(self, text: str) -> list[T]:
        """Add a fragment; the pieces (or what has grown of them) that are certain now."""
        ...

    def flush(self) -> list[T]:
        """The same, and all pieces of what has arrived are complete."""
        ...

    def finish(self) -> list[T]:
        """The same at the end, where having had nothing to speak is an error."""
        ...


class Additions:
    """Text that follows a prompt, on its way to the stream that speaks it; kept until there is one."""

    def __init__(self) -> None:
        self._kept: list[Addition] = []
        self._feed: Callable[[Addition], None] | None = None
        self._cancel: Callable[[], None] = lambda: None
        self._broken = False

    def lead_to(self, feed: Callable[[Addition], None], cancel: Callable[[], None]) -> None:
        """There is a stream now: what was kept, and all that comes, goes there."""
        self._feed, self._cancel = feed, cancel
        for addition in self._kept:
            feed(addition)
        self._kept.clear()
        if self._broken:
            cancel()

    def add(self, addition: Addition) -> None:
        """More text."""
        if self._feed is None:
            self._kept.append(addition)
        else:
            self._feed(addition)

    def break_off(self) -> None:
        """The text cannot go on: nobody may wait for the rest of this prompt's sound."""
        self._broken = True
        self._cancel()


@dataclass(eq=False, slots=True)
class Prepared:
    """A piece and its prompt, and when its text was worked on (seconds, monotonic).

    Where there are `additions` the piece may still grow: `piece` is then all of it that is known by now.
    """

    piece: Piece
    prompt: Prompt
    started: float
    ended: float
    additions: Additions | None = None


class Pieces(Protocol):
    """What a Speaking speaks: prompts in order, wherever their text comes from."""

    @property
    def text(self) -> str:
        """The caller's text, as far as it is known."""
        ...

    @property
    def ready(self) -> bool:
        """Whether `take` would not wait."""
        ...

    @property
    def growing(self) -> bool:
        """Whether the caller may write more."""
        ...

    def begin(self) -> None:
        """Start to prepare the next piece, if that has not begun."""
        ...

    async def take(self) -> Prepared | None:
        """The next prompt, None after the last; raises what the desk and the family raise."""
        ...

    def awaited(self) -> bool:
        """Whether somebody waits for the end of the piece whose sound has just been given."""
        ...

    def spoken(self) -> None:
        """All sound of one more piece has been given."""
        ...

    def drop(self) -> None:
        """Nobody wants the rest."""
        ...


class PreparedPieces:
    """The prompts of a text that is all there, in order, the next of them made in advance."""

    def __init__(
        self, desk: Desk, text: str, frontend: TextFrontend, utterance: Utterance, workers: Executor
    ) -> None:
        """`utterance` says how to speak; its piece and seed are replaced for each piece."""
        self.text = text
        self._desk = desk
        self._pieces: Iterator[Piece] | None = None
        self._frontend = frontend
        self._utterance = utterance
        self._workers = workers
        self._number = 0
        self._next: asyncio.Future[Prepared | None] | None = None

    @property
    def ready(self) -> bool:
        """Whether `take` would not wait."""
        return self._next is not None and self._next.done()

    @property
    def growing(self) -> bool:
        """The text is all there."""
        return False

    def begin(self) -> None:
        """Start to prepare the next piece, if that has not begun."""
        if self._next is None:
            loop = asyncio.get_running_loop()
            self._next = loop.run_in_executor(self._workers, self._prepare, self._number)
            self._number += 1

    async def take(self) -> Prepared | None:
        """The next prompt, None after the last; raises what the desk and the family raise."""
        self.begin()
        assert self._next is not None  # noqa: S101 - begin() has just set it
        prepared = await self._next
        self._next = None
        return prepared

    def awaited(self) -> bool:
        """Nobody can flush a text that is all there."""
        return False

    def spoken(self) -> None:
        """Nobody asks."""

    def drop(self) -> None:
        """Nobody wants the rest: what a worker has begun is forgotten when it ends."""
        if self._next is not None:
            self._next.add_done_callback(_forget)
            self._next.cancel()

    def _prepare(self, number: int) -> Prepared | None:
        """On a worker thread. Pieces of one request are never prepared at the same time."""
        started = time.monotonic()
        if self._pieces is None:
            self._pieces = self._desk.pieces(self.text, self._utterance.language)
        piece = next(self._pieces, None)
        if piece is None:
            return None
        seed = piece_seed(self._utterance.seed, number)
        prompt = self._frontend.prepare(replace(self._utterance, piece=piece, seed=seed))
        return Prepared(piece, prompt, started, time.monotonic())


def how_to_speak(request: Request, voice: Voice) -> Utterance:
    """An Utterance of `request` without its piece.

    A request without a language is in that of a voice that has only one; else it stays open, "", and the
    family finds out from the text.
    """
    only = voice.languages[0] if len(voice.languages) == 1 else ""
    return Utterance(
        piece=Piece("", (), 0, 0),
        voice=voice,
        speed=request.speed,
        seed=request.seed,
        language=request.language or only,
        instruction=request.instruction,
        sampling=request.sampling,
    )


_MASK = 2**64 - 1


def piece_seed(seed: int, number: int) -> int:
    """The seed of piece `number`, in 0 .. 2^63 - 1: the same text and seed give the same sound at any pace.

    The finaliser of SplitMix64 (Steele, Lea, Flood 2014) over seed and number.
    """
    mixed = (seed + (number + 1) * 0x9E3779B97F4A7C15) & _MASK
    mixed = ((mixed ^ (mixed >> 30)) * 0xBF58476D1CE4E5B9) & _MASK
    mixed = ((mixed ^ (mixed >> 27)) * 0x94D049BB133111EB) & _MASK
    return (mixed ^ (mixed >> 31)) >> 1


def _forget(future: asyncio.Future[Prepared | None]) -> None:
    """Take the exception, so that nobody is told of an error that nobody waits for."""
    if not future.cancelled():
        future.exception()
