"""Windows tile the frames exactly once, whatever the chunking and however frames arrive."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rhapsode_server.core import Chunking, Window
from rhapsode_server.engine.windows import next_window


@st.composite
def chunkings(draw: st.DrawFn) -> Chunking:
    first = draw(st.integers(1, 9))
    return Chunking(
        first=first,
        largest=draw(st.integers(first, 40)),
        growth=draw(st.integers(1, 3)),
        left=draw(st.sampled_from([None, 0, 3, 25])),
        right=draw(st.integers(0, 9)),
    )


def tile(chunking: Chunking, arrivals: list[int]) -> tuple[int, list[Window]]:
    """Frames arrive in steps of `arrivals`; returns how many there were and all windows."""
    made = sent = 0
    windows: list[Window] = []
    for more in [*arrivals, None]:
        made += more or 0
        while True:
            window = next_window(chunking, made, sent, len(windows), finished=more is None)
            if window is None or (windows and windows[-1].last):
                break
            windows.append(window)
            sent = window.end
    return made, windows


@given(chunkings(), st.lists(st.integers(1, 7), max_size=40))
def test_windows_tile_the_frames_exactly_once(chunking: Chunking, arrivals: list[int]) -> None:
    made, windows = tile(chunking, arrivals)
    covered = [frame for window in windows for frame in range(window.begin, window.end)]
    assert covered == list(range(made))
    assert [window.last for window in windows] == [False] * (len(windows) - 1) + [True]


@given(chunkings(), st.lists(st.integers(1, 7), max_size=40))
def test_a_window_shows_the_context_it_promises(chunking: Chunking, arrivals: list[int]) -> None:
    made, windows = tile(chunking, arrivals)
    for n, window in enumerate(windows):
        left = window.begin if chunking.left is None else min(chunking.left, window.begin)
        assert window.start == window.begin - left
        assert window.stop == (made if window.last else min(window.end + chunking.right, made))
        assert window.wanted <= min(chunking.first * chunking.growth**n, chunking.largest)


@given(chunkings())
def test_a_window_waits_for_its_look_ahead(chunking: Chunking) -> None:
    need = chunking.first + chunking.right
    assert next_window(chunking, need - 1, 0, 0, finished=False) is None
    window = next_window(chunking, need, 0, 0, finished=False)
    assert window == Window(0, 0, chunking.first, need, last=False)


def test_nothing_made_is_one_empty_last_window() -> None:
    assert next_window(Chunking(2, 8), 0, 0, 0, finished=True) == Window(0, 0, 0, 0, last=True)


@pytest.mark.parametrize(
    "wrong",
    [{"first": 0}, {"largest": 1}, {"growth": 0}, {"left": -1}, {"right": -1}],
    ids=lambda wrong: next(iter(wrong)),
)
def test_a_senseless_chunking_is_refused(wrong: dict[str, int]) -> None:
    with pytest.raises(ValueError, match=r"chunking|context"):
        Chunking(**{"first": 2, "largest": 8} | wrong)
