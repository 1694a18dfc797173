"""Noise that has an address: a pure function of a request's seed and where in the utterance it is needed.

What must not live here: a generator with state. Two calls with one address give the same numbers on every
device, in any batch and in any order, so what a request draws never depends on its neighbours.

Everything is integer arithmetic on int64 tensors that stays below 2**59, so no step relies on overflow
and CPU and GPU agree bit for bit.
"""

from __future__ import annotations

import torch
from torch import Tensor

_MASK = 0xFFFFFFFF
_MULTIPLIER = 0x45D9F3B  # Thomas Mueller's 32-bit integer hash: two rounds of xor-shift and this factor
_INCREMENT = 0x9E3779B9  # 2**32 over the golden ratio: keeps the words of an address apart


def _mix(word: Tensor) -> Tensor:
    """Scramble unsigned 32-bit words held in int64."""
    for _ in range(2):
        word = ((word ^ (word >> 16)) * _MULTIPLIER) & _MASK
    return word ^ (word >> 16)


def hashed(seeds: Tensor, *address: Tensor | int) -> Tensor:
    """32 hashed bits, as int64, for int64 `seeds` and the words of `address`, broadcast together."""
    state = _mix((seeds & _MASK) + _INCREMENT & _MASK)
    for word in ((seeds >> 32) & _MASK, *address):
        state = _mix((state + word + _INCREMENT) & _MASK)
    return state


def uniform(seeds: Tensor, *address: Tensor | int) -> Tensor:
    """Float32 in (0, 1), both ends excluded, for int64 `seeds` and `address`, broadcast together.

    23 bits and a half step: every value is exact in float32, so 1.0 is never reached by rounding.
    """
    return ((hashed(seeds, *address) >> 9).to(torch.float32) + 0.5) * 2.0**-23


def normal(seeds: Tensor, *address: Tensor | int) -> Tensor:
    """Float32 from the standard normal distribution (Box and Muller's transform of two uniforms)."""
    radius = torch.sqrt(-2.0 * torch.log(uniform(seeds, *address, 0)))
    return radius * torch.cos(2.0 * torch.pi * uniform(seeds, *address, 1))
