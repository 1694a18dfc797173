"""More text for a stream in flight, through the engine's thread."""

from __future__ import annotations

import asyncio
import itertools
from dataclasses import replace

import numpy as np
import pytest
import torch
from rhapsode_server.core import FinishReason, Piece
from rhapsode_server.engine.engine import Engine
from rhapsode_server.engine.worker import EngineSettings
from rhapsode_server.errors import GenerationFailed
from rhapsode_server.models import toy
from rhapsode_server.models.base import Addition, Prompt, SpeechModel, Utterance

from tests.integration.conftest import until
from tests.support import fed_toy
from tests.support.fed_toy import FedToyFrontend
from tests.unit.engine.test_engine import Notes, ask, listen

TEXT = "the kettle sings before the water boils"


def fed(model: SpeechModel, parts: list[str], seed: int = 0) -> tuple[Prompt, list[Addition]]:
    """What the frontend makes of a text in parts."""
    assert isinstance(model.frontend, FedToyFrontend)
    feed = model.frontend.open(Utterance(Piece("", (), 0, 0), model.voices["alto"], seed=seed))
    items = [item for item in (*map(feed.feed, parts), feed.finish()) if item is not None]
    assert isinstance(items[0], Prompt)
    return items[0], [item for item in items[1:] if isinstance(item, Addition)]


class House:
    """An engine with two rows, and what it announced."""

    def __init__(self) -> None:
        self.model = fed_toy.load()
        self.notes = Notes()
        self.engine = Engine(self.model, EngineSettings(slots=2), self.notes)
        self.engine.start()


@pytest.fixture
def house() -> House:
    return House()


async def starving(house: House, number: int) -> None:
    """Until a step has passed after which the sequence could not be decoded any more."""
    await until(
        lambda: (
            house.engine._worker.beat is None and any(number in event.members for event in house.notes.steps)
        )
    )


async def test_text_may_come_before_the_row_is_filled_or_while_it_starves(house: House) -> None:
    prompt, additions = fed(house.model, [TEXT[:10], TEXT[10:25], TEXT[25:]])
    at_once = house.engine.submit(prompt)
    for addition in additions:
        house.engine.feed(at_once, addition)
    slowly = house.engine.submit(prompt)
    for addition in additions:
        await starving(house, slowly.number)
        house.engine.feed(slowly, addition)
    want = await listen(at_once)
    assert len(want) == len(TEXT) * toy.FRAMES_PER_LETTER * toy.SAMPLES_PER_FRAME
    assert np.array_equal(await listen(slowly), want)
    assert house.engine.stop()


async def test_a_starving_engine_sleeps(house: House) -> None:
    prompt, additions = fed(house.model, [TEXT[:20], TEXT[20:]])
    stream = house.engine.submit(prompt)
    await starving(house, stream.number)
    steps = len(house.notes.steps)
    await asyncio.sleep(0.05)
    assert len(house.notes.steps) == steps
    assert house.engine.load().running == 1
    for addition in additions:
        house.engine.feed(stream, addition)
    await listen(stream)
    assert house.engine.stop()


async def test_cancelled_while_starving(house: House) -> None:
    prompt, additions = fed(house.model, [TEXT[:20], TEXT[20:]])
    stream = house.engine.submit(prompt)
    await starving(house, stream.number)
    stream.cancel()
    house.engine.feed(stream, additions[0])
    await listen(stream)
    assert stream.outcome is not None
    assert stream.outcome.reason is FinishReason.CANCELLED
    house.engine.feed(stream, additions[-1])
    assert len(await listen(house.engine.submit(ask(toy.load())))) > 0
    assert house.engine.load().running == 0
    assert house.notes.failed == []
    assert house.engine.stop()


async def test_text_that_cannot_be_taken_ends_its_own_stream_alone(house: House) -> None:
    prompt, additions = fed(house.model, [TEXT[:20], TEXT[20:]])
    good, bad, greedy = (house.engine.submit(prompt, before=None) for _ in range(3))
    for addition in additions:
        house.engine.feed(good, addition)
    house.engine.feed(bad, Addition(allowance=None, max_frames=5))
    with pytest.raises(GenerationFailed):
        await listen(bad)
    house.engine.feed(greedy, replace(additions[0], max_frames=prompt.max_frames + 1))
    with pytest.raises(GenerationFailed):
        await listen(greedy)
    assert len(await listen(good)) > 0
    assert [(stage, count) for stage, _, count in house.notes.failed] == [("feed", 1)] * 2
    assert house.engine.alive
    assert house.engine.stop()


async def test_a_device_that_is_lost_while_text_is_taken_ends_the_engine(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    def lost(*_: object) -> None:
        raise torch.AcceleratorError("CUDA error: an illegal memory access was encountered")

    monkeypatch.setattr(house.model.acoustic, "feed", lost)
    prompt, additions = fed(house.model, [TEXT[:20], TEXT[20:]])
    stream = house.engine.submit(prompt)
    house.engine.feed(stream, additions[0])
    with pytest.raises(Exception, match="has failed"):
        await listen(stream)
    assert not house.engine.alive
    assert house.engine.stop()


async def test_stopped_while_rows_starve(house: House) -> None:
    prompt, additions = fed(house.model, [TEXT[:20], TEXT[20:]])
    stream = house.engine.submit(prompt)
    await starving(house, stream.number)
    assert await asyncio.to_thread(house.engine.stop, 10)
    house.engine.feed(stream, additions[0])
    with pytest.raises(Exception, match="shutting down"):
        await listen(stream)


def test_fed_letters_are_the_letters_of_the_whole() -> None:
    model = fed_toy.load()
    prompt, additions = fed(model, [TEXT[:7], TEXT[7:]])
    assert isinstance(prompt, toy.ToyPrompt)
    parts = [prompt.letters, *(addition.letters for addition in additions if hasattr(addition, "letters"))]
    whole = model.frontend.prepare(Utterance(Piece(TEXT, (), 0, len(TEXT)), model.voices["alto"]))
    assert isinstance(whole, toy.ToyPrompt)
    assert torch.equal(torch.cat(parts), whole.letters)
    allowances = [prompt.allowance, *(addition.allowance for addition in additions)]
    for before, after in itertools.pairwise(allowances):
        assert before is not None
        assert after is None or before < after
