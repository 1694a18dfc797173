"""What a voice is to this family: a preset's row, a description, or what a clip has left behind.

What must not live here: how either is laid out (layout.py) or computed (cloning.py).
"""

from __future__ import annotations

from dataclasses import dataclass, field

from torch import Tensor

from rhapsode_server.models.qwen3_tts.vocoder_state import CodecRow


@dataclass(frozen=True, slots=True)
class Clip:
    """A reference clip shown to the model itself: its codes [F, codebooks] and the ids of what is said in it.

    `primed` is the row of the vocoder's state after these frames, so that the voice need not find its way
    in again at the first sound.
    """

    codes: Tensor
    text: tuple[int, ...]
    primed: CodecRow

    @property
    def frames(self) -> int:
        """Length of the clip in frames."""
        return self.codes.shape[0]


@dataclass(frozen=True, slots=True)
class Conditioning:
    """One voice. `speaker` is a preset's name; `description` designs a voice; `x_vector` [width] clones one.

    A cloned voice may also carry its `clip`; without it only the vector is used.
    """

    speaker: str = ""
    description: str = ""
    x_vector: Tensor | None = field(default=None, compare=False)
    clip: Clip | None = field(default=None, compare=False)

    @property
    def nbytes(self) -> int:
        """Memory that keeping this voice costs."""
        vector = 0 if self.x_vector is None else self.x_vector.nbytes
        return vector + (self.clip.codes.nbytes + self.clip.primed.nbytes if self.clip else 0)
