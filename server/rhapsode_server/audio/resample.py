"""Change of sample rate for a stream, exact: chunked output equals whole output, bit for bit.

A polyphase FIR filter of our own, because what matters here is delay: block-wise resamplers hold back
37 to 240 ms of sound (libsoxr 1.1.0 "HQ": 73 ms for 24000 -> 8000 Hz, all of it before the first sample),
this one never more than half its filter, 7.2 ms at 8000 Hz.
What lives here: one stream's resampler. What must not: byte formats.
"""

from __future__ import annotations

import math
from functools import lru_cache
from typing import Protocol

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

Samples = NDArray[np.float32]

STOPBAND = 90.0
"""Attenuation in dB of what the lower rate cannot carry: below the steps of 16-bit samples."""

TRANSITION = 0.1
"""The uppermost part of the lower rate's band that is given up to the filter's slope."""

_MOST_PHASES = 640
"""Ratios of the usual rates need no more; for odder ones the filter is interpolated between phases."""

_BLOCK = 256
"""Output samples computed at a time: the windows stay in the cache and a long utterance needs no memory."""

# Kaiser's formulas for length and shape: Oppenheim and Schafer, Discrete-Time Signal Processing, 7.6.
_HALF = math.ceil((STOPBAND - 7.95) / (2.285 * math.pi * TRANSITION) / 2)
_BETA = 0.1102 * (STOPBAND - 8.7)


def length_after(samples: int, in_rate: int, out_rate: int) -> int:
    """How many samples come out of `samples` in all: the nearest integer, halves upwards."""
    return (2 * samples * out_rate + in_rate) // (2 * in_rate)


class Resampler(Protocol):
    """One stream's change of rate. Until `finish`, the last `latency` seconds are held back."""

    latency: float

    def process(self, samples: Samples) -> Samples:
        """What is certain after `samples` [n]; may be empty."""

    def finish(self) -> Samples:
        """The rest; `length_after` of everything has then come out. Call it once, last."""


class Unchanged:
    """The stream already has the wanted rate."""

    latency = 0.0

    def process(self, samples: Samples) -> Samples:
        """The samples themselves."""
        return samples

    def finish(self) -> Samples:
        """Nothing was held back."""
        return np.zeros(0, np.float32)


class Polyphase:
    """Output k stands at input time k * in_rate / out_rate and hears `reach` samples on either side.

    Each output is one dot product of fixed length over the same samples wherever the stream was cut,
    which is why the cuts cannot be heard, nor seen in the last bit.
    """

    def __init__(self, in_rate: int, out_rate: int) -> None:
        common = math.gcd(in_rate, out_rate)
        self._up, self._down = out_rate // common, in_rate // common
        self._bank, self._reach = _filters(in_rate, out_rate)
        self._rates = in_rate, out_rate
        self.latency = self._reach / in_rate
        self._heard = np.zeros(self._reach - 1, np.float32)
        self._from = 1 - self._reach
        self._taken = self._made = 0

    def process(self, samples: Samples) -> Samples:
        """Every output whose whole neighbourhood is known after `samples` [n]."""
        self._taken += len(samples)
        return self._until(samples, -(-(self._taken - self._reach) * self._up // self._down))

    def finish(self) -> Samples:
        """The outputs that hear silence after the end."""
        silence = np.zeros(self._reach + self._down // self._up + 1, np.float32)
        return self._until(silence, length_after(self._taken, *self._rates))

    def _until(self, samples: Samples, stop: int) -> Samples:
        """Outputs from where the last call ended to `stop`; forgets the inputs that no later one hears."""
        self._heard = np.concatenate((self._heard, np.asarray(samples, np.float32)))
        first, self._made = self._made, max(self._made, stop)
        blocks = [self._block(at, min(at + _BLOCK, self._made)) for at in range(first, self._made, _BLOCK)]
        spent = self._made * self._down // self._up - self._reach + 1 - self._from
        self._heard = self._heard[spent:]
        self._from += spent
        return np.concatenate(blocks) if blocks else np.zeros(0, np.float32)

    def _block(self, begin: int, end: int) -> Samples:
        """Outputs [begin, end): windows [n, 2 reach] times weights [n, 2 reach]."""
        at = np.arange(begin, end) * self._down
        windows = sliding_window_view(self._heard, 2 * self._reach)
        heard = windows[at // self._up - self._reach + 1 - self._from]
        result: Samples = np.vecdot(heard, self._weights(at % self._up))
        return result

    def _weights(self, phase: NDArray[np.int64]) -> Samples:
        """Filters [n, 2 reach] for fractions `phase` / up of an input sample."""
        phases = len(self._bank) - 1
        if phases == self._up:
            exact: Samples = self._bank[phase]
            return exact
        low, rest = np.divmod(phase * phases, self._up)
        part = (rest / self._up).astype(np.float32)[:, None]
        between: Samples = self._bank[low] * (1 - part) + self._bank[low + 1] * part
        return between


@lru_cache(maxsize=32)
def _filters(in_rate: int, out_rate: int) -> tuple[Samples, int]:
    """Kaiser-windowed sinc for each phase [phases + 1, 2 reach], rows summing to 1, and the reach.

    A phase is how far, in input samples, the output stands after the input before it.
    """
    lower = min(in_rate, out_rate)
    width = _HALF * in_rate / lower
    reach = math.ceil(width)
    phases = min(out_rate // math.gcd(in_rate, out_rate), _MOST_PHASES)
    distance = np.arange(1 - reach, reach + 1) - np.arange(phases + 1)[:, None] / phases
    inside = np.clip(1 - (distance / width) ** 2, 0, None)
    window = np.where(np.abs(distance) <= width, np.i0(_BETA * np.sqrt(inside)), 0)
    bank = np.sinc(distance * (1 - TRANSITION / 2) * lower / in_rate) * window
    filters: Samples = (bank / bank.sum(axis=1, keepdims=True)).astype(np.float32)
    return filters, reach


def resampler(in_rate: int, out_rate: int) -> Resampler:
    """A fresh resampler for one stream, rates in Hz."""
    return Unchanged() if in_rate == out_rate else Polyphase(in_rate, out_rate)
