"""What is measured of a run, and how it is shown: one row per (way, streams), as a table and as JSON."""

from __future__ import annotations

import json
import platform
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
from rich.console import Console
from rich.table import Table


@dataclass(frozen=True)
class Heard:
    """What one listener got: seconds from his request to first sound and to the end, seconds of audio.

    `gaps` counts the times that the sound ran dry after it had begun, `silence` their seconds in all.
    """

    first_audio: float
    finished: float
    audio: float
    gaps: int = 0
    silence: float = 0.0


@dataclass(frozen=True)
class Row:
    """One way of serving `streams` requests that came at the same moment."""

    model: str
    way: str
    streams: int
    first_audio_p50: float
    first_audio_p95: float
    audio_per_second: float
    under_runs: int
    streams_with_under_runs: int
    computed: bool = False


def percentile(values: Sequence[float], share: float) -> float:
    """The smallest value that at least `share` of all values do not exceed (nearest rank)."""
    ordered = sorted(values)
    rank = max(1, -(-len(ordered) * round(share * 100) // 100))
    return ordered[rank - 1]


def row(model: str, way: str, heard: Sequence[Heard], computed: bool = False) -> Row:
    """Sum up all listeners of one run."""
    first = [one.first_audio for one in heard]
    wall = max(one.finished for one in heard)
    return Row(
        model=model,
        way=way,
        streams=len(heard),
        first_audio_p50=percentile(first, 0.5),
        first_audio_p95=percentile(first, 0.95),
        audio_per_second=sum(one.audio for one in heard) / wall,
        under_runs=sum(one.gaps for one in heard),
        streams_with_under_runs=sum(one.gaps > 0 for one in heard),
        computed=computed,
    )


def show(title: str, rows: Sequence[Row], console: Console) -> None:
    """Print one table: first audio, seconds of audio per second, under-runs and the streams that had any."""
    table = Table(title=title, title_justify="left")
    table.add_column("at once", justify="right", no_wrap=True)
    table.add_column("way", no_wrap=True)
    for head in ("first p50", "p95", "audio s/s", "dry (of)"):
        table.add_column(head, justify="right", no_wrap=True)
    for streams in sorted({one.streams for one in rows}):
        for one in (one for one in rows if one.streams == streams):
            table.add_row(
                str(one.streams),
                one.way + (" *" if one.computed else ""),
                _milliseconds(one.first_audio_p50),
                _milliseconds(one.first_audio_p95),
                f"{one.audio_per_second:.2f}",
                f"{one.under_runs} ({one.streams_with_under_runs})",
            )
        table.add_section()
    console.print(table)


def _milliseconds(seconds: float) -> str:
    return f"{1000 * seconds:,.0f} ms"


def machine() -> dict[str, str | int]:
    """Where the figures come from."""
    cpu = next(
        (line.split(":")[1].strip() for line in _lines("/proc/cpuinfo") if line.startswith("model name")), ""
    )
    return {
        "processor": cpu or platform.processor(),
        "threads": torch.get_num_threads(),
        "torch": torch.__version__,
        "python": platform.python_version(),
        "device": torch.cuda.get_device_name() if torch.cuda.is_available() else "cpu",
    }


def _lines(path: str) -> list[str]:
    try:
        return Path(path).read_text().splitlines()
    except OSError:
        return []


def save(path: Path, rows: Sequence[Row], floors: dict[str, dict[str, float]]) -> None:
    """Write what was printed for a program to read."""
    whole = {"machine": machine(), "rows": [asdict(one) for one in rows], "floors": floors}
    path.write_text(json.dumps(whole, indent=2) + "\n")
