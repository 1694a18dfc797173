"""One step for all rows: settings of their own, bounds, runaways, and rows that stay where they were."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from rhapsode_server.core import FinishReason, SamplingParams
from rhapsode_server.models import qwen3_tts
from rhapsode_server.models.base import SpeechModel
from rhapsode_server.models.qwen3_tts.acoustic import QwenAcoustic
from rhapsode_server.models.qwen3_tts.acoustic_state import AcousticState
from rhapsode_server.models.qwen3_tts.frontend import QwenPrompt
from rhapsode_server.models.qwen3_tts.guards import Guards
from torch import Tensor

from tests.contract.driver import Driver, speak

from .conftest import say

TEXTS = ("yes", "the assistant reads", "one two three four five six", "and another user")


def acoustic_of(model: SpeechModel) -> QwenAcoustic:
    assert isinstance(model.acoustic, QwenAcoustic)
    return model.acoustic


def prompt(model: SpeechModel, text: str, seed: int = 0, **settings: float | int) -> QwenPrompt:
    voice = next(iter(model.voices.values()))
    sampling = SamplingParams(**settings)  # type: ignore[arg-type]
    made = model.frontend.prepare(say(text, voice, seed=seed, sampling=sampling))
    assert isinstance(made, QwenPrompt)
    return made


@torch.inference_mode()
def frames_of(model: SpeechModel, prompts: list[QwenPrompt], steps: int) -> list[Tensor]:
    """The first frames of each, all decoded together."""
    acoustic = acoustic_of(model)
    state = acoustic.new_state(len(prompts))
    acoustic.prefill(state, list(range(len(prompts))), prompts)
    rows = torch.arange(len(prompts))
    return list(torch.stack([acoustic.decode(state, rows).frames for _ in range(steps)], 1))


def test_rows_have_settings_of_their_own(presets: SpeechModel) -> None:
    settings: list[dict[str, float | int]] = [
        {"temperature": 0.0},
        {"temperature": 1.5, "top_k": 0},
        {"top_p": 0.3},
        {"top_k": 2, "repetition_penalty": 1.5},
    ]
    prompts = [prompt(presets, TEXTS[i], i, **chosen) for i, chosen in enumerate(settings)]
    together = frames_of(presets, prompts, 6)
    for row, alone in enumerate(prompts):
        assert torch.equal(frames_of(presets, [alone], 6)[0], together[row])


def test_greedy_is_the_same_for_every_seed(presets: SpeechModel) -> None:
    rows = frames_of(presets, [prompt(presets, TEXTS[1], seed, temperature=0.0) for seed in range(3)], 5)
    assert torch.equal(rows[0], rows[1])
    assert torch.equal(rows[0], rows[2])


def test_seeds_differ_in_every_bit(presets: SpeechModel) -> None:
    seeds = (0, 1, 2**31, 2**32, 2**63, 2**64 - 1)
    rows = frames_of(presets, [prompt(presets, TEXTS[1], seed) for seed in seeds], 5)
    assert len({tuple(row.flatten().tolist()) for row in rows}) == len(seeds)


def test_slots_in_any_order(presets: SpeechModel) -> None:
    """Gathered rows and rows read in place give the same frames."""
    acoustic = acoustic_of(presets)
    prompts = [prompt(presets, text, seed) for seed, text in enumerate(TEXTS)]
    wanted = frames_of(presets, prompts, 3)
    with torch.inference_mode():
        state = acoustic.new_state(7)
        slots = [5, 0, 6, 2]
        acoustic.prefill(state, slots, prompts)
        steps = [acoustic.decode(state, torch.tensor(slots)).frames for _ in range(3)]
    for row, want in enumerate(wanted):
        assert torch.equal(torch.stack([step[row] for step in steps]), want)


def test_only_the_end_of_the_control_tokens_is_ever_drawn(presets: SpeechModel) -> None:
    many = [prompt(presets, TEXTS[2], seed, temperature=3.0, top_k=0) for seed in range(32)]
    first = torch.cat([frames[:, 0] for frames in frames_of(presets, many, 8)])
    assert set(first[first >= 32].tolist()) <= {32 + 102}


def test_the_end_is_ruled_out_at_first(presets: SpeechModel) -> None:
    for seed in range(20):
        one = replace(prompt(presets, "yes", seed), fewest=9)
        assert bool((frames_of(presets, [one], 9)[0][:, 0] < 32).all())


def decode_until_stop(model: SpeechModel, one: QwenPrompt) -> tuple[int, bool, bool]:
    """Frames made, and how the last step ended: valid, runaway."""
    acoustic = acoustic_of(model)
    state = acoustic.new_state(1)
    with torch.inference_mode():
        acoustic.prefill(state, [0], [one])
        for made in range(one.max_frames):
            step = acoustic.decode(state, torch.tensor([0]))
            assert step.runaway is not None
            if bool(step.stopped[0]):
                return made, bool(step.valid[0]), bool(step.runaway[0])
    raise AssertionError("never stopped")


def test_a_model_that_has_lost_the_text_is_stopped(preset_folder: object) -> None:
    guards = Guards(watched=8, distinct=8)
    model = qwen3_tts.load(str(preset_folder), positions=256, guards=guards)
    one = replace(prompt(model, TEXTS[2]), fewest=200)
    assert decode_until_stop(model, one) == (7, False, True)


def test_a_row_of_no_numbers_fails_alone_and_leaves_nothing_behind(presets: SpeechModel) -> None:
    """Neither a runaway nor an end: an error of that row. The next in its slot finds no trace of it."""
    good, other = prompt(presets, TEXTS[1], 1), prompt(presets, TEXTS[2], 2)
    bad = replace(good, rows=torch.full_like(good.rows, float("nan")))
    (want,) = speak(presets, [other], 1)
    driver = Driver(presets, 2)
    sequences = [driver.add(one) for one in (bad, other)]
    driver.step()
    assert [(failure.stage, failure.error_type) for failure in driver.failures] == [("decode", "NonFinite")]
    assert sequences[0].reason is FinishReason.ERROR
    again = driver.add(other)
    driver.run()
    for seq in (sequences[1], again):
        assert seq.reason is FinishReason.STOP
        assert np.abs(driver.wave(seq) - want).max() <= 1e-5


def test_no_numbers_in_the_predictor_alone_are_seen_too(
    presets: SpeechModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    acoustic = acoustic_of(presets)
    head = acoustic.predictor.heads[-1]
    plain = head.forward

    def spoilt(x: Tensor) -> Tensor:
        logits: Tensor = plain(x).clone()
        logits[1] = float("nan")
        return logits

    monkeypatch.setattr(head, "forward", spoilt)
    state = acoustic.new_state(3)
    with torch.inference_mode():
        acoustic.prefill(state, [0, 1, 2], [prompt(presets, text) for text in TEXTS[:3]])
        step = acoustic.decode(state, torch.tensor([0, 1, 2]))
    assert step.broken is not None
    assert step.broken.tolist() == [False, True, False]


def test_an_end_is_no_runaway(presets: SpeechModel) -> None:
    made, valid, runaway = decode_until_stop(presets, replace(prompt(presets, TEXTS[0], 3), max_frames=400))
    assert made >= 2
    assert (valid, runaway) == (False, False)


def test_a_step_that_fails_leaves_every_row_where_it_was(presets: SpeechModel) -> None:
    acoustic = acoustic_of(presets)
    prompts = [prompt(presets, text, seed) for seed, text in enumerate(TEXTS[:2])]
    wanted = frames_of(presets, prompts, 2)

    def explode(*_: object) -> Tensor:
        raise RuntimeError("the predictor fails")

    broken = QwenAcoustic(
        acoustic.checkpoint,
        acoustic.talker,
        acoustic.predictor,
        acoustic.embeddings,
        positions=512,
        guards=Guards(),
    )
    broken.predictor = explode  # type: ignore[assignment]
    with torch.inference_mode():
        state = acoustic.new_state(2)
        acoustic.prefill(state, [0, 1], prompts)
        for step in range(2):
            with pytest.raises(RuntimeError, match="the predictor fails"):
                broken.decode(state, torch.tensor([0, 1]))
            got = acoustic.decode(state, torch.tensor([0, 1])).frames
            assert torch.equal(got, torch.stack([row[step] for row in wanted]))


def test_shapes_follow_from_the_rows(presets: SpeechModel) -> None:
    acoustic = acoustic_of(presets)
    state = AcousticState(acoustic.checkpoint.talker, 2, 200, 8, 0, acoustic.embeddings.codes)
    state.lengths, state.best = [10, 63], [50, 0]
    assert acoustic.shapes(state, [0]) == (64, 64)
    assert acoustic.shapes(state, [0, 1]) == (64, 32 + 1024)
    state.lengths[1] = 64
    assert acoustic.shapes(state, [1])[0] == 128
    state.lengths[1] = 195
    assert acoustic.shapes(state, [1])[0] == 200


def test_text_that_does_not_fit_is_refused(presets: SpeechModel) -> None:
    state = acoustic_of(presets).new_state(1)
    with pytest.raises(ValueError, match="512 text tokens do not fit"):
        state.append_text(0, [1] * 512)
