"""ion's acoustic model behind the engine's protocol: rows of state, prefill, decode, word times.

Lives here: what a row remembers and how a batch of rows takes one step. Must not live here: layers
(network.py), text, sound. A frame is `mels_per_frame` mel frames of [mels + 2]: the bands, voicing, scaled
log pitch.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from rhapsode_server.core import WordTime
from rhapsode_server.models.base import Prompt, Step
from rhapsode_server.models.ion.frontend import LONGEST_TOKEN, MOST_TOKENS, IonPrompt
from rhapsode_server.models.ion.network import AcousticNetwork, Alignment, Prosody, Tail, align
from rhapsode_server.models.ion.phones import Token

MELS_PER_FRAME = 8
"""Mel frames of one decode step: 128 ms. A step's cost hardly depends on it, so fewer steps are cheaper."""
HOP = 256
SAMPLE_RATE = 16_000
ROWS_AT_ONCE = 48
"""Rows decoded in one go on a processor: 100 at once took 37 ms, in such parts 29 ms."""
LEAD = 2
"""Mel frames (32 ms) kept of the first silence: whoever waits for a first word should not wait for nothing.
"""


@dataclass(slots=True)
class IonState:
    """Rows. vectors [S, N, width], alignment [S, N] and [S, N * points], frames and made [S] (engine frames).

    skip [S]: mel frames of the first silence that are left out. tails: the decoder's memory, every tensor
    [S, ...]. words: times, fixed at prefill.
    """

    vectors: Tensor
    alignment: Alignment
    tails: list[Tail]
    frames: Tensor
    made: Tensor
    skip: Tensor
    words: list[tuple[WordTime, ...]]


class IonAcoustic:
    """Durations and pitch at prefill, then one block of mel frames for each row and step."""

    def __init__(self, network: AcousticNetwork) -> None:
        self.network = network
        config = network.config
        if MELS_PER_FRAME % config.stack:
            raise ValueError(
                f"{MELS_PER_FRAME} mel frames are not a whole number of positions of {config.stack}"
            )
        self.frame_shape: tuple[int, ...] = (MELS_PER_FRAME, config.channels)
        self.frame_rate = SAMPLE_RATE / (HOP * MELS_PER_FRAME)
        self._device = next(network.parameters()).device

    def new_state(self, slots: int) -> IonState:
        """Rows for `slots` requests: 0.6 MB each."""
        config, device = self.network.config, self._device
        ends = torch.zeros(slots, MOST_TOKENS, dtype=torch.long, device=device)
        pitch = torch.zeros(slots, MOST_TOKENS * config.pitch_points, device=device)
        vectors = torch.zeros(slots, MOST_TOKENS, config.width, device=device)
        frames, made, skip = torch.zeros(3, slots, dtype=torch.long, device=device)
        tails = self.network.tails(slots, device)
        return IonState(vectors, Alignment(ends, pitch), tails, frames, made, skip, [()] * slots)

    @torch.inference_mode()
    def prefill(self, state: IonState, slots: list[int], prompts: Sequence[Prompt]) -> None:
        """Encode each prompt and write its durations, pitch and word times into its row.

        One at a time: the encoder's sums then never depend on how much a neighbour's length would have padded
        them, and durations, once rounded, would turn a difference in the last bit into another frame.
        """
        for slot, prompt in zip(slots, prompts, strict=True):
            if not isinstance(prompt, IonPrompt):
                raise TypeError(f"not a prompt of this family: {type(prompt).__name__}")
            self._fill(state, slot, prompt)

    def _fill(self, state: IonState, slot: int, prompt: IonPrompt) -> None:
        prosody = self._encode(prompt)
        plan = timing(prosody.frames[0], prompt.speed, prompt.closing)
        ends, count = plan.ends, len(plan.ends)
        state.vectors[slot, :count] = prosody.vectors[0]
        state.alignment.ends[slot] = ends[-1]
        state.alignment.ends[slot, :count] = ends
        points = prosody.pitch[0].flatten()
        state.alignment.pitch[slot] = points[-1]
        state.alignment.pitch[slot, : len(points)] = points
        for tail in state.tails:
            for rows in tail.tensors():
                rows[slot] = 0
        state.frames[slot], state.made[slot], state.skip[slot] = plan.frames, 0, plan.skip
        state.words[slot] = word_times(prompt.tokens, (ends - plan.skip).tolist())

    def _encode(self, prompt: IonPrompt) -> Prosody:
        tokens = torch.tensor([[token.features() for token in prompt.tokens]], device=self._device)
        speaker = torch.tensor([prompt.speaker], device=self._device)
        return self.network.encode(tokens, speaker, torch.ones_like(tokens[..., 0], dtype=torch.bool))

    @torch.inference_mode()
    def decode(self, state: IonState, slots: Tensor) -> Step:
        """One block for each row: frames [B, MELS_PER_FRAME, channels]."""
        slots = slots.to(self._device)
        size = ROWS_AT_ONCE if self._device.type == "cpu" else len(slots)
        parts = [slots[first : first + size] for first in range(0, len(slots), size)]
        made = [self._decode(state, part) for part in parts]
        for part, (_, after) in zip(parts, made, strict=True):
            for tail, rows in zip(state.tails, after, strict=True):
                tail.put(part, rows)
        state.made[slots] += 1
        stopped = state.made[slots] >= state.frames[slots]
        return Step(torch.cat([frames for frames, _ in made]), torch.ones_like(stopped), stopped)

    def _decode(self, state: IonState, slots: Tensor) -> tuple[Tensor, list[Tail]]:
        """Frames of these rows and what their decoder then remembers; the state is not touched."""
        made, stack = state.made[slots], self.network.config.stack
        first = made * MELS_PER_FRAME + state.skip[slots]
        numbers = first[:, None] + torch.arange(MELS_PER_FRAME, device=self._device)
        aligned, pitch = align(state.vectors, state.alignment, slots, numbers)
        before = [tail.take(slots) for tail in state.tails]
        out, after = self.network.decode(aligned, before, made * (MELS_PER_FRAME // stack))
        return torch.cat((out, pitch[..., None]), -1), after

    def word_times(self, state: IonState, slot: int) -> Sequence[WordTime]:
        """Exact, and all of them known from the start."""
        return state.words[slot]


@dataclass(frozen=True, slots=True)
class Timing:
    """ends [N]: the mel frame after each token's last one; `skip` mel frames are left out; `frames` the
    engine makes.
    """

    ends: Tensor
    skip: int
    frames: int


def timing(durations: Tensor, speed: float, closing: int) -> Timing:
    """Durations [N] in mel frames, the first and the last of them silences -> Timing.

    Boundaries are rounded, not durations, so that nothing drifts. Of the last silence `closing` mel frames
    are kept where there are so many, and then as many as fill up the engine's frame, of which there is at
    least one.
    """
    ends = (durations.clamp(max=LONGEST_TOKEN).double() / speed).cumsum(0).round().long()
    skip = max(0, int(ends[0]) - LEAD)
    stop = min(int(ends[-1]), int(ends[-2]) + closing)
    frames = max(1, -(-(stop - skip) // MELS_PER_FRAME))
    ends[-1] = max(int(ends[-1]), skip + frames * MELS_PER_FRAME)
    return Timing(ends, skip, frames)


def word_times(tokens: Sequence[Token], ends: Sequence[int]) -> tuple[WordTime, ...]:
    """From a word's first token's beginning to its last one's end, in samples."""
    begins = (0, *ends)
    spans: dict[int, tuple[int, int]] = {}
    for token, begin, end in zip(tokens, begins, ends, strict=False):
        if token.word >= 0:
            spans[token.word] = (spans.get(token.word, (begin, 0))[0], end)
    return tuple(WordTime(word, begin * HOP, end * HOP) for word, (begin, end) in spans.items())
