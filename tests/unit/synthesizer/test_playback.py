"""What a listener hears of gaps, and which of them are the server's."""

from __future__ import annotations

import pytest
from rhapsode_server.synthesizer.playback import Playback


def test_a_listener_who_is_ahead_hears_no_underrun() -> None:
    playback = Playback()
    for index in range(5):
        playback.sent(0.5, 10 + index * 0.4)
    assert playback.underruns == 0
    assert playback.gaps == pytest.approx([0.4] * 4)


def test_a_listener_who_runs_dry_hears_each_gap_once() -> None:
    playback = Playback()
    for now in (10.0, 10.8, 11.2, 12.5):
        playback.sent(0.5, now)
    assert playback.underruns == 2


def test_what_the_caller_held_up_is_no_gap_and_no_underrun() -> None:
    playback = Playback()
    playback.sent(0.5, 10.0)
    playback.sent(0.5, 20.0, excused=True)
    assert (playback.underruns, playback.gaps) == (0, [])
    playback.sent(0.5, 21.0)
    assert (playback.underruns, playback.gaps) == (1, [1.0])


def test_an_excuse_takes_nothing_from_what_the_listener_has() -> None:
    """Two seconds are there; a word that the text had to wait for does not make them less."""
    playback = Playback()
    playback.sent(2.0, 10.0)
    playback.sent(0.1, 10.5, excused=True)
    playback.sent(0.5, 12.0)
    assert playback.underruns == 0


def test_a_listener_who_says_how_far_he_is_is_believed() -> None:
    """He began a second late, so what came after 1.2 seconds was in time."""
    playback = Playback()
    playback.sent(0.5, 10.0)
    playback.stands(0.5, 11.0)
    playback.sent(0.5, 11.2)
    assert playback.underruns == 0
    playback.stands(0.1, 11.3)
    playback.sent(0.5, 11.6)
    assert playback.underruns == 1
