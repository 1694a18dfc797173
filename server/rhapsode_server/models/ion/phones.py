"""The alphabet of ion: phones, pauses, and what stands beside each one (stress, place in the word).

Lives here: the tables that the frontend and the training recipe share, so that both sides spell
a sentence the same way. Must not live here: torch, text splitting, models.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

_PHONES = """
    aa ae ah ao aw ax ay b ch d dh eh er ey f g hh ih iy jh k l m n ng ow oy p r s sh t th uh uw v w y z
    zh
"""
PHONES: Final = tuple(_PHONES.split())
"""flite's phone set for US English, in its own spelling; 40 of them."""
_VOWELS = """
    aa ae ah ao aw ax ay eh er ey ih iy ow oy uh uw
"""
VOWELS: Final = frozenset(_VOWELS.split())

PAUSES: Final = ("start", "comma", "stop", "question", "exclamation", "other")
"""Silences by what caused them: the beginning, a mark of punctuation, or none of these."""
MARK_TO_PAUSE: Final = {
    "?": "question",
    "!": "exclamation",
    ".": "stop",
    ",": "comma",
    ";": "comma",
    ":": "comma",
}

SYMBOLS: Final = (*PHONES, *PAUSES)
SYMBOL_ID: Final = {symbol: index for index, symbol in enumerate(SYMBOLS)}
PLACES: Final = ("inside", "first", "last", "whole")
"""Place of a phone in its word; `whole` is a word of one phone."""

_FUNCTION_WORDS = """
    a an the this that these those my your his her its our their some any no each every
    i me you he him she it we us they them who what which where when how why
    of in on at by to for from with without into onto over under about after before between through as than
    and but or nor so if because while although though unless until
    am is are was were be been being do does did have has had having
    can could will would shall should may might must not there
"""
FUNCTION_WORDS: Final = frozenset(_FUNCTION_WORDS.split())
"""Closed-class words: English stresses them weakly inside a sentence."""


@dataclass(frozen=True, slots=True)
class Token:
    """One input of the acoustic model. `word` is the index of the spoken word, -1 for a pause."""

    symbol: int
    stress: int
    place: int
    function: int
    word: int

    def features(self) -> tuple[int, int, int, int]:
        """What the encoder sees, in the order of its embeddings."""
        return self.symbol, self.stress, self.place, self.function


def pause(kind: str) -> Token:
    """A silence of that kind."""
    return Token(SYMBOL_ID[kind], 0, 0, 0, -1)


def pause_after(mark: str) -> str:
    """The kind of silence that a word's trailing punctuation asks for; the strongest sign wins."""
    return next((kind for sign, kind in MARK_TO_PAUSE.items() if sign in mark), "other")


def word_tokens(phones: list[tuple[str, int]], text: str, word: int) -> list[Token]:
    """One word's tokens from its phones with stress (1 stressed, 0 not; consonants 0).

    Raises KeyError for a phone outside PHONES.
    """
    last = len(phones) - 1
    function = int(text.lower().replace("'", "") in FUNCTION_WORDS)
    return [
        Token(SYMBOL_ID[phone], stress if phone in VOWELS else 0, _place(index, last), function, word)
        for index, (phone, stress) in enumerate(phones)
    ]


def _place(index: int, last: int) -> int:
    """Index into PLACES."""
    return (index == 0) + 2 * (index == last)
