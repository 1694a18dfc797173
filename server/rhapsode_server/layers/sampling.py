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


def warp(scores: Tensor, temperature: Tensor, top_k: Tensor, top_p: Tensor) -> Tensor:
    """Divide by the temperature and remove what top-k and then top-p leave out, as transformers does it.

    scores [B, V] float32; temperature [B] (0 leaves the row's scores as they are: it will be greedy),
    top_k [B] int64 (0: off), top_p [B] (1: off). Scores equal to the last kept one stay, however many they
    are. Sorts the whole vocabulary: for comparisons with a reference, not for every step.
    """
    scores = scores / torch.where(temperature > 0, temperature, 1.0)[:, None]
    best, size = scores.sort(descending=True).values, scores.shape[1]
    last = torch.where(top_k > 0, top_k, size).clamp(max=size) - 1
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
    """One token per row, drawn from what top-k and top-p leave: [B] int64; greedy rows take the best.

    scores [B, V] float32. `limit` is how many of the best scores are looked at: at least every row's top_k,
    and V where a row has top-k off; what a row draws does not depend on it, nor on any other row. Of equal
    scores the lower token comes first, and exactly top_k tokens stay.

    The tokens that are left are laid along (0, 1), the likeliest first, each as wide as its share, and
    `uniform` [B] says which is taken. Few kernels, because this runs once for each codebook of each frame.
    """
    scaled = scores / choice.divisor[:, None]
    tokens = _best(scaled, limit)
    best = scaled.gather(1, tokens)
    weights = (best - best[:, :1]).exp()
    weights = weights * (torch.arange(limit, device=scores.device) <= choice.last[:, None])
    tail = weights.flip(1).cumsum(1).flip(1)
    weights = weights * (tail > choice.spare[:, None] * tail[:, :1])
    upper = weights.cumsum(1)
    rank = (upper <= uniform[:, None] * upper[:, -1:]).sum(1)
    rank = rank.masked_fill(choice.greedy, 0).clamp(max=limit - 1)
    return tokens.gather(1, rank[:, None])[:, 0]


def _best(scores: Tensor, limit: int) -> Tensor:
    """The tokens [B, limit] of the best float32 scores [B, V], best first, of equal ones the lower first.

    `topk` promises no order among equals, and which of them it finds depends on how many it is asked for.
    So it is shown a whole number for each score, all different: the score's bits, turned so that they are
    ordered as the scores are (negative floats are ordered the other way round), above the token counted
    from the end. Adding 0.0 makes the two zeros equal.
    """
    bits = (scores + 0.0).view(torch.int32)
    ordered = (bits ^ ((bits >> 31) & 0x7FFFFFFF)).long()
    behind = torch.arange(scores.shape[1] - 1, -1, -1, device=scores.device)
    return (scores.shape[1] - 1) - (((ordered << 32) | behind).topk(limit).values & 0xFFFFFFFF)
