"""The metrics of names.py as instruments, and what is recorded when.

Everything here runs on the event loop or in a reader's callback, never on the engine thread: a record costs
about 13 microseconds. What must not live here: a name, a bucket, a span.
"""

from __future__ import annotations

import os
import resource
import threading
import time
from collections.abc import Callable, Iterable
from typing import Protocol

from opentelemetry.context import Context
from opentelemetry.metrics import CallbackOptions, Counter, Histogram, Meter, Observation

from rhapsode_server.engine.observer import StepEvent
from rhapsode_server.synthesizer.events import PieceRecord, Report
from rhapsode_server.telemetry import names
from rhapsode_server.telemetry.announcements import StageFailure
from rhapsode_server.telemetry.call import Call
from rhapsode_server.telemetry.names import Metric


class Load(Protocol):
    """engine.engine.Load, as far as it is shown."""

    @property
    def slots(self) -> int:
        """Slots there are."""

    @property
    def running(self) -> int:
        """Slots that are held."""

    @property
    def waiting(self) -> int:
        """Requests without a slot."""

    @property
    def filled(self) -> float:
        """Share of the cache's positions."""


class CreatedVoices(Protocol):
    """voices.created.Created, as far as it is shown."""

    @property
    def hits(self) -> int:
        """Uses so far."""

    @property
    def misses(self) -> int:
        """Requests so far for what is not there."""

    @property
    def evictions(self) -> int:
        """Voices given up so far."""

    @property
    def memory(self) -> int:
        """Bytes."""

    def __len__(self) -> int:
        """Voices kept."""


class Metrics:
    """All instruments of one process."""

    def __init__(self, meter: Meter) -> None:
        self._meter = meter
        self._name("")
        self._histograms: dict[Metric, Histogram] = {each: self._histogram(each) for each in names.HISTOGRAMS}
        self._counters: dict[Metric, Counter] = {each: self._counter(each) for each in names.COUNTERS}
        self._busy = [0.0] * len(names.PHASES)
        self._cold = True
        self._lost = 0

    def watch(self, model: str, load: Callable[[], Load], heartbeat_age: Callable[[], float]) -> None:
        """Show the engine's load and pulse, and this process, whenever a reader looks. Call it once.

        `model` is the name that labels everything from now on.
        """
        self._name(model)
        self._gauge(names.QUEUE_DEPTH, lambda: load().waiting)
        self._gauge(names.REQUESTS_RUNNING, lambda: load().running)
        self._gauge(names.SLOTS_LIMIT, lambda: load().slots)
        self._gauge(names.CACHE_FILLED, lambda: load().filled)
        self._gauge(names.LAST_STEP_AGE, heartbeat_age)
        self._gauge(names.PROCESS_MEMORY, _resident_bytes, of_process=True)
        self._gauge(names.PROCESS_FILES, _open_files, of_process=True)
        self._gauge(names.PROCESS_THREADS, threading.active_count, of_process=True)
        self._observed_counter(names.PROCESS_CPU, time.process_time, {})

    def watch_voices(self, created: CreatedVoices) -> None:
        """Show the voices that callers have made, whenever a reader looks. Call it once, after `watch`."""
        self._gauge(names.VOICES, lambda: len(created))
        self._gauge(names.VOICES_MEMORY, lambda: created.memory)
        self._observed_counter(names.VOICE_HITS, lambda: created.hits, self._label)
        self._observed_counter(names.VOICE_MISSES, lambda: created.misses, self._label)
        self._observed_counter(names.VOICE_EVICTIONS, lambda: created.evictions, self._label)

    def step(self, event: StepEvent) -> None:
        """One step: how long, and how many rows in each phase."""
        self._histograms[names.STEP_DURATION].record(event.ended - event.started, self._label)
        self._busy = [sum(pair) for pair in zip(self._busy, event.busy, strict=True)]
        rows_of_phases = (event.vocoded, event.prefilled, event.decoded)
        for labels, rows in zip(self._phase_labels, rows_of_phases, strict=True):
            if rows:
                self._histograms[names.STEP_BATCH].record(rows, labels)

    def failed(self, failure: StageFailure) -> None:
        """A stage has failed rows; memory and not-a-number have counters of their own."""
        stage = {names.LABEL_STAGE: failure.stage}
        kind = failure.error_type.lower()
        self._counters[names.STAGE_FAILED].add(
            failure.sequences, {**stage, names.ERROR_TYPE: failure.error_type}
        )
        if "outofmemory" in kind:
            self._counters[names.OUT_OF_MEMORY].add(1, stage)
        if "nonfinite" in kind or "floatingpoint" in kind:
            self._counters[names.NONFINITE].add(failure.sequences, stage)

    def tally(self) -> None:
        """Hand over what steps have added up; often enough is enough, and cheaper than with each step."""
        for labels, seconds in zip(self._phase_labels, self._busy, strict=True):
            if seconds:
                self._counters[names.ENGINE_BUSY].add(seconds, labels)
        self._busy = [0.0] * len(names.PHASES)

    def lost(self, total: int) -> None:
        """Announcements lost so far."""
        if total > self._lost:
            self._counters[names.OBSERVATIONS_LOST].add(total - self._lost)
            self._lost = total

    def utterance(self, report: Report, context: Context) -> None:
        """One utterance that was let in; `context` lets histograms point at its trace."""
        usage, timings = report.done.usage, report.done.timings
        seconds = audio_seconds(report)
        self._counters[names.AUDIO_DURATION].add(seconds, self._label, context)
        self._counters[names.TEXT_CHARACTERS].add(usage.characters, self._label, context)
        for waste, samples in ((names.UNSENT, report.unsent), (names.UNHEARD, report.unheard)):
            if samples:
                wasted = samples / report.audio.sample_rate
                self._counters[names.AUDIO_WASTED].add(
                    wasted, {names.LABEL_WASTE: waste, **self._label}, context
                )
        if timings.first_audio is not None:
            self._first_audio(report, timings.first_audio, context)
        for gap in report.gaps:
            self._histograms[names.CHUNK_GAP].record(gap, self._label, context)
        if report.underruns:
            self._counters[names.UNDERRUN].add(report.underruns, self._label, context)
        factor = real_time_factor(report)
        if factor is not None:
            self._histograms[names.RTF].record(factor, self._label, context)
        for piece in report.pieces[:1]:  # the others are made while somebody listens to it
            self._queued(piece, report, context)

    def call(self, call: Call, status: str, error_type: str, seconds: float, context: Context) -> None:
        """One RPC that has ended."""
        labels = {names.RPC_METHOD: call.method, names.RPC_STATUS: status, names.RPC_SYSTEM: names.GRPC}
        if error_type:
            labels[names.ERROR_TYPE] = error_type
        self._histograms[names.RPC_DURATION].record(seconds, labels, context)

    def rejected(self, reason: str) -> None:
        """A request was refused before any sound; `reason` is a word of errors.py."""
        self._counters[names.REJECTED].add(1, {names.LABEL_REASON: reason.lower()})

    def context(self, how: str) -> None:
        """A context of a session has ended; `how` is a close reason of outcome.py."""
        self._counters[names.CONTEXTS].add(1, {names.LABEL_OUTCOME: how})

    # ---- parts

    def _name(self, model: str) -> None:
        self._label = {names.LABEL_MODEL: model}
        self._phase_labels = [{names.LABEL_PHASE: phase, **self._label} for phase in names.PHASES]

    def _first_audio(self, report: Report, seconds: float, context: Context) -> None:
        labels: dict[str, str | bool] = {
            names.LABEL_VOICE_KIND: report.voice.labels.get("kind", "named"),
            names.LABEL_COLD: self._cold,
            **self._label,
        }
        self._cold = False
        self._histograms[names.FIRST_AUDIO].record(seconds, labels, context)

    def _queued(self, piece: PieceRecord, report: Report, context: Context) -> None:
        if piece.stamps.admitted is not None:
            waited = piece.stamps.admitted - piece.stamps.submitted
            labels = {names.LABEL_PRIORITY: report.request.priority.name.lower()}
            self._histograms[names.QUEUE_DURATION].record(waited, labels, context)

    def _histogram(self, metric: Metric) -> Histogram:
        return self._meter.create_histogram(
            metric.name,
            metric.unit,
            metric.meaning,
            explicit_bucket_boundaries_advisory=list(metric.buckets),
        )

    def _counter(self, metric: Metric) -> Counter:
        return self._meter.create_counter(metric.name, metric.unit, metric.meaning)

    def _observed_counter(self, metric: Metric, read: Callable[[], float], labels: dict[str, str]) -> None:
        callbacks = [_observe(read, labels)]
        self._meter.create_observable_counter(metric.name, callbacks, metric.unit, metric.meaning)

    def _gauge(self, metric: Metric, read: Callable[[], float], *, of_process: bool = False) -> None:
        callbacks = [_observe(read, {} if of_process else self._label)]
        self._meter.create_observable_gauge(metric.name, callbacks, metric.unit, metric.meaning)


def audio_seconds(report: Report) -> float:
    """Seconds of sound delivered."""
    return report.done.usage.delivered / report.audio.sample_rate


def real_time_factor(report: Report) -> float | None:
    """Seconds of the engine's steps for each second of sound; None without sound.

    Steps serve many at once and count in full for each, so below 1 a listener's sound is always made
    in time, whatever the batch.
    """
    timings, usage = report.done.timings, report.done.usage
    if not usage.generated:
        return None
    busy = timings.prefill + timings.decode + timings.vocode
    return busy * report.audio.sample_rate / usage.generated


def _observe(
    read: Callable[[], float], labels: dict[str, str]
) -> Callable[[CallbackOptions], Iterable[Observation]]:
    def callback(_options: CallbackOptions) -> Iterable[Observation]:
        return [Observation(read(), labels)]

    return callback


def _open_files() -> int:
    """Descriptors of this process; 0 where /proc is not to be had."""
    try:
        return len(os.listdir("/proc/self/fd"))
    except OSError:
        return 0


def _resident_bytes() -> int:
    """Resident memory now; where /proc is not to be had, the most there has been (in KiB)."""
    try:
        with open("/proc/self/statm", encoding="ascii") as statm:
            return int(statm.read().split()[1]) * resource.getpagesize()
    except OSError:
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
