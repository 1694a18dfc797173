"""An engine with the toy family, a desk that counts, and a synthesizer over both."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest
from rhapsode_server.core import AudioFormat, Growth, Piece, Request, Word
from rhapsode_server.engine.engine import Engine
from rhapsode_server.engine.observer import SILENT
from rhapsode_server.engine.stream import AudioStream
from rhapsode_server.engine.worker import EngineSettings
from rhapsode_server.models import toy
from rhapsode_server.models.base import Prompt, SpeechModel
from rhapsode_server.synthesizer import Audio, Done, Event, Manner, Report, Started, Synthesizer, Terms
from rhapsode_server.synthesizer.pieces import ArrivingDesk
from rhapsode_server.text.desk import TextDesk

PAUSE = 0.11
"""Seconds after every piece but the last; 1760 samples at the toy's rate."""


class CountingDesk:
    """Pieces between bars, words between blanks; counts the pieces that were asked for."""

    def __init__(self) -> None:
        self.asked = 0

    def pieces(self, text: str, language: str = "en") -> Iterator[Piece]:
        at = 0
        parts = text.split("|")
        for number, part in enumerate(parts, 1):
            self.asked += 1
            words = []
            for spoken in part.split(" "):
                words.append(Word(spoken, at, at + len(spoken)))
                at += len(spoken) + 1
            pause = PAUSE if number < len(parts) else 0.0
            yield Piece(part, tuple(words), words[0].start, at, pause)

    def session(self, language: str = "en") -> ArrivingDesk[Piece]:
        return TextDesk(reads="letters").session(language)

    def growing(self, language: str = "en") -> ArrivingDesk[Growth]:
        return TextDesk(reads="letters", longest=120).growing(language)


class Spy(Engine):
    """An engine that remembers how it was asked."""

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self.submitted: list[dict[str, Any]] = []
        self.streams: list[AudioStream] = []

    def submit(self, prompt: Prompt, **how: Any) -> AudioStream:
        stream = super().submit(prompt, **how)
        self.submitted.append(how)
        self.streams.append(stream)
        return stream


@dataclass
class Books:
    """A recorder that keeps every report."""

    reports: list[Report] = field(default_factory=list)

    def utterance_ended(self, report: Report) -> None:
        self.reports.append(report)


@dataclass
class Bench:
    """Everything that one test needs."""

    engine: Spy
    desk: CountingDesk
    synthesizer: Synthesizer
    books: Books

    async def speak(self, text: str, *, terms: Terms | None = None, **fields: Any) -> Heard:
        heard = Heard()
        events = self.synthesizer.synthesize(request(text, **fields), terms or Terms())
        async for event in events:
            heard.events.append(event)
        return heard

    async def settled(self) -> None:
        """Until every account is closed."""
        while self.synthesizer._settling:
            await asyncio.wait(self.synthesizer._settling)


@dataclass
class Heard:
    """The events of one utterance."""

    events: list[Event] = field(default_factory=list)

    @property
    def started(self) -> Started:
        assert isinstance(self.events[0], Started)
        return self.events[0]

    @property
    def audio(self) -> list[Audio]:
        return [event for event in self.events if isinstance(event, Audio)]

    @property
    def data(self) -> bytes:
        return b"".join(chunk.data for chunk in self.audio)

    @property
    def done(self) -> Done:
        assert isinstance(self.events[-1], Done)
        return self.events[-1]


def request(text: str, **fields: Any) -> Request:
    return Request(**{"request_id": "r-1", "text": text, "voice": "", "audio": AudioFormat(), **fields})


MakeBench = Callable[..., Bench]


@pytest.fixture
async def make_bench() -> AsyncIterator[MakeBench]:
    made: list[Bench] = []

    def make(
        model: SpeechModel | None = None,
        engine: EngineSettings | None = None,
        manner: Manner | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> Bench:
        spy = Spy(model or toy.load(), engine or EngineSettings(), SILENT, clock)
        desk, books = CountingDesk(), Books()
        spy.start()
        made.append(Bench(spy, desk, Synthesizer(spy, desk, manner or Manner(), books, clock), books))
        return made[-1]

    yield make
    for bench in made:
        assert bench.engine.stop()
        await bench.synthesizer.close()


@pytest.fixture
def bench(make_bench: MakeBench) -> Bench:
    return make_bench()
