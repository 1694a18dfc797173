"""Rows of the acoustic model: what requests leave between their steps, in tensors indexed by slot first.

What must not live here: a decision, a model's arithmetic.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from rhapsode_server.layers.kv_cache import SlottedCache
from rhapsode_server.layers.sampling import Choice
from rhapsode_server.models.qwen3_tts.config import Generation, TalkerConfig
from rhapsode_server.models.qwen3_tts.frontend import QwenPrompt


@dataclass(slots=True)
class SamplerRows:
    """Settings of one sampler for every slot: [slots] each."""

    temperature: Tensor
    top_k: Tensor
    top_p: Tensor

    @classmethod
    def empty(cls, slots: int, device: str) -> SamplerRows:
        """Greedy everywhere."""
        return cls(
            torch.zeros(slots, device=device),
            torch.zeros(slots, dtype=torch.int64, device=device),
            torch.ones(slots, device=device),
        )

    def write(self, slot: int, settings: Generation) -> None:
        """Set one row."""
        self.temperature[slot] = settings.temperature
        self.top_k[slot] = settings.top_k
        self.top_p[slot] = settings.top_p

    def of(self, slots: Tensor) -> Choice:
        """The rows `slots` [B], made ready for a step's draws."""
        return Choice.of(self.temperature[slots], self.top_k[slots], self.top_p[slots])


class AcousticState:
    """`slots` rows of `positions` cache positions.

    `pending` [slots, width] is the next input row without its text part, `text` [slots, positions] the
    tokens that the steps add (row i to the step after frame i), `seen` [slots, vocab] what the repetition
    penalty knows, `spoilt` [slots] that a row has computed what is not a number, `history` [slots, watched]
    the last codes of codebook 0 in a ring. On the host are `lengths` (of the cached rows), `best` (tokens
    that a sampler keeps, 0: all) and `text_end`, so a step need not wait for the device to know its
    shapes.
    """

    def __init__(
        self, config: TalkerConfig, slots: int, positions: int, watched: int, pad: int, like: Tensor
    ) -> None:
        device, decoder = str(like.device), config.decoder
        self.cache = SlottedCache(
            decoder.layers,
            slots,
            decoder.kv_heads,
            positions,
            decoder.head_dim,
            dtype=like.dtype,
            device=device,
        )

        def whole(*shape: int) -> Tensor:
            return torch.zeros(slots, *shape, dtype=torch.int64, device=device)

        self.pad = pad
        self.pending = torch.zeros(slots, decoder.hidden, dtype=like.dtype, device=device)
        self.text = whole(positions)
        self.seen = torch.zeros(slots, config.vocab, dtype=torch.bool, device=device)
        self.spoilt = torch.zeros(slots, dtype=torch.bool, device=device)
        self.history = whole(max(1, watched))
        self.position, self.frame, self.fewest, self.seed = whole(), whole(), whole(), whole()
        self.penalty = torch.ones(slots, device=device)
        self.talker = SamplerRows.empty(slots, device)
        self.predictor = SamplerRows.empty(slots, device)
        self.lengths = [0] * slots
        self.best = [0] * slots
        self.text_end = [0] * slots

    def write(self, slot: int, prompt: QwenPrompt) -> None:
        """Make the row as `prompt` wants it before its first step; the cache is the prefill's business."""
        length = len(prompt.rows) - 1
        self.pending[slot] = prompt.rows[-1]
        self.seen[slot] = False
        self.history[slot] = 0
        self.text[slot] = self.pad
        self.text_end[slot] = 0
        self.position[slot] = self.lengths[slot] = length
        self.frame[slot] = 0
        self.fewest[slot] = prompt.fewest
        self.seed[slot] = _signed(prompt.seed)
        self.penalty[slot] = prompt.talker.repetition_penalty
        self.talker.write(slot, prompt.talker)
        self.predictor.write(slot, prompt.predictor)
        kept = (prompt.talker.top_k, prompt.predictor.top_k)
        self.best[slot] = max(kept) if all(kept) else 0
        self.append_text(slot, prompt.trailing)

    def clear_spoilt(self, slots: Tensor) -> None:
        """Wipe the caches of those rows `slots` that have computed what is not a number.

        Positions behind a mask count nothing times their value, which is no number either: without this the
        next request in such a row would fail too.
        """
        spoilt = slots[self.spoilt[slots]]
        if len(spoilt):
            self.cache.clear(spoilt)
            self.spoilt[spoilt] = False

    def append_text(self, slot: int, ids: Sequence[int]) -> None:
        """Add tokens for the coming steps to take. Raises ValueError where there is no room."""
        end = self.text_end[slot] + len(ids)
        if end >= self.text.shape[1]:
            raise ValueError(f"{end} text tokens do not fit a row of {self.text.shape[1]} positions")
        self.text[slot, self.text_end[slot] : end] = torch.tensor(ids, dtype=torch.int64)
        self.text_end[slot] = end


def _signed(seed: int) -> int:
    """The 64 bits of `seed` as int64 holds them."""
    seed &= 2**64 - 1
    return seed - 2**64 if seed >= 2**63 else seed
