"""The capacity model: its bounds, and the simulation that holds the formula to what it says."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rhapsode_server.capacity import Demand, Supply, command, measured, replicas, simulate, streams_of
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
    assert simulate(demand, replicas(demand, supply) - 1, streams, seed).agrees(supply.risk)


def test_too_few_pods_are_seen() -> None:
    demand = Demand(2000, 0.5, 5.0)
    seen = simulate(demand, 16, 64)
    assert seen.share > 0.1, "1000 streams on 1024 slots"
    assert not seen.agrees(0.05)
    pods = replicas(demand, Supply(64, target=1.0)) - 1
    assert not simulate(demand, pods * 4 // 5, 64, rounds=10).agrees(0.001), "four pods of five"


@pytest.mark.slow
def test_a_hundred_thousand_callers() -> None:
    demand, supply = Demand(100_000, 0.4, 6.0), Supply(64)
    pods = replicas(demand, supply)
    assert pods == 952
    seen = simulate(demand, pods - 1, 64)
    assert seen.agrees(supply.risk)
    assert seen.share > supply.risk / 10, "no more pods than are needed, either"


@pytest.mark.parametrize("streams", [1, 2, 5])
def test_pods_of_few_streams_are_not_too_few(streams: int) -> None:
    """A bell curve is far off where a pod serves one or two."""
    demand, supply = Demand(200, 0.3, 5.0), Supply(streams, risk=0.01)
    assert simulate(demand, replicas(demand, supply) - supply.spare, streams, rounds=20).agrees(supply.risk)


def test_a_profile_is_read_up_to_its_first_bad_point(tmp_path: Path) -> None:
    file = tmp_path / "profile.json"
    points = [(64, 0.2, 0.0), (16, 0.1, 0.0), (96, 0.5, 0.0), (128, 0.25, 0.0)]
    file.write_text(json.dumps([{"streams": s, "first_audio_p95": f, "underruns": u} for s, f, u in points]))
    assert streams_of(measured(file), 0.3, 0.001) == 64
    assert streams_of(measured(file), 0.05, 0.001) == 0


@pytest.mark.parametrize("order", [1, -1])
def test_of_two_measurements_of_one_count_the_worse_holds(order: int, tmp_path: Path) -> None:
    file = tmp_path / "profile.json"
    points = [(8, 0.1, 0.0), (16, 0.1, 0.0), (16, 9.0, 9.0), (32, 0.1, 0.0)][::order]
    file.write_text(json.dumps([{"streams": s, "first_audio_p95": f, "underruns": u} for s, f, u in points]))
    assert streams_of(measured(file), 0.3, 0.001) == 8


def test_a_list_has_no_model_to_choose(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "profile.json"
    file.write_text(json.dumps([{"streams": 8, "first_audio_p95": 0.1, "underruns": 0}]))
    assert command(["--callers", "1", "--profile", str(file), "--model", "nosuch"]) == 2
    assert "is a list, which names no model. Leave --model out." in capsys.readouterr().err
    assert command(["--callers", "1", "--profile", str(file)]) == 0


BENCH = Path(__file__).parents[3] / "bench" / "service.py"


def benched(folder: Path) -> Path:
    """What the benchmark of the service writes; its times are milliseconds."""
    written = BENCH.read_text().partition("class Level:")[2].partition("\n\n\n")[0]
    level = dict.fromkeys(re.findall(r"^    (\w+): ", written, re.MULTILINE), 0.0)
    assert {"model", "streams", "first_p95", "under_runs", "utterances"} <= level.keys()
    levels = [
        level
        | {"model": model, "streams": streams, "first_p95": first, "under_runs": gaps, "utterances": 100}
        for model, streams, first, gaps in [
            ("ion", 8, 90.0, 0),
            ("ion", 16, 200.0, 1),
            ("ion", 32, 210.0, 9),
            ("toy", 128, 40.0, 0),
        ]
    ]
    file = folder / "profile.json"
    file.write_text(json.dumps({"machine": "x", "commit": "y", "levels": levels}))
    return file


def test_what_the_benchmark_writes_is_a_profile(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = benched(tmp_path)
    assert streams_of(measured(file, "ion"), 0.3, 0.01) == 16
    assert streams_of(measured(file, "toy"), 0.3, 0.001) == 128
    arguments = ["--callers", "100", "--profile", str(file), "--underruns", "0.01"]
    assert command(arguments) == 2
    assert "has ion, toy. Choose one with --model." in capsys.readouterr().err
    assert command([*arguments, "--model", "ion"]) == 0
    assert "pods of 16 streams" in capsys.readouterr().out
    assert command([*arguments, "--model", "ion", "--first-audio", "0.01"]) == 2
    assert "Accept more (--first-audio, --underruns), or measure fewer streams." in capsys.readouterr().err


HUGE = "1" + "0" * 400
"""A whole number that no float holds."""


@pytest.mark.parametrize(
    "text",
    [
        *("", "[{}]", "{", "{}", "null", "3", '"x"', '[{"streams": 1}]', "[1]", "[" * 100_000),
        '{"levels": [{"model": "x"}]}',
        *(
            f'{{"levels": [{{"model": "x", "streams": 8, "first_p95": {first}, "under_runs": {gaps},'
            f' "utterances": 1}}]}}'
            for first, gaps in [(HUGE, "0"), ("1", HUGE)]
        ),
        *(
            f'[{{"streams": {streams}, "first_audio_p95": {first}, "underruns": {gaps}}}]'
            for streams, first, gaps in [
                ("0", "1", "0"),
                ("-4", "1", "0"),
                ("1.5", "1", "0"),
                ("1e999", "1", "0"),
                ("true", "1", "0"),
                ('"8"', "1", "0"),
                ("8", "NaN", "0"),
                ("8", "-1", "0"),
                ("8", "null", "0"),
                ("8", "1", "[]"),
                ("8", HUGE, "0"),
                ("8", "1", HUGE),
                (HUGE, "1", "0"),
            ]
        ),
    ],
)
def test_a_broken_profile_is_one_sentence_that_says_what_to_give(text: str, tmp_path: Path) -> None:
    (tmp_path / "profile.json").write_text(text)
    with pytest.raises(ConfigError, match="Give a file that `make bench-service JSON=…` has written"):
        measured(tmp_path / "profile.json")


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
        (
            ["--callers", "1", "--profile", "nowhere.json"],
            "Cannot read the profile nowhere.json: No such file",
        ),
        (
            ["--callers", "1", "--streams-per-pod", "1", "--profile", "x"],
            "Give --streams-per-pod or --profile",
        ),
        (["--callers", "1", "--streams-per-pod", "1", "--model", "ion"], "--model chooses from a --profile."),
        (["--callers", "-1", "--streams-per-pod", "1"], "--callers must be"),
        (["--callers", "1000001", "--streams-per-pod", "1"], "--callers must be"),
        (["--callers", "1", "--streams-per-pod", "0"], "--streams-per-pod must be"),
        (["--callers", "1", "--streams-per-pod", "-8"], "--streams-per-pod must be"),
        (["--callers", "1", "--streams-per-pod", "8", "--seconds", "inf"], "--seconds must be"),
        (["--callers", "1", "--streams-per-pod", "8", "--seconds", "0"], "--seconds must be"),
        (["--callers", "1", "--streams-per-pod", "8", "--speaking", "1e-320"], "--speaking is a share"),
        (["--callers", "1", "--streams-per-pod", "8", "--target", "0"], "--target is a share"),
        (["--callers", "1", "--streams-per-pod", "8", "--risk", "1e-300"], "--risk is a share"),
        (["--callers", "1", "--streams-per-pod", "8", "--spare", "-1"], "--spare must be"),
        (["--callers", "1000000", "--streams-per-pod", "1"], "More than 1000000 pods of 1 streams"),
        *(
            (["--callers", "1", "--streams-per-pod", "8", f"--{name}", "nan"], f"--{name} ")
            for name in ("speaking", "seconds", "target", "risk", "first-audio", "underruns")
        ),
    ],
)
def test_what_cannot_be_is_refused(
    arguments: list[str], sentence: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert command(arguments) == 2
    assert sentence in capsys.readouterr().err
