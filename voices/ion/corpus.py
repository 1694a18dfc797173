"""Reading the features: memory-mapped arrays, sentences by number, padded batches. No model lives here."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, fields

import numpy as np
import torch
from features import NAMES, POINTS
from mel import HOP
from numpy.typing import NDArray
from paths import FEATURES
from torch import Tensor

COLUMNS = {"mel": 82, "samples": HOP, "tokens": 5, "ends": 1, "pitch": 2 * POINTS}


@dataclass(slots=True)
class Batch:
    """Sentences padded to one length. B rows, N tokens, T frames (a multiple of what `batch` was asked for).

    tokens [B, N, 4], speaker [B], present [B, N] bool, durations [B, N] frames, ends [B, N] whole frames,
    pitch and weight [B, N, POINTS], mel [B, T, 81] (mel and voicing), heard [B, T] bool.
    """

    tokens: Tensor
    speaker: Tensor
    present: Tensor
    durations: Tensor
    ends: Tensor
    pitch: Tensor
    weight: Tensor
    mel: Tensor
    heard: Tensor

    def to(self, device: torch.device) -> Batch:
        """The same batch elsewhere."""
        return Batch(*(getattr(self, field.name).to(device) for field in fields(self)))


class Corpus:
    """One part of the features."""

    def __init__(self, part: str) -> None:
        self.lines = json.loads((FEATURES / f"{part}.json").read_text())
        self._arrays = {
            name: np.memmap(FEATURES / f"{part}.{name}", dtype=kind, mode="r").reshape(-1, COLUMNS[name])
            for name, kind in NAMES.items()
        }
        self.frames = np.asarray([line["frames"] for line in self.lines])
        self._frame = np.concatenate(([0], np.cumsum(self.frames)))
        self._token = np.concatenate(([0], np.cumsum([line["tokens"] for line in self.lines])))

    def __len__(self) -> int:
        return len(self.lines)

    def get(self, name: str, index: int) -> NDArray[np.generic]:
        """One sentence's array."""
        starts = self._frame if name in ("mel", "samples") else self._token
        return self._arrays[name][starts[index] : starts[index + 1]]

    def batch(self, indices: NDArray[np.int64], multiple: int) -> Batch:
        """Pad these sentences together, the frames to a multiple of `multiple`."""
        rows = [{name: torch.from_numpy(np.array(self.get(name, i))) for name in NAMES} for i in indices]
        padded = {name: torch.nn.utils.rnn.pad_sequence([row[name] for row in rows], True) for name in NAMES}
        frames = torch.tensor([len(row["mel"]) for row in rows])
        longest = -(-int(frames.max()) // multiple) * multiple
        mel = torch.nn.functional.pad(padded["mel"].float(), (0, 0, 0, longest - padded["mel"].shape[1]))
        counts = torch.tensor([len(row["tokens"]) for row in rows])
        present = torch.arange(padded["tokens"].shape[1]) < counts[:, None]
        exact = torch.where(present, padded["ends"][..., 0], frames[:, None].float())
        durations = torch.diff(exact, dim=1, prepend=torch.zeros(len(rows), 1))
        return Batch(
            padded["tokens"][..., :4].long(),
            torch.tensor([self.lines[i]["speaker"] for i in indices]),
            present,
            durations,
            exact.round().long(),
            padded["pitch"][..., :POINTS].float(),
            padded["pitch"][..., POINTS:].float(),
            mel[..., :-1],
            torch.arange(longest) < frames[:, None],
        )

    def batches(self, frames: int, seed: int) -> Iterator[NDArray[np.int64]]:
        """One epoch: groups of like length, each of at most `frames` padded frames, in random order."""
        rng = np.random.default_rng(seed)
        order = np.argsort(self.frames * rng.uniform(0.9, 1.1, len(self)))
        groups, group = [], []
        for index in order:
            if group and (len(group) + 1) * max(self.frames[index], self.frames[group].max()) > frames:
                groups.append(np.asarray(group))
                group = []
            group.append(index)
        groups.append(np.asarray(group))
        for place in rng.permutation(len(groups)):
            yield groups[place]
