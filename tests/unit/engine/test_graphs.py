"""Recorded decode steps: the same sound, whatever bucket and shape a batch is put into."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from rhapsode_server.core import FinishReason
from rhapsode_server.engine.graphs import Capturable, Graphs, Replay, Shape, buckets_of, recorder_for
from rhapsode_server.models import qwen3_tts, toy
from rhapsode_server.models.base import SpeechModel, State, Step
from rhapsode_server.models.qwen3_tts.acoustic import QwenAcoustic

from tests.contract.driver import Driver, speak
from tests.contract.families import SENTENCES, prompt
from tests.contract.families import qwen3_tts as tiny
from tests.contract.test_promises import assert_same


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("presets")


@pytest.fixture(scope="module")
def model(folder: Path) -> SpeechModel:
    return tiny("custom_voice")(folder)


class Fake:
    """Records as a device does: results go to tensors that stay where they are; nothing is read anew."""

    def __init__(self) -> None:
        self.replayed = 0

    def __call__(self, run: Replay) -> Replay:
        still = run()

        def replay() -> Step:
            self.replayed += 1
            step = run()
            for name in ("frames", "valid", "stopped", "runaway", "broken"):
                getattr(still, name).copy_(getattr(step, name))
            return still

        return replay


def test_buckets() -> None:
    assert buckets_of(1) == (1,)
    assert buckets_of(6) == (1, 2, 4, 6)
    assert buckets_of(32) == (1, 2, 4, 8, 16, 32)


def test_on_a_cpu_nothing_is_recorded(model: SpeechModel) -> None:
    assert isinstance(model.acoustic, Capturable)
    assert recorder_for(model.acoustic) is None
    assert recorder_for(toy.load().acoustic) is None
    assert Driver(model, 2).runner.graphs is None


@pytest.mark.parametrize("slots", [1, 3, 5])
def test_recorded_steps_sound_the_same(model: SpeechModel, slots: int) -> None:
    """Rows come and go, so that most batches lack rows of their bucket; one is cancelled midway."""
    prompts = [prompt(model, text, seed) for seed, text in enumerate(SENTENCES)]
    usual = speak(model, prompts, slots)
    fake = Fake()
    driver = Driver(model, slots, record=fake)
    sequences = [driver.add(one) for one in prompts]
    victim = driver.add(prompts[3])

    def cancel(driver: Driver, step: int) -> None:
        if victim.made > 2:
            driver.scheduler.cancel(victim)

    driver.run(cancel)
    assert fake.replayed > 10
    for seq, want in zip(sequences, usual, strict=True):
        assert seq.reason is FinishReason.STOP
        assert_same(driver.wave(seq), want, 1e-5)


def test_the_spare_row_never_runs_out_of_room(model: SpeechModel) -> None:
    acoustic = model.acoustic
    assert isinstance(acoustic, QwenAcoustic)
    state = acoustic.new_state(3)
    graphs = Graphs(acoustic, state, 2, Fake())
    with torch.inference_mode():
        acoustic.prefill(state, [1], [prompt(model, SENTENCES[1])])
        for _ in range(5):
            assert graphs.decode([1]) is not None
    assert int(state.position[2]) <= 1
    assert state.lengths[2] == 0


class Shapes:
    """A model of nothing but shapes."""

    device = torch.device("cpu")
    wanted: Shape = (10, 1)

    def __init__(self) -> None:
        self.seen: list[tuple[int, Shape]] = []

    def shapes(self, state: State, rows: list[int]) -> Shape:
        return self.wanted

    def common_shapes(self, state: State) -> list[Shape]:
        return [(64, 4), (128, 4)]

    def advance(self, state: State, slots: torch.Tensor, shape: Shape) -> Step:
        self.seen.append((len(slots), shape))
        flags = torch.zeros(len(slots), dtype=torch.bool)
        return Step(slots[:, None].clone(), flags, flags.clone(), flags.clone(), flags.clone())

    def counted(self, state: State, rows: list[int]) -> None:
        self.seen.append((len(rows), ()))

    def rewind(self, state: State, row: int) -> None:
        assert row == 6


def test_the_smallest_recorded_step_that_holds_a_batch_is_taken() -> None:
    shapes = Shapes()
    graphs = Graphs(shapes, None, 6, Fake())
    assert graphs.count == 8
    for rows, wanted, taken in [
        ([5], (10, 1), (1, (64, 4))),
        ([0, 4, 2], (64, 4), (4, (64, 4))),
        ([0, 1], (65, 4), (2, (128, 4))),
        ([0, 1, 2, 3, 4], (1, 1), (6, (64, 4))),
    ]:
        shapes.seen, shapes.wanted = [], wanted
        step = graphs.decode(rows)
        assert step is not None
        assert step.frames[:, 0].tolist() == rows
        assert shapes.seen == [taken, (len(rows), ())]


@pytest.mark.parametrize("wanted", [(129, 4), (64, 5)])
def test_what_is_not_recorded_is_left_to_the_usual_way(wanted: Shape) -> None:
    shapes = Shapes()
    graphs = Graphs(shapes, None, 6, Fake())
    shapes.seen, shapes.wanted = [], wanted
    assert graphs.decode([0]) is None
    assert shapes.seen == []


def test_a_model_that_cannot_be_recorded_is_served_the_usual_way(model: SpeechModel) -> None:
    def refuse(run: Replay) -> Replay:
        raise RuntimeError("operation not permitted when stream is capturing")

    driver = Driver(model, 2, record=refuse)
    assert driver.runner.graphs is not None
    assert driver.runner.graphs.failure == "RuntimeError"
    assert "RuntimeError" in driver.runner.graphs.told
    seq = driver.add(prompt(model, SENTENCES[1], 1))
    driver.run()
    assert np.array_equal(driver.wave(seq), speak(model, [prompt(model, SENTENCES[1], 1)], 2)[0])


@pytest.mark.gpu
def test_recorded_on_a_device(model: SpeechModel, folder: Path) -> None:
    there = qwen3_tts.load(str(folder), positions=512, device="cuda", dtype="float32")
    prompts = [prompt(there, text, seed) for seed, text in enumerate(SENTENCES)]
    driver = Driver(there, 4)
    assert driver.runner.graphs is not None
    assert driver.runner.graphs.failure == ""
    assert driver.runner.graphs.count > 0
    sequences = [driver.add(one) for one in prompts]
    driver.run()
    plain = Driver(there, 4)
    plain.runner.graphs = None
    for seq, one in zip(sequences, prompts, strict=True):
        want = plain.add(one)
        plain.run()
        assert_same(driver.wave(seq), plain.wave(want), 1e-4)
