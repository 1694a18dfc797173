"""Row by row, as the reference lays prompts out."""

from __future__ import annotations

from dataclasses import replace

import pytest
from rhapsode_server.models.qwen3_tts.config import CodecIds, TextIds
from rhapsode_server.models.qwen3_tts.layout import NOTHING, Layouter, Speech, Tracks

START, PAD, BOS, EOS = 1, 5, 6, 7
TEXT = TextIds(im_start=START, im_end=2, assistant=3, tts_pad=PAD, tts_bos=BOS, tts_eos=EOS)
CODEC = CodecIds(
    pad=100, bos=101, eos=102, think=103, nothink=104, think_bos=105, think_eos=106,
    languages={}, speakers={}, dialects={},
)  # fmt: skip
SPEECH = Speech(role=(START, 3, 4), body=(50, 51, 52))


def rows(speech: Speech, streaming: bool) -> Tracks:
    return Layouter(TEXT, CODEC).lay_out(speech, streaming=streaming)


def test_whole_text_before_the_sound() -> None:
    tracks = rows(SPEECH, streaming=False)
    assert tracks.text == (START, 3, 4, PAD, PAD, PAD, BOS, 50, 51, 52, EOS, PAD)
    assert tracks.codec == (-1, -1, -1, 104, 105, 106, 100, 100, 100, 100, 100, 101)
    assert tracks.trailing == ()


def test_text_beside_the_sound() -> None:
    tracks = rows(SPEECH, streaming=True)
    assert tracks.text == (START, 3, 4, PAD, PAD, PAD, BOS, 50)
    assert tracks.codec == (-1, -1, -1, 104, 105, 106, 100, 101)
    assert tracks.trailing == (51, 52, EOS)


def test_an_incomplete_text_is_not_ended() -> None:
    assert rows(replace(SPEECH, complete=False), streaming=True).trailing == (51, 52)


def test_language_and_preset_speaker() -> None:
    tracks = rows(replace(SPEECH, language=77, speaker=88), streaming=True)
    assert tracks.codec[3:] == (103, 105, 77, 106, 88, 100, 101)
    assert tracks.text[3:] == (PAD, PAD, PAD, PAD, PAD, BOS, 50)
    assert tracks.speaker_at is None


def test_instruction_comes_first_without_a_codec_part() -> None:
    tracks = rows(replace(SPEECH, instruction=(30, 31)), streaming=True)
    assert tracks.text[:5] == (30, 31, START, 3, 4)
    assert tracks.codec[:5] == (NOTHING,) * 5


def test_a_vector_stands_between_tag_and_start() -> None:
    tracks = rows(replace(SPEECH, x_vector=True, instruction=(30,)), streaming=True)
    assert tracks.speaker_at == 7
    assert tracks.codec[6:9] == (106, NOTHING, 100)
    assert tracks.text[7] == PAD


@pytest.mark.parametrize("frames", [1, 2, 3, 4, 5, 6, 9])
def test_clip_streaming(frames: int) -> None:
    """Text A = clip 2 + body 3 + end 1 = 6 rows, sound 1 + frames."""
    tracks = rows(replace(SPEECH, clip_text=(40, 41), clip_frames=frames, x_vector=True), streaming=True)
    head = 8
    text = (40, 41, 50, 51, 52, EOS)
    assert tracks.speaker_at == 6
    assert tracks.clip_at == head + 1
    assert len(tracks.text) == len(tracks.codec) == head + 1 + frames
    assert tracks.codec[head:] == (101, *(NOTHING,) * frames)
    assert tracks.text[head:] == (*text, *(PAD,) * 9)[: 1 + frames]
    assert tracks.trailing == text[1 + frames :]


def test_clip_with_the_text_ahead() -> None:
    tracks = rows(replace(SPEECH, clip_text=(40,), clip_frames=2), streaming=False)
    assert tracks.text[7:] == (40, 50, 51, 52, EOS, PAD, PAD, PAD)
    assert tracks.codec[7:] == (100, 100, 100, 100, 100, 101, NOTHING, NOTHING)
    assert tracks.clip_at == 13
    assert tracks.trailing == ()
