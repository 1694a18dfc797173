"""Prompts one ahead, each with a seed of its own."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rhapsode_server.errors import TextRefused
from rhapsode_server.models import toy
from rhapsode_server.models.base import Utterance
from rhapsode_server.synthesizer.pieces import PreparedPieces, how_to_speak, piece_seed

from tests.unit.synthesizer.conftest import CountingDesk, request

VOICE = toy.load().voices["alto"]


@pytest.fixture
def workers() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(2) as pool:
        yield pool


def pieces_of(
    text: str, workers: ThreadPoolExecutor, frontend: toy.ToyFrontend | None = None
) -> tuple[PreparedPieces, CountingDesk]:
    desk = CountingDesk()
    utterance = how_to_speak(request(text, seed=5), VOICE)
    return PreparedPieces(desk, text, frontend or toy.ToyFrontend(), utterance, workers), desk


async def test_pieces_come_in_order_each_with_its_seed(workers: ThreadPoolExecutor) -> None:
    pieces, _ = pieces_of("one|two|three", workers)
    taken = []
    while (prepared := await pieces.take()) is not None:
        taken.append(prepared)
        assert prepared.started <= prepared.ended
    assert [prepared.piece.text for prepared in taken] == ["one", "two", "three"]
    assert [prepared.prompt.seed for prepared in taken] == [piece_seed(5, number) for number in range(3)]


async def test_no_more_is_prepared_than_was_asked_for(workers: ThreadPoolExecutor) -> None:
    pieces, desk = pieces_of("|".join(["many"] * 100), workers)
    await pieces.take()
    assert desk.asked == 1
    pieces.begin()
    pieces.begin()
    while not pieces.ready:  # noqa: ASYNC110 - a worker thread sets it
        await asyncio.sleep(0)
    assert desk.asked == 2


async def test_work_is_not_done_on_the_event_loop(workers: ThreadPoolExecutor) -> None:
    seen: list[str] = []

    class Watched(toy.ToyFrontend):
        def prepare(self, utterance: Utterance) -> toy.ToyPrompt:
            seen.append(threading.current_thread().name)
            return super().prepare(utterance)

    pieces, _ = pieces_of("one", workers, Watched())
    await pieces.take()
    assert seen
    assert threading.current_thread().name not in seen


async def test_an_error_comes_where_the_piece_would(workers: ThreadPoolExecutor) -> None:
    pieces, _ = pieces_of("one|!!!|two", workers)
    assert await pieces.take() is not None
    with pytest.raises(TextRefused):
        await pieces.take()


async def test_what_is_dropped_is_forgotten(workers: ThreadPoolExecutor) -> None:
    """An error in a piece that nobody waits for must not be reported by the event loop."""
    complaints: list[object] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: complaints.append(context))
    held = threading.Event()

    class Slow(toy.ToyFrontend):
        def prepare(self, utterance: Utterance) -> toy.ToyPrompt:
            held.wait(10)
            raise TextRefused("No.")

    pieces, _ = pieces_of("one", workers, Slow())
    pieces.begin()
    pieces.drop()
    held.set()
    workers.shutdown(wait=True)
    for _ in range(3):
        await asyncio.sleep(0)
    del pieces
    assert complaints == []


@given(st.integers(0, 2**64 - 1), st.integers(0, 2**64 - 1), st.integers(0, 999), st.integers(0, 999))
def test_seeds_of_pieces_are_theirs_alone(seed: int, other: int, number: int, another: int) -> None:
    derived = piece_seed(seed, number)
    assert 0 <= derived < 2**63
    assert derived == piece_seed(seed, number)
    if number != another:
        assert derived != piece_seed(seed, another)
    if seed != other:
        assert derived != piece_seed(other, number)


def test_seeds_are_the_published_functions() -> None:
    """SplitMix64 from state 0 begins with 0xE220A8397B1DCDAF, 0x6E789E6AA1B965F4, 0x06C45D188009454F."""
    published = (0xE220A8397B1DCDAF, 0x6E789E6AA1B965F4, 0x06C45D188009454F)
    assert [piece_seed(0, number) for number in range(3)] == [number >> 1 for number in published]


def test_a_language_that_is_not_named_is_the_voices_only_one_or_stays_open() -> None:
    several = replace(VOICE, languages=("de", "en"))
    assert how_to_speak(request("x"), several).language == ""
    assert how_to_speak(request("x", language="en"), several).language == "en"
    assert how_to_speak(request("x"), VOICE).language == "en"
    assert how_to_speak(request("x", language="en-GB"), VOICE).language == "en-GB"
