"""Processors against a plain reading of their definitions, draws against their distribution, noise."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from rhapsode_server.layers.noise import hashed, normal, uniform
from rhapsode_server.layers.sampling import NEVER, Choice, penalise, pick, warp

LOGITS = st.lists(st.floats(-20, 20, width=32), min_size=2, max_size=30)


def kept_by_definition(logits: list[float], temperature: float, top_k: int, top_p: float) -> set[int]:
    """Tokens left by top-k and then top-p, one at a time."""
    order = sorted(range(len(logits)), key=lambda token: -logits[token])
    if top_k:
        last = logits[order[min(top_k, len(order)) - 1]]
        order = [token for token in order if logits[token] >= last]
    best = max(logits)
    weights = [math.exp((logits[token] - best) / temperature) for token in order]
    kept: list[int] = []
    rest = sum(weights)
    for token, weight in zip(order, weights, strict=True):
        if kept and rest / sum(weights) <= 1 - top_p:
            break
        kept.append(token)
        rest -= weight
    return set(kept)


@given(
    logits=LOGITS,
    temperature=st.sampled_from([0.5, 0.9, 2.0]),
    top_k=st.integers(0, 40),
    top_p=st.sampled_from([0.3, 0.8, 0.95]),
)
def test_warping(logits: list[float], temperature: float, top_k: int, top_p: float) -> None:
    scores = torch.tensor([logits])
    got = warp(scores, torch.tensor([temperature]), torch.tensor([top_k]), torch.tensor([top_p]))[0]
    exact = kept_by_definition(scores[0].tolist(), temperature, top_k, top_p)
    kept = set(torch.nonzero(got > NEVER).flatten().tolist())
    # Rounding may move a token that lies on the very edge, and tokens of equal score stay together.
    assert {round(logits[token], 3) for token in kept ^ exact} <= {
        round(logits[token], 3) for token in (min(exact | kept, key=lambda token: logits[token]),)
    }
    assert torch.equal(got[list(exact & kept)], (scores[0] / temperature)[list(exact & kept)])


TIED = st.lists(st.sampled_from([-2.0, -0.0, 0.0, 0.5, 3.0]), min_size=2, max_size=30)


@given(
    logits=st.one_of(LOGITS, TIED),
    temperature=st.sampled_from([0.0, 0.7, 1.0]),
    top_k=st.integers(1, 10),
    top_p=st.sampled_from([0.3, 0.9, 1.0]),
    extra=st.integers(0, 20),
    noise=st.integers(0, 2**23 - 1),
)
def test_looking_at_more_than_is_needed_changes_nothing(
    logits: list[float], temperature: float, top_k: int, top_p: float, extra: int, noise: int
) -> None:
    """`limit` is what the neighbours in a batch ask for."""
    scores, number = torch.tensor([logits]), torch.tensor([(noise + 0.5) * 2.0**-23])
    choice = Choice.of(torch.tensor([temperature]), torch.tensor([top_k]), torch.tensor([top_p]))
    need = min(top_k, len(logits))
    more = min(need + extra, len(logits))
    assert torch.equal(pick(scores, choice, number, need), pick(scores, choice, number, more))


@pytest.mark.parametrize("limit", [2, 3, 4])
def test_of_equal_scores_the_lower_tokens_stay(limit: int) -> None:
    scores = torch.tensor([[0.0, 0.0, 0.0, 3.0]] * 100)
    rows = Choice.of(torch.ones(100), torch.full((100,), 2), torch.ones(100))
    numbers = (torch.arange(100) + 0.5) / 100
    picked = pick(scores, rows, numbers, limit)
    assert set(picked.tolist()) == {0, 3}
    share = 1 / (1 + math.exp(-3.0))
    assert abs(int((picked == 3).sum()) / 100 - share) <= 0.01


def test_equal_scores_are_laid_out_in_order() -> None:
    """Both zeros are equal; a greedy row takes the first of the best."""
    scores = torch.tensor([[0.0, -0.0, -1.0, 0.0]] * 4)
    rows = Choice.of(torch.tensor([1.0, 1.0, 1.0, 0.0]), torch.full((4,), 3), torch.ones(4))
    numbers = torch.tensor([0.1, 0.5, 0.9, 0.9])
    assert pick(scores, rows, numbers, 4).tolist() == [0, 1, 3, 0]


def test_everything_off_leaves_the_scores() -> None:
    scores = torch.randn(3, 17, generator=torch.Generator().manual_seed(0))
    off = warp(scores, torch.ones(3), torch.zeros(3, dtype=torch.int64), torch.ones(3))
    assert torch.equal(off, scores)


def test_the_penalty_is_per_row_and_once_per_token() -> None:
    logits = torch.tensor([[2.0, -2.0, 1.0], [2.0, -2.0, 1.0]])
    seen = torch.tensor([[True, True, False], [False, False, True]])
    got = penalise(logits, seen, torch.tensor([2.0, 4.0]))
    assert got.tolist() == [[1.0, -4.0, 1.0], [2.0, -2.0, 0.25]]


@given(logits=LOGITS, noise=st.integers(0, 2**23 - 1))
def test_what_is_ruled_out_is_never_drawn(logits: list[float], noise: int) -> None:
    scores = torch.tensor([logits])
    scores[0, ::2] = NEVER
    number = torch.tensor([(noise + 0.5) * 2.0**-23])
    off = Choice.of(torch.ones(1), torch.zeros(1, dtype=torch.int64), torch.ones(1))
    assert int(pick(scores, off, number, len(logits))[0]) % 2 == 1


@pytest.mark.parametrize(
    ("temperature", "top_k", "top_p"),
    [
        (0.9, 50, 1.0),
        (0.9, 5, 1.0),
        (1.5, 0, 1.0),
        (0.7, 0, 0.8),
        (1.0, 7, 0.6),
        (0.0, 5, 0.5),
        (2.0, 1, 1.0),
    ],
)
def test_tokens_are_drawn_from_what_warping_leaves(temperature: float, top_k: int, top_p: float) -> None:
    """As often as their share says; a greedy row takes the best."""
    generator = torch.Generator().manual_seed(top_k)
    scores = 3 * torch.randn(60, generator=generator)
    limit, count = top_k or 60, 40_000
    settings = (torch.tensor([temperature]), torch.tensor([top_k]), torch.tensor([top_p]))
    left = warp(scores[None], *settings)
    wanted = left[0].softmax(0) if temperature else (scores == scores.max()).float()
    numbers = uniform(torch.zeros(count, dtype=torch.int64), torch.arange(count), 3)
    rows = Choice.of(*(value.expand(count) for value in settings))
    picked = pick(scores.expand(count, -1), rows, numbers, limit)
    shares = torch.bincount(picked, minlength=60) / count
    assert (shares - wanted).abs().max() < 0.01
    assert bool((wanted[shares > 0] > 0).all())


def test_each_row_picks_with_its_own_settings() -> None:
    scores = torch.tensor([[0.0, 3.0, 2.0, 1.0]] * 4)
    choice = Choice.of(
        torch.tensor([0.0, 1.0, 1.0, 1.0]), torch.tensor([0, 2, 0, 1]), torch.tensor([1.0, 1.0, 0.1, 1.0])
    )
    high = torch.full((4,), 1.0 - 2.0**-24)
    assert pick(scores, choice, high, 4).tolist() == [1, 2, 1, 1]


@pytest.mark.parametrize("seed", [0, 1, -1, 2**62])
def test_noise_is_even_and_independent(seed: int) -> None:
    seeds = torch.tensor(seed)
    grid = uniform(seeds, torch.arange(300)[:, None], torch.arange(300))
    assert bool(((grid > 0) & (grid < 1)).all())
    shares = torch.histc(grid, bins=20, min=0, max=1) / grid.numel()
    assert (shares - 0.05).abs().max() < 0.004
    for shifted in (grid[1:] * 1, grid[:, 1:]):
        first = grid[: shifted.shape[0], : shifted.shape[1]]
        correlation = torch.corrcoef(torch.stack([first.flatten(), shifted.flatten()]))[0, 1]
        assert abs(float(correlation)) < 0.02


def test_every_bit_of_an_address_counts() -> None:
    def value(seed: int, *address: int) -> int:
        return int(hashed(torch.tensor(seed), *address))

    values = [value(1 << bit, 5, 7) for bit in range(63)]
    values += [value(0, 1 << bit, 7) for bit in range(31)] + [value(0, 5, 1 << bit) for bit in range(31)]
    assert len(set(values)) == len(values)
    assert value(0, 5, 7) != value(0, 7, 5)


def test_noise_never_changes() -> None:
    """Golden numbers: another implementation of the address would change every voice's every draw."""
    assert hashed(torch.tensor([0, 1, -1]), 2, 3).tolist() == [633746792, 1145445433, 2962831849]


def test_noise_does_not_depend_on_the_batch() -> None:
    seeds = torch.arange(50)
    together = uniform(seeds, 4)
    assert torch.equal(together, torch.stack([uniform(seed, 4) for seed in seeds]))


def test_normal_noise() -> None:
    numbers = normal(torch.tensor(3), torch.arange(40_000))
    assert abs(float(numbers.mean())) < 0.02
    assert abs(float(numbers.std()) - 1) < 0.02
    assert bool(numbers.isfinite().all())
