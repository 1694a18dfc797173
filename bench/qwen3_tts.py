"""Qwen3-TTS at full size, random weights: `python -m bench.qwen3_tts`.

On a GPU: first audio and real-time factor of the whole engine for so many streams at once and so many
requests a second. Without one: a decode step against the time that memory needs to deliver its weights, and
how many kernels a frame launches, because those two bound every device. A random checkpoint of the geometry
is written first, unless a folder with one (or a released one) is given.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import random
import statistics
import tempfile
import time
from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from rhapsode_server.core import Window
from rhapsode_server.engine.engine import Engine
from rhapsode_server.engine.worker import EngineSettings
from rhapsode_server.models import qwen3_tts
from rhapsode_server.models.base import Prompt, SpeechModel
from rhapsode_server.models.qwen3_tts.frontend import QwenPrompt
from rhapsode_server.models.qwen3_tts.geometry import GEOMETRIES, Geometry
from rhapsode_server.models.qwen3_tts.inventory import main_tensors
from rhapsode_server.models.qwen3_tts.random_checkpoint import write_checkpoint
from rich.console import Console
from rich.table import Table
from torch.nn.functional import rms_norm
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode

from bench.figures import Heard, machine, percentile
from bench.ways import _listen as listen
from bench.workload import SENTENCES
from bench.workload import prompts as workload

FRAMES_PER_CHARACTER = 12.5 / 14
"""A random checkpoint does not know when a sentence is over: it is cut where an unhurried reader would be."""
STREAMS = (1, 3, 6, 16, 32, 64)
RATES = (5.0, 10.0, 20.0)
ROWS = (1, 4, 16)


def main() -> None:
    """Run what fits the machine, or what the command line asks for."""
    asked = _arguments()
    torch.set_num_threads(asked.threads)
    console = Console()
    console.print("  ".join(f"{key} {value}" for key, value in machine().items()))
    scratch = nullcontext(asked.checkpoint) if asked.checkpoint else tempfile.TemporaryDirectory()
    with scratch as folder:
        if not asked.checkpoint:
            write_checkpoint(Path(folder), GEOMETRIES[asked.geometry], "custom_voice", half=True)
        model = qwen3_tts.load(str(folder), device=asked.device, positions=1024)
    report = _steps(model, asked, console) if asked.device == "cpu" else _serve(model, asked, console)
    if asked.json:
        asked.json.write_text(
            json.dumps({"machine": machine(), "geometry": asked.geometry, **report}, indent=2)
        )


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="bench.qwen3_tts", description=__doc__)
    parser.add_argument("--geometry", choices=["0.6b", "1.7b", "tiny"], default="0.6b")
    parser.add_argument(
        "--checkpoint", type=Path, help="a folder with preset voices, instead of a random one"
    )
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--streams", nargs="+", type=int, default=STREAMS)
    parser.add_argument("--rates", nargs="+", type=float, default=RATES, help="requests per second")
    parser.add_argument("--seconds", type=float, default=20.0, help="how long requests keep coming")
    parser.add_argument("--rows", nargs="+", type=int, default=ROWS)
    parser.add_argument("--steps", type=int, default=5)
    parser.add_argument("--json", type=Path, help="write the figures to this file, too")
    return parser.parse_args()


def prompts(model: SpeechModel, count: int) -> list[Prompt]:
    """Sentences of a voice agent, each as many frames as it would take to say."""
    made = []
    for number, prompt in enumerate(workload(model, count)):
        assert isinstance(prompt, QwenPrompt)
        made.append(prompt.bounded(round(len(SENTENCES[number % len(SENTENCES)]) * FRAMES_PER_CHARACTER)))
    return list(made)


# ---- the engine, on a device that can keep up


@dataclass(frozen=True)
class Load:
    """One load: seconds to first audio, seconds of work per second of sound, and where sound ran dry."""

    name: str
    first_audio_p50: float
    first_audio_p95: float
    real_time_factor: float
    audio_per_second: float
    under_runs: int


def _serve(model: SpeechModel, asked: argparse.Namespace, console: Console) -> dict[str, Any]:
    loads = [asyncio.run(_at_once(model, streams)) for streams in asked.streams]
    loads += [asyncio.run(_arriving(model, rate, asked.seconds)) for rate in asked.rates]
    table = Table(title=f"Qwen3-TTS {asked.geometry}", title_justify="left")
    for head in ("load", "first audio p50", "p95", "real-time factor", "audio s per s", "under-runs"):
        table.add_column(head, justify="right")
    for one in loads:
        first = (f"{1000 * seconds:.0f} ms" for seconds in (one.first_audio_p50, one.first_audio_p95))
        rest = (f"{one.real_time_factor:.3f}", f"{one.audio_per_second:.1f}", str(one.under_runs))
        table.add_row(one.name, *first, *rest)
    console.print(table)
    return {"loads": [vars(one) for one in loads]}


async def _at_once(model: SpeechModel, streams: int) -> Load:
    """All requests at the same moment."""
    heard, wall = await _run(model, prompts(model, streams), [0.0] * streams)
    return _summed(f"{streams} streams", heard, wall)


async def _arriving(model: SpeechModel, rate: float, seconds: float) -> Load:
    """Requests that come at random, `rate` a second on average."""
    dice, at = random.Random(0), [0.0]
    while at[-1] < seconds:
        at.append(at[-1] + dice.expovariate(rate))
    heard, wall = await _run(model, prompts(model, len(at)), at)
    return _summed(f"{rate:g} requests/s", heard, wall)


async def _run(model: SpeechModel, work: Sequence[Prompt], at: Sequence[float]) -> tuple[list[Heard], float]:
    engine = Engine(model, EngineSettings(slots=64, max_waiting=len(work)))
    engine.start()
    try:
        await listen(engine.submit(work[0]), time.perf_counter(), model.sample_rate)  # warm
        began = time.perf_counter()
        heard = await asyncio.gather(
            *(_one(engine, prompt, began, delay) for prompt, delay in zip(work, at, strict=True))
        )
        return list(heard), time.perf_counter() - began
    finally:
        await asyncio.to_thread(engine.stop)


async def _one(engine: Engine, prompt: Prompt, began: float, delay: float) -> Heard:
    await asyncio.sleep(max(0.0, began + delay - time.perf_counter()))
    return await listen(engine.submit(prompt), time.perf_counter(), engine.model.sample_rate)


def _summed(name: str, heard: Sequence[Heard], wall: float) -> Load:
    first = [one.first_audio for one in heard]
    return Load(
        name=name,
        first_audio_p50=percentile(first, 0.5),
        first_audio_p95=percentile(first, 0.95),
        real_time_factor=statistics.mean(one.finished / one.audio for one in heard),
        audio_per_second=sum(one.audio for one in heard) / wall,
        under_runs=sum(one.gaps for one in heard),
    )


# ---- one step, on any device


def _steps(model: SpeechModel, asked: argparse.Namespace, console: Console) -> dict[str, Any]:
    bandwidth = read_bandwidth()
    element = 2 if model.details["dtype"] == "bfloat16" else 4
    weights = element * weights_per_step(GEOMETRIES[asked.geometry])
    launches = launches_per_frame(model)
    console.print(
        f"{asked.geometry}, {model.details['dtype']}: {weights / 1e9:.2f} GB of weights per step; memory"
        f" delivers {bandwidth / 1e9:.1f} GB/s to {asked.threads} thread(s); {launches['decode']} kernels"
        f" per decode step, {launches['vocode']} per codec call"
    )
    table = Table(title="a decode step (processor time of one thread is not disturbed by neighbours)")
    for head in ("rows", "step", "processor time", "memory floor", "floor / step", "per second of sound"):
        table.add_column(head, justify="right")
    figures = [step_times(model, rows, asked.steps) for rows in asked.rows]
    for rows, (wall, busy) in zip(asked.rows, figures, strict=True):
        floor = weights / bandwidth
        used = busy if asked.threads == 1 else wall
        times = (f"{1000 * seconds:.0f} ms" for seconds in (wall, busy, floor))
        table.add_row(str(rows), *times, f"{floor / used:.0%}", f"{used / rows * 12.5:.2f} s")
    console.print(table)
    codec = {frames: codec_time(model, frames, asked.steps) for frames in (1, 4, 8)}
    console.print("codec: " + ", ".join(f"{n} frames {1000 * t / n:.0f} ms each" for n, t in codec.items()))
    return {
        "bandwidth": bandwidth,
        "weights": weights,
        "launches": launches,
        "steps": dict(zip(asked.rows, figures, strict=True)),
        "codec": codec,
    }


def weights_per_step(geometry: Geometry) -> int:
    """Weights that one step reads: the talker once, the predictor's layers 15 times, each head once.

    Embedding tables are looked up, not read; they are left out.
    """
    total = 0
    for name, shape in main_tensors(geometry, "custom_voice"):
        size = torch.Size(shape).numel()
        if "embedding" in name:
            continue
        shared = "code_predictor" in name and "lm_head" not in name
        total += size * (geometry.codebooks - 1) if shared else size
    return total


def read_bandwidth(megabytes: int = 512) -> float:
    """Bytes per second at which this many threads read memory: the best of five sums."""
    data = torch.ones(megabytes * 250_000)
    times = []
    for _ in range(5):
        began = time.process_time() if torch.get_num_threads() == 1 else time.perf_counter()
        data.sum()
        now = time.process_time() if torch.get_num_threads() == 1 else time.perf_counter()
        times.append(now - began)
    return data.nbytes / min(times)


@torch.inference_mode()
def step_times(model: SpeechModel, rows: int, steps: int) -> tuple[float, float]:
    """Median seconds of a decode step with so many rows: on the clock, and of processor time."""
    state, slots = model.acoustic.new_state(rows), torch.arange(rows)
    model.acoustic.prefill(state, slots.tolist(), prompts(model, rows))
    model.acoustic.decode(state, slots)
    wall, busy = [], []
    for _ in range(steps):
        began, used = time.perf_counter(), time.process_time()
        model.acoustic.decode(state, slots)
        wall.append(time.perf_counter() - began)
        busy.append(time.process_time() - used)
    return statistics.median(wall), statistics.median(busy)


@torch.inference_mode()
def codec_time(model: SpeechModel, frames: int, steps: int) -> float:
    """Median processor seconds for the sound of so many frames of one stream."""
    state = model.vocoder.new_state(1)
    codes = torch.zeros(frames, *model.acoustic.frame_shape, dtype=torch.int64)
    times = []
    for _ in range(steps):
        used = time.process_time()
        model.vocoder.vocode(state, [0], [codes], [Window(0, 0, frames, frames, last=False)])
        times.append(time.process_time() - used)
    return statistics.median(times)


class _Counter(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Counts operators that compute something; views and empty tensors launch nothing.

    The padding of small batches is left out: only the CPU has it.
    """

    count = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        returns = func._schema.returns
        view = any(one.alias_info is not None and not one.alias_info.is_write for one in returns)
        name = str(func)
        self.count += not view and "empty" not in name and "constant_pad" not in name
        return func(*args, **(kwargs or {}))


class _NormsAreOne(TorchFunctionMode):
    """A norm is one kernel on a GPU; the CPU takes it apart. For counting only: the numbers are wrong."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        return args[0].clone() if func is rms_norm else func(*args, **(kwargs or {}))


@torch.no_grad()
def launches_per_frame(model: SpeechModel) -> dict[str, int]:
    """Operators of one decode step and of one codec call of one frame; a GPU launches about one each."""
    state = model.acoustic.new_state(1)
    model.acoustic.prefill(state, [0], prompts(model, 1))
    decode, vocode = _Counter(), _Counter()  # type: ignore[no-untyped-call]
    with _NormsAreOne(), decode:
        frame = model.acoustic.decode(state, torch.tensor([0])).frames
    sound = model.vocoder.new_state(1)
    with _NormsAreOne(), vocode:
        model.vocoder.vocode(sound, [0], [frame], [Window(0, 0, 1, 1, last=False)])
    return {"decode": decode.count, "vocode": vocode.count}


if __name__ == "__main__":
    main()
