"""R17: a collector that is dead, or takes connections and never reads, is nobody's problem but its own."""

from __future__ import annotations

import asyncio
from pathlib import Path
from statistics import median
from typing import Any

import pytest

from tests.integration.collector import dead, deaf
from tests.integration.test_telemetry import clean, exporting
from tests.reliability.conftest import Callers, asking
from tests.support.process import serving

__all__ = ["clean"]

pytestmark = pytest.mark.filterwarnings("ignore::ResourceWarning:opentelemetry.*")
SMALL = {
    "OTEL_BSP_SCHEDULE_DELAY": "20",
    "OTEL_BSP_MAX_QUEUE_SIZE": "64",
    "OTEL_BSP_MAX_EXPORT_BATCH_SIZE": "16",
    "OTEL_METRIC_EXPORT_INTERVAL": "100",
}


@pytest.mark.parametrize("place", [dead, deaf])
async def test_r17_a_collector_that_is_gone_costs_no_call(
    place: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """R17. Pass: every call is served in full, what cannot be sent is dropped, the end takes <= 5 s."""
    for name, value in SMALL.items():
        monkeypatch.setenv(name, value)
    with place() as address:
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", address)
        async with exporting() as running:
            spoken = [await running.speak("Hello there.", seed=n) for n in range(40)]
            assert all(messages[-1].done.usage.delivered_samples for messages in spoken)
            loop = asyncio.get_running_loop()
            began = loop.time()
            assert await running.telemetry.shutdown(1.0) is False, "it says that not all was delivered"
            assert loop.time() - began < 5


@pytest.mark.slow
def test_r17_first_audio_does_not_notice(tmp_path: Path, quiet: None) -> None:
    """R17. Pass: no effect on the time to first audio: medians of paired rounds within 10 %; memory flat."""
    with deaf() as address:
        gone = {"OTEL_EXPORTER_OTLP_ENDPOINT": address, **SMALL}
        step = ("--set", "model.options.step_seconds=0.002")
        with serving(tmp_path, *step) as plain, serving(tmp_path, *step, environ=gone) as told:
            first: dict[str, list[float]] = {plain.target: [], told.target: []}
            before = 0
            for turn in range(20):
                for server in (plain, told) if turn % 2 else (told, plain):
                    callers = Callers(server.target, 4)
                    answers = callers.all(asking(20))
                    callers.close()
                    first[server.target].append(median(answer.first or 1e9 for answer in answers))
                before = before or told.resident()
            ratios = [b / a for a, b in zip(first[plain.target], first[told.target], strict=True)]
            assert median(ratios) <= 1.1
            assert told.resident() - before < 10_000_000
