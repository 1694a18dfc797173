"""Where plans meet tensors: the only place that holds frames and moves data between host and device.

What must not live here: a decision about whose turn it is (scheduler), a thread (engine), a family.

A stage that raises is tried again on halves of its rows until the guilty ones stand alone; they leave
as failures and the others never notice. An error that speaks of the device itself is not bisected: the
state can no longer be trusted (DeviceLost), and the engine ends.
"""

from __future__ import annotations

from collections.abc import Callable
from collections.abc import Sequence as Many
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from rhapsode_server.core import Window, WordTime
from rhapsode_server.engine.graphs import Capturable, Graphs, Record, recorder_for
from rhapsode_server.engine.memory import room_for
from rhapsode_server.engine.plan import Outcome, Plan
from rhapsode_server.engine.sequence import Sequence
from rhapsode_server.models.base import (
    Addition,
    Aligned,
    Feedable,
    Primed,
    Prompt,
    SpeechModel,
    Step,
)

Wave = NDArray[np.float32]
X = TypeVar("X")
Work = tuple[Sequence, X]
"""One row of a stage: the sequence and what the stage needs beside it."""


class DeviceLost(Exception):
    """The accelerator is in a state in which nothing it computes can be trusted."""


@dataclass(frozen=True, slots=True)
class Failure:
    """Rows that a stage could not serve, and the type of the error (never its text)."""

    stage: str
    error_type: str
    sequences: tuple[Sequence, ...]


class Runner:
    """Executes plans on one model with `slots` rows. One thread at a time may use it: the one that made it,
    which is then also the one whose `threads` share a matrix product (0: as many as torch has been told).
    Raises ConfigError where there is no memory for the rows.
    """

    def __init__(
        self, model: SpeechModel, slots: int, threads: int = 0, record: Record | None = None
    ) -> None:
        if threads:
            torch.set_num_threads(threads)
        self.model = model
        self.failures: list[Failure] = []
        record = record or recorder_for(model.acoustic)
        self.graphs: Graphs | None = None
        with room_for(model, slots):
            self._acoustic_state = model.acoustic.new_state(slots + (record is not None))
            self._vocoder_state = model.vocoder.new_state(slots)
            if record is not None and isinstance(model.acoustic, Capturable):
                self.graphs = Graphs(model.acoustic, self._acoustic_state, slots, record)
        self._frames: Tensor | None = None
        self._slots = slots
        self._aligned = model.acoustic if isinstance(model.acoustic, Aligned) else None
        self._feedable = model.acoustic if isinstance(model.acoustic, Feedable) else None

    # ---- stages, in the order of a step

    @torch.inference_mode()
    def vocode(self, work: Many[tuple[Sequence, Window]]) -> dict[Sequence, Wave]:
        """Sound of the planned windows, float32 [wanted * samples_per_frame] each, on the host."""
        waves: dict[Sequence, Wave] = {}
        silent = [(seq, window) for seq, window in work if window.stop == window.start]
        waves.update((seq, np.zeros(0, np.float32)) for seq, _ in silent)
        spoken = [(seq, window) for seq, window in work if window.stop > window.start]
        self._bisect("vocode", spoken, lambda part: waves.update(self._vocode(part)))
        broken = [seq for seq, wave in waves.items() if not np.isfinite(wave).all()]
        self._fail("vocode", "NonFinite", broken)
        return {seq: wave for seq, wave in waves.items() if seq not in broken}

    @torch.inference_mode()
    def prefill(self, work: Many[tuple[Sequence, Prompt]]) -> None:
        """Fill the rows of newly admitted sequences."""
        self._bisect("prefill", list(work), self._prefill)

    @torch.inference_mode()
    def feed(self, seq: Sequence, addition: Addition) -> bool:
        """Let a row in flight take more text; False where it could not, which fails this sequence alone."""
        self._bisect("feed", [(seq, addition)], self._feed)
        return seq not in self.failed

    @torch.inference_mode()
    def decode(self, plan: Plan) -> Outcome:
        """One frame more for each row of `plan.decode` that has not failed in this step."""
        failed = self.failed
        rows: dict[Sequence, tuple[bool, bool, bool]] = {}
        todo = [seq for seq in plan.decode if seq not in failed]
        self._bisect("decode", [(seq, None) for seq in todo], lambda part: rows.update(self._decode(part)))
        flags = [rows.get(seq, (False, False, False)) for seq in plan.decode]
        valid, stopped, runaway = zip(*flags, strict=True) if flags else ((), (), ())
        return Outcome(valid, stopped, runaway, frozenset(self.failed))

    @property
    def failed(self) -> set[Sequence]:
        """Sequences that failed since the last `take_failures`."""
        return {seq for failure in self.failures for seq in failure.sequences}

    def take_failures(self) -> list[Failure]:
        """The failures of this step; the list is empty afterwards."""
        failures, self.failures = self.failures, []
        return failures

    def words(self, seq: Sequence, known: int) -> tuple[WordTime, ...]:
        """Word times of this row beyond the first `known`; empty where the family has no alignment."""
        if self._aligned is None or seq.slot is None:
            return ()
        return tuple(self._aligned.word_times(self._acoustic_state, seq.slot)[known:])

    # ---- one stage on some of its rows

    def _vocode(self, part: Many[tuple[Sequence, Window]]) -> dict[Sequence, Wave]:
        windows = [window for _, window in part]
        slots = [seq.row for seq, _ in part]
        store = self._store()
        frames = [store[seq.row, window.start : window.stop] for seq, window in part]
        tensors = self.model.vocoder.vocode(self._vocoder_state, slots, frames, windows)
        whole = torch.cat(tensors).float().cpu().numpy()
        ends = np.cumsum([len(tensor) for tensor in tensors])[:-1]
        return {seq: wave for (seq, _), wave in zip(part, np.split(whole, ends), strict=True)}

    def _prefill(self, part: Many[tuple[Sequence, Prompt]]) -> None:
        slots, prompts = [seq.row for seq, _ in part], [prompt for _, prompt in part]
        self.model.vocoder.reset(self._vocoder_state, slots)
        if isinstance(self.model.vocoder, Primed):
            self.model.vocoder.prime(self._vocoder_state, slots, prompts)
        self.model.acoustic.prefill(self._acoustic_state, slots, prompts)

    def _feed(self, part: Many[Work[Addition]]) -> None:
        for seq, addition in part:
            if self._feedable is None or addition.max_frames > seq.max_frames:
                raise ValueError("text for a row that takes none, or more than its prompt has room for")
            self._feedable.feed(self._acoustic_state, seq.row, addition)

    def _decode(self, part: Many[Work[None]]) -> dict[Sequence, tuple[bool, bool, bool]]:
        sequences = [seq for seq, _ in part]
        slots = torch.tensor([seq.row for seq in sequences])
        step = self.graphs.decode(slots.tolist()) if self.graphs else None
        if step is None:
            step = self.model.acoustic.decode(self._acoustic_state, slots)
        made = torch.tensor([seq.made for seq in sequences])
        store = self._store(int(made.max()) + 1, step.frames)
        # A frame that is not valid is overwritten by the next one, so no mask is needed here.
        store[slots.to(store.device), made.to(store.device)] = step.frames
        flags = self._flags(step)
        rows = dict(zip(sequences, flags, strict=True))
        self._fail("decode", "NonFinite", [seq for seq, row in rows.items() if not row[3]])
        return {seq: row[:3] for seq, row in rows.items()}

    @staticmethod
    def _flags(step: Step) -> list[tuple[bool, bool, bool, bool]]:
        """valid, stopped, runaway and finite of each row, in one copy to the host."""
        lost = torch.zeros_like(step.stopped) if step.runaway is None else step.runaway
        finite = torch.isfinite(step.frames).flatten(1).all(1).to(step.stopped.device)
        if step.broken is not None:
            finite = finite & ~step.broken
        columns = torch.stack([step.valid, step.stopped, lost, finite], 1).cpu().tolist()
        return [(bool(a), bool(b), bool(c), bool(d)) for a, b, c, d in columns]

    def _store(self, length: int = 0, like: Tensor | None = None) -> Tensor:
        """Frames of all rows [slots, capacity, *frame_shape], doubled when a row outgrows it."""
        store = self._frames
        if store is not None and store.shape[1] >= length:
            return store
        if like is None:
            raise AssertionError("a window was planned before any frame was made")
        capacity = max(64, 2 * length)
        grown = like.new_zeros((self._slots, capacity, *like.shape[1:]))
        if store is not None:
            grown[:, : store.shape[1]] = store
        self._frames = grown
        return grown

    # ---- failure

    def _bisect(self, stage: str, part: list[Work[X]], run: Callable[[list[Work[X]]], object]) -> None:
        if not part:
            return
        try:
            run(part)
        except Exception as error:
            if isinstance(error, torch.AcceleratorError):
                raise DeviceLost(type(error).__name__) from error
            self._split(stage, part, run, error)

    def _split(
        self, stage: str, part: list[Work[X]], run: Callable[[list[Work[X]]], object], error: Exception
    ) -> None:
        """Fail the one row, or try the halves; out of memory, the halves also are the way to recover."""
        if isinstance(error, torch.OutOfMemoryError):
            torch.cuda.empty_cache()
        if len(part) == 1:
            self._fail(stage, type(error).__name__, [part[0][0]])
            return
        middle = len(part) // 2
        self._bisect(stage, part[:middle], run)
        self._bisect(stage, part[middle:], run)

    def _fail(self, stage: str, error_type: str, sequences: list[Sequence]) -> None:
        if sequences:
            self.failures.append(Failure(stage, error_type, tuple(sequences)))
