"""Decode steps that were recorded once and are replayed as a whole: CUDA graphs, one for each batch bucket.

A step of a large model is thousands of kernels, and launching them one by one would bound a fast device long
before its memory does. A recorded step has fixed shapes, so it exists for a few numbers of rows (buckets) and
a few shapes; a batch takes the smallest that holds it, and the rows that it lacks are a spare one whose
results nobody reads. What no recorded step holds is decoded as usual.

What must not live here: a family, a thread, a decision about whose turn it is.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import torch
from torch import Tensor

from rhapsode_server.models.base import AcousticModel, State, Step

Shape = tuple[int, ...]
"""What besides the number of rows decides the shapes of a step. A larger one gives the same results."""


@runtime_checkable
class Capturable(Protocol):
    """An acoustic model whose step can be recorded once and replayed (CUDA graphs).

    Inside `advance` nothing waits for the device or comes from the host, tensors that outlive the call stay
    where they are, and all shapes follow from `shape` and the rows. `decode` does the same as `shapes`,
    `advance` and `counted` one after the other.
    """

    @property
    def device(self) -> torch.device:
        """Where it computes."""
        ...

    def shapes(self, state: State, rows: list[int]) -> Shape:
        """The smallest shape that these rows' next step needs. Must not wait for the device."""
        ...

    def common_shapes(self, state: State) -> Sequence[Shape]:
        """Those worth recording, few and smallest first."""
        ...

    def advance(self, state: State, slots: Tensor, shape: Shape) -> Step:
        """The device's part of a step, for `slots` [B] int64 there; a row nobody reads may be in it twice."""
        ...

    def counted(self, state: State, rows: list[int]) -> None:
        """The host's part: these rows have advanced."""
        ...

    def rewind(self, state: State, row: int) -> None:
        """Let a row that nobody reads begin again, so that it never runs out of room."""
        ...


Replay = Callable[[], Step]
Record = Callable[[Replay], Replay]
"""Takes a function that reads and writes tensors that stay where they are, and returns one that does the same
again: each call overwrites the Step of the call before."""


class CudaRecord:
    """Records into CUDA graphs that share one pool of memory."""

    def __init__(self) -> None:
        self._pool = torch.cuda.graph_pool_handle()

    def __call__(self, run: Replay) -> Replay:
        """Run twice aside, as libraries choose their kernels then, and record the third time."""
        aside = torch.cuda.Stream()  # type: ignore[no-untyped-call]
        aside.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(aside):
            run()
            run()
        torch.cuda.current_stream().wait_stream(aside)
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph, pool=self._pool):
            step = run()

        def replay() -> Step:
            graph.replay()
            return step

        return replay


def recorder_for(acoustic: AcousticModel) -> Record | None:
    """How to record this model's steps; None where that is not possible or does not pay."""
    if isinstance(acoustic, Capturable) and acoustic.device.type == "cuda":
        return CudaRecord()
    return None


def buckets_of(slots: int) -> tuple[int, ...]:
    """Numbers of rows to record: powers of two and all rows."""
    powers = (2**power for power in range(slots.bit_length()))
    return tuple(sorted({*(power for power in powers if power < slots), slots}))


@dataclass(frozen=True, slots=True)
class Recorded:
    """One step for `len(slots)` rows; `slots` [bucket] int64 on the device is where it reads them from."""

    slots: Tensor
    shape: Shape
    replay: Replay

    def holds(self, rows: int, shape: Shape) -> bool:
        """Whether this many rows of this shape find room in it."""
        return rows <= len(self.slots) and all(a >= b for a, b in zip(self.shape, shape, strict=True))


class Graphs:
    """The recorded steps of one model. `state` has one row more than there are slots: `spare`."""

    def __init__(self, acoustic: Capturable, state: State, spare: int, record: Record) -> None:
        self._acoustic = acoustic
        self._state = state
        self._spare = spare
        self._recorded: list[Recorded] = []
        self.failure = ""
        try:
            self._record_all(record)
        except RuntimeError as error:
            # Something that cannot be recorded, or no memory for it: the usual way is as right. Where the
            # device itself is lost, the first step will say so.
            self.failure = type(error).__name__

    @torch.inference_mode()
    def _record_all(self, record: Record) -> None:
        """The largest first: their memory then serves the smaller ones too."""
        made = []
        for bucket in reversed(buckets_of(self._spare)):
            for shape in self._acoustic.common_shapes(self._state):
                slots = torch.full((bucket,), self._spare, device=self._acoustic.device)
                self._acoustic.rewind(self._state, self._spare)
                made.append(Recorded(slots, shape, record(self._step(slots, shape))))
        self._recorded = sorted(made, key=lambda one: (len(one.slots), one.shape))

    def _step(self, slots: Tensor, shape: Shape) -> Replay:
        return lambda: self._acoustic.advance(self._state, slots, shape)

    @property
    def count(self) -> int:
        """How many steps are recorded."""
        return len(self._recorded)

    @property
    def told(self) -> str:
        """The same in words, for a log."""
        if self.failure:
            return f"none could be recorded ({self.failure}), each kernel is launched by itself"
        return f"{self.count} are recorded"

    @torch.inference_mode()
    def decode(self, rows: list[int]) -> Step | None:
        """What `AcousticModel.decode` does, or None where no recorded step holds these rows.

        The Step is overwritten by the next call.
        """
        shape = self._acoustic.shapes(self._state, rows)
        one = next((one for one in self._recorded if one.holds(len(rows), shape)), None)
        if one is None:
            return None
        missing = len(one.slots) - len(rows)
        if missing:
            self._acoustic.rewind(self._state, self._spare)
        one.slots.copy_(torch.tensor(rows + [self._spare] * missing))
        step = one.replay()
        self._acoustic.counted(self._state, rows)
        return _first(step, len(rows))


def _first(step: Step, rows: int) -> Step:
    """The Step of the first rows."""
    runaway = None if step.runaway is None else step.runaway[:rows]
    broken = None if step.broken is None else step.broken[:rows]
    return Step(step.frames[:rows], step.valid[:rows], step.stopped[:rows], runaway, broken)
