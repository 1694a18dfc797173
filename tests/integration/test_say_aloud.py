"""`rhapsode say --stream` as a process that plays: what the sound card is given, and Ctrl-C."""

from __future__ import annotations

import asyncio
import signal
from pathlib import Path

import pytest

from tests.integration.conftest import House, house, until
from tests.integration.test_say_stream import TEXT, start, write

CARDS = Path(__file__).resolve().parents[1] / "support" / "soundcard"
LONG_WORDS = "Incomprehensibilities notwithstanding, counterrevolutionaries institutionalize. " * 4
HALF_A_SECOND = 8000
"""Samples at the toy's rate; a word of these sounds for more than twice as long."""


async def play(
    place: House, tmp_path: Path, *arguments: str, samples: int = 0
) -> tuple[asyncio.subprocess.Process, Path]:
    """The command with a card that stands still after so many samples (0: never); the card's file."""
    card = tmp_path / "card"
    card.touch()
    process = await start(place, *arguments, CARD=str(card), CARD_SAMPLES=str(samples), PYTHONPATH=str(CARDS))
    return process, card


def sound(data: bytes) -> bytes:
    return data.replace(b"\0", b"")


async def test_all_of_it_is_played(toy_house: House, tmp_path: Path) -> None:
    process, card = await play(toy_house, tmp_path, "--seed", "5")
    _, said = await process.communicate(TEXT.encode())
    assert process.returncode == 0, said
    assert b"First sound after" in said
    piped = await start(toy_house, "--seed", "5", "--out", "-")
    wanted, _ = await piped.communicate(TEXT.encode())
    assert len(wanted) > 100_000
    assert sound(card.read_bytes()) == sound(wanted)


async def test_it_is_played_while_the_text_is_still_written(toy_house: House, tmp_path: Path) -> None:
    process, card = await play(toy_house, tmp_path)
    await write(process, TEXT.encode())
    await until(lambda: card.stat().st_size > 20_000)
    early = card.stat().st_size
    _, said = await process.communicate(b"That was all.")
    assert process.returncode == 0, said
    assert card.stat().st_size > early


@pytest.mark.parametrize("ahead", [1.0, 600.0])
async def test_who_interrupts_has_heard_what_the_card_has_played(tmp_path: Path, ahead: float) -> None:
    """Whether the server has sent all of it by then or waits for the listener: the card stops in a word."""
    async with house({"engine.max_ahead": ahead}) as place:
        process, card = await play(place, tmp_path, samples=HALF_A_SECOND)
        await write(process, LONG_WORDS.encode())
        await until(lambda: card.stat().st_size == 2 * HALF_A_SECOND)
        process.send_signal(signal.SIGINT)
        _, said = await process.communicate()
        heard, missed, last = said.decode().splitlines()
        assert process.returncode == 130
        assert heard == "Heard:     Incomprehensibilities"
        assert missed.removeprefix("Not heard:").split() == LONG_WORDS.split()[1:]
        assert last == "rhapsode: Interrupted."
        await until(lambda: any(report.unheard for report in place.witness.reports))
        [report] = [report for report in place.witness.reports if report.unheard]
        assert report.done.usage.delivered - report.unheard < 2 * HALF_A_SECOND
