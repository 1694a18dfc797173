"""When each word sounds, out of where the decoder looks in the text while it makes a frame.

A pointer goes through the characters of a row, one place for each frame. It looks at the attention of a
few heads in a window of fixed width around itself and moves to the middle of what it sees (the median), never
backwards: a head that glances ahead, or an utterance of any length, costs and changes little. The words'
times follow from the frames at which the pointer comes to their characters.

Of the decoder's heads those are asked that were trained to go through the text in order: the loss for guided
attention (arXiv 1710.08969) with which SpeechT5 is trained for speech pulls the first
`guided_attention_loss_num_heads` heads of every layer towards the diagonal (`SpeechT5SpectrogramLoss` of
transformers). One layer's are enough; the last layer's are taken, the nearest to the frame that is made.

What must not live here: the attention itself (acoustic.py computes it as ever), text.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from rhapsode_server.core import WordTime

BEHIND, AHEAD = 8, 16
"""Characters that the pointer sees on either side. One frame of 32 ms speaks one character or two at most,
and a head that was trained to go through the text in order is a few characters wide."""


class Pointer:
    """Moves the pointers of a batch: a few small products, whatever the length of the text."""

    def __init__(self, device: torch.device) -> None:
        self._offsets = torch.arange(-BEHIND, AHEAD, device=device)

    def moved(self, query: Tensor, keys: Tensor, at: Tensor, index: Tensor, lengths: Tensor) -> Tensor:
        """Where the pointers stand after this frame, [B] int64.

        query [B, heads, head_dim] and keys [slots, heads, capacity, head_dim] of the guided heads;
        at [B]: where they stood; index [B]: the rows' slots; lengths [B]: characters of each row.
        """
        places = at[:, None] + self._offsets
        seen = (places >= 0) & (places < lengths[:, None])
        shown = keys[index[:, None], :, places.clamp(min=0).minimum(lengths[:, None] - 1)]
        # One product and one sum per row and place, so that a row's result does not depend on its neighbours.
        scores = (shown.float() * query[:, None].float()).sum(-1) * query.shape[-1] ** -0.5
        weights = scores.masked_fill(~seen[..., None], -torch.inf).softmax(1).mean(-1)
        middle = (weights.cumsum(1) < 0.5).sum(1).clamp(max=len(self._offsets) - 1)
        found = at + self._offsets[middle]
        return torch.maximum(at, found).minimum(lengths - 1)


@dataclass(slots=True)
class Alignment:
    """The word times of one row, word by word as they become certain.

    `spans` are the words' characters [begin, end) among the row's; a word is certain once the pointer has
    passed its last character. `samples` is the length of a frame.
    """

    spans: Sequence[tuple[int, int]]
    samples: int
    words: list[WordTime] = field(default_factory=list)
    read: int = 0
    _at: int = -1
    _entered: list[int] = field(default_factory=list)

    def follow(self, path: Sequence[int]) -> None:
        """Further frames, with the place of the pointer in each."""
        for place in path:
            self._enter(place, self.read * self.samples, self.samples)
            self.read += 1
        self._tell(self._at + 1)

    def finish(self, length: int) -> None:
        """No frame follows: what the pointer has not reached of `length` characters sounds in the last."""
        if len(self.words) < len(self.spans):
            last = max(0, self.read - 1) * self.samples
            begun = self._entered[self._at] if self._at >= 0 else 0
            start = max(last, begun + 1)
            self._enter(length, start, self.read * self.samples - start)
            self._tell(length + 1)

    def _enter(self, place: int, start: int, samples: int) -> None:
        """The pointer comes to `place` in these samples, and through all characters before it evenly."""
        steps = place - self._at
        self._entered += [start + samples * step // steps for step in range(steps)]
        self._at = max(self._at, place)

    def _tell(self, passed: int) -> None:
        """The words whose end lies before character `passed`."""
        while len(self.words) < len(self.spans) and self.spans[len(self.words)][1] < passed:
            begin, end = self.spans[len(self.words)]
            before = self.words[-1].end if self.words else 0
            start = max(before, self._entered[begin])
            self.words.append(WordTime(len(self.words), start, max(start + 1, self._entered[end])))
