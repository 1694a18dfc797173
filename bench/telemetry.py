"""What telemetry costs: a whole server's processor time traced, sampled and off. `python -m bench.telemetry`

The gate: at most 2 % more at 5 % sampling and 5 % more at 100 %, until the last span is handed over. Clients
and collector are other processes, so only the server's own time is counted: processor time, not the clock,
because that is what telemetry takes away from speech.

The same steps cost a tenth more or less from one round to the next, for neighbours share caches and clock. So
the engine's thread is the measure: it does the same work in each round, whatever is traced, and says how fast
the machine is just now. What is compared is a server's processor time to its engine thread's, all on one
processor. Telemetry's own part of that thread is timed by itself and counts as telemetry. Rounds of each kind
take turns; the median of the ratios within a turn has an interval, and a gate that lies within is undecided.
Not seen so: that the engine's thread may be slower for caches that telemetry has used; its time is shown.
"""

from __future__ import annotations

import argparse
import asyncio
import multiprocessing
import os
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from math import comb
from multiprocessing.connection import Connection
from statistics import median
from typing import Any

import grpc
import torch
from rhapsode.tts.v1 import service_pb2_grpc, synthesis_pb2
from rhapsode_server.config import load as load_settings
from rhapsode_server.engine.observer import Observer, SequenceEvent, StepEvent
from rhapsode_server.main import Serving
from rhapsode_server.models import registry
from rhapsode_server.models.base import SpeechModel
from rhapsode_server.telemetry.telemetry import Telemetry
from rich.console import Console
from rich.table import Table

TEXT = "The quick brown fox jumps over the lazy dog, and nobody is surprised any more."
KINDS: dict[str, float | None] = {"off": None, "5 %": 0.05, "100 %": 1.0}
ENGINE_THREAD = "rhapsode-engine"
GATE = {"5 %": 1.02, "100 %": 1.05}


@dataclass(frozen=True)
class Round:
    """Processor seconds of one run of the server, of its engine's thread, and of announcing there; requests,
    steps, and the seconds to a first sound."""

    processor: float
    engine: float
    announcing: float
    requests: int
    steps: int
    first_audio: float

    @property
    def cost(self) -> float:
        """Of the whole server, for each second that the engine's thread works."""
        return self.processor / (self.engine - self.announcing)


class Counting:
    """Counts steps and the seconds that handing them on takes, on the engine's thread."""

    def __init__(self, behind: Observer) -> None:
        self._behind = behind
        self.steps = 0
        self.seconds = 0.0

    def step_done(self, event: StepEvent) -> None:
        """One more."""
        self.steps += 1
        before = time.perf_counter()
        self._behind.step_done(event)
        self.seconds += time.perf_counter() - before

    def sequence_finished(self, event: SequenceEvent) -> None:
        """Handed on."""
        self._behind.sequence_finished(event)

    def step_failed(self, stage: str, error_type: str, sequences: int) -> None:
        """Handed on."""
        self._behind.step_failed(stage, error_type, sequences)


def main() -> int:
    """Measure, show, and say whether a gate is broken: 0 or 1."""
    asked = _arguments()
    torch.set_num_threads(1)
    os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    model = registry.load(asked.model, device="cpu")
    console = Console()
    rounds: dict[str, list[Round]] = {kind: [] for kind in KINDS}
    with _process(_collect) as collector, _process(_speak) as clients:
        run = partial(_run, model, asked, clients, collector.recv())
        run(1.0)  # what is lazy is paid for here
        for turn in range(asked.rounds):
            for kind in _order(turn):
                rounds[kind].append(run(KINDS[kind]))
                made = rounds[kind][-1]
                console.print(
                    f"{kind:>6}: {1000 * made.processor / made.requests:.1f} ms a request, {made.cost:.4f}"
                )
    held = _show(rounds, asked, console)
    return 0 if held else 1


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="bench.telemetry", description=__doc__)
    parser.add_argument("--model", default="ion")
    parser.add_argument("--streams", type=int, default=8, help="clients that speak at a time")
    parser.add_argument("--requests", type=int, default=72, help="requests in one round")
    parser.add_argument("--rounds", type=int, default=9)
    return parser.parse_args()


def _order(turn: int) -> list[str]:
    """Another one goes first each time, so that a machine that warms up favours none."""
    kinds = list(KINDS)
    return kinds[turn % len(kinds) :] + kinds[: turn % len(kinds)]


# ---- one round


def _run(
    model: SpeechModel, asked: argparse.Namespace, clients: Connection, address: str, ratio: float | None
) -> Round:
    with _environment(ratio, address):
        return asyncio.run(_serve(model, asked, clients))


async def _serve(model: SpeechModel, asked: argparse.Namespace, clients: Connection) -> Round:
    flags = {"server.port": 0, "model.source": asked.model, "engine.max_waiting": 1000, "engine.max_ahead": 0}
    telemetry = Telemetry.from_environment()
    counting = telemetry.observer = Counting(telemetry.observer)
    serving = Serving(load_settings(flags=flags, environ={}), telemetry, lambda _: model)
    running = asyncio.create_task(serving.run())
    await serving.ready.wait()
    loop = asyncio.get_running_loop()
    clients.send((serving.port, asked.streams, asked.requests))
    await loop.run_in_executor(None, clients.recv)  # they are connected
    counting.steps, counting.seconds = 0, 0.0
    before, engine_before = time.process_time(), _engine_seconds()
    clients.send("go")
    heard: list[float] = await loop.run_in_executor(None, clients.recv)
    engine = _engine_seconds() - engine_before
    serving.stop()
    await running  # until what is still to be exported has been
    processor = time.process_time() - before
    return Round(processor, engine, counting.seconds, len(heard), counting.steps, median(heard))


def _engine_seconds() -> float:
    """Processor time of the engine's thread so far."""
    engine = next(each for each in threading.enumerate() if each.name == ENGINE_THREAD)
    return time.clock_gettime(time.pthread_getcpuclockid(engine.ident or 0))


@contextmanager
def _environment(ratio: float | None, address: str) -> Iterator[None]:
    """The standard variables for one round; a server without an endpoint is off."""
    wanted = {} if ratio is None else {
        "OTEL_EXPORTER_OTLP_ENDPOINT": address,
        "OTEL_TRACES_SAMPLER": "parentbased_traceidratio",
        "OTEL_TRACES_SAMPLER_ARG": str(ratio),
        "OTEL_METRIC_EXPORT_INTERVAL": "10000",
    }  # fmt: skip
    os.environ.update(wanted)
    yield
    for name in wanted:
        del os.environ[name]


# ---- the other processes


@contextmanager
def _process(work: Any) -> Iterator[Connection]:
    """`work(connection)` in a process of its own, which ends with the block."""
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    child = context.Process(target=work, args=(theirs,), daemon=True)
    child.start()
    yield ours
    ours.close()
    child.join(10)
    child.terminate()


def _speak(connection: Connection) -> None:
    """Round after round, until the other side hangs up."""
    try:
        while True:
            asyncio.run(_clients(connection, *connection.recv()))
    except EOFError:
        return


async def _clients(connection: Connection, port: int, streams: int, requests: int) -> None:
    """`streams` clients, each speaking one request after another; sends the seconds to each first sound."""
    first: list[float] = []
    left = iter(range(requests))
    async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
        await channel.channel_ready()
        connection.send("connected")
        connection.recv()
        stub = service_pb2_grpc.SpeechSynthesisServiceStub(channel)  # type: ignore[no-untyped-call]
        await asyncio.gather(*(_client(stub, left, first) for _ in range(streams)))
    connection.send(first)


async def _client(stub: Any, left: Iterator[int], first: list[float]) -> None:
    for number in left:
        began, sounded = time.monotonic(), False
        async for message in stub.Synthesize(synthesis_pb2.SynthesizeRequest(text=TEXT, seed=number)):
            if not sounded and message.WhichOneof("event") == "audio":
                first.append(time.monotonic() - began)
                sounded = True


def _collect(connection: Connection) -> None:
    """An OTLP receiver that forgets what it gets; ends when the other side hangs up."""
    from concurrent.futures import ThreadPoolExecutor

    server = grpc.server(ThreadPoolExecutor(2))
    methods = {"trace.v1.TraceService", "metrics.v1.MetricsService"}
    for method in methods:
        handler = grpc.unary_unary_rpc_method_handler(lambda _request, _context: b"")
        service = f"opentelemetry.proto.collector.{method}"
        server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(service, {"Export": handler}),))
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    connection.send(f"http://127.0.0.1:{port}")
    try:
        connection.recv()
    except EOFError:
        server.stop(None)


# ---- the figures


def _show(rounds: dict[str, list[Round]], asked: argparse.Namespace, console: Console) -> bool:
    table = Table(title=f"{asked.model}, {asked.streams} streams, {asked.rounds} rounds of {asked.requests}")
    for column in (
        "traced",
        "ms a request",
        "of the engine's thread",
        "µs a step there",
        "cost",
        "first audio, ms",
        "gate",
    ):
        table.add_column(column, justify="right")
    held = True
    for kind, made in rounds.items():
        cost = _ratio(made, rounds["off"])
        gate = GATE.get(kind)
        verdict = "" if gate is None else _verdict(gate, cost)
        held &= verdict != "BROKEN"
        table.add_row(
            kind,
            f"{1000 * median(each.processor / each.requests for each in made):.1f}",
            f"{1000 * median(each.engine / each.requests for each in made):.1f}",
            f"{1e6 * median(each.announcing / each.steps for each in made):.1f}",
            _shown(cost),
            f"{1000 * median(each.first_audio for each in made):.0f}",
            "" if gate is None else f"{verdict} (at most {gate})",
        )
    console.print(table)
    console.print(
        "Cost: the server's time to its engine thread's, to that when off; median (9 of 10 repetitions)."
    )
    return held


def _ratio(made: Sequence[Round], off: Sequence[Round]) -> tuple[float, float, float]:
    """Median of the ratios, turn by turn, and the narrowest interval of two of them that has the true one in
    9 of 10 repetitions or more (sign test: how many ratios lie below it is binomial)."""
    ratios = sorted(one.cost / other.cost for one, other in zip(made, off, strict=True))
    edge, beyond = 0, 1
    while beyond + comb(len(ratios), edge + 1) <= 0.05 * 2 ** len(ratios):
        edge += 1
        beyond += comb(len(ratios), edge)
    return median(ratios), ratios[edge], ratios[-1 - edge]


def _verdict(gate: float, cost: tuple[float, float, float]) -> str:
    """Held or BROKEN where the whole interval says so, else undecided: then repeat it on a calmer machine."""
    _, lowest, highest = cost
    if highest <= gate:
        return "held"
    return "BROKEN" if lowest > gate else "undecided"


def _shown(ratio: tuple[float, float, float]) -> str:
    return f"{ratio[0]:.4f} ({ratio[1]:.3f} to {ratio[2]:.3f})"


if __name__ == "__main__":
    sys.exit(main())
