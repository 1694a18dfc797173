"""Playback: what the sound card is given, when it begins, how often it ran dry."""

from __future__ import annotations

import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rhapsode.player import JitterBuffer, NoSoundDevice, Player, find_device

from tests.unit.client.card import Card, PortAudioError


def test_it_begins_when_the_cushion_is_full() -> None:
    buffer = JitterBuffer(cushion=8)
    buffer.push(b"\x01" * 6)
    assert buffer.pull(4) == bytes(4)
    buffer.push(b"\x02" * 2)
    assert buffer.pull(4) == b"\x01" * 4
    assert buffer.underruns == 0


def test_a_short_utterance_needs_no_cushion() -> None:
    buffer = JitterBuffer(cushion=100)
    buffer.push(b"\x01\x02")
    buffer.close()
    assert buffer.pull(4) == b"\x01\x02\0\0"
    assert buffer.drained.is_set()
    assert buffer.underruns == 0


def test_running_dry_counts_once_and_waits_for_a_cushion() -> None:
    buffer = JitterBuffer(cushion=4)
    buffer.push(b"\x01" * 6)
    assert buffer.pull(4) == b"\x01" * 4
    assert buffer.pull(4) == b"\x01\x01\0\0"
    assert buffer.pull(4) == bytes(4)
    buffer.push(b"\x02" * 2)
    assert buffer.pull(4) == bytes(4)
    assert buffer.underruns == 1
    buffer.push(b"\x03" * 2)
    assert buffer.pull(4) == b"\x02\x02\x03\x03"
    assert buffer.given == 10, "silence is not counted as heard"
    buffer.close()
    assert buffer.pull(4) == bytes(4)
    assert buffer.underruns == 1
    assert buffer.drained.is_set()


@given(
    cushion=st.integers(0, 12),
    steps=st.lists(st.one_of(st.binary(min_size=1, max_size=9), st.integers(1, 9)), max_size=40),
)
def test_every_byte_is_given_once_in_order(cushion: int, steps: list[bytes | int]) -> None:
    """Whatever the order of pushes and pulls; silence is 0, so sound here is never 0."""
    buffer = JitterBuffer(cushion)
    pushed = heard = b""
    for step in [*steps, None]:
        if isinstance(step, bytes):
            step = bytes(value | 1 for value in step)
            buffer.push(step)
            pushed += step
        elif isinstance(step, int):
            given = buffer.pull(step)
            assert len(given) == step
            heard += given.replace(b"\0", b"")
    buffer.close()
    heard += buffer.pull(400).replace(b"\0", b"")
    assert heard == pushed
    assert buffer.drained.is_set()


def test_all_is_heard_before_the_player_is_left(cards: list[Card]) -> None:
    sound = bytes(range(1, 256)) * 40
    with Player(24000) as player:
        player.write(sound[:5000])
        player.write(sound[5000:])
    (card,) = cards
    assert (card.settings["samplerate"], card.settings["channels"]) == (24000, 1)
    assert card.settings["dtype"] == "int16"
    assert card.heard.replace(b"\0", b"") == sound
    assert card.ended == ["stop", "abort", "close"]


def test_an_error_is_silent_at_once(cards: list[Card]) -> None:
    def interrupted() -> None:
        with Player(24000) as player:
            player.write(bytes(10_000_000))
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert cards[0].ended == ["abort", "close"]


@pytest.mark.usefixtures("cards")
def test_a_rate_that_the_device_has_not_got() -> None:
    with pytest.raises(NoSoundDevice, match="does not play at 1 Hz"):
        Player(1)


def test_nothing_to_play_with(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "sounddevice", None)
    with pytest.raises(NoSoundDevice, match=r'pip install "rhapsode\[play\]"'):
        find_device()


def test_nothing_to_play_on(monkeypatch: pytest.MonkeyPatch, cards: list[Card]) -> None:
    def none(kind: str) -> None:
        raise PortAudioError(kind)

    monkeypatch.setattr(sys.modules["sounddevice"], "query_devices", none)
    with pytest.raises(NoSoundDevice, match="no sound device"):
        find_device()
    assert cards == []


def test_the_end_of_a_phrase_is_given_without_a_cushion_and_waiting_for_more_is_no_underrun() -> None:
    buffer = JitterBuffer(cushion=8)
    buffer.push(b"\x01" * 4)
    buffer.rest()
    assert buffer.pull(4) == b"\x01" * 4
    assert buffer.pull(4) == bytes(4)
    assert buffer.underruns == 0
    buffer.push(b"\x02" * 4)
    assert buffer.pull(4) == bytes(4), "the next phrase has a cushion again"
    buffer.push(b"\x02" * 4)
    assert buffer.pull(8) == b"\x02" * 8
    assert buffer.pull(4) == bytes(4)
    assert buffer.underruns == 1
