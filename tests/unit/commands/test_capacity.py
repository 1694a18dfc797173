"""The capacity model: its bounds, and the simulation that holds the formula to what it says."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rhapsode_server.capacity import Demand, Supply, command, full_share, replicas, streams_of
from rhapsode_server.errors import ConfigError


@given(st.integers(1, 100_000), st.floats(0.05, 1.0), st.integers(16, 256))
def test_more_callers_never_need_fewer_pods(callers: int, speaking: float, streams: int) -> None:
    supply = Supply(streams)
    pods = replicas(Demand(callers, speaking, 6.0), supply)
    assert replicas(Demand(callers + 100, speaking, 6.0), supply) >= pods
    assert replicas(Demand(callers, speaking, 6.0), Supply(streams + 8)) <= pods
    assert (pods - 1) * streams * 0.7 >= callers * speaking * 0.999


@settings(max_examples=8)
@given(
    st.sampled_from([50, 400, 2000]),
    st.sampled_from([0.2, 0.5]),
    st.sampled_from([16, 64]),
    st.integers(0, 99),
)
def test_the_simulation_agrees(callers: int, speaking: float, streams: int, seed: int) -> None:
    demand, supply = Demand(callers, speaking, 5.0), Supply(streams, target=0.9)
    assert full_share(demand, replicas(demand, supply) - 1, streams, seed) <= supply.risk


def test_too_few_pods_are_seen() -> None:
    demand = Demand(2000, 0.5, 5.0)
    assert full_share(demand, 16, 64) > 0.1, "1000 streams on 1024 slots by turns"


@pytest.mark.slow
def test_a_hundred_thousand_callers() -> None:
    demand, supply = Demand(100_000, 0.4, 6.0), Supply(64)
    pods = replicas(demand, supply)
    assert pods == 928
    assert full_share(demand, pods - 1, 64) <= supply.risk


def test_a_profile_is_read_up_to_its_first_bad_point(tmp_path: Path) -> None:
    file = tmp_path / "profile.json"
    points = [(64, 0.2, 0.0), (16, 0.1, 0.0), (96, 0.5, 0.0), (128, 0.25, 0.0)]
    file.write_text(json.dumps([{"streams": s, "first_audio_p95": f, "underruns": u} for s, f, u in points]))
    assert streams_of(file, 0.3, 0.001) == 64
    with pytest.raises(ConfigError, match="no number of streams"):
        streams_of(file, 0.05, 0.001)


@pytest.mark.parametrize("text", ["", "[{}]", "{", '[{"streams": 1}]', "[1]"])
def test_a_broken_profile_is_one_sentence(text: str, tmp_path: Path) -> None:
    (tmp_path / "profile.json").write_text(text)
    with pytest.raises(ConfigError, match="Cannot use the profile"):
        streams_of(tmp_path / "profile.json", 0.3, 0.001)


def test_the_command_says_how_many(capsys: pytest.CaptureFixture[str]) -> None:
    assert command(["--callers", "100", "--streams-per-pod", "64"]) == 0
    said = capsys.readouterr().out
    assert said.startswith(
        "40 streams on average from 100 callers: 2 pods of 64 streams, 1 of them to spare,"
    )


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["--callers", "0", "--streams-per-pod", "1"], "--callers must be"),
        (["--callers", "1", "--speaking", "1.5", "--streams-per-pod", "1"], "--speaking is a share"),
        (["--callers", "1"], "Give --streams-per-pod or --profile"),
        (["--callers", "1", "--streams-per-pod", "1", "--risk", "0.6"], "--risk is a share"),
        (["--callers", "1", "--profile", "nowhere.json"], "Cannot use the profile"),
    ],
)
def test_what_cannot_be_is_refused(
    arguments: list[str], sentence: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert command(arguments) == 2
    assert sentence in capsys.readouterr().err
