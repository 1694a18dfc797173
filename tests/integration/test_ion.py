"""The server as it starts without any setting: the embedded voice, loaded the way `rhapsode serve` does."""

from __future__ import annotations

import asyncio

import numpy as np
from rhapsode.tts.v1 import synthesis_pb2
from rhapsode_server.config import Settings
from rhapsode_server.loading import load_model

from tests.integration.conftest import house

TEXT = "Hello! I am the voice inside this server."


async def test_the_embedded_voice_speaks() -> None:
    model = Settings().model
    async with house({"model.source": model.source}, lambda: load_model(model)) as running:
        spoken = await running.speak(TEXT, seed=3)
        assert spoken.started is not None
        assert spoken.done is not None
        assert spoken.started.model == model.source
        assert spoken.done.finish_reason == synthesis_pb2.FINISH_REASON_STOP
        rate = spoken.started.audio_format.sample_rate_hz
        assert 1.5 < spoken.samples / rate < 6.0
        samples = np.frombuffer(spoken.data, "<i2").astype(float) / 2**15
        assert 0.05 < np.abs(samples).max() <= 1.0
        words = [word for chunk in spoken.audio for word in chunk.words]
        assert " ".join(word.text for word in words) == "Hello I am the voice inside this server"
        assert all(word.exact for word in words)
        starts = [word.start_sample for word in words]
        assert starts == sorted(starts)
        again = await running.speak(TEXT, seed=3)
        assert np.array_equal(np.frombuffer(again.data, "<i2"), np.frombuffer(spoken.data, "<i2"))


async def test_each_of_many_hears_what_it_hears_alone() -> None:
    """32 at once, of different lengths, voices, speeds and formats: the same bytes."""
    model = Settings().model
    sentence = "Good morning, this is a sentence of a certain length. "
    voices, speeds = ("ion", "ion-rms", "ion-awb"), (1.0, 0.8, 1.25)
    asked = [(sentence * (1 + n % 4) + str(n), voices[n % 3], speeds[n % 5 % 3]) for n in range(32)]
    async with house({"model.source": model.source}, lambda: load_model(model)) as running:

        async def heard(text: str, voice: str, speed: float) -> bytes:
            return (await running.speak(text, voice=voice, speed=speed)).data

        together = await asyncio.gather(*(heard(*request) for request in asked))
        for request, data in list(zip(asked, together, strict=True))[::5]:
            assert await heard(*request) == data
