"""`make bench-service`: a real server over gRPC, and what its listeners hear at 1 to 128 streams.

A stream is somebody who listens in real time: the next utterance is asked for when the last has been played.
While they listen, a session is interrupted again and again. Server and listeners are two processes that share
the machine's cores, which is part of the figures. Nothing here judges them.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import random
import subprocess
import sys
import tempfile
import time
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import grpc
from rhapsode.tts.v1 import service_pb2_grpc, session_pb2, synthesis_pb2
from rich.console import Console
from rich.table import Table

from bench.figures import machine, percentile
from bench.service_plot import Curve, plot
from bench.service_server import Server
from bench.workload import SENTENCES

MODELS = {"ion": (), "toy": ("--set", "model.options.step_seconds=0.005")}
"""What is measured: the embedded voice, and the toy with steps of a known length."""
SLACK = 0.02
"""Seconds by which sound may come late before it counts as an under-run, as the server counts."""
Command = session_pb2.StreamSynthesizeRequest


@dataclass
class Heard:
    """What all listeners of one level heard; seconds."""

    first: list[float] = field(default_factory=list)
    gaps: list[float] = field(default_factory=list)
    cancels: list[float] = field(default_factory=list)
    under_runs: int = 0
    utterances: int = 0
    sound: float = 0.0


@dataclass(frozen=True)
class Level:
    """One row of the table; milliseconds but for `wasted` and `sound`, which are seconds of sound."""

    model: str
    streams: int
    first_p50: float
    first_p95: float
    first_p99: float
    gap_p99: float
    cancel_p50: float
    cancel_p95: float
    unsent: float
    unheard: float
    cancels: int
    under_runs: int
    utterances: int
    sound: float
    processor: float


def main() -> None:
    """Measure what the command line asks for, show it, and write it where it is wanted."""
    asked = _arguments()
    console = Console() if sys.stdout.isatty() else Console(width=110)
    levels: list[Level] = []
    for name in asked.models:
        with tempfile.TemporaryDirectory() as folder, Server(name, MODELS[name], Path(folder)) as server:
            asyncio.run(_level(name, server, 4, 2))  # what is lazy is paid for here
            for streams in asked.streams:
                levels.append(asyncio.run(_level(name, server, streams, asked.rounds)))
                console.print(f"{name} {streams}: first audio {levels[-1].first_p50:.0f} ms")
    for name in asked.models:
        _show(name, [level for level in levels if level.model == name], console)
    if asked.json:
        whole = {"machine": machine(), "commit": _commit(), "levels": [asdict(level) for level in levels]}
        asked.json.write_text(json.dumps(whole, indent=2) + "\n")
    if asked.plot:
        asked.plot.write_text(plot(_curves(levels), "first audio at so many streams, ms"))


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="bench.service", description=__doc__)
    parser.add_argument("--models", nargs="+", default=list(MODELS), choices=list(MODELS))
    parser.add_argument("--streams", nargs="+", type=int, default=[1, 4, 8, 16, 32, 64, 128])
    parser.add_argument("--rounds", type=int, default=4, help="utterances that each listener hears")
    parser.add_argument("--json", type=Path, help="write the figures to this file, too")
    parser.add_argument("--plot", type=Path, help="draw first audio into this SVG file")
    return parser.parse_args()


# ---- one level


async def _level(name: str, server: Server, streams: int, rounds: int) -> Level:
    before, worked, began = server.wasted(), server.processor_seconds(), time.monotonic()
    heard = Heard()
    options = (("grpc.use_local_subchannel_pool", 1),)
    channels = [grpc.aio.insecure_channel(server.target, options) for _ in range(4)]
    stubs = [service_pb2_grpc.SpeechSynthesisServiceStub(channel) for channel in channels]  # type: ignore[no-untyped-call]
    chance = random.Random(streams)
    listeners = [
        asyncio.create_task(
            _listener(stubs[n % 4], n, max(rounds, 16 // streams), heard, chance.uniform(0, 4))
        )
        for n in range(streams)
    ]
    interrupting = asyncio.create_task(_interrupt(stubs[0], heard))
    await asyncio.gather(*listeners)
    interrupting.cancel()
    await asyncio.wait([interrupting])
    processor = (server.processor_seconds() - worked) / (time.monotonic() - began)
    for channel in channels:
        await channel.close()
    await asyncio.sleep(2.5)  # telemetry looks once a second at what has ended
    wasted = {kind: seconds - before[kind] for kind, seconds in server.wasted().items()}
    return _row(name, streams, heard, wasted, processor)


async def _listener(stub: Any, number: int, rounds: int, heard: Heard, later: float) -> None:
    """Hear one utterance after another, each played to its end before the next."""
    await asyncio.sleep(later)
    for turn in range(rounds):
        text = SENTENCES[(number + turn) % len(SENTENCES)]
        dry = await _hear(stub, synthesis_pb2.SynthesizeRequest(text=text, seed=number), heard)
        await asyncio.sleep(max(0.0, dry - time.monotonic()))


async def _hear(stub: Any, request: synthesis_pb2.SynthesizeRequest, heard: Heard) -> float:
    """One utterance; returns when its listener has played it to the end."""
    began, last, dry, rate = time.monotonic(), 0.0, 0.0, 1
    call = stub.Synthesize(request)
    while (message := await call.read()) is not grpc.aio.EOF:
        now = time.monotonic()
        if message.HasField("started"):
            rate = message.started.audio_format.sample_rate_hz
        if not message.HasField("audio"):
            continue
        if not last:
            heard.first.append(now - began)
            dry = now
        else:
            heard.gaps.append(now - last)
            if now > dry + SLACK:
                heard.under_runs += 1
                dry = now
        last, seconds = now, message.audio.sample_count / rate
        dry += seconds
        heard.sound += seconds
    heard.utterances += 1
    return dry


async def _interrupt(stub: Any, heard: Heard) -> None:
    """One session whose listener interrupts after his first sounds; from `cancel` to its answer."""
    call = stub.StreamSynthesize()
    await call.write(Command(session_config=session_pb2.SessionConfig()))
    for number in range(1_000):
        name = f"c{number}"
        await call.write(Command(context_id=name, start_context=session_pb2.StartContext()))
        await call.write(Command(context_id=name, text=session_pb2.TextInput(text=" ".join(SENTENCES[:4]))))
        await call.write(Command(context_id=name, end_context=session_pb2.EndContext()))
        await _until(call, name, "audio")
        await asyncio.sleep(0.3)
        asked = time.monotonic()
        await call.write(Command(context_id=name, cancel=session_pb2.Cancel(playback_offset=6_000)))
        await _until(call, name, "context_cancelled")
        heard.cancels.append(time.monotonic() - asked)
        await asyncio.sleep(0.3)


async def _until(call: Any, name: str, kind: str) -> None:
    while (event := await call.read()) is not grpc.aio.EOF:
        if event.context_id == name and event.WhichOneof("event") == kind:
            return
    raise RuntimeError(f"the session ended before {kind}")


# ---- figures


def _row(name: str, streams: int, heard: Heard, wasted: dict[str, float], processor: float) -> Level:
    def ms(values: list[float], share: float) -> float:
        return round(1000 * percentile(values, share), 1) if values else 0.0

    return Level(
        *(name, streams, ms(heard.first, 0.5), ms(heard.first, 0.95), ms(heard.first, 0.99)),
        gap_p99=ms(heard.gaps, 0.99),
        cancel_p50=ms(heard.cancels, 0.5),
        cancel_p95=ms(heard.cancels, 0.95),
        unsent=round(wasted["unsent"], 2),
        unheard=round(wasted["unheard"], 2),
        cancels=len(heard.cancels),
        under_runs=heard.under_runs,
        utterances=heard.utterances,
        sound=round(heard.sound, 1),
        processor=round(processor, 2),
    )


COLUMNS = {
    "streams": "streams",
    "first p50": "first_p50",
    "p95": "first_p95",
    "p99": "first_p99",
    "gap p99": "gap_p99",
    "cancel p50": "cancel_p50",
    "cancel p95": "cancel_p95",
    "cancels": "cancels",
    "unsent, s": "unsent",
    "unheard, s": "unheard",
    "under-runs": "under_runs",
    "of": "utterances",
    "cores": "processor",
}


def _show(name: str, levels: list[Level], console: Console) -> None:
    table = Table(title=f"{name}: milliseconds", title_justify="left")
    for head in COLUMNS:
        table.add_column(head, justify="right", no_wrap=True)
    for level in levels:
        table.add_row(*(f"{getattr(level, attribute):g}" for attribute in COLUMNS.values()))
    console.print(table)


def _curves(levels: list[Level]) -> list[Curve]:
    curves = []
    for name in dict.fromkeys(level.model for level in levels):
        mine = [level for level in levels if level.model == name]
        for share in ("p50", "p95", "p99"):
            points = [(level.streams, getattr(level, f"first_{share}")) for level in mine]
            curves.append(Curve(f"{name} {share}", points))
    return curves


def _commit() -> str:
    said = subprocess.run(
        ["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True, check=False
    )
    return said.stdout.strip()


if __name__ == "__main__":
    sys.exit(main())
