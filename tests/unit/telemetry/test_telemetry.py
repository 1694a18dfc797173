"""The object the composition root holds: off it is nothing, on it looks at what was announced."""

from __future__ import annotations

import asyncio
import threading
import time
from dataclasses import replace
from types import SimpleNamespace
from typing import cast

import pytest
from rhapsode_server import errors
from rhapsode_server.engine.observer import SILENT
from rhapsode_server.synthesizer.events import UNRECORDED, Report
from rhapsode_server.telemetry import names, telemetry
from rhapsode_server.telemetry.export import Exporting
from rhapsode_server.telemetry.telemetry import Telemetry

from tests.unit.telemetry.made import Kept, piece, report, step


def listening(kept: Kept, step_every: int = 1) -> Telemetry:
    return Telemetry(cast(Exporting, kept), step_every)


def load() -> SimpleNamespace:
    return SimpleNamespace(slots=8, running=0, waiting=0)


def recent(number: int = 1) -> Report:
    """An utterance that began just now."""
    now = time.monotonic()
    return replace(report(piece(number, now)), started=now, ended=now + 0.4)


async def test_what_began_before_the_start_was_a_warm_up(kept: Kept) -> None:
    told = listening(kept)
    told.observer.step_done(step(1, 1))
    told.start("toy", load, lambda: 0.0)
    told.recorder.utterance_ended(report())
    told.recorder.utterance_ended(recent())
    await told.shutdown()
    assert len(kept.spans("text_to_speech toy")) == 1
    assert not kept.points(names.STEP_DURATION.name)
    assert kept.value(names.TEXT_CHARACTERS.name) == recent().done.usage.characters


async def test_announcements_are_looked_at_while_it_runs(kept: Kept, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(telemetry, "PERIOD", 0.001)
    told = listening(kept)
    told.start("toy", load, lambda: 0.0)
    told.recorder.utterance_ended(recent())
    async with asyncio.timeout(10):
        while not kept.spans("text_to_speech toy"):  # noqa: ASYNC110 - no event tells of a span
            await asyncio.sleep(0.001)
    await told.shutdown()


async def test_what_was_announced_is_told_though_the_end_comes_in_the_middle(
    kept: Kept, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(telemetry, "PERIOD", 0.001)
    told = listening(kept)
    told.start("toy", load, lambda: 0.0)
    for number in range(10):
        told.recorder.utterance_ended(recent(number))
    async with asyncio.timeout(10):
        while not kept.spans("text_to_speech toy"):  # noqa: ASYNC110 - no event tells of a span
            await asyncio.sleep(0)
    assert len(kept.spans("text_to_speech toy")) < 10, "it was to be ended in the middle"
    await told.shutdown()
    assert len(kept.spans("text_to_speech toy")) == 10


@pytest.mark.parametrize(
    ("error", "sounded", "how", "rejected"),
    [
        (None, True, "completed", ""),
        (asyncio.CancelledError(), True, "cancelled", ""),
        (errors.TextRefused("Sentence."), False, "refused", "text_refused"),
        (errors.Overloaded("Sentence.", 1.0), False, "overloaded", "overloaded"),
        (errors.VoiceNotFound("bob", ()), True, "refused", ""),
        (errors.GenerationFailed("Sentence."), False, "failed", ""),
        (errors.EngineStopped("Sentence."), True, "failed", ""),
        (ZeroDivisionError(), False, "failed", ""),
    ],
)
async def test_the_ends_of_contexts_are_counted(
    kept: Kept, error: BaseException | None, sounded: bool, how: str, rejected: str
) -> None:
    told = listening(kept)
    told.context_ended(error, sounded)
    [point] = kept.points(names.CONTEXTS.name)
    assert (point.value, point.attributes) == (1, {names.LABEL_OUTCOME: how})
    reasons = [point.attributes[names.LABEL_REASON] for point in kept.points(names.REJECTED.name)]
    assert reasons == ([rejected] if rejected else [])


async def test_a_step_announced_in_the_same_breath_as_its_request_is_linked(kept: Kept) -> None:
    told = listening(kept)
    told.start("toy", load, lambda: 0.0)
    told.recorder.utterance_ended(recent(5))
    now = time.monotonic()
    told.observer.step_done(replace(step(1, 5), started=now, ended=now))
    await told.shutdown()
    assert len(kept.span(names.SPAN_STEP).links) == len(kept.span(names.SPAN_DECODE).links) == 1


async def test_failures_of_a_stage_are_counted_whenever_they_happened(kept: Kept) -> None:
    told = listening(kept)
    told.observer.step_failed("decode", "ValueError", 3)
    told.start("toy", load, lambda: 0.0)
    await told.shutdown()
    assert kept.value(names.STAGE_FAILED.name) == 3


async def test_many_announcements_leave_others_their_turns(kept: Kept) -> None:
    told = listening(kept, step_every=1000)
    told.start("toy", load, lambda: 0.0)
    now = time.monotonic()
    for number in range(1, 500):
        told.observer.step_done(replace(step(number, 1), started=now, ended=now))
    turns = 0

    async def counting() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    other = asyncio.create_task(counting())
    await told.shutdown()
    other.cancel()
    assert turns > 5


class Stuck(Kept):
    """A collector that never answers, until the connection is cut."""

    def __init__(self) -> None:
        super().__init__()
        self.cut = threading.Event()

    def close(self) -> None:
        self.cut.wait()

    def abandon(self) -> None:
        self.cut.set()


async def test_a_collector_that_never_answers_is_left_at_the_deadline() -> None:
    stuck = Stuck()
    told = listening(stuck)
    assert await told.shutdown(0.05) is False
    assert stuck.cut.is_set()
    assert await told.shutdown(0.05) is True


async def test_off_is_nothing() -> None:
    told = Telemetry(None)
    told.start("toy", load, lambda: 0.0)
    told.cutting()
    assert (told.on, told.interceptors(), told.prometheus_port) == (False, (), None)
    assert (told.observer, told.recorder) == (SILENT, UNRECORDED)
    assert await told.shutdown()
