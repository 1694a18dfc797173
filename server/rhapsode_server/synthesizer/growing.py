"""A text that is still being written -> prompts that are spoken while their own text grows.

For families that can begin before they have seen a whole piece: the first certain words make the prompt, all
others follow it into the row in flight, word by word. A piece ends where the desk says; the row is then told
that its text is complete, and the next piece has a row of its own. While no text comes, the row waits.
What must not live here: the engine, where a piece ends, what a family's tokens are.
"""

from __future__ import annotations

import asyncio
import time
from concurrent.futures import Executor
from dataclasses import replace

from rhapsode_server.core import Growth
from rhapsode_server.models.base import Addition, FeedingFrontend, Prompt, TextFeed, TextFrontend, Utterance
from rhapsode_server.synthesizer.arriving import Arriving, Flushed
from rhapsode_server.synthesizer.pieces import Additions, ArrivingDesk, Prepared, piece_seed


class GrowingPieces(Arriving[Growth]):
    """A prompt for every piece as soon as the family can begin, and additions until it is complete."""

    def __init__(
        self,
        desk: ArrivingDesk[Growth],
        frontend: TextFrontend,
        utterance: Utterance,
        workers: Executor,
        flushed: Flushed,
    ) -> None:
        """`frontend` is a FeedingFrontend too; for the rest see Arriving."""
        super().__init__(desk, frontend, utterance, workers, flushed)
        assert isinstance(frontend, FeedingFrontend)  # noqa: S101 - the synthesizer has looked
        self._feeding: FeedingFrontend = frontend
        self._feed: TextFeed | None = None
        self._fed = 0
        self._open: Prepared | None = None

    async def _take_in(self, given: Growth, started: float) -> None:
        loop = asyncio.get_running_loop()
        items = await loop.run_in_executor(self._workers, self._grow, given, self._cut)
        if self._open is not None:
            self._open.piece = given.piece  # before its words can sound
        for item in items:
            self._hand_on(item, given, started)
        if given.complete:
            self._open = None
            self._cut += 1

    def _grow(self, growth: Growth, number: int) -> list[Prompt | Addition]:
        """On a worker thread: what the family makes of the characters that are new."""
        if self._feed is None:
            seed = piece_seed(self._utterance.seed, number)
            self._feed, self._fed = self._feeding.open(replace(self._utterance, seed=seed)), 0
        feed, text = self._feed, growth.piece.text
        made = [feed.feed(text[self._fed :])]
        self._fed = len(text)
        if growth.complete:
            made.append(feed.finish())
            self._feed = None
        return [item for item in made if item is not None]

    def _hand_on(self, item: Prompt | Addition, growth: Growth, started: float) -> None:
        if isinstance(item, Prompt):
            self._open = Prepared(growth.piece, item, started, time.monotonic(), Additions())
            self._ready(self._open)
        elif self._open is not None and self._open.additions is not None:
            self._open.additions.add(item)

    def _woken(self, reader: asyncio.Task[None]) -> None:
        """A text that cannot be read to its end must not leave a row waiting for the rest of it."""
        super()._woken(reader)
        if self._open is not None and self._open.additions is not None:
            self._open.additions.break_off()
