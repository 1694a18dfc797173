"""`make bench`: first audio, throughput and under-runs of the engine beside the ways people serve today."""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import ParamSpec, TypeVar

import torch
from rhapsode_server.models import registry
from rhapsode_server.models.base import Prompt, SpeechModel
from rich.console import Console

from bench import ways
from bench.figures import Heard, Row, machine, row, save, show
from bench.floor import floor
from bench.speecht5_reference import official_size, realistic
from bench.workload import prompts

P = ParamSpec("P")
T = TypeVar("T")
MEASURED_AT_MOST = 10
"""Ways that are slower than real time are measured on so many requests; more are computed from them."""


def main() -> None:
    """Run what the command line asks for."""
    asked = _arguments()
    torch.set_num_threads(asked.threads)
    console = Console()
    console.print("  ".join(f"{key} {value}" for key, value in machine().items()))
    rows: list[Row] = []
    floors: dict[str, dict[str, float]] = {}
    with tempfile.TemporaryDirectory() as folder:
        for name in asked.models:
            model, alternatives = alone(_model, name, Path(folder))
            made = _compare(name, model, alternatives, asked.streams, console)
            floors[name] = alone(_floor, model)
            rows += made
            show(f"{name}: requests that come at the same moment", made, console)
            _show_floor(name, floors[name], made, console)
    if asked.json:
        save(asked.json, rows, floors)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="bench", description=__doc__)
    parser.add_argument("--models", nargs="+", default=["ion", "speecht5"], choices=["ion", "speecht5"])
    parser.add_argument("--streams", nargs="+", type=int, default=[1, 10, 20, 50, 100])
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--json", type=Path, help="write the figures to this file, too")
    return parser.parse_args()


def _model(name: str, folder: Path) -> tuple[SpeechModel, dict[str, ways.Way]]:
    same: dict[str, ways.Way] = {
        "one after another": ways.one_after_another,
        "thread pool of 2": ways.thread_pool,
        "micro-batches of 8": ways.micro_batches,
    }
    if name == "speecht5":
        model, reference = official_size(folder)
        return model, {**reference, **same}
    return registry.load(name), same


def _compare(
    name: str, model: SpeechModel, alternatives: dict[str, ways.Way], streams: Sequence[int], console: Console
) -> list[Row]:
    made: list[Row] = []
    measured: dict[str, list[Heard]] = {}
    for count in streams:
        asked = alone(_prompts, name, model, count)
        with console.status(f"{name}: engine, {count} at once"):
            made.append(row(name, "engine", alone(ways.engine, model, asked)))
        for way, serve in alternatives.items():
            with console.status(f"{name}: {way}, {count} at once"):
                made.append(_alternative(name, way, serve, model, asked, measured))
    return made


def _prompts(name: str, model: SpeechModel, count: int) -> list[Prompt]:
    asked = prompts(model, count)
    return [realistic(prompt) for prompt in asked] if name == "speecht5" else asked


def _alternative(
    name: str,
    way: str,
    serve: ways.Way,
    model: SpeechModel,
    asked: Sequence[Prompt],
    measured: dict[str, list[Heard]],
) -> Row:
    """Measure up to MEASURED_AT_MOST requests; the work of more goes on at the same pace."""
    if len(asked) <= MEASURED_AT_MOST or name == "ion":
        measured[way] = alone(serve, model, asked)
        return row(name, way, measured[way])
    known = measured.get(way, [])
    if len(known) < MEASURED_AT_MOST:
        known = measured[way] = alone(serve, model, asked[:MEASURED_AT_MOST])
    return row(name, way, repeat(known, len(asked)), computed=True)


def alone(work: Callable[P, T], *arguments: P.args, **more: P.kwargs) -> T:
    """Do `work` on a thread of its own, which then ends, with its team of OpenMP threads.

    A team that somebody else has left behind makes the next way wait passively at every barrier; 1.6 times
    slower was measured.
    """
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(work, *arguments, **more).result()


def _floor(model: SpeechModel) -> dict[str, float]:
    return floor(model, prompts(model, 50))


def repeat(known: Sequence[Heard], count: int) -> list[Heard]:
    """What `count` requests hear where the `known` ones go round and round, one round after the other."""
    wall = max(one.finished for one in known)
    rounds = [(n // len(known) * wall, known[n % len(known)]) for n in range(count)]
    return [
        replace(one, first_audio=one.first_audio + late, finished=one.finished + late) for late, one in rounds
    ]


def _show_floor(name: str, figures: dict[str, float], made: Sequence[Row], console: Console) -> None:
    best = max((one.audio_per_second for one in made if one.way == "engine"), default=0.0)
    share = best / figures["most_audio_per_second"]
    console.print(
        f"{name}: the floor at {figures['rows']:.0f} rows is {1000 * figures['step_seconds']:.1f} ms a step "
        f"({1000 * figures['decode_per_audio_second']:.2f} ms per second of audio) and "
        f"{1000 * figures['vocoder_per_audio_second']:.2f} ms of vocoder per second of audio, so at most "
        f"{figures['most_audio_per_second']:.1f} s of audio per second; the engine reached {share:.0%}.\n"
        "(* computed from a measured round of requests that repeats)"
    )


if __name__ == "__main__":
    main()
