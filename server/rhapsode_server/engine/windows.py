"""When frames become sound: one pure function of four integers and a family's Chunking.

What must not live here: tensors, time, a family.
"""

from __future__ import annotations

from rhapsode_server.core import Chunking, Window


def next_window(chunking: Chunking, made: int, sent: int, chunks: int, finished: bool) -> Window | None:
    """The window that is due, or None while frames are missing.

    `made` frames exist, the sound of the first `sent` has been delivered in `chunks` windows, and
    `finished` says that no further frame will come. While frames still come a window must be full and
    have its look-ahead; at the end whatever is left goes out, `largest` frames at a time, so that no
    step is held up by a long tail. The final window has `last` set; it is empty only where nothing
    was made or everything had been sent before the end was known.
    """
    want = _wanted(chunking, chunks)
    if not finished and made - sent < want + chunking.right:
        return None
    end = min(sent + want, made)
    last = finished and end == made
    stop = made if last else min(end + chunking.right, made)
    return Window(_context_start(chunking, sent), sent, end, stop, last)


def _wanted(chunking: Chunking, chunks: int) -> int:
    """`first * growth**chunks`, at most `largest`, without ever computing a huge power."""
    want = chunking.first
    for _ in range(chunks):
        if want >= chunking.largest or chunking.growth == 1:
            break
        want *= chunking.growth
    return min(want, chunking.largest)


def _context_start(chunking: Chunking, sent: int) -> int:
    return 0 if chunking.left is None else max(0, sent - chunking.left)
