"""From logits to tokens, each row of the batch with settings of its own.

What must not live here: a model, a random generator (noise.py gives the uniforms), a host synchronisation.
The order of the processors is that of the `generate` loop of transformers, which the families were tuned
with: repetition penalty, masks (the caller's), temperature, top-k, top-p.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

NEVER = float("-inf")


def penalise(logits: Tensor, seen: Tensor, penalty: Tensor) -> Tensor:
    """Make tokens that a row has produced less likely, once each (CTRL, arXiv 1909.05858, section 4.1).

    logits [B, V], seen [B, V] bool, penalty [B]: negative logits are multiplied, others divided.
    """
    factor = penalty[:, None]
    return torch.where(seen, torch.where(logits < 0, logits * factor, logits / factor), logits)


def warp(scores: Tensor, temperature: Tensor, top_k: Tensor, top_p: Tensor, limit: int) -> Tensor:
    """Divide by the temperature and remove what top-k and then top-p leave out.

    scores [B, V] float32; temperature [B] (0 leaves the row's scores as they are: it will be greedy),
    top_k [B] int64 (0: off), top_p [B] (1: off). `limit` is how many of the best scores may be needed:
    at least every row's top_k, and V where a row has top-k off. Scores equal to the last kept one stay.
    """
    scores = scores / torch.where(temperature > 0, temperature, 1.0)[:, None]
    best = scores.topk(limit).values
    last = torch.where(top_k > 0, top_k, limit).clamp(max=limit) - 1
    best = best.masked_fill(best < best.gather(1, last[:, None]), NEVER)
    kept = _nucleus(best.softmax(-1), top_p)
    floor = best.gather(1, kept[:, None] - 1)
    return scores.masked_fill(scores < floor, NEVER)


def _nucleus(probabilities: Tensor, top_p: Tensor) -> Tensor:
    """How many of the descending `probabilities` [B, K] top-p keeps, at least 1: [B] int64.

    An entry goes where it and everything less likely sum to no more than 1 - top_p.
    """
    tail = probabilities.flip(1).cumsum(1).flip(1)
    return (tail > (1.0 - top_p)[:, None]).sum(1).clamp(min=1)


@dataclass(frozen=True, slots=True)
class Choice:
    """Settings of the rows of one batch, made ready once for all draws of a step: [B] each.

    `divisor` is the temperature, 1 for greedy rows; `last` the rank of the last token that top-k keeps;
    `spare` is 1 - top_p.
    """

    divisor: Tensor
    greedy: Tensor
    last: Tensor
    spare: Tensor

    @classmethod
    def of(cls, temperature: Tensor, top_k: Tensor, top_p: Tensor) -> Choice:
        """temperature [B] (0: greedy), top_k [B] int64 (0: off), top_p [B] (1: off)."""
        greedy = temperature <= 0
        last = torch.where(top_k > 0, top_k, torch.iinfo(torch.int64).max) - 1
        return cls(torch.where(greedy, 1.0, temperature), greedy, last, 1.0 - top_p)


def pick(scores: Tensor, choice: Choice, uniform: Tensor, limit: int) -> Tensor:
    """One token per row, drawn from what `warp` would leave: [B] int64; greedy rows take the best.

    scores [B, V] float32; `limit` as in `warp`. The tokens that are left are laid along (0, 1), the likeliest
    first, each as wide as its share, and `uniform` [B] says which is taken. Few kernels, because this runs
    once for each codebook of each frame.
    """
    best, tokens = (scores / choice.divisor[:, None]).topk(limit)
    edge = best.gather(1, choice.last.clamp(max=limit - 1)[:, None])
    shares = best.masked_fill(best < edge, NEVER).softmax(1)
    tail = shares.flip(1).cumsum(1).flip(1)
    shares = shares * (tail > choice.spare[:, None])
    upper = shares.cumsum(1)
    rank = (upper <= uniform[:, None] * upper[:, -1:]).sum(1)
    rank = rank.masked_fill(choice.greedy, 0).clamp(max=limit - 1)
    return tokens.gather(1, rank[:, None])[:, 0]
