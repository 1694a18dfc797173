"""The free list: rows are given once, taken back once, and the lowest goes first."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rhapsode_server.engine.slots import Slots


@given(st.integers(1, 8), st.lists(st.integers(0, 7), max_size=60))
def test_no_row_is_ever_held_twice(count: int, moves: list[int]) -> None:
    slots = Slots(count, 10)
    held: set[int] = set()
    for move in moves:
        if move % 2 and held:
            victim = sorted(held)[move % len(held)]
            slots.release(victim)
            held.remove(victim)
            continue
        slot = slots.acquire(10)
        if len(held) == count:
            assert slot is None
        else:
            assert slot == min(set(range(count)) - held)
            held.add(slot)
        assert (slots.used, slots.free) == (len(held), count - len(held))


def test_a_prompt_that_never_fits_is_an_error_and_takes_nothing() -> None:
    slots = Slots(2, 10)
    with pytest.raises(ValueError, match="11 positions never fit a row of 10"):
        slots.acquire(11)
    assert slots.free == 2


@pytest.mark.parametrize("slot", [-1, 0, 2])
def test_a_row_that_is_not_in_use_cannot_be_released(slot: int) -> None:
    with pytest.raises(ValueError, match="not in use"):
        Slots(2, 10).release(slot)


@pytest.mark.parametrize(("count", "positions"), [(0, 1), (1, 0)])
def test_there_is_at_least_one_row_of_one_position(count: int, positions: int) -> None:
    with pytest.raises(ValueError, match="at least one"):
        Slots(count, positions)


def test_what_is_spoken_for_is_told_as_a_share() -> None:
    slots = Slots(2, 100)
    first = slots.acquire(50)
    assert slots.acquire(100) is not None
    assert slots.acquire(10) is None
    assert slots.filled == 0.75
    assert first is not None
    slots.release(first)
    assert slots.filled == 0.5
