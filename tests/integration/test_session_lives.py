"""Random sessions, as no client in its senses would lead them: whatever is said, what is answered adds up."""

from __future__ import annotations

import asyncio
import random
import threading
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import grpc
import pytest
from rhapsode.tts.v1 import service_pb2_grpc, session_pb2

from tests.integration.conftest import House, until

Command = session_pb2.StreamSynthesizeRequest
NAMES = ("a", "b", "c")
WORDS = (
    *("the", "kettle", "sings", "before", "Dr.", "Smith's", "river,", "nobody", "knows", "why."),
    *("Well?", "20%", "$5", "...", "-", "émile", "😀", "(aside)"),
)
ENDS = ("context_done", "context_cancelled", "context_error")


class Life:
    """What one client says; it knows which of its names are free."""

    def __init__(self, seed: int) -> None:
        self._chance = random.Random(seed)
        self._open: dict[str, bool] = {}
        self._cancelled: Counter[str] = Counter()
        self._lock = threading.Lock()

    def commands(self) -> Iterator[Any]:
        """A session's worth; every listener goes on at the end."""
        yield Command(session_config=session_pb2.SessionConfig(audio_format={"sample_rate_hz": 24000}))
        for _ in range(40):
            name = self._chance.choice(NAMES)
            with self._lock:
                said = self._about(name)
            yield from said
        for name in NAMES:
            yield self._report(name, 0, paused=False)

    def ended(self, name: str) -> None:
        """The last event of a context; the name may be another's by now."""
        with self._lock:
            if self._cancelled[name]:
                self._cancelled[name] -= 1
            else:
                self._open.pop(name, None)

    def _about(self, name: str) -> list[Any]:
        chance = self._chance
        if name not in self._open:
            self._open[name] = True
            voice = chance.choice(("alto", "bass", "nobody"))
            return [Command(context_id=name, start_context=session_pb2.StartContext(voice=voice))]
        turn = chance.random()
        if turn < 0.5:
            words = "".join(chance.choice(WORDS) + chance.choice((" ", "", ". ")) for _ in range(6))
            return [Command(context_id=name, text=session_pb2.TextInput(text=words))]
        if turn < 0.6:
            return [Command(context_id=name, flush=session_pb2.Flush(flush_id="f"))]
        if turn < 0.7:
            return [Command(context_id=name, end_context=session_pb2.EndContext())]
        if turn < 0.85:
            return [self._report(name, chance.choice((0, 1000, 2**63)), paused=chance.random() < 0.3)]
        self._cancelled[name] += 1
        del self._open[name]
        return [Command(context_id=name, cancel=session_pb2.Cancel(playback_offset=chance.randrange(50_000)))]

    def _report(self, name: str, played: int, *, paused: bool) -> Any:
        report = session_pb2.PlaybackReport(played_samples=played, paused=paused)
        return Command(context_id=name, playback_report=report)


@dataclass
class Came:
    """What came of one context."""

    messages: int = 0
    samples: int = 0
    words: list[Any] = field(default_factory=list)

    def sounded(self, audio: Any) -> None:
        assert audio.data
        assert (audio.seq, audio.start_sample) == (self.messages, self.samples)
        self.messages, self.samples = self.messages + 1, self.samples + audio.sample_count
        for word in audio.words:
            assert audio.start_sample <= word.start_sample < self.samples
            assert not self.words or self.words[-1].char_end <= word.char_start
            self.words.append(word)

    def cancelled(self, told: Any) -> None:
        assert told.end_sample <= self.samples
        heard = [word.char_end for word in self.words if word.start_sample < told.end_sample]
        assert len(told.text_spoken) == told.char_offset == max(heard, default=0)
        text = told.text_spoken + told.text_remaining
        assert all(text[word.char_start : word.char_end] == word.text for word in self.words)


def lived(target: str, seed: int, metadata: Any = ()) -> Counter[str]:
    """Live one session to its end, holding every event against what came before; counts the events."""
    life, contexts, kinds = Life(seed), dict[str, Came](), Counter[str]()
    with grpc.insecure_channel(target) as channel:
        stub = service_pb2_grpc.SpeechSynthesisServiceStub(channel)  # type: ignore[no-untyped-call]
        for event in stub.StreamSynthesize(life.commands(), metadata=metadata):
            kind, name = event.WhichOneof("event"), event.context_id
            kinds[kind] += 1
            if kind == "context_started":
                assert name not in contexts
                contexts[name] = Came()
            elif kind == "audio":
                contexts[name].sounded(event.audio)
            elif kind == "flush_done":
                assert event.flush_done.end_sample <= contexts[name].samples
            elif kind in ENDS:
                came = contexts.pop(name, Came())  # who is refused has not begun
                if kind == "context_cancelled":
                    came.cancelled(event.context_cancelled)
                if kind == "context_done":
                    assert event.context_done.usage.delivered_samples == came.samples
                life.ended(name)
    assert not contexts, "a context has no end"
    return kinds


@pytest.mark.parametrize("seed", range(4))
async def test_whatever_is_said_what_is_answered_adds_up(toy_house: House, seed: int) -> None:
    lives = (asyncio.to_thread(lived, toy_house.target, 4 * seed + number) for number in range(4))
    kinds = sum(await asyncio.gather(*lives), Counter())
    assert {"context_started", "audio", "context_cancelled"} <= set(kinds)
    engine = toy_house.serving.engine
    assert engine is not None
    await until(lambda: engine.load()[1:3] == (0, 0) and not toy_house.serving.gate.inside)
