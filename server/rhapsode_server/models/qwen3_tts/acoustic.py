"""The acoustic model: one step advances every row of a batch by one frame of `codebooks` codes.

What must not live here: prompts' layout, sound. Inside `advance` nothing waits for the device and all shapes
follow from its arguments, so a step can be captured in a CUDA graph per (rows, span, best).

A step is: input row (codes of the last frame + its text row) -> talker -> codebook 0 -> predictor -> frame.
The prefill stops one row short of the prompt's end, so the first frame too is made by a step.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional as F

from rhapsode_server.layers.kv_cache import Append, Fill
from rhapsode_server.layers.noise import uniform
from rhapsode_server.layers.sampling import NEVER, penalise, pick
from rhapsode_server.models.base import Addition, Prompt, Step
from rhapsode_server.models.qwen3_tts.acoustic_state import AcousticState
from rhapsode_server.models.qwen3_tts.config import SUPPRESSED_TAIL, Checkpoint
from rhapsode_server.models.qwen3_tts.feed import QwenAddition
from rhapsode_server.models.qwen3_tts.frontend import QwenPrompt
from rhapsode_server.models.qwen3_tts.guards import Guards
from rhapsode_server.models.qwen3_tts.predictor import Predictor
from rhapsode_server.models.qwen3_tts.talker import Embeddings, Talker

Shape = tuple[int, ...]
SPAN_STEP = 64
"""Attention looks at a multiple of this many positions: few shapes, little waste."""
FEW_BEST = 64
"""Rows that keep no more than this many tokens need no full sort of the vocabulary."""


class QwenAcoustic:
    """Talker and code predictor over slotted rows."""

    def __init__(
        self,
        checkpoint: Checkpoint,
        talker: Talker,
        predictor: Predictor,
        embeddings: Embeddings,
        *,
        positions: int,
        guards: Guards,
    ) -> None:
        codec = checkpoint.codec
        self.frame_shape: tuple[int, ...] = (checkpoint.talker.codebooks,)
        self.frame_rate = codec.sample_rate / codec.samples_per_frame
        self.talker = talker
        self.predictor = predictor
        self.embeddings = embeddings
        self.checkpoint = checkpoint
        self._positions = positions
        self._guards = guards
        self._is_end, self._is_control = _masks(checkpoint, embeddings.codes.device)

    def new_state(self, slots: int) -> AcousticState:
        """Rows for `slots` requests."""
        pad, config = self.checkpoint.text.tts_pad, self.checkpoint.talker
        like = self.embeddings.codes
        return AcousticState(config, slots, self._positions, self._guards.watched, pad, like)

    def prefill(self, state: AcousticState, slots: list[int], prompts: Sequence[Prompt]) -> None:
        """Run all but the last row of each prompt through the talker and make its slot's row."""
        ours = [_ours(prompt) for prompt in prompts]
        rows = [prompt.rows[:-1] for prompt in ours]
        longest = max(len(row) for row in rows)
        padded = torch.stack([F.pad(row, (0, 0, 0, longest - len(row))) for row in rows])
        positions = torch.arange(longest, device=padded.device).expand(len(rows), -1)
        where = torch.tensor(slots, device=padded.device)
        state.clear_spoilt(where)
        self.talker.decoder(padded, positions, Fill(state.cache, where), causal=True)
        for slot, prompt in zip(slots, ours, strict=True):
            state.write(slot, prompt)

    def feed(self, state: AcousticState, slot: int, addition: Addition) -> None:
        """Let a row in flight take more text."""
        if not isinstance(addition, QwenAddition):
            raise TypeError(f"{type(addition).__name__} is not text for this family")
        state.append_text(slot, addition.ids)
        if addition.fewest is not None:
            state.fewest[slot] = addition.fewest

    def decode(self, state: AcousticState, slots: Tensor) -> Step:
        """Advance the rows `slots` [B] by one frame. `slots` on the CPU costs no wait for the device."""
        rows: list[int] = slots.tolist()
        first = rows[0] if rows == list(range(rows[0], rows[0] + len(rows))) else None
        step = self.advance(state, slots.to(self.device), self.shapes(state, rows), first)
        self.counted(state, rows)
        return step

    # ---- a step that can be recorded

    @property
    def device(self) -> torch.device:
        """Where the talker is."""
        return self.embeddings.codes.device

    def shapes(self, state: AcousticState, rows: list[int]) -> Shape:
        """Positions looked at, and tokens sorted."""
        needed = max(state.lengths[row] for row in rows) + 1
        span = min(-(-needed // SPAN_STEP) * SPAN_STEP, state.cache.capacity)
        few = all(0 < state.best[row] <= FEW_BEST for row in rows)
        return span, FEW_BEST if few else self.checkpoint.talker.vocab

    def common_shapes(self, state: AcousticState) -> list[Shape]:
        """Spans that double, for the usual number of tokens."""
        capacity = state.cache.capacity
        doubled = itertools.takewhile(lambda span: span < capacity, (256 * 2**n for n in itertools.count()))
        return [(span, FEW_BEST) for span in (*doubled, capacity)]

    def counted(self, state: AcousticState, rows: list[int]) -> None:
        """These rows have one position more."""
        for row in rows:
            state.lengths[row] += 1

    def rewind(self, state: AcousticState, row: int) -> None:
        """Let the row begin again at its first position."""
        state.position[row] = 0
        state.frame[row] = 0

    def advance(self, state: AcousticState, slots: Tensor, shape: Shape, first: int | None = None) -> Step:
        """The step itself, for the rows `slots` [B] on the device; counters move last.

        `first` is given where the slots are first, first + 1, …: the rows are then read in place.
        """
        span, best = shape
        position, frame = state.position[slots], state.frame[slots]
        hidden = self._talk(state, slots, position, frame, Append(state.cache, slots, position, span, first))
        noise = uniform(state.seed[slots, None], frame[:, None], self._books(slots.device))
        logits = self.talker.head(hidden).float()
        code = self._first_code(state, slots, logits, frame, noise[:, 0], best)
        settings = state.predictor.of(slots)
        sums = logits.sum(1)  # not finite where any logit is not

        def choose(book: int, logits: Tensor) -> Tensor:
            scores = logits.float()
            sums.add_(scores.sum(1))
            return pick(scores, settings, noise[:, book], min(best, logits.shape[1]))

        frames = self.predictor(hidden, code, self.embeddings, choose)
        lost = self._lost(state, slots, code, frame)
        broken = ~torch.isfinite(sums)
        state.spoilt[slots] = broken
        self._keep(state, slots, position, frame, frames)
        stopped = code == self.checkpoint.codec_ids.eos
        return Step(frames, ~stopped & ~lost, stopped | lost, lost & ~stopped, broken)

    # ---- parts of a step

    def _talk(
        self, state: AcousticState, slots: Tensor, position: Tensor, frame: Tensor, memory: Append
    ) -> Tensor:
        """Hidden states [B, width] at the rows' next positions."""
        ids = state.text[slots, (frame - 1).clamp(min=0)]
        text = self.embeddings.text(ids) * (frame > 0)[:, None]
        x = (state.pending[slots] + text)[:, None]
        seen = torch.arange(memory.span, device=slots.device) <= position[:, None, None, None]
        hidden: Tensor = self.talker.decoder(x, position[:, None], memory, seen)[:, 0]
        return hidden

    def _first_code(
        self, state: AcousticState, slots: Tensor, logits: Tensor, frame: Tensor, noise: Tensor, best: int
    ) -> Tensor:
        """Codebook 0 [B] from logits [B, vocab]."""
        early = frame < state.fewest[slots]
        scores = self.scores(logits, state.seen[slots], state.penalty[slots], early)
        return pick(scores, state.talker.of(slots), noise, min(best, scores.shape[1]))

    def scores(self, logits: Tensor, seen: Tensor, penalty: Tensor, early: Tensor) -> Tensor:
        """Logits [B, vocab] after the penalty for `seen` codes, without the end where it is `early` [B]."""
        ruled_out = self._is_control | (early[:, None] & self._is_end)
        return penalise(logits, seen, penalty).masked_fill(ruled_out, NEVER)

    def _lost(self, state: AcousticState, slots: Tensor, code: Tensor, frame: Tensor) -> Tensor:
        """Rows [B] whose last `watched` codes hold no more than `distinct` different ones."""
        watched = self._guards.watched
        if not watched:
            return torch.zeros_like(code, dtype=torch.bool)
        state.history[slots, frame % watched] = code
        ordered = state.history[slots].sort(1).values
        different = 1 + (ordered[:, 1:] != ordered[:, :-1]).sum(1)
        return (different <= self._guards.distinct) & (frame + 1 >= watched)

    def _keep(
        self, state: AcousticState, slots: Tensor, position: Tensor, frame: Tensor, frames: Tensor
    ) -> None:
        state.pending[slots] = self.embeddings.frames(frames)
        state.seen[slots, frames[:, 0]] = True
        state.position[slots] = position + 1
        state.frame[slots] = frame + 1

    def _books(self, device: torch.device) -> Tensor:
        return torch.arange(self.frame_shape[0], device=device)[None]


def _masks(checkpoint: Checkpoint, device: torch.device) -> tuple[Tensor, Tensor]:
    """Which codec tokens are the end, and which control tokens are never drawn: bool [vocab] each."""
    ids = torch.arange(checkpoint.talker.vocab, device=device)
    is_end = ids == checkpoint.codec_ids.eos
    return is_end, (ids >= checkpoint.talker.vocab - SUPPRESSED_TAIL) & ~is_end


def _ours(prompt: Prompt) -> QwenPrompt:
    if not isinstance(prompt, QwenPrompt):
        raise TypeError(f"{type(prompt).__name__} is not a prompt of this family")
    return prompt
