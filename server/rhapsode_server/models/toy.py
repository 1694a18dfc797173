"""A family without weights: every letter is a tone. For tests, examples and load tests.

It is small enough to be read in one sitting, yet has everything a real family has: rows of state,
sampling noise addressed by (seed, frame), feedback of its own frame, a vocoder that needs context on
both sides. docs/adding-a-family.md walks through it. `step_seconds` makes a decode step take that long,
so that load tests have a known capacity.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from rhapsode_server.core import Chunking, Voice, Window, WordTime
from rhapsode_server.errors import SettingUnsupported, TextRefused
from rhapsode_server.models.base import Prompt, SpeechModel, Step, Utterance

SAMPLE_RATE = 16_000
SAMPLES_PER_FRAME = 320
FRAMES_PER_LETTER = 3
POSITIONS = 512
CONTEXT = 2
VOICES = {"alto": 220.0, "bass": 110.0}


@dataclass(frozen=True, slots=True, kw_only=True)
class ToyPrompt(Prompt):
    """Letters [n] as numbers 0..1, the frames each of them lasts, and the voice's pitch in Hz."""

    letters: Tensor
    frames_per_letter: int
    pitch: float
    spans: tuple[tuple[int, int], ...]


class ToyFrontend:
    """Every letter or digit sounds; all else is silence between words."""

    reads: Literal["phones", "letters"] = "letters"
    speed_range = (0.5, 2.0)
    longest_piece = 160

    def prepare(self, utterance: Utterance) -> ToyPrompt:
        """Letters to numbers. Raises TextRefused where none can be heard, SettingUnsupported likewise."""
        if utterance.instruction:
            raise SettingUnsupported("instruction", "This model takes no instruction. Leave it empty.")
        text = utterance.piece.text
        if not any(letter.isalnum() for letter in text):
            raise TextRefused("There is nothing to speak in this text. Send letters or digits.")
        each = max(1, round(FRAMES_PER_LETTER / utterance.speed))
        letters = torch.tensor([float(ord(letter) % 64) / 64 if letter.isalnum() else 0.0 for letter in text])
        pitch = utterance.voice.conditioning
        assert isinstance(pitch, float)  # noqa: S101 - our own voices, built below
        return ToyPrompt(
            positions=len(text),
            max_frames=len(text) * each,
            seed=utterance.seed,
            letters=letters,
            frames_per_letter=each,
            pitch=pitch,
            spans=_word_spans(text),
        )


@dataclass(slots=True)
class ToyState:
    """Rows: letters [slots, POSITIONS], and one number each [slots]."""

    letters: Tensor
    length: Tensor
    each: Tensor
    pitch: Tensor
    seed: Tensor
    made: Tensor
    memory: Tensor
    spans: list[tuple[tuple[int, int], ...]]


class ToyAcoustic:
    """A frame is [2]: pitch in Hz and loudness 0..1, each leaning on the frame before."""

    frame_shape: tuple[int, ...] = (2,)
    frame_rate = SAMPLE_RATE / SAMPLES_PER_FRAME

    def __init__(self, step_seconds: float = 0.0) -> None:
        self.step_seconds = step_seconds

    def new_state(self, slots: int) -> ToyState:
        """Rows for `slots` requests."""
        whole, real = torch.zeros(slots, dtype=torch.long), torch.zeros(slots)
        return ToyState(
            letters=torch.zeros(slots, POSITIONS),
            length=whole.clone(),
            each=whole.clone(),
            pitch=real.clone(),
            seed=whole.clone(),
            made=whole.clone(),
            memory=torch.zeros(slots, 2),
            spans=[()] * slots,
        )

    def prefill(self, state: ToyState, slots: list[int], prompts: Sequence[Prompt]) -> None:
        """Write letters, pitch and seed into the rows."""
        for slot, prompt in zip(slots, prompts, strict=True):
            assert isinstance(prompt, ToyPrompt)  # noqa: S101 - one family, one kind of prompt
            state.letters[slot, : len(prompt.letters)] = prompt.letters
            state.length[slot] = len(prompt.letters)
            state.each[slot] = prompt.frames_per_letter
            state.pitch[slot] = prompt.pitch
            state.seed[slot] = prompt.seed % 2**31
            state.made[slot] = 0
            state.memory[slot] = 0.0
            state.spans[slot] = prompt.spans

    def decode(self, state: ToyState, slots: Tensor) -> Step:
        """One frame for each row."""
        if self.step_seconds:
            time.sleep(self.step_seconds)
        made, each = state.made[slots], state.each[slots]
        letter = state.letters[slots, made // each]
        heard = (letter > 0).float()
        wobble = _noise(state.seed[slots], made)
        now = torch.stack([state.pitch[slots] * (1 + letter + 0.02 * wobble), heard], 1)
        frames = 0.5 * state.memory[slots] + 0.5 * now
        state.memory[slots] = frames
        state.made[slots] = made + 1
        stopped = made + 1 >= state.length[slots] * each
        return Step(frames, torch.ones_like(stopped), stopped)

    def word_times(self, state: ToyState, slot: int) -> list[WordTime]:
        """Known from the start: every letter lasts equally long."""
        scale = int(state.each[slot]) * SAMPLES_PER_FRAME
        spans = enumerate(state.spans[slot])
        return [WordTime(index, first * scale, last * scale) for index, (first, last) in spans]


class ToyVocoder:
    """Smooths loudness and pitch over `CONTEXT` frames on each side, then plays one tone per frame.

    The tone's phase comes from the frame's own content, so no memory is needed: windows with context
    on both sides equal the whole.
    """

    sample_rate = SAMPLE_RATE
    samples_per_frame = SAMPLES_PER_FRAME

    def __init__(self, chunking: Chunking | None = None) -> None:
        self.chunking = chunking or Chunking(first=2, largest=16, left=CONTEXT, right=CONTEXT)

    def new_state(self, slots: int) -> None:
        """Stateless."""

    def reset(self, state: None, slots: list[int]) -> None:
        """Nothing to forget."""

    def vocode(
        self,
        state: None,  # noqa: ARG002 - the protocol's
        slots: list[int],  # noqa: ARG002 - the protocol's
        frames: Sequence[Tensor],
        windows: Sequence[Window],
    ) -> list[Tensor]:
        """One tone per frame [wanted * SAMPLES_PER_FRAME]."""
        return [self._one(shown, window) for shown, window in zip(frames, windows, strict=True)]

    def _one(self, shown: Tensor, window: Window) -> Tensor:
        width = 2 * CONTEXT + 1
        padded = torch.nn.functional.pad(shown.double(), (0, 0, CONTEXT, CONTEXT))
        smooth = padded.unfold(0, width, 1).sum(-1) / width
        wanted = smooth[window.begin - window.start : window.end - window.start]
        times = torch.arange(SAMPLES_PER_FRAME, dtype=torch.float64) / SAMPLE_RATE
        tone = torch.sin(2 * torch.pi * wanted[:, :1] * times)
        return (0.3 * wanted[:, 1:] * tone).flatten().float()


def _noise(seed: Tensor, frame: Tensor) -> Tensor:
    """Numbers in -1..1 addressed by (seed, frame) [B]: no generator is shared, so no neighbour matters."""
    mixed = (seed * 2_654_435_761 + frame * 40_503 + 12_345) % 2**31
    mixed = (mixed * 1_103_515_245 + 12_345) % 2**31
    return mixed.double().div(2**30).sub(1).float()


def _word_spans(text: str) -> tuple[tuple[int, int], ...]:
    """First and last letter of each word between spaces."""
    spans, start = [], 0
    for word in text.split(" "):
        if word:
            spans.append((start, start + len(word)))
        start += len(word) + 1
    return tuple(spans)


def load(source: str = "toy", *, device: str = "cpu", step_seconds: float = 0.0) -> SpeechModel:
    """The toy model; there is nothing to read, so `source` and `device` do not matter."""
    voices = {
        name: Voice(name, "toy", ("en",), SAMPLE_RATE, "A tone for every letter.", name == "alto", pitch)
        for name, pitch in VOICES.items()
    }
    return SpeechModel(
        name="toy",
        family="toy",
        frontend=ToyFrontend(),
        acoustic=ToyAcoustic(step_seconds),
        vocoder=ToyVocoder(),
        voices=voices,
        slots=64,
        positions=POSITIONS,
        details={"source": source, "device": device},
    )
