"""`rhapsode capacity`: how many pods do so many callers need? A formula, and a simulation that checks it.

The model. N callers alternate between listening to an utterance of `seconds` and being silent, so that each
listens for the share `speaking` of the time. A pod serves `streams_per_pod` utterances as it should; one more
must wait. Balancing by turns makes the load of one of R pods at most as uneven as a Poisson variable of mean
m = N x speaking / R, so m + z x sqrt(m) <= streams_per_pod must hold with z standard deviations of room,
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
from statistics import NormalDist

from rhapsode_server.errors import ConfigError

MOST_CALLERS = 1_000_000


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
    working = max(1, math.ceil(demand.streams / (supply.target * supply.streams_per_pod)))
    deviations = NormalDist().inv_cdf(1 - supply.risk)
    while _needed(demand.streams / working, deviations) > supply.streams_per_pod:
        working += 1
    return working + supply.spare


def _needed(mean: float, deviations: float) -> float:
    """Slots that a pod with this mean load needs; the half corrects for load being whole numbers."""
    return mean + deviations * math.sqrt(mean) + 0.5


def full_share(demand: Demand, pods: int, streams_per_pod: int, seed: int = 0, rounds: int = 4) -> float:
    """Simulated share of utterances that meet a full pod, with calls given to pods by turns.

    Lengths and silences are drawn from exponential distributions. It begins as it goes on:
    the share `speaking` of the callers listens. The first of `rounds` does not count: loads are too even yet.
    """
    draw = random.Random(seed)
    silence = demand.seconds * (1 - demand.speaking) / demand.speaking
    cycle = demand.seconds + silence
    loads, turn, met_full, counted = [0] * pods, 0, 0, 0
    begins = (
        0.0 if draw.random() < demand.speaking else _exponential(draw, silence) for _ in range(demand.callers)
    )
    events = [(when, -1) for when in begins]  # time, and the pod that becomes free
    heapq.heapify(events)
    while events[0][0] < rounds * cycle:
        now, freed = events[0]
        if freed >= 0:
            loads[freed] -= 1
            heapq.heapreplace(events, (now + _exponential(draw, silence), -1))
            continue
        pod, turn = turn, (turn + 1) % pods
        counted += now > cycle
        met_full += now > cycle and loads[pod] >= streams_per_pod
        loads[pod] += 1
        heapq.heapreplace(events, (now + _exponential(draw, demand.seconds), pod))
    return met_full / max(1, counted)


def _exponential(draw: random.Random, mean: float) -> float:
    return draw.expovariate(1 / mean) if mean > 0 else 0.0


def streams_of(profile: Path, first_audio: float, underruns: float) -> int:
    """The most streams of a measured profile with which a pod still serves as it should.

    The file is a JSON list of {"streams", "first_audio_p95" in seconds, "underruns" per utterance}. A count
    is taken only where every smaller one was good too. Raises ConfigError.
    """
    try:
        points = sorted(json.loads(profile.read_text()), key=lambda point: point["streams"])
        good = [p["first_audio_p95"] <= first_audio and p["underruns"] <= underruns for p in points]
        best = good.index(False) if False in good else len(good)
        if best == 0:
            raise ConfigError(f"{profile} has no number of streams that is served within these limits.")
        return int(points[best - 1]["streams"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ConfigError(f"Cannot use the profile {profile}: {error}.") from None


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
    share = full_share(demand, working, supply.streams_per_pod)
    sys.stdout.write(
        f"{demand.streams:.0f} streams on average from {demand.callers} callers: {pods} pods of"
        f" {supply.streams_per_pod} streams, {supply.spare} of them to spare,"
        f" {100 * demand.streams / pods / supply.streams_per_pod:.0f} % full.\n"
        f"Simulated with {working} pods: {100 * share:.3f} % of the utterances meet a full pod"
        f" (allowed: {100 * supply.risk:g} %).\n"
    )
    return 0 if share <= supply.risk else 1


def _asked(given: argparse.Namespace) -> tuple[Demand, Supply]:
    bounds = (
        (1 <= given.callers <= MOST_CALLERS, f"--callers must be from 1 to {MOST_CALLERS}."),
        (0 < given.speaking <= 1, "--speaking is a share of the time: above 0, at most 1."),
        (given.seconds > 0, "--seconds must be above 0."),
        (0 < given.target <= 1, "--target is a share of the slots: above 0, at most 1."),
        (0 < given.risk < 0.5, "--risk is a share of the utterances: above 0, below 0.5."),
        (given.spare >= 0, "--spare cannot be negative."),
        (bool(given.profile) != bool(given.streams_per_pod), "Give --streams-per-pod or --profile."),
    )
    for holds, sentence in bounds:
        if not holds:
            raise ConfigError(sentence)
    streams = given.streams_per_pod or streams_of(given.profile, given.first_audio, given.underruns)
    supply = Supply(streams, given.target, given.risk, given.spare)
    if _needed(0.01, NormalDist().inv_cdf(1 - given.risk)) > streams:
        raise ConfigError(f"A pod of {streams} streams cannot meet --risk {given.risk:g}. Allow more.")
    return Demand(given.callers, given.speaking, given.seconds), supply


def _arguments() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser("rhapsode capacity", description="How many pods?", allow_abbrev=False)
    parser.add_argument("--callers", type=int, required=True, help="calls at a time")
    parser.add_argument(
        "--speaking", type=float, default=0.4, help="share of a call in which the voice speaks"
    )
    parser.add_argument("--seconds", type=float, default=6.0, help="length of one utterance")
    parser.add_argument("--streams-per-pod", type=int, default=0, help="what a pod serves as it should")
    parser.add_argument("--profile", type=Path, help="or a measured profile (JSON) to take that from")
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
