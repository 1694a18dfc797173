"""What is counted, under which labels, and that no text is."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest
from opentelemetry.context import Context
from rhapsode_server.telemetry import names
from rhapsode_server.telemetry.announcements import StageFailure
from rhapsode_server.telemetry.call import Call
from rhapsode_server.telemetry.metrics import Metrics

from tests.unit.telemetry.made import CANARY, Kept, report, step, unheard

ROOT = Context()


def watched(kept: Kept) -> Metrics:
    metrics = Metrics(kept.meter)
    metrics.watch("toy", lambda: SimpleNamespace(slots=8, running=3, waiting=2, filled=0.25), lambda: 0.5)
    return metrics


def test_gauges_show_what_the_engine_says_now(kept: Kept) -> None:
    watched(kept)
    shown = {
        metric: (point.value, dict(point.attributes))
        for metric in (
            *(names.SLOTS_LIMIT, names.REQUESTS_RUNNING, names.QUEUE_DEPTH, names.LAST_STEP_AGE),
            names.CACHE_FILLED,
        )
        for point in kept.points(metric.name)
    }
    assert [value for value, _ in shown.values()] == [8, 3, 2, 0.5, 0.25]
    assert all(labels == {names.LABEL_MODEL: "toy"} for _, labels in shown.values())


def test_created_voices_are_shown_as_they_are_now(kept: Kept) -> None:
    class Some:
        hits, misses, evictions, memory = 7, 2, 1, 5000

        def __len__(self) -> int:
            return 3

    watched(kept).watch_voices(Some())
    shown = {
        metric.name: [(point.value, dict(point.attributes)) for point in kept.points(metric.name)]
        for metric in (
            *(names.VOICES, names.VOICES_MEMORY, names.VOICE_HITS, names.VOICE_MISSES),
            names.VOICE_EVICTIONS,
        )
    }
    assert [value for [(value, _)] in shown.values()] == [3, 5000, 7, 2, 1]
    assert all(labels == {names.LABEL_MODEL: "toy"} for [(_, labels)] in shown.values())


def test_the_process_shows_itself(kept: Kept) -> None:
    watched(kept)
    assert kept.value(names.PROCESS_MEMORY.name) > 10_000_000
    assert kept.value(names.PROCESS_CPU.name) > 0
    assert kept.value(names.PROCESS_FILES.name) >= 3
    assert kept.value(names.PROCESS_THREADS.name) >= 1


def test_sound_for_nobody_is_counted_by_its_kind(kept: Kept) -> None:
    metrics = watched(kept)
    metrics.utterance(report(), ROOT)
    assert not kept.points(names.AUDIO_WASTED.name), "what was heard is no waste"
    metrics.utterance(replace(report(), unsent=1_600, unheard=8_000), ROOT)
    wasted = {p.attributes[names.LABEL_WASTE]: p.value for p in kept.points(names.AUDIO_WASTED.name)}
    assert wasted == {names.UNSENT: pytest.approx(0.1), names.UNHEARD: pytest.approx(0.5)}


def test_the_engines_time_is_added_up_by_phase(kept: Kept) -> None:
    metrics = watched(kept)
    for number in (1, 2):
        metrics.step(replace(step(number, 4), busy=(0.001, 0.0, 0.009)))
    assert not kept.points(names.ENGINE_BUSY.name), "handed over when there is time"
    metrics.tally()
    metrics.tally()
    busy = {p.attributes[names.LABEL_PHASE]: p.value for p in kept.points(names.ENGINE_BUSY.name)}
    assert busy == {"vocode": pytest.approx(0.002), "decode": pytest.approx(0.018)}


def test_an_utterance_is_counted_in_full(kept: Kept) -> None:
    metrics = watched(kept)
    metrics.utterance(report(), ROOT)
    assert kept.value(names.AUDIO_DURATION.name) == 1.0
    assert kept.value(names.TEXT_CHARACTERS.name) == len(CANARY)
    assert kept.value(names.RTF.name) == pytest.approx(0.3)
    assert kept.value(names.QUEUE_DURATION.name) == pytest.approx(0.01)
    assert kept.value(names.FIRST_AUDIO.name) == pytest.approx(0.07)


def test_the_first_utterance_of_a_process_is_marked_cold(kept: Kept) -> None:
    metrics = watched(kept)
    metrics.utterance(unheard(), ROOT)
    metrics.utterance(report(), ROOT)
    metrics.utterance(report(), ROOT)
    assert {
        (point.attributes[names.LABEL_COLD], point.count) for point in kept.points(names.FIRST_AUDIO.name)
    } == {(True, 1), (False, 1)}


def test_an_utterance_without_sound_has_no_factor_and_no_first_sound(kept: Kept) -> None:
    metrics = watched(kept)
    metrics.utterance(unheard(), ROOT)
    assert not kept.points(names.RTF.name)
    assert not kept.points(names.FIRST_AUDIO.name)
    assert not kept.points(names.QUEUE_DURATION.name)


def test_a_step_counts_each_phase_that_had_rows(kept: Kept) -> None:
    metrics = watched(kept)
    metrics.step(step(1, 4, 5, 6))
    phases = {p.attributes[names.LABEL_PHASE]: p.sum for p in kept.points(names.STEP_BATCH.name)}
    assert phases == {"decode": 3, "vocode": 1}
    assert kept.value(names.STEP_DURATION.name) == pytest.approx(0.01)


@pytest.mark.parametrize(
    ("error", "metric"),
    [("OutOfMemoryError", names.OUT_OF_MEMORY), ("NonFiniteError", names.NONFINITE), ("ValueError", None)],
)
def test_failures_are_told_apart(kept: Kept, error: str, metric: names.Metric | None) -> None:
    metrics = watched(kept)
    metrics.failed(StageFailure("decode", error, 2))
    assert kept.value(names.STAGE_FAILED.name) == 2
    special = [each for each in (names.OUT_OF_MEMORY, names.NONFINITE) if kept.points(each.name)]
    assert special == ([metric] if metric else [])


def test_gaps_and_underruns_of_an_utterance_are_recorded_at_its_end(kept: Kept) -> None:
    watched(kept).utterance(replace(report(), gaps=(0.1, 0.2), underruns=2), ROOT)
    assert kept.value(names.CHUNK_GAP.name) == pytest.approx(0.3)
    assert kept.value(names.UNDERRUN.name) == 2


def test_what_was_lost_is_counted_once(kept: Kept) -> None:
    metrics = watched(kept)
    for total in (0, 3, 3, 5):
        metrics.lost(total)
    assert kept.value(names.OBSERVATIONS_LOST.name) == 5


@pytest.mark.parametrize("metric", names.HISTOGRAMS, ids=lambda metric: metric.name)
def test_buckets_are_those_of_the_table(kept: Kept, metric: names.Metric) -> None:
    metrics = watched(kept)
    metrics.utterance(replace(report(), gaps=(0.1,)), ROOT)
    metrics.step(step(1, 4))
    metrics.call(Call("m", 0.0, 0, ROOT, True), "OK", "", 1.0, ROOT)
    for point in kept.points(metric.name):
        assert point.explicit_bounds == metric.buckets
    assert kept.points(metric.name)


def test_the_table_has_each_name_once_with_a_unit_and_rising_buckets() -> None:
    assert len({metric.name for metric in names.METRICS}) == len(names.METRICS)
    for metric in names.METRICS:
        assert metric.unit
        assert metric.meaning.endswith(".")
        assert list(metric.buckets) == sorted(set(metric.buckets))
        assert bool(metric.buckets) == (metric in names.HISTOGRAMS)


def test_the_page_has_every_metric_and_no_other() -> None:
    page = (Path(__file__).parents[3] / "docs" / "telemetry.md").read_text()
    rows = re.findall(r"^\| `([\w.]+)` \| ([\w/]+) \| .* \| (.*) \|$", page, re.MULTILINE)
    assert rows == [(metric.name, metric.unit.strip("{}"), metric.meaning) for metric in names.METRICS]
