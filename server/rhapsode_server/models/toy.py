"""A family without weights: every letter is a tone. For tests, examples and load tests.

It is small enough to be read in one sitting, yet has everything a real family has: rows of state,
sampling noise addressed by (seed, frame), feedback of its own frame, a vocoder that needs context on
both sides. docs/adding-a-family.md walks through it. `step_seconds` makes a decode step take that long,
so that load tests have a known capacity. `faults=true` adds voices that break something on purpose, one for
each thing that can break, so that a whole server, a probe or a cluster can be seen to survive it.
"""

from __future__ import annotations

import logging
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
FAULTS = {
    "raises": "raises an error in the middle of every utterance",
    "not-finite": "computes numbers that are none",
    "no-memory": "finds no device memory",
    "device-lost": "breaks the device itself: the engine ends, and the process with code 70",
    "hangs": "never comes back from a step: the watchdog ends the process with code 70",
}
"""Voices that are there with `faults=true` only, and what happens to an utterance of theirs."""
FAULT_FRAME = 10
"""The frame at which it happens: early, but after the first sound."""
HANG_SECONDS = 3600.0

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class ToyPrompt(Prompt):
    """Letters [n] as numbers 0..1, the frames each of them lasts, and the voice's pitch in Hz."""

    letters: Tensor
    frames_per_letter: int
    pitch: float
    spans: tuple[tuple[int, int], ...]
    fault: str = ""


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
            fault=utterance.voice.labels.get("fault", ""),
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
    fault: list[str]


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
            fault=[""] * slots,
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
            state.fault[slot] = prompt.fault

    def decode(self, state: ToyState, slots: Tensor) -> Step:
        """One frame for each row."""
        if self.step_seconds:
            time.sleep(self.step_seconds)
        made, each = state.made[slots], state.each[slots]
        broken = _faults_due(state, slots.tolist(), made) if any(state.fault) else []
        _break(set(broken))
        letter = state.letters[slots, made // each]
        heard = (letter > 0).float()
        wobble = _noise(state.seed[slots], made)
        now = torch.stack([state.pitch[slots] * (1 + letter + 0.02 * wobble), heard], 1)
        frames = 0.5 * state.memory[slots] + 0.5 * now
        for row, fault in enumerate(broken):
            if fault == "not-finite":
                frames[row] = torch.nan
        state.memory[slots] = frames
        state.made[slots] = made + 1
        stopped = made + 1 >= state.length[slots] * each
        return Step(frames, torch.ones_like(stopped), stopped)

    def word_times(self, state: ToyState, slot: int) -> list[WordTime]:
        """Known from the start: every letter lasts equally long."""
        scale = int(state.each[slot]) * SAMPLES_PER_FRAME
        spans = enumerate(state.spans[slot])
        return [WordTime(index, first * scale, last * scale) for index, (first, last) in spans]


def _faults_due(state: ToyState, slots: list[int], made: Tensor) -> list[str]:
    """The fault of each row that has come so far, else ""."""
    return [
        state.fault[slot] if frame >= FAULT_FRAME else ""
        for slot, frame in zip(slots, made.tolist(), strict=True)
    ]


def _break(faults: set[str]) -> None:
    """What the voices of FAULTS do; before anything is written, as a failing decode must."""
    if "hangs" in faults:
        time.sleep(HANG_SECONDS)
    if "device-lost" in faults:
        raise torch.AcceleratorError("a device that was lost on purpose")
    if "no-memory" in faults:
        raise torch.OutOfMemoryError("memory that ran out on purpose")
    if "raises" in faults:
        raise RuntimeError("an error that was raised on purpose")


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


def _faulty(fault: str) -> Voice:
    told = f"On purpose: {FAULTS[fault]}."
    return Voice(
        fault, "toy", ("en",), SAMPLE_RATE, told, conditioning=VOICES["alto"], labels={"fault": fault}
    )


def _word_spans(text: str) -> tuple[tuple[int, int], ...]:
    """First and last letter of each word between spaces; a sign by itself is none."""
    spans, start = [], 0
    for word in text.split(" "):
        if any(letter.isalnum() for letter in word):
            spans.append((start, start + len(word)))
        start += len(word) + 1
    return tuple(spans)


def load(
    source: str = "toy", *, device: str = "cpu", step_seconds: float = 0.0, faults: bool = False
) -> SpeechModel:
    """The toy model; there is nothing to read, so `source` and `device` do not matter."""
    voices = {
        name: Voice(name, "toy", ("en",), SAMPLE_RATE, "A tone for every letter.", name == "alto", pitch)
        for name, pitch in VOICES.items()
    }
    if faults:
        log.warning("faults=true: any caller can break this server, by the voices %s", ", ".join(FAULTS))
        voices |= {name: _faulty(name) for name in FAULTS}
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
