"""The listener of `say --stream`: sound to the card, and what is told of it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, cast

import pytest
from rhapsode import say_stream
from rhapsode.player import Player
from rhapsode.speech import AudioChunk
from rhapsode.talk import ContextEvent, Flushed

from tests.unit.client.card import Card

SOUND = bytes(range(1, 255)) * 4


class Context:
    """A context that says these things, and remembers what it was told."""

    def __init__(self, *events: ContextEvent) -> None:
        self.reports: list[int] = []
        self._events = events

    def events(self) -> Iterator[ContextEvent]:
        yield from self._events

    def report(self, played: int) -> None:
        self.reports.append(played)


def chunk(number: int) -> AudioChunk:
    samples = len(SOUND) // 2
    return AudioChunk(SOUND, number * samples, samples)


def listener(context: Context) -> say_stream._Listener:
    return say_stream._Listener(cast("Any", context))


def test_the_server_is_told_how_far_the_card_is(cards: list[Card], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(say_stream, "REPORT_SECONDS", 0.0)
    context = Context(*(chunk(number) for number in range(5)))
    one = listener(context)
    with Player(16_000) as player:
        one.listen(player)
        assert len(context.reports) == 5
        assert context.reports == sorted(context.reports)
        assert context.reports[-1] <= player.played_samples
    assert one.played() == 5 * len(SOUND) // 2
    assert cards[0].heard.replace(b"\0", b"") == SOUND * 5


def test_it_is_told_a_few_times_a_second_and_no_more(cards: list[Card]) -> None:
    context = Context(*(chunk(number) for number in range(200)))
    with Player(16_000) as player:
        listener(context).listen(player)
    assert len(context.reports) < 20


def test_who_writes_to_a_file_reports_nothing() -> None:
    class File:
        written = b""

        def write(self, data: bytes) -> None:
            self.written += data

    file, context = File(), Context(chunk(0), Flushed("", 10), chunk(1))
    one = listener(context)
    one.listen(file)
    assert (file.written, context.reports, one.played()) == (SOUND * 2, [], None)


def test_a_line_that_was_spoken_is_no_underrun(cards: list[Card]) -> None:
    """The card goes on asking while somebody types the next line."""

    class Waiting(Context):
        def events(self) -> Iterator[ContextEvent]:
            for number in range(3):
                yield chunk(number)
                yield Flushed("", 0)
                while len(cards[0].heard.replace(b"\0", b"")) < (number + 1) * len(SOUND):
                    pass
                before = len(cards[0].heard)
                while len(cards[0].heard) < before + 640:
                    pass

    with Player(16_000) as player:
        listener(Waiting()).listen(player)
    assert player.underruns == 0
