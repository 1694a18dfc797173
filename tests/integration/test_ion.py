"""The server as it starts without any setting: the embedded voice, loaded the way `rhapsode serve` does."""

from __future__ import annotations

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
