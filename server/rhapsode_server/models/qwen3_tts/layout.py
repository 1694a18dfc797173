"""How a prompt is laid out: two tracks of ids, row by row, for every mode of the family.

What must not live here: tensors, tokenisation. Every row is the sum of a text row and, where there is one,
a row of the codec track (a control token, a speaker, a frame of the reference clip).

    [instruction]  its text tokens                             codec: nothing
    role           <|im_start|> assistant \\n                   codec: nothing
    tag            pad pad pad [pad]                           codec: think? think_bos [language] think_eos
    speaker        pad, where there is a speaker               codec: the preset's row, or the x-vector itself
    start          tts_bos                                     codec: pad
    body           whole: text + pad … eos + pad, pad + bos    trailing: nothing
                   streaming: first text token + bos           trailing: further text tokens, eos
                   reference clip: text beside bos and the clip's frames

`trailing[i]` is added to the input of the step after frame i; when it is used up every step adds tts_pad.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from rhapsode_server.models.qwen3_tts.config import CodecIds, TextIds

NOTHING = -1
"""In the codec track: this row has no codec part, or it is not an id."""


@dataclass(frozen=True, slots=True)
class Tracks:
    """Text and codec ids of the prefill rows, equally long.

    `speaker_at` is the row that the x-vector is added to, `clip_at` the row of the reference clip's first
    frame; both None where there is none.
    """

    text: tuple[int, ...]
    codec: tuple[int, ...]
    trailing: tuple[int, ...] = ()
    speaker_at: int | None = None
    clip_at: int | None = None


@dataclass(frozen=True, slots=True)
class Speech:
    """What is to be laid out. `speaker` is a preset's row; `x_vector` says that a vector takes its place.

    `clip_text` and `clip_frames` are given where the reference clip itself is shown. `complete` is False
    while more of `body` will come (streaming layout only): the end of the text is then not laid out.
    """

    role: tuple[int, ...]
    body: Sequence[int]
    instruction: Sequence[int] = ()
    language: int | None = None
    speaker: int | None = None
    x_vector: bool = False
    clip_text: Sequence[int] = ()
    clip_frames: int = 0
    complete: bool = True


class Layouter:
    """Lays out prompts for one checkpoint's ids."""

    def __init__(self, text: TextIds, codec: CodecIds) -> None:
        self._text = text
        self._codec = codec

    def lay_out(self, speech: Speech, *, streaming: bool) -> Tracks:
        """Both tracks of `speech`, streaming or with the whole text ahead of the sound."""
        head_text, head_codec, speaker_at = self._head(speech)
        if speech.clip_frames:
            text, codec, trailing = self._clip(speech, streaming)
        elif streaming:
            text, codec, trailing = self._streaming(speech)
        else:
            text, codec, trailing = self._whole(speech)
        clip_at = len(head_text) + len(text) - speech.clip_frames if speech.clip_frames else None
        return Tracks(
            text=(*head_text, *text),
            codec=(*head_codec, *codec),
            trailing=tuple(trailing),
            speaker_at=speaker_at if speech.x_vector else None,
            clip_at=clip_at,
        )

    def _head(self, speech: Speech) -> tuple[list[int], list[int], int]:
        """Instruction, role, tag, speaker and start; and which row the speaker's is."""
        tag = self._tag(speech.language)
        silent = [*speech.instruction, *speech.role]
        speaker_at = len(silent) + len(tag)
        has_speaker = speech.x_vector or speech.speaker is not None
        if has_speaker:
            tag.append(NOTHING if speech.speaker is None else speech.speaker)
        text = [*silent, *[self._text.tts_pad] * len(tag), self._text.tts_bos]
        return text, [*[NOTHING] * len(silent), *tag, self._codec.pad], speaker_at

    def _tag(self, language: int | None) -> list[int]:
        ids = self._codec
        if language is None:
            return [ids.nothink, ids.think_bos, ids.think_eos]
        return [ids.think, ids.think_bos, language, ids.think_eos]

    def _whole(self, speech: Speech) -> tuple[list[int], list[int], list[int]]:
        text = [*speech.body, self._text.tts_eos]
        codec = [self._codec.pad] * len(text)
        return [*text, self._text.tts_pad], [*codec, self._codec.bos], []

    def _streaming(self, speech: Speech) -> tuple[list[int], list[int], list[int]]:
        end = [self._text.tts_eos] if speech.complete else []
        return [speech.body[0]], [self._codec.bos], [*speech.body[1:], *end]

    def _clip(self, speech: Speech, streaming: bool) -> tuple[list[int], list[int], list[int]]:
        end = [self._text.tts_eos] if speech.complete else []
        text = [*speech.clip_text, *speech.body, *end]
        sound = [self._codec.bos, *[NOTHING] * speech.clip_frames]
        pads = [self._text.tts_pad] * len(sound)
        if not streaming:
            return [*text, *pads], [*[self._codec.pad] * len(text), *sound], []
        beside = [*text, *pads[len(text) :]][: len(sound)]
        return beside, sound, text[len(sound) :]
