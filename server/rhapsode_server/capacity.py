"""`rhapsode capacity`: how many pods do so many callers need? A formula, and a simulation that checks it.

The model. N callers alternate between listening to an utterance of `seconds` and being silent, so that each
listens for the share `speaking` of the time. A pod serves `streams_per_pod` utterances as it should; one more
must wait. Many clients that balance by turns, each by itself, make the load of one of R pods at most as
uneven as a Poisson variable X of mean m = N x speaking / R, so P(X >= streams_per_pod) <= risk must hold,
still after `spare` pods are lost, and m be at most `target` of the slots, where the scaler acts.
What must not live here: measuring (bench/), scaling (the chart).
"""

from __future__ import annotations

import argparse
import heapq
import json
import math
import random
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rhapsode_server.errors import ConfigError

MOST_CALLERS = 1_000_000
MOST_STREAMS = 4096
"""Of one pod: no server takes more slots."""
MOST_PODS = 1_000_000
CALLERS_PER_CLIENT = 50
"""Calls of one process that balances by itself."""
LEAST_RISK, LEAST_SPEAKING = 1e-9, 0.001


@dataclass(frozen=True, slots=True)
class Demand:
    """Who calls: how many, for which share of the time each listens, seconds of one utterance."""

    callers: int
    speaking: float
    seconds: float

    @property
    def streams(self) -> float:
        """Utterances at a time, on average."""
        return self.callers * self.speaking


@dataclass(frozen=True, slots=True)
class Supply:
    """What a pod serves, how full pods may be on average, which share of utterances may meet a full pod."""

    streams_per_pod: int
    target: float = 0.7
    risk: float = 0.001
    spare: int = 1


def replicas(demand: Demand, supply: Supply) -> int:
    """The fewest pods that serve the demand (formula at the head of this file)."""
    busiest = min(supply.target * supply.streams_per_pod, _bearable(supply))
    return max(1, math.ceil(demand.streams / busiest)) + supply.spare


def _bearable(supply: Supply) -> float:
    """The largest mean load of a pod with which an utterance meets it full no more often than is allowed."""
    low, high = 0.0, float(supply.streams_per_pod)
    for _ in range(60):
        mean = (low + high) / 2
        low, high = (mean, high) if _full(mean, supply.streams_per_pod) <= supply.risk else (low, mean)
    return low


def _full(mean: float, streams: int) -> float:
    """P(X >= streams) of a Poisson variable with `mean` < streams, by its terms from there on."""
    term = total = math.exp(streams * math.log(mean) - mean - math.lgamma(streams + 1))
    count = streams
    while term > total * 1e-12:
        count += 1
        term *= mean / count
        total += term
    return total


@dataclass(frozen=True, slots=True)
class Seen:
    """What a simulation counted: utterances, and those that met a full pod."""

    utterances: int
    met_full: int

    @property
    def share(self) -> float:
        """Of utterances that met a full pod."""
        return self.met_full / max(1, self.utterances)

    def agrees(self, risk: float) -> bool:
        """No more than `risk`, but for what chance does to so few utterances (four standard deviations)."""
        return self.share <= risk + 4 * math.sqrt(risk / max(1, self.utterances))


def simulate(demand: Demand, pods: int, streams_per_pod: int, seed: int = 0, rounds: int = 4) -> Seen:
    """So many callers at so many pods, for `rounds` times an utterance and the silence after it.

    Lengths and silences are drawn from exponential distributions. Every CALLERS_PER_CLIENT callers are one
    client, which gives its calls to pods by turns and knows of no other client. It begins as it goes on: the
    share `speaking` of the callers listens. The first round does not count: loads are too even yet.
    """
    draw = random.Random(seed)
    silence = demand.seconds * (1 - demand.speaking) / demand.speaking
    cycle = demand.seconds + silence
    loads, met_full, counted = [0] * pods, 0, 0
    turns = [draw.randrange(pods) for _ in range(-(-demand.callers // CALLERS_PER_CLIENT))]
    events = []  # time, the pod that becomes free, the caller
    for caller in range(demand.callers):
        listens = draw.random() < demand.speaking
        events.append((0.0 if listens else _exponential(draw, silence), -1, caller))
    heapq.heapify(events)
    while events[0][0] < rounds * cycle:
        now, freed, caller = events[0]
        if freed >= 0:
            loads[freed] -= 1
            heapq.heapreplace(events, (now + _exponential(draw, silence), -1, caller))
            continue
        client = caller // CALLERS_PER_CLIENT
        pod = turns[client]
        turns[client] = (pod + 1) % pods
        counted += now > cycle
        met_full += now > cycle and loads[pod] >= streams_per_pod
        loads[pod] += 1
        heapq.heapreplace(events, (now + _exponential(draw, demand.seconds), pod, caller))
    return Seen(counted, met_full)


def _exponential(draw: random.Random, mean: float) -> float:
    return draw.expovariate(1 / mean) if mean > 0 else 0.0


@dataclass(frozen=True, slots=True)
class Point:
    """What listeners of one pod heard at so many streams: p95 of the first sound in s, gaps per utterance."""

    streams: int
    first_audio: float
    underruns: float


def streams_of(points: list[Point], first_audio: float, underruns: float) -> int:
    """The most streams with which a pod still serves within these limits; 0 where there is no such number.

    A count is taken only where it and every smaller one was good, by each of its measurements.
    """
    bad = [p.streams for p in points if not (p.first_audio <= first_audio and p.underruns <= underruns)]
    return max((p.streams for p in points if not bad or p.streams < min(bad)), default=0)


def measured(file: Path, model: str = "") -> list[Point]:
    """The points of a profile; of `model`, where the file has several. Raises ConfigError.

    It is what `make bench-service JSON=…` writes, or a JSON list of
    {"streams", "first_audio_p95" in seconds, "underruns" per utterance}.
    """
    try:
        tree = json.loads(file.read_text())
    except OSError as error:
        raise ConfigError(f"Cannot read the profile {file}: {error.strerror}.") from None
    except (ValueError, RecursionError):
        raise ConfigError(f"The profile {file} is no JSON. {PROFILE}") from None
    try:
        if isinstance(tree, dict):
            return [_benched(level) for level in _of_one_model(file, tree["levels"], model)]
        if model:
            raise ConfigError(f"The profile {file} is a list, which names no model. Leave --model out.")
        return [_point(each["streams"], each["first_audio_p95"], each["underruns"]) for each in tree]
    except (KeyError, TypeError, ValueError, OverflowError):
        raise ConfigError(f"Cannot use the profile {file}. {PROFILE}") from None


PROFILE = (
    "Give a file that `make bench-service JSON=…` has written, or a list of"
    ' {"streams": 64, "first_audio_p95": 0.2, "underruns": 0.0}.'
)


def _of_one_model(file: Path, levels: list[dict[str, Any]], model: str) -> list[dict[str, Any]]:
    models = sorted({str(level["model"]) for level in levels})
    if model not in models and (model or len(models) != 1):
        raise ConfigError(
            f"The profile {file} has {', '.join(models) or 'no model'}. Choose one with --model."
        )
    return [level for level in levels if model in ("", level["model"])]


def _benched(level: dict[str, Any]) -> Point:
    return _point(
        level["streams"], level["first_p95"] / 1000, level["under_runs"] / max(1, level["utterances"])
    )


def _point(streams: object, first_audio: object, underruns: object) -> Point:
    """Raises ValueError for what no measurement gives."""
    counted = isinstance(streams, int) and not isinstance(streams, bool) and 1 <= streams <= MOST_STREAMS
    numbers = all(isinstance(value, int | float) and value >= 0 for value in (first_audio, underruns))
    if not (counted and numbers):
        raise ValueError
    return Point(streams, float(first_audio), float(underruns))  # type: ignore[arg-type]


def command(argv: list[str]) -> int:
    """Print the sum; returns the exit code: 1 where the simulation disagrees with the formula."""
    try:
        given = _arguments().parse_args(argv)
        demand, supply = _asked(given)
    except ConfigError as error:
        sys.stderr.write(f"rhapsode capacity: {error.message}\n")
        return 2
    except SystemExit as answered:
        return answered.code if isinstance(answered.code, int) else 2
    pods = replicas(demand, supply)
    working = pods - supply.spare
    seen = simulate(demand, working, supply.streams_per_pod)
    sys.stdout.write(
        f"{demand.streams:.0f} streams on average from {demand.callers} callers: {pods} pods of"
        f" {supply.streams_per_pod} streams, {supply.spare} of them to spare,"
        f" {100 * demand.streams / pods / supply.streams_per_pod:.0f} % full.\n"
        f"Simulated with {working} pods: {100 * seen.share:.3f} % of the utterances meet a full pod"
        f" (allowed: {100 * supply.risk:g} %; {seen.utterances} utterances).\n"
    )
    return 0 if seen.agrees(supply.risk) else 1


def _asked(given: argparse.Namespace) -> tuple[Demand, Supply]:
    bounds = (
        (1 <= given.callers <= MOST_CALLERS, f"--callers must be from 1 to {MOST_CALLERS}."),
        (
            LEAST_SPEAKING <= given.speaking <= 1,
            f"--speaking is a share of the time, from {LEAST_SPEAKING} to 1.",
        ),
        (0.1 <= given.seconds <= 3600, "--seconds must be from 0.1 to 3600."),
        (0.01 <= given.target <= 1, "--target is a share of the slots, from 0.01 to 1."),
        (
            LEAST_RISK <= given.risk < 0.5,
            f"--risk is a share of the utterances, from {LEAST_RISK:g} to below 0.5.",
        ),
        (0 <= given.spare <= MOST_CALLERS, f"--spare must be from 0 to {MOST_CALLERS}."),
        ((given.profile is None) != (given.streams_per_pod is None), "Give --streams-per-pod or --profile."),
        (not given.model or given.profile is not None, "--model chooses from a --profile. Leave it out."),
        (
            given.streams_per_pod is None or 1 <= given.streams_per_pod <= MOST_STREAMS,
            f"--streams-per-pod must be from 1 to {MOST_STREAMS}.",
        ),
        (given.first_audio >= 0, "--first-audio must be 0 or more."),
        (given.underruns >= 0, "--underruns must be 0 or more."),
    )
    for holds, sentence in bounds:
        if not holds:
            raise ConfigError(sentence)
    streams = given.streams_per_pod
    if given.profile is not None:
        streams = streams_of(measured(given.profile, given.model), given.first_audio, given.underruns)
        if not streams:
            raise ConfigError(
                f"{given.profile} has no number of streams that is served within these limits."
                " Accept more (--first-audio, --underruns), or measure fewer streams."
            )
    supply = Supply(streams, given.target, given.risk, given.spare)
    demand = Demand(given.callers, given.speaking, given.seconds)
    if replicas(demand, supply) > MOST_PODS:
        raise ConfigError(
            f"More than {MOST_PODS} pods of {streams} streams would be needed to keep --risk {given.risk:g}."
            " Allow more, or give pods that serve more."
        )
    return demand, supply


def _arguments() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser("rhapsode capacity", description="How many pods?", allow_abbrev=False)
    parser.add_argument("--callers", type=int, required=True, help="calls at a time")
    parser.add_argument(
        "--speaking", type=float, default=0.4, help="share of a call in which the voice speaks"
    )
    parser.add_argument("--seconds", type=float, default=6.0, help="length of one utterance")
    parser.add_argument("--streams-per-pod", type=int, help="what a pod serves as it should")
    parser.add_argument(
        "--profile", type=Path, help="or what make bench-service JSON=… has measured, to take that from"
    )
    parser.add_argument("--model", default="", help="with --profile: whose, where it has several")
    parser.add_argument(
        "--first-audio", type=float, default=0.3, help="with --profile: p95 that is accepted, s"
    )
    parser.add_argument("--underruns", type=float, default=0.001, help="with --profile: gaps per utterance")
    parser.add_argument("--target", type=float, default=0.7, help="how full pods may be on average")
    parser.add_argument(
        "--risk", type=float, default=0.001, help="share of utterances that may meet a full pod"
    )
    parser.add_argument("--spare", type=int, default=1, help="pods that may be lost at a time")
    return parser
