"""What a rule is shown: the chunk being read, and the ones behind it that may belong to the same number.

Lives here: how far a rule may look. The view is fixed by the chunks themselves (a number, a month or a
currency looks on while what follows can still belong to it, at most MOST chunks; an abbreviation looks
at the one word behind it), never by how much text
has arrived: this is what makes the words independent of how the text was split.
What must not: what anything means.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from rhapsode_server.text.figures import NARROW
from rhapsode_server.text.source import Chunk, Source
from rhapsode_server.text.tables import JOINERS, OPENERS, PER, STOPPED, UNITS

MOST = 6
"""Chunks in one view: "November 21st, 2026 at 3:45 pm" needs no more in one go."""
_OPENS = re.compile(r"[\d$£€¥₹₩₽₿¢]")
_STOPPED = re.compile(
    rf"(?:^|[^A-Za-z])(?:[A-Za-z]|{'|'.join(map(re.escape, STOPPED))})\.[\"')*_]*\Z", re.IGNORECASE
)
"""An abbreviation with its stop: the word behind it tells whether a sentence ends."""
_STOPS = (".", '."', ".'", ".)", ".*", "._")
_LONGEST_STOPPED = 24
"""Characters at the end of a chunk in which such an abbreviation is looked for."""
_UNIT_WORDS = frozenset((*UNITS, *PER))
_LONGEST_UNIT = 16
"""Characters in a unit of two with their powers."""
_POWER = re.compile(r"(?:[²³]|\^[23])\Z")
_EDGES = " \x00.,;:!?()[]{}\"'*_`~<>"


@dataclass(frozen=True, slots=True)
class View:
    """Chunks joined by single spaces, NARROW where figures are parted so; `bounds` are their [begin, end).

    `places` holds the caller's position of each character of `text` (a joining space has that of the end
    of the chunk before it).
    """

    text: str
    places: Sequence[int]
    bounds: tuple[tuple[int, int], ...]
    chunks: tuple[Chunk, ...]

    def end_place(self, end: int) -> int:
        """The caller's position behind character `end - 1`, with the accents that belong to it."""
        if end < len(self.places) and self.places[end] > self.places[end - 1]:
            return self.places[end]
        for (_, bound), chunk in zip(self.bounds, self.chunks, strict=True):
            if end <= bound:
                return chunk.end if end == bound else self.places[end - 1] + 1
        return self.places[end - 1] + 1


def view_of(source: Source) -> View | None:
    """What the first chunk's rules are shown, or None where that is not certain yet."""
    first = source.peek(0)
    chunks = [first] if first else None
    if first and (_OPENS.search(first.text) or first.text.strip(_EDGES).lower() in OPENERS):
        chunks = _continued(first, source)
    if chunks and _looks_behind(chunks[-1]):
        behind = source.peek(len(chunks))
        chunks = [*chunks, behind] if behind else None
    return _joined(chunks) if chunks else None


def _continued(first: Chunk, source: Source) -> list[Chunk] | None:
    """`first` with the chunks that may belong to it, or None where the next one is not certain yet."""
    chunks = [first]
    while len(chunks) < MOST and chunks[-1].newlines == 0 and chunks[-1].following:
        following = source.peek(len(chunks))
        if following is None:
            return None
        if not _joins(following):
            break
        chunks.append(following)
    return chunks


def _looks_behind(chunk: Chunk) -> bool:
    """Whether `chunk` ends with an abbreviation and has a word behind it on the same line."""
    if chunk.newlines or not chunk.following or not chunk.text.endswith(_STOPS):
        return False
    return bool(_STOPPED.search(chunk.text[-_LONGEST_STOPPED:]))


def _joins(chunk: Chunk) -> bool:
    """Whether `chunk` may belong to a number, a date or a price before it."""
    word = chunk.text.strip(_EDGES)
    return bool(_OPENS.search(chunk.text)) or word.lower() in JOINERS or _is_unit(word)


def _is_unit(word: str) -> bool:
    """Whether `word` is units with strokes and powers: m/s²."""
    return len(word) <= _LONGEST_UNIT and all(_POWER.sub("", one) in _UNIT_WORDS for one in word.split("/"))


def _joined(chunks: list[Chunk]) -> View:
    if len(chunks) == 1:
        only = chunks[0]
        return View(only.text, only.places, ((0, len(only.text)),), (only,))
    places: list[int] = []
    bounds: list[tuple[int, int]] = []
    text = ""
    for number, chunk in enumerate(chunks):
        if number:
            before = chunks[number - 1]
            within = before.narrow and text[-1:].isdecimal() and chunk.text[:1].isdecimal()
            text += NARROW if within else " "
            places.append(before.end)
        bounds.append((len(text), len(text) + len(chunk.text)))
        text += chunk.text
        places.extend(chunk.places)
    return View(text, places, tuple(bounds), tuple(chunks))
