"""Files: names, WAV headers, and that half a file never looks like a whole one."""

from __future__ import annotations

import os
import struct
import threading
import wave
from pathlib import Path

import pytest
import rhapsode
from hypothesis import given
from hypothesis import strategies as st
from rhapsode.files import AudioFile, data_offset, sizes, wav_header, whole
from rhapsode.speech import Encoding
from rhapsode.tts.v1 import audio_pb2

from tests.unit.client.fake import RATE, Fake, audio, done, started, utterance

SAMPLES = bytes(range(200))
WAV = audio_pb2.AUDIO_ENCODING_WAV


def frames(path: Path) -> tuple[int, bytes]:
    """Rate and samples, as the standard library reads them."""
    with wave.open(str(path), "rb") as file:
        assert (file.getnchannels(), file.getsampwidth()) == (1, 2)
        return file.getframerate(), file.readframes(file.getnframes())


def test_a_streamed_wav_gets_its_sizes(fake: Fake, target: str, tmp_path: Path) -> None:
    header = wav_header(RATE)
    pieces = [header + SAMPLES[:100], SAMPLES[100:]]
    messages = [started(WAV), audio(pieces[0], 0, 0, 50), audio(pieces[1], 50, 1, 50), done()]
    fake.answer = lambda *_: iter(messages)
    path = tmp_path / "speech.wav"
    with rhapsode.Client(target) as client:
        result = client.synthesize("Hello", format="wav").save(path)
        assert result.complete
        assert client.synthesize("Hello", format="wav").read() == path.read_bytes()
    assert frames(path) == (RATE, SAMPLES)
    assert struct.unpack_from("<I", path.read_bytes(), 4) == (len(SAMPLES) + 36,)
    assert os.listdir(tmp_path) == ["speech.wav"]


def test_bare_samples_saved_as_wav_get_a_header(fake: Fake, target: str, tmp_path: Path) -> None:
    fake.answer = utterance(SAMPLES[:80], SAMPLES[80:])
    with rhapsode.Client(target) as client:
        client.synthesize("Hello").save(tmp_path / "speech.WAV")
    assert frames(tmp_path / "speech.WAV") == (RATE, SAMPLES)


def test_a_failure_leaves_no_file_and_keeps_the_old_one(fake: Fake, target: str, tmp_path: Path) -> None:
    (tmp_path / "old.wav").write_bytes(b"old")
    fake.answer = lambda *_: iter([started(), audio(SAMPLES, 0, 0)])
    with rhapsode.Client(target) as client:
        for name in ("old.wav", "new.wav"):
            with pytest.raises(rhapsode.StreamBroken):
                client.synthesize("Hello").save(tmp_path / name)
    assert os.listdir(tmp_path) == ["old.wav"]
    assert (tmp_path / "old.wav").read_bytes() == b"old"


def test_a_name_that_promises_something_else(fake: Fake, target: str, tmp_path: Path) -> None:
    fake.answer = fake.endless
    with rhapsode.Client(target) as client, pytest.raises(ValueError, match="promises ogg_opus"):
        client.synthesize("Hello").save(tmp_path / "speech.ogg")
    assert fake.gone.wait(5)
    assert os.listdir(tmp_path) == []


def test_a_pipe_is_written_as_it_is(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe.wav"
    os.mkfifo(pipe)
    read: list[bytes] = []
    reader = threading.Thread(target=lambda: read.append(pipe.read_bytes()))
    reader.start()
    with AudioFile(pipe, Encoding.PCM_S16LE, RATE) as file:
        file.write(SAMPLES)
    reader.join(5)
    assert read == [wav_header(RATE) + SAMPLES]
    assert pipe.is_fifo()


@given(rate=st.integers(8000, 96000), samples=st.binary(max_size=400), extra=st.binary(max_size=9))
def test_sizes_are_right_whatever_stands_before_the_samples(rate: int, samples: bytes, extra: bytes) -> None:
    header = wav_header(rate)
    note = b"LIST" + struct.pack("<I", len(extra)) + extra + b"\0" * (len(extra) % 2)
    file = whole(header[:36] + note + header[36:] + samples, Encoding.WAV)
    begin = data_offset(file)
    assert begin == 44 + len(note)
    assert struct.unpack_from("<I", file, begin - 4) == (len(samples),)
    assert struct.unpack_from("<I", file, 4) == (len(file) - 8,)
    assert file[begin:] == samples


@given(st.binary(max_size=64))
def test_what_is_no_wav_is_left_alone(data: bytes) -> None:
    assert whole(b"OggS" + data, Encoding.WAV) == b"OggS" + data
    assert data_offset(b"RIFF\0\0\0\0WAVE" + data[:7]) is None


def test_more_than_a_wav_can_say_is_left_unknown() -> None:
    assert sizes(wav_header(RATE), 2**32 + 8) == ()
    assert sizes(wav_header(RATE), 2**32 + 7) != ()


def test_the_header_is_what_the_standard_library_writes(tmp_path: Path) -> None:
    with wave.open(str(tmp_path / "a.wav"), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(RATE)
        file.writeframes(SAMPLES)
    assert (tmp_path / "a.wav").read_bytes() == wav_header(RATE, len(SAMPLES)) + SAMPLES
