"""Piece and voice to prompt: language, speaker, instruction, settings, bounds and the rows themselves.

What must not live here: the layout's order (layout.py), state of a request in flight. Runs on worker threads,
so that the engine's thread only copies rows into its slots.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

import torch
from torch import Tensor

from rhapsode_server.core import SamplingParams
from rhapsode_server.errors import InvalidRequest, SettingUnsupported, TextRefused
from rhapsode_server.models.base import Prompt, Utterance
from rhapsode_server.models.qwen3_tts.conditioning import Clip, Conditioning
from rhapsode_server.models.qwen3_tts.config import Checkpoint, Generation
from rhapsode_server.models.qwen3_tts.guards import Guards
from rhapsode_server.models.qwen3_tts.languages import language_name
from rhapsode_server.models.qwen3_tts.layout import Layouter, Speech, Tracks
from rhapsode_server.models.qwen3_tts.talker import Embeddings
from rhapsode_server.models.qwen3_tts.tokenizer import TextTokenizer
from rhapsode_server.models.qwen3_tts.voices import LONGEST_INSTRUCTION

SETTINGS = ("temperature", "top_k", "top_p", "repetition_penalty")


@dataclass(frozen=True, slots=True, kw_only=True)
class QwenPrompt(Prompt):
    """Input rows [L, width] of the talker, and what comes after them.

    `trailing` are the text tokens that one step each adds; `fewest` is the frame before which the end token
    is ruled out; `clip` is the reference clip that the vocoder goes on from.
    """

    rows: Tensor
    trailing: tuple[int, ...]
    talker: Generation
    predictor: Generation
    fewest: int
    clip: Clip | None = None

    def bounded(self, most: int) -> QwenPrompt:
        """The same prompt with another limit on its frames."""
        return replace(self, max_frames=most, positions=len(self.rows) + most)


class QwenFrontend:
    """Prepares prompts for one checkpoint. Holds nothing that a call changes."""

    reads: Literal["phones", "letters"] = "letters"
    speed_range = (1.0, 1.0)
    longest_piece = 300

    def __init__(
        self,
        checkpoint: Checkpoint,
        tokenizer: TextTokenizer,
        embeddings: Embeddings,
        *,
        positions: int,
        frame_rate: float,
        guards: Guards,
        streaming: bool,
    ) -> None:
        self.tokenizer = tokenizer
        self.checkpoint = checkpoint
        self.embeddings = embeddings
        self._layouter = Layouter(checkpoint.text, checkpoint.codec_ids)
        self._positions = positions
        self._frame_rate = frame_rate
        self._guards = guards
        self.streaming = streaming

    def prepare(self, utterance: Utterance) -> QwenPrompt:
        """The prompt of one piece. Raises errors.TextRefused and errors.SettingUnsupported."""
        text = utterance.piece.text.strip()
        if not any(letter.isalnum() for letter in text):
            raise TextRefused("There is nothing to speak in this text. Send at least one word.")
        speech = self.speech(utterance, self.tokenizer.encode(text))
        return self.assemble(speech, utterance, text, streaming=self.streaming)

    def speech(self, utterance: Utterance, body: Sequence[int], *, complete: bool = True) -> Speech:
        """All that the layout needs to know of `utterance`, with `body` as its text."""
        traits = conditioning(utterance)
        clip = traits.clip
        return Speech(
            role=self.tokenizer.role,
            body=body,
            instruction=self._instruction(utterance, traits),
            language=self._language(utterance.language, traits),
            speaker=self.checkpoint.codec_ids.speakers[traits.speaker] if traits.speaker else None,
            x_vector=traits.x_vector is not None,
            clip_text=clip.text if clip else (),
            clip_frames=clip.frames if clip else 0,
            complete=complete,
        )

    def assemble(self, speech: Speech, utterance: Utterance, text: str, *, streaming: bool) -> QwenPrompt:
        """Rows, bounds and settings of `speech`, whose text (as far as it is known) is `text`.

        While the text is not complete the end is ruled out and the row may be filled up.
        """
        traits = conditioning(utterance)
        tracks = self._layouter.lay_out(speech, streaming=streaming)
        talker, predictor = self._sampling(utterance.sampling)
        room = self.room(len(tracks.text))
        fewest, most = self.bounds(text, room) if speech.complete else (room, room)
        return QwenPrompt(
            positions=len(tracks.text) + most,
            max_frames=most,
            seed=utterance.seed,
            allowance=None if speech.complete else 1 + len(tracks.trailing),
            rows=self._rows(tracks, traits),
            trailing=tracks.trailing,
            talker=talker,
            predictor=predictor,
            fewest=fewest,
            clip=traits.clip,
        )

    @property
    def end(self) -> tuple[int, ...]:
        """What is fed after the last token of a text."""
        return (self.checkpoint.text.tts_eos,)

    def room(self, rows: int) -> int:
        """Most frames that fit a cache row after `rows` of a prompt. Raises errors.TextRefused for none."""
        if rows >= self._positions:
            raise TextRefused("Text, instruction and clip together are too long. Send shorter sentences.")
        return min(self._positions - rows, self.checkpoint.most_frames)

    def bounds(self, text: str, room: int) -> tuple[int, int]:
        """Fewest and most frames of a whole text. Raises errors.TextRefused where `room` cannot hold it."""
        fewest = self._guards.fewest(text, self._frame_rate)
        if fewest >= room:
            raise TextRefused("This text is too long for one utterance. Send it in sentences.")
        return fewest, self._guards.most(text, self._frame_rate, room)

    # ---- the parts of a prompt

    def _language(self, asked: str, traits: Conditioning) -> int | None:
        """The language's row, None for automatic; a dialect speaker turns that and Chinese into theirs."""
        ids = self.checkpoint.codec_ids
        name = language_name(asked, ids.languages)
        dialect = ids.dialects.get(traits.speaker)
        if dialect is not None and name in (None, "chinese"):
            name = dialect
        return None if name is None else ids.languages[name]

    def _instruction(self, utterance: Utterance, traits: Conditioning) -> Sequence[int]:
        asked = " ".join(part for part in (traits.description, utterance.instruction.strip()) if part)
        if not asked or self.checkpoint.drops_instructions:
            return ()
        if self.checkpoint.kind == "base":
            raise SettingUnsupported(
                "instruction", "Cloned voices take no instruction. Leave it out or use another model."
            )
        if len(asked) > LONGEST_INSTRUCTION:
            raise InvalidRequest(
                "instruction", f"The instruction is longer than {LONGEST_INSTRUCTION} characters. Shorten it."
            )
        return self.tokenizer.instruction(asked)

    def _sampling(self, asked: SamplingParams) -> tuple[Generation, Generation]:
        """Settings of both samplers: what is asked goes to the talker, temperature 0 to the predictor too."""
        changed = {name: getattr(asked, name) for name in asked.chosen()}
        _check_sampling(asked)
        talker = replace(self.checkpoint.talker_sampling, **changed)
        predictor = self.checkpoint.predictor_sampling
        return talker, replace(predictor, temperature=0.0) if talker.temperature == 0 else predictor

    @torch.inference_mode()
    def _rows(self, tracks: Tracks, traits: Conditioning) -> Tensor:
        """Sum both tracks: [len(tracks.text), width]."""
        table, device = self.embeddings, self.embeddings.codes.device
        rows = table.text(torch.tensor(tracks.text, device=device))
        beside = [index for index, row in enumerate(tracks.codec) if row >= 0]
        ids = torch.tensor([tracks.codec[index] for index in beside], device=device)
        rows[torch.tensor(beside, device=device)] += table.codec(ids)
        if tracks.speaker_at is not None and traits.x_vector is not None:
            rows[tracks.speaker_at] += traits.x_vector.to(rows)
        if tracks.clip_at is not None and traits.clip is not None:
            codes = traits.clip.codes.to(device)
            rows[tracks.clip_at : tracks.clip_at + len(codes)] += table.frames(codes)
        return rows


def conditioning(utterance: Utterance) -> Conditioning:
    """The voice's traits. Raises errors.InvalidRequest for a voice of another family."""
    traits = utterance.voice.conditioning
    if not isinstance(traits, Conditioning):
        raise InvalidRequest("voice", f"The voice {utterance.voice.name!r} belongs to another model.")
    return traits


def _check_sampling(asked: SamplingParams) -> None:
    """Raise errors.InvalidRequest for a value outside its range."""
    bounds = {
        "temperature": (0.0, 5.0),
        "top_k": (0, 100_000),
        "top_p": (0.01, 1.0),
        "repetition_penalty": (0.5, 5.0),
    }
    for name in asked.chosen():
        low, high = bounds[name]
        if not low <= getattr(asked, name) <= high:
            raise InvalidRequest(f"sampling.{name}", f"{name} must lie between {low} and {high}.")
