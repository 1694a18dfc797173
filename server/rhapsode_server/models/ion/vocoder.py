"""ion's vocoder behind the engine's protocol: windows of frames -> sound, each row with a memory of its own.

Lives here: rows, and the grouping of a call's windows by length. Must not live here: layers (generator.py).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence

import torch
from torch import Tensor

from rhapsode_server.core import Chunking, Window
from rhapsode_server.models.ion.acoustic import MELS_PER_FRAME
from rhapsode_server.models.ion.generator import Generator, Memory

FRAMES_AT_ONCE = 48
"""Frames vocoded in one go on a processor: what they need then fits its caches."""


class IonVocoder:
    """Causal but for `ahead` mel frames, so it needs one frame of look-ahead and no context on the left.

    All windows are of two frames (256 ms): each then lasts as long as the next one takes to be decoded, so
    a listener runs dry only where a step takes longer than a frame sounds. With windows that grow from one
    frame to four, the next was as long as the sound in hand twice over, and of 100 requests at one moment
    66 ran dry on a processor 1.6 times slower than they need, with these none; larger ones are no cheaper.
    """

    chunking = Chunking(first=2, largest=2, growth=1, left=0, right=1)

    def __init__(self, generator: Generator) -> None:
        config = generator.config
        if config.ahead > MELS_PER_FRAME:
            raise ValueError(
                f"a look-ahead of {config.ahead} mel frames does not fit in one frame of {MELS_PER_FRAME}"
            )
        self.generator = generator
        self.sample_rate = config.rate
        self.samples_per_frame = config.hop * MELS_PER_FRAME
        self._device = next(generator.parameters()).device
        with torch.inference_mode():
            self._spectra = generator.noise_spectra()

    def new_state(self, slots: int) -> Memory:
        """Rows for `slots` requests: 24 kB each."""
        return self.generator.memory(slots, self._device)

    def reset(self, state: Memory, slots: list[int]) -> None:
        """Silence in every memory of these rows."""
        fresh = self.generator.memory(1, self._device)
        for rows, one in zip(state.tensors(), fresh.tensors(), strict=True):
            rows[slots] = one

    @torch.inference_mode()
    def vocode(
        self, state: Memory, slots: list[int], frames: Sequence[Tensor], windows: Sequence[Window]
    ) -> list[Tensor]:
        """Sound of each window [wanted * samples_per_frame]; windows of one length go through together.

        A call that raises leaves every row where it was: what they remember is written last.
        """
        sounds = [torch.zeros(0, device=self._device) for _ in windows]
        memories: list[tuple[Tensor, Memory]] = []
        for members in self._groups(windows):
            wanted = windows[members[0]].wanted
            shown = torch.stack([self._shown(frames[index], wanted) for index in members])
            rows = torch.tensor([slots[index] for index in members], device=self._device)
            before = Memory(*(tensor[rows] for tensor in state.tensors()))
            made, after = self.generator(shown, before, self._spectra)
            memories.append((rows, after))
            for index, sound in zip(members, made.clamp(-1.0, 1.0), strict=True):
                sounds[index] = sound
        for rows, after in memories:
            for tensor, new in zip(state.tensors(), after.tensors(), strict=True):
                tensor[rows] = new
        return sounds

    def _groups(self, windows: Sequence[Window]) -> Iterator[list[int]]:
        """Numbers of windows of one length, none empty, on a processor not too many of them at once."""
        by_length: dict[int, list[int]] = defaultdict(list)
        for index, window in enumerate(windows):
            if window.wanted:
                by_length[window.wanted].append(index)
        for wanted, members in by_length.items():
            size = max(1, FRAMES_AT_ONCE // wanted) if self._device.type == "cpu" else len(members)
            yield from (members[first : first + size] for first in range(0, len(members), size))

    def _shown(self, frames: Tensor, wanted: int) -> Tensor:
        """Mel frames [wanted * MELS_PER_FRAME + ahead, channels]; past the end of an utterance the last one
        lasts.
        """
        mels = frames.flatten(0, 1)
        missing = wanted * MELS_PER_FRAME + self.generator.config.ahead - len(mels)
        return mels[:missing] if missing < 0 else torch.cat((mels, mels[-1:].expand(missing, -1)))
