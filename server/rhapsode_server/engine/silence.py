"""Whether a stream has fallen silent: counted along its sound, so that neither load nor windows matter.

What must not live here: tensors, time, what is done about it.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

LOUDNESS = 1e-3
"""Root mean square below which a frame is silence: -60 dB of full scale. A quiet room in a recording has -50,
what codecs make of digital silence less than -70."""


class Silence:
    """Counts the silent frames at the end of one stream's sound."""

    def __init__(self) -> None:
        self.frames = 0

    def hear(self, wave: NDArray[np.float32], samples_per_frame: int) -> int:
        """The next whole frames of sound [n * samples_per_frame]; returns how many are silent by now."""
        loud = np.square(wave.reshape(-1, samples_per_frame)).mean(1) >= LOUDNESS**2
        heard = np.flatnonzero(loud)
        self.frames = len(loud) - 1 - int(heard[-1]) if len(heard) else self.frames + len(loud)
        return self.frames
