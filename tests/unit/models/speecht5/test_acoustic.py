"""The decoder: rows at different times, constant work for each step, addressed dropout."""

from __future__ import annotations

import pytest
import torch
from rhapsode_server.models.base import Prompt, SpeechModel
from rhapsode_server.models.speecht5.acoustic import SpeechT5Acoustic

from .conftest import Prepare, speak

TEXTS = ("One moment please.", "Yes.", "Seven red lanterns hang above the river.")


def test_rows_at_different_times_equal_each_alone(model: SpeechModel, prepare: Prepare) -> None:
    """Row i joins at step 3 * i, in a slot of its own, and leaves when it stops."""
    prompts = [prepare(text, seed=seed) for seed, text in enumerate(TEXTS)]
    alone = [speak(model, prompt) for prompt in prompts]
    slots, frames = [4, 0, 2], [[], [], []]  # type: tuple[list[int], list[list[torch.Tensor]]]
    state, running, step = model.acoustic.new_state(5), {0, 1, 2}, 0
    while running:
        for row, prompt in enumerate(prompts):
            if step == 3 * row:
                model.acoustic.prefill(state, [slots[row]], [prompt])
        rows = [row for row in sorted(running) if step >= 3 * row]
        made = model.acoustic.decode(state, torch.tensor([slots[row] for row in rows]))
        for index, row in enumerate(rows):
            frames[row].append(made.frames[index])
            if made.stopped[index] or len(frames[row]) == prompts[row].max_frames:
                running.remove(row)
        step += 1
    for row, want in enumerate(alone):
        got = torch.stack(frames[row])
        assert got.shape == want.shape
        assert (got - want).abs().max() <= 1e-5


def test_a_step_works_on_one_mel_slice_of_each_row(
    model: SpeechModel, prepare: Prepare, monkeypatch: pytest.MonkeyPatch
) -> None:
    acoustic = model.acoustic
    assert isinstance(acoustic, SpeechT5Acoustic)
    shapes: list[tuple[int, ...]] = []
    first = acoustic._prenet._layers[0]

    def counted(x: torch.Tensor) -> torch.Tensor:
        shapes.append(tuple(x.shape))
        return first(x)

    monkeypatch.setattr(acoustic._prenet, "_layers", [counted, *acoustic._prenet._layers[1:]])
    speak(model, prepare(TEXTS[0]))
    assert len(shapes) > 20
    assert len(set(shapes)) == 1


def test_the_seed_is_the_only_chance(model: SpeechModel, prepare: Prepare) -> None:
    torch.manual_seed(1)
    first = speak(model, prepare(TEXTS[0], seed=5))
    torch.manual_seed(2)
    again = speak(model, prepare(TEXTS[0], seed=5))
    assert torch.equal(first, again)
    other = speak(model, prepare(TEXTS[0], seed=6))
    shared = min(len(first), len(other))
    assert not torch.allclose(first[:shared], other[:shared], atol=1e-3)


def test_any_integer_is_a_seed(model: SpeechModel, prepare: Prepare) -> None:
    state = model.acoustic.new_state(1)
    for seed in (-1, 2**63, 2**64 - 1):
        model.acoustic.prefill(state, [0], [prepare("Yes.", seed=seed)])
    assert state.seed.tolist() == [-1]


def test_it_may_not_stop_early(model: SpeechModel, prepare: Prepare) -> None:
    for text in TEXTS:
        prompt = prepare(text)
        assert prompt.min_frames == len(prompt.tokens)
        assert prompt.min_frames <= len(speak(model, prompt)) <= prompt.max_frames


def test_a_step_that_fails_moves_no_counter(
    model: SpeechModel, prepare: Prepare, monkeypatch: pytest.MonkeyPatch
) -> None:
    acoustic = model.acoustic
    assert isinstance(acoustic, SpeechT5Acoustic)
    prompt = prepare(TEXTS[0])
    want = speak(model, prompt)
    state = acoustic.new_state(2)
    acoustic.prefill(state, [1], [prompt])
    got = [acoustic.decode(state, torch.tensor([1])).frames[0]]

    def broken(hidden: torch.Tensor) -> torch.Tensor:
        raise RuntimeError

    with monkeypatch.context() as patch:
        patch.setattr(acoustic, "_stop", broken)
        with pytest.raises(RuntimeError):
            acoustic.decode(state, torch.tensor([1]))
    got.append(acoustic.decode(state, torch.tensor([1])).frames[0])
    assert torch.equal(torch.stack(got), want[:2])


def test_a_prompt_of_another_family_is_refused(model: SpeechModel) -> None:
    with pytest.raises(TypeError, match="Prompt"):
        model.acoustic.prefill(model.acoustic.new_state(1), [0], [Prompt(positions=1, max_frames=1)])
