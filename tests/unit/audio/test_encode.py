"""Every format, as a stream: chunked == whole, exact lengths, nothing empty first, clear refusals."""

from __future__ import annotations

import io

import av
import numpy as np
import pytest
import soundfile
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from rhapsode_server.audio import opus, pcm
from rhapsode_server.audio.encode import encode_whole, encoder_for, supported
from rhapsode_server.audio.ogg import checksum
from rhapsode_server.audio.resample import length_after
from rhapsode_server.core import AudioFormat, Encoding
from rhapsode_server.errors import FormatUnsupported

NATIVE = (16000, 22050, 24000)
OPUS_WITHIN = 0.98


def speechlike(count: int, rate: int) -> NDArray[np.float32]:
    """A gliding tone with harmonics under a slow envelope: what a codec for speech is made for."""
    time = np.arange(count) / rate
    phase = 2 * np.pi * (120 * time + 40 * time**2)
    voiced = sum(np.sin(k * phase) / k for k in range(1, 8))
    return (0.2 * voiced * (0.6 + 0.4 * np.sin(2 * np.pi * 3 * time))).astype(np.float32)


def stream(
    samples: NDArray[np.float32], audio: AudioFormat, native: int, cuts: list[int]
) -> tuple[bytes, int]:
    encoder = encoder_for(audio, native)
    pieces = np.split(samples, sorted(min(cut, len(samples)) for cut in cuts))
    parts = [*(encoder.encode(piece) for piece in pieces), encoder.finish()]
    return b"".join(part.data for part in parts), sum(part.samples for part in parts)


def decode(data: bytes) -> NDArray[np.float32]:
    """All samples of an Ogg/Opus stream at the decoder's 48 kHz."""
    with av.open(io.BytesIO(data), "r") as container:
        return np.concatenate([frame.to_ndarray()[0] for frame in container.decode(audio=0)])


plain = st.builds(
    AudioFormat,
    st.sampled_from([Encoding.PCM_S16LE, Encoding.WAV, Encoding.MULAW, Encoding.ALAW]),
    st.sampled_from([0, 8000, 16000, 24000, 44100, 48000]),
)
cuts = st.lists(st.integers(0, 6000), max_size=6)


@settings(max_examples=80, deadline=None)
@given(plain, st.sampled_from(NATIVE), st.integers(0, 6000), cuts)
def test_chunks_equal_the_whole_byte_for_byte(
    audio: AudioFormat, native: int, count: int, at: list[int]
) -> None:
    samples = speechlike(count, native)
    data, told = stream(samples, audio, native, at)
    assert (data, told) == stream(samples, audio, native, [])
    width = 1 if audio.encoding in (Encoding.MULAW, Encoding.ALAW) else 2
    header = pcm.WAV_HEADER_BYTES if audio.encoding is Encoding.WAV else 0
    assert told == length_after(count, native, audio.sample_rate or native)
    assert len(data) == header + width * told


@settings(max_examples=25, deadline=None)
@given(st.sampled_from([0, *opus.RATES]), st.sampled_from(NATIVE), st.integers(1, 9000), cuts)
def test_opus_chunks_decode_to_the_whole_at_the_exact_length(
    rate: int, native: int, count: int, at: list[int]
) -> None:
    audio = AudioFormat(Encoding.OGG_OPUS, rate)
    samples = speechlike(count, native)
    out = encoder_for(audio, native).sample_rate
    data, told = stream(samples, audio, native, at)
    heard = decode(data)
    assert told == length_after(count, native, out)
    assert len(heard) == told * opus.CLOCK // out
    assert np.array_equal(heard, decode(stream(samples, audio, native, [])[0]))


@pytest.mark.parametrize("rate", opus.RATES)
def test_opus_sounds_like_what_went_in(rate: int) -> None:
    samples = speechlike(2 * 24000, 24000)
    data = encode_whole(samples, AudioFormat(Encoding.OGG_OPUS, rate), 24000).data
    heard, read_rate = soundfile.read(io.BytesIO(data))
    wanted = np.frombuffer(encode_whole(samples, AudioFormat(sample_rate=rate), 24000).data, "<i2") / 32767
    assert read_rate == rate
    assert len(heard) == len(wanted)
    assert np.corrcoef(heard, wanted)[0, 1] > OPUS_WITHIN


def test_every_opus_chunk_decodes_at_once_to_what_it_told() -> None:
    encoder = encoder_for(AudioFormat(Encoding.OGG_OPUS), 24000)
    sent, told = b"", 0
    for piece in np.split(speechlike(24000, 24000), 25):
        part = encoder.encode(piece)
        sent, told = sent + part.data, told + part.samples
        if part:
            assert len(decode(sent)) == told * 2
    assert told > 24000 - encoder.latency * 24000 - 1


def test_opus_pages_carry_a_valid_checksum_and_run_on() -> None:
    data = encode_whole(speechlike(3 * 16000, 16000), AudioFormat(Encoding.OGG_OPUS, 16000), 16000).data
    at, kinds, numbers, granules = 0, [], [], []
    while at < len(data):
        segments = data[at + 26]
        size = 27 + segments + sum(data[at + 27 : at + 27 + segments])
        page = data[at : at + size]
        assert int.from_bytes(page[22:26], "little") == checksum(page[:22] + bytes(4) + page[26:])
        kinds.append(page[5])
        numbers.append(int.from_bytes(page[18:22], "little"))
        granules.append(int.from_bytes(page[6:14], "little"))
        at += size
    assert kinds == [2] + [0] * (len(kinds) - 2) + [4]
    assert numbers == list(range(len(numbers)))
    assert granules == sorted(granules)


@pytest.mark.parametrize("encoding", list(Encoding))
@pytest.mark.parametrize("rate", [0, 8000, 48000])
def test_what_is_sent_first_holds_sound(encoding: Encoding, rate: int) -> None:
    encoder = encoder_for(AudioFormat(encoding, rate), 24000)
    parts = [encoder.encode(piece) for piece in np.split(speechlike(24000, 24000), 600)]
    assert all(bool(part.data) == bool(part.samples) for part in parts)
    assert any(parts)


@pytest.mark.parametrize("encoding", [Encoding.WAV, Encoding.OGG_OPUS])
def test_an_utterance_without_sound_is_still_a_whole_file(encoding: Encoding) -> None:
    part = encode_whole(np.zeros(0, np.float32), AudioFormat(encoding), 24000)
    assert part.samples == 0
    assert len(soundfile.read(io.BytesIO(part.data))[0]) == 0


def test_a_whole_wav_tells_its_length() -> None:
    part = encode_whole(speechlike(1000, 24000), AudioFormat(Encoding.WAV), 24000)
    assert part.data[:44] == pcm.wav_header(24000, 1000)


@pytest.mark.parametrize(("native", "rate"), [(22050, 24000), (24000, 24000), (44100, 48000), (8000, 8000)])
def test_opus_at_the_voices_own_rate_is_the_next_that_it_has(native: int, rate: int) -> None:
    assert encoder_for(AudioFormat(Encoding.OGG_OPUS), native).sample_rate == rate


@pytest.mark.parametrize("audio", [AudioFormat(Encoding.WAV, 7999), AudioFormat(Encoding.MULAW, 48001)])
def test_a_rate_out_of_range_is_refused_with_the_range(audio: AudioFormat) -> None:
    with pytest.raises(FormatUnsupported, match="8000 to 48000") as refused:
        supported(audio)
    assert refused.value.field == "audio_format.sample_rate_hz"


def test_a_rate_that_opus_has_not_got_is_refused_with_those_it_has() -> None:
    with pytest.raises(FormatUnsupported, match="8000, 12000, 16000, 24000, 48000"):
        encoder_for(AudioFormat(Encoding.OGG_OPUS, 44100), 24000)
