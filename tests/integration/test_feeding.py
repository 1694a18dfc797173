"""A session with a model that speaks a sentence while it is being written: Qwen3-TTS, small and random."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from rhapsode.tts.v1 import session_pb2, synthesis_pb2

from tests.contract.families import qwen3_tts
from tests.integration.conftest import House, house, until
from tests.integration.test_session import TEXT, Talk, talk


@pytest.fixture
async def qwen_house(tmp_path: Path) -> AsyncIterator[House]:
    model = qwen3_tts("custom_voice")(tmp_path)
    async with house({"engine.slots": 2}, lambda: model) as running:
        yield running


async def finished(one: Talk, name: str) -> bytes:
    """All sound of a context whose text has been sent."""
    await one.say(name, end_context=session_pb2.EndContext())
    done = await one.until("context_done", name)
    assert done.finish_reason == synthesis_pb2.FINISH_REASON_STOP
    assert done.usage.characters == len(TEXT)
    assert len(one.data(name)) == 2 * done.usage.delivered_samples > 0
    return one.data(name)


@pytest.mark.parametrize("language", ["", "en"])
async def test_words_are_spoken_while_the_sentence_is_written(qwen_house: House, language: str) -> None:
    words = TEXT.split(" ")
    async with talk(qwen_house) as one:
        await one.start("slow", seed=3, language=language)
        await one.text("slow", " ".join(words[:4]))
        await one.until("audio", "slow")
        steps = qwen_house.witness.steps
        assert steps[-1].running == 1, "it waits for text in its row"
        for word in words[4:]:
            await one.text("slow", " " + word)
        slow = await finished(one, "slow")
        await one.start("whole", seed=3, language=language)
        await one.text("whole", TEXT)
        whole = await finished(one, "whole")
    assert slow == whole
    heard = [word for chunk in one.of("slow", "audio") for word in chunk.words]
    assert [TEXT[word.char_start : word.char_end] for word in heard] == [word.text for word in heard]
    starts = [word.start_sample for word in heard]
    assert starts == sorted(starts)
    assert len(heard) == len(words)


async def test_interrupted_while_the_row_waits_for_text(qwen_house: House) -> None:
    async with talk(qwen_house) as one:
        await one.start("c", seed=3)
        await one.text("c", TEXT[:20])
        await one.until("audio", "c")
        await one.say("c", cancel=session_pb2.Cancel())
        cancelled = await one.until("context_cancelled", "c")
        assert TEXT[:20] == cancelled.text_spoken + cancelled.text_remaining
    engine = qwen_house.serving.engine
    assert engine is not None
    await until(lambda: engine.load().running == 0)
