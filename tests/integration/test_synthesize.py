"""Synthesize over real gRPC: what is said before, with and after the sound."""

from __future__ import annotations

from tests.integration.conftest import House

TEXT = "Hello there, this is a sentence. And this is another one, a little longer than the first!"


async def test_an_utterance_begins_sounds_and_ends(toy_house: House) -> None:
    spoken = await toy_house.speak(TEXT, voice="bass", request_id="my-own-1", seed=7)
    assert spoken.started is not None
    assert spoken.done is not None
    assert (spoken.started.request_id, spoken.started.voice, spoken.started.seed) == ("my-own-1", "bass", 7)
    assert spoken.started.audio_format.sample_rate_hz == 16_000
    assert spoken.done.usage.characters == len(TEXT)
    assert spoken.done.usage.delivered_samples == spoken.samples == len(spoken.data) // 2
    assert spoken.done.usage.generated_samples == spoken.samples
