"""Rows of the vocoder: what the codec remembers of each slot, and how far it has come.

What must not live here: the codec's arithmetic, windows.
"""

from __future__ import annotations

from collections.abc import Mapping
from copy import copy
from dataclasses import dataclass

import torch
from torch import Tensor

from rhapsode_server.layers.kv_cache import SlidingTail
from rhapsode_server.layers.streaming_conv import Tails
from rhapsode_server.models.qwen3_tts.codec import Codec, CodecMemory


@dataclass(frozen=True, slots=True)
class CodecRow:
    """One slot's row outside its slot: tensors by name, the codec's position and the frames heard so far."""

    tensors: Mapping[str, Tensor]
    position: int
    heard: int

    @property
    def nbytes(self) -> int:
        """Bytes of all tensors."""
        return sum(tensor.nbytes for tensor in self.tensors.values())


class VocoderState:
    """`slots` rows. `position` counts the frames since the codec's memory began, `heard` those of the
    utterance (they differ only where seams restart the memory); `recent` holds the last codes heard."""

    def __init__(self, codec: Codec, slots: int, recent: int) -> None:
        config, device = codec.config, codec.tables.device
        inner = config.decoder
        past = (slots, inner.kv_heads, config.window - 1, inner.head_dim)
        shapes: dict[str, tuple[int, ...]] = {
            f"tail/{name}": (slots, *shape) for name, shape in codec.tail_shapes.items()
        }
        shapes |= {f"{kind}/{layer}": past for kind in ("keys", "values") for layer in range(inner.layers)}
        self.tensors = {name: torch.zeros(shape, device=device) for name, shape in shapes.items()}
        if recent:
            codes = (slots, recent, config.codebooks)
            self.tensors["recent"] = torch.zeros(codes, dtype=torch.int64, device=device)
        self.position = [0] * slots
        self.heard = [0] * slots
        self._layers = range(inner.layers)

    def clear(self, slot: int) -> None:
        """Forget all that this row has heard."""
        self.restart(slot)
        self.heard[slot] = 0

    def restart(self, slot: int) -> None:
        """Empty the codec's memory, as at the beginning; the last codes and the count stay."""
        for name, tensor in self.tensors.items():
            if name != "recent":
                tensor[slot] = 0
        self.position[slot] = 0

    def row(self, slot: int) -> CodecRow:
        """A copy of one row."""
        tensors = {name: tensor[slot].clone() for name, tensor in self.tensors.items()}
        return CodecRow(tensors, self.position[slot], self.heard[slot])

    def put(self, slot: int, row: CodecRow) -> None:
        """Make one row a copy of `row`."""
        for name, tensor in row.tensors.items():
            self.tensors[name][slot] = tensor
        self.position[slot], self.heard[slot] = row.position, row.heard

    def copies(self, slots: list[int]) -> VocoderState:
        """A state of its own with copies of these rows, in this order."""
        work = copy(self)
        rows = torch.tensor(slots, device=next(iter(self.tensors.values())).device)
        work.tensors = {name: tensor[rows] for name, tensor in self.tensors.items()}
        work.position = [self.position[slot] for slot in slots]
        work.heard = [self.heard[slot] for slot in slots]
        return work

    def take_back(self, slots: list[int], work: VocoderState) -> None:
        """Make these rows what `copies` of them have become."""
        rows = torch.tensor(slots, device=next(iter(self.tensors.values())).device)
        for name, tensor in self.tensors.items():
            tensor[rows] = work.tensors[name]
        for index, slot in enumerate(slots):
            self.position[slot], self.heard[slot] = work.position[index], work.heard[index]

    def memory(self, rows: Tensor | slice) -> CodecMemory:
        """What the codec goes on from in `rows`."""
        tails = {
            name.removeprefix("tail/"): tensor[rows]
            for name, tensor in self.tensors.items()
            if name.startswith("tail/")
        }
        keys = [self.tensors[f"keys/{layer}"][rows] for layer in self._layers]
        values = [self.tensors[f"values/{layer}"][rows] for layer in self._layers]
        return CodecMemory(Tails(tails), SlidingTail(keys, values))

    def store(self, rows: Tensor | slice, memory: CodecMemory) -> None:
        """Keep what the codec left in `rows`."""
        for name, tail in memory.tails.new.items():
            self.tensors[f"tail/{name}"][rows] = tail
        for layer in self._layers:
            self.tensors[f"keys/{layer}"][rows] = memory.attention.keys[layer]
            self.tensors[f"values/{layer}"][rows] = memory.attention.values[layer]
