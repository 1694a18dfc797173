"""Synthesize over real gRPC: what is said before, with and after the sound."""

from __future__ import annotations

import asyncio
import io
import threading
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import soundfile
from rhapsode.tts.v1 import audio_pb2, synthesis_pb2, voice_pb2
from rhapsode_server.models import toy
from rhapsode_server.models.base import Step
from torch import Tensor

from tests.integration.conftest import House, house, rest

TEXT = "Hello there, this is a sentence. And this is another one, a little longer than the first!"


async def test_an_utterance_begins_sounds_and_ends(toy_house: House) -> None:
    spoken = await toy_house.speak(TEXT, voice="bass", request_id="my-own-1", seed=7)
    assert spoken.started is not None
    assert spoken.done is not None
    assert (spoken.started.request_id, spoken.started.voice, spoken.started.seed) == ("my-own-1", "bass", 7)
    assert (spoken.started.model, spoken.started.trace_id) == ("toy", "")
    assert spoken.started.audio_format == audio_pb2.AudioFormat(
        encoding=audio_pb2.AUDIO_ENCODING_PCM_S16LE, sample_rate_hz=16_000
    )
    assert spoken.started.HasField("estimated_first_audio")
    assert spoken.done.finish_reason == synthesis_pb2.FINISH_REASON_STOP
    assert spoken.done.usage.characters == len(TEXT)
    assert spoken.done.usage.delivered_samples == spoken.samples == len(spoken.data) // 2
    assert spoken.done.usage.generated_samples == spoken.samples
    assert spoken.done.usage.frames > 0
    spent = spoken.done.timings
    assert 0 < spent.first_audio.ToNanoseconds() < spent.total.ToNanoseconds()
    for name in ("queue", "text", "prefill", "decode", "vocode", "encode", "send"):
        assert getattr(spent, name).ToNanoseconds() > 0, name


async def test_sound_joins_to_the_sample_and_words_come_with_it(toy_house: House) -> None:
    spoken = await toy_house.speak(TEXT)
    at = 0
    for number, chunk in enumerate(spoken.audio):
        assert chunk.data
        assert (chunk.seq, chunk.start_sample) == (number, at)
        assert chunk.sample_count == len(chunk.data) // 2
        for word in chunk.words:
            assert at <= word.start_sample < at + chunk.sample_count
            assert word.start_sample < word.end_sample <= spoken.samples
        at += chunk.sample_count
    words = [word for chunk in spoken.audio for word in chunk.words]
    assert [TEXT[word.char_start : word.char_end] for word in words] == [word.text for word in words]
    assert [word.text for word in words][:3] == ["Hello", "there", "this"]
    assert len(words) == len(TEXT.split())


async def test_the_first_sound_leaves_before_half_of_it_is_made() -> None:
    """The model makes no frame beyond the half until the client holds sound in its hands."""
    heard = threading.Event()

    class Halfway(toy.ToyAcoustic):
        def decode(self, state: toy.ToyState, slots: Tensor) -> Step:
            rows = state.made[slots] * 2 > state.length[slots] * state.each[slots]
            long = state.length[slots] > 100
            if bool((rows & long).any()):
                assert heard.wait(30)
            return super().decode(state, slots)

    async with house(model=lambda: replace(toy.load(), acoustic=Halfway())) as running:
        text = "a text without any end to its sentence and so it is one piece alone" + " and on" * 8
        call = running.stub.Synthesize(synthesis_pb2.SynthesizeRequest(text=text))
        started, first = await call.read(), await call.read()
        assert started.HasField("started")
        assert first.audio.data
        heard.set()
        messages = await rest(call)
        assert messages[-1].done.finish_reason == synthesis_pb2.FINISH_REASON_STOP


async def test_many_streams_at_once_sound_as_they_do_alone() -> None:
    """32 of different lengths on 8 slots; each sample is what it is without neighbours."""
    texts = [f"Utterance number {n}" + ", and more" * (n % 9) + "." for n in range(32)]
    async with house({"engine.slots": 8, "engine.max_ahead": 0}) as running:
        alone = [(await running.speak(text, seed=n)).data for n, text in enumerate(texts)]
        crowd = await asyncio.gather(*(running.speak(text, seed=n) for n, text in enumerate(texts)))
        assert [spoken.data for spoken in crowd] == alone
        assert len({len(data) for data in alone}) > 8
        assert max(step.decoded for step in running.witness.steps) == 8


def decoded(data: bytes, form: audio_pb2.AudioFormat) -> np.ndarray[Any, np.dtype[np.float64]]:
    """The samples in these bytes, by a decoder that is not ours."""
    raw = {
        audio_pb2.AUDIO_ENCODING_PCM_S16LE: "PCM_16",
        audio_pb2.AUDIO_ENCODING_MULAW: "ULAW",
        audio_pb2.AUDIO_ENCODING_ALAW: "ALAW",
    }.get(form.encoding)
    how: dict[str, Any] = {}
    if raw:
        how = {"format": "RAW", "subtype": raw, "channels": 1, "samplerate": form.sample_rate_hz}
        how["endian"] = "LITTLE" if raw == "PCM_16" else "FILE"
    samples, rate = soundfile.read(io.BytesIO(data), **how)
    if form.encoding == audio_pb2.AUDIO_ENCODING_OGG_OPUS:
        assert rate in (form.sample_rate_hz, 48_000)
        samples = samples[:: rate // form.sample_rate_hz]
    else:
        assert rate == form.sample_rate_hz
    return samples  # type: ignore[no-any-return]


@pytest.mark.parametrize("rate", [0, 8_000, 24_000, 48_000])
@pytest.mark.parametrize("encoding", [1, 2, 3, 4, 5])
async def test_every_format_arrives_and_can_be_decoded(toy_house: House, encoding: Any, rate: int) -> None:
    form = audio_pb2.AudioFormat(encoding=encoding, sample_rate_hz=rate)
    spoken = await toy_house.speak("Hello there, hello.", audio_format=form, seed=1)
    assert spoken.started is not None
    real = spoken.started.audio_format
    assert (real.encoding, real.sample_rate_hz) == (encoding, rate or 16_000)
    samples = decoded(spoken.data, real)
    assert abs(len(samples) - spoken.samples) <= 1
    assert len(samples) / real.sample_rate_hz == pytest.approx(18 * 0.06, rel=0.2)
    assert 0.05 < np.abs(samples).max() < 0.5


async def test_speed_changes_how_long_it_takes(toy_house: House) -> None:
    plain, fast = [await toy_house.speak("Hello there.", speed=speed) for speed in (0.0, 2.0)]
    assert fast.samples < plain.samples


async def test_the_same_seed_gives_the_same_sound_and_a_drawn_seed_is_told(toy_house: House) -> None:
    drawn = await toy_house.speak(TEXT)
    assert drawn.started is not None
    again = await toy_house.speak(TEXT, seed=drawn.started.seed)
    other = await toy_house.speak(TEXT, seed=drawn.started.seed + 1)
    assert again.data == drawn.data
    assert other.data != drawn.data


async def test_voices_are_listed(toy_house: House) -> None:
    listed = await toy_house.stub.ListVoices(voice_pb2.ListVoicesRequest())
    assert [(voice.name, voice.is_default) for voice in listed.voices] == [("alto", True), ("bass", False)]
    assert {voice.sample_rate_hz for voice in listed.voices} == {16_000}
    british = await toy_house.stub.ListVoices(voice_pb2.ListVoicesRequest(language="en-GB"))
    assert len(british.voices) == 2
    german = await toy_house.stub.ListVoices(voice_pb2.ListVoicesRequest(language="de"))
    assert list(german.voices) == []


async def test_a_request_has_an_id_everywhere(toy_house: House) -> None:
    metadata = (("x-request-id", "from-the-proxy"),)
    call = toy_house.stub.Synthesize(synthesis_pb2.SynthesizeRequest(text="Hello."), metadata=metadata)
    started = (await call.read()).started
    assert started.request_id == "from-the-proxy"
    assert dict(await call.initial_metadata())["x-request-id"] == "from-the-proxy"
    assert await rest(call)
    assert (await toy_house.access.seen("OK"))["request_id"] == "from-the-proxy"


@pytest.mark.parametrize("strange", ["a b", "x" * 200, '"}', ""])
async def test_an_id_that_is_not_fit_for_a_log_is_replaced(toy_house: House, strange: str) -> None:
    call = toy_house.stub.ListVoices(voice_pb2.ListVoicesRequest(), metadata=(("x-request-id", strange),))
    await call
    drawn = dict(await call.initial_metadata())["x-request-id"]
    assert drawn != strange
    assert drawn.isalnum()


async def test_the_access_log_has_names_and_counts_and_no_text(
    toy_house: House, caplog: pytest.LogCaptureFixture
) -> None:
    spoken = await toy_house.speak("Xylophone quibble.", voice="bass")
    line = await toy_house.access.seen("OK")
    assert line["method"] == "/rhapsode.tts.v1.SpeechSynthesisService/Synthesize"
    assert (line["voice"], line["characters"], line["reason"]) == ("bass", 18, "stop")
    assert line["samples"] == spoken.samples
    assert 0 < line["first_audio"] < line["seconds"]
    [written] = [line for line in toy_house.access.written if "/Synthesize" in line]
    for fact in ("code=OK", "voice=bass", "characters=18", f"samples={spoken.samples}", "request_id="):
        assert fact in written
    assert "ylophone" not in caplog.text
    assert "ylophone" not in str(toy_house.access.lines)


async def test_a_sign_by_itself_is_no_word(toy_house: House) -> None:
    """It is not spoken and has no time; the words around it have theirs."""
    text = "Seven lanterns - no, eight - hang above the river -"
    spoken = await toy_house.speak(text)
    assert spoken.done is not None
    words = [word.text for chunk in spoken.audio for word in chunk.words]
    assert words == text.replace("- ", "").replace(" -", "").replace(",", "").split()
