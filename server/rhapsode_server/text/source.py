"""The caller's text as it arrives, cut into chunks: the runs of characters between white space.

Lives here: a buffer that may still grow, and the rule of where a chunk ends. A chunk is only handed out
once no text that might follow could change it, so what is made of it does not depend on how the text
was split on its way here. What must not: what the characters mean.
"""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass

from rhapsode_server.text.characters import fold, folded

LONGEST = 512
"""Characters. A longer run without white space is cut here, so that no step looks at more than this."""
BRACES = re.compile(r"\{[^{}\n]{1,200}\}")
"""An inline command (`inline.py`); it may hold spaces and is never cut."""
TARGET = re.compile(r"\]\((?:[^()\n]|\([^()\n]{0,100}\)){0,400}\)")
"""The second half of a Markdown link, which may hold a title with spaces."""
_STOP = re.compile(r"\s|\{|\]\(")
_SPACE = re.compile(r"\s*")
_NARROW = frozenset("\u00a0\u2007\u2009\u202f")
"""Spaces which part the groups of one number: no-break, of a figure's width, thin, narrow no-break."""
_WIDEST = 500
"""Characters that brackets may span. A decision about them looks no further."""
_OPEN_BRACE = re.compile(r"\{[^{}\n]*\Z")
_OPEN_TARGET = re.compile(r"\]\([^\n]*\Z")


@dataclass(frozen=True, slots=True)
class Chunk:
    """Characters [start, end) of the caller's text; `until` is where the next chunk begins.

    `text` is folded, `places` gives the caller's position of each folded character. `newlines` counts
    the line ends in the white space after it, `following` is the first character beyond ("" at the end).
    `narrow` tells that this white space is a single one of those that part the groups of one number.
    """

    text: str
    places: Sequence[int]
    start: int
    end: int
    until: int
    newlines: int
    following: str
    narrow: bool = False


class Source:
    """A growing text with a queue of the chunks at its front."""

    def __init__(self, text: str = "", *, ended: bool = False) -> None:
        self.ended = ended
        self._text = text
        self._base = 0
        self._at = 0
        self._chunks: deque[Chunk] = deque()

    @property
    def length(self) -> int:
        """Characters received in all."""
        return self._base + len(self._text)

    @property
    def position(self) -> int:
        """Where the first chunk not yet dropped begins: all before is done with."""
        return self._chunks[0].start if self._chunks else self._base + self._at

    def feed(self, text: str) -> None:
        """Add `text` at the end; a text that had ended goes on."""
        self._forget()
        self._text += text
        self.ended = False

    def peek(self, index: int) -> Chunk | None:
        """The chunk number `index` from the front, or None where it is not there or not yet certain."""
        while len(self._chunks) <= index:
            chunk = self._next()
            if chunk is None:
                return None
            self._chunks.append(chunk)
        return self._chunks[index]

    def drop(self) -> Chunk:
        """Take the first chunk away."""
        return self._chunks.popleft()

    def _forget(self) -> None:
        """Let go of the characters that have been cut into chunks."""
        self._text = self._text[self._at :]
        self._base += self._at
        self._at = 0

    def _next(self) -> Chunk | None:
        self._at = self._after_space(self._at)
        if self._at >= len(self._text):
            return None
        end = self._end_of(self._at)
        if end is None:
            return None
        until = self._after_space(end)
        if until == len(self._text) and not self.ended:
            return None
        return self._cut(end, until)

    def _after_space(self, at: int) -> int:
        found = _SPACE.match(self._text, at)
        return found.end() if found else at

    def _end_of(self, start: int) -> int | None:
        """Where the chunk that begins at `start` ends, or None where more text could still tell."""
        at, limit = start, start + LONGEST
        while at < limit:
            stop = _STOP.search(self._text, at, limit)
            if stop is None:
                return self._end_without_stop(limit)
            if stop[0].isspace():
                return stop.start()
            passed = past_brackets(self._text, stop.start(), ended=self.ended)
            if passed is None:
                return None
            at = passed
        return at

    def _end_without_stop(self, limit: int) -> int | None:
        if len(self._text) > limit:
            return limit
        return min(limit, len(self._text)) if self.ended else None

    def _cut(self, end: int, until: int) -> Chunk:
        start = self._at
        text, places = folded(self._text[start:end], self._base + start)
        following = self._text[until : until + 1]
        self._at = until
        return Chunk(
            text=text,
            places=places,
            start=self._base + start,
            end=self._base + end,
            until=self._base + until,
            newlines=_line_ends(self._text[end:until]),
            following=following if following.isascii() else fold(following),
            narrow=self._text[end:until] in _NARROW,
        )


def past_brackets(text: str, at: int, *, ended: bool) -> int | None:
    """The end of the brackets that open at `at`; just behind their first sign where they are none.

    None where text that follows could still close them.
    """
    sign = text[at]
    whole = (BRACES if sign == "{" else TARGET).match(text, at, at + _WIDEST)
    if whole:
        return whole.end()
    more = len(text) < at + _WIDEST and not ended
    if more and (_OPEN_BRACE if sign == "{" else _OPEN_TARGET).match(text, at):
        return None
    return at + 1


def _line_ends(space: str) -> int:
    """Line ends in `space`; a carriage return with its line feed counts once."""
    return space.count("\n") + space.count("\r") - space.count("\r\n") + 2 * space.count("\u2029")
