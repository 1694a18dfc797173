"""The inline commands of a caller's text: a pronunciation and a pause.

    {tomato|T AH0 M AA1 T OW0}    say the word with these phones (ARPAbet, stress digits on vowels)
    {pause 500ms}  {pause 1.5s}   be silent for that long, at most ten seconds

Lives here: the grammar of the braces and its errors. Other braces are passed over in silence.
What must not: pronunciations of words (pronounce.py).
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from rhapsode_server.errors import TextRefused
from rhapsode_server.text.source import BRACES
from rhapsode_server.text.spoken import Part, Rule, Scene

VOWELS = ("AA", "AE", "AH", "AO", "AW", "AY", "EH", "ER", "EY", "IH", "IY", "OW", "OY", "UH", "UW")
CONSONANTS = (
    "B", "CH", "D", "DH", "F", "G", "HH", "JH", "K", "L", "M", "N", "NG", "P", "R", "S", "SH", "T", "TH",
    "V", "W", "Y", "Z", "ZH",
)  # fmt: skip
LONGEST_PAUSE = 10.0
"""Seconds. A longer silence is a broken stream to whoever listens."""
_VALID = frozenset(CONSONANTS) | {vowel + stress for vowel in VOWELS for stress in ("", "0", "1", "2")}
_WORD = re.compile(r"\{([^\W_][\w'’.-]{0,49})\|([^{}\n]{0,150})\}")
_PAUSE = re.compile(r"\{\s?pause\s+(\d{1,6}(?:\.\d{1,3})?)\s?(ms|s)\s?\}", re.IGNORECASE)
_PAUSE_PART = "\x00pause"


def refuse_commands(text: str, places: Sequence[int]) -> None:
    """Raise TextRefused at the first command in braces that cannot be obeyed; `places` are its positions."""
    for braces in BRACES.finditer(text):
        word = _WORD.match(braces[0])
        if word:
            _phones(word[2], places[braces.start()])
        pause = _PAUSE.match(braces[0])
        if pause:
            _seconds(pause, places[braces.start()])


def pause_of(part: Part) -> float | None:
    """Seconds, where `part` is a pause and not a word."""
    return float(part.text[len(_PAUSE_PART) :]) if part.text.startswith(_PAUSE_PART) else None


def spelling(braces: str) -> str:
    """The word of a pronunciation, for those who read letters; "" where `braces` are none."""
    word = _WORD.match(braces)
    return word[1] if word else ""


def silence(braces: str) -> float | None:
    """Seconds, where `braces` are a pause."""
    pause = _PAUSE.match(braces)
    return _seconds(pause, 0) if pause else None


def _phones(written: str, position: int) -> tuple[str, ...]:
    """Phones as written -> with a stress on every vowel (0 where none was given)."""
    phones = written.upper().split()
    for phone in phones:
        if phone not in _VALID:
            raise TextRefused(
                f"The pronunciation in braces at position {position} has an unknown phone. Use ARPAbet: "
                f"the vowels {' '.join(VOWELS)}, each with a stress digit 0, 1 or 2, "
                f"and the consonants {' '.join(CONSONANTS)}."
            )
    if not phones:
        raise TextRefused(
            f"The pronunciation in braces at position {position} is empty. Write phones after the bar, "
            "as in {tomato|T AH0 M AA1 T OW0}."
        )
    return tuple(phone + "0" if phone in VOWELS else phone for phone in phones)


def _seconds(found: re.Match[str], position: int) -> float:
    seconds = float(found[1]) * (0.001 if found[2].lower() == "ms" else 1.0)
    if seconds > LONGEST_PAUSE:
        raise TextRefused(
            f"The pause at position {position} is longer than {LONGEST_PAUSE:g} seconds. Shorten it."
        )
    return seconds


def _say_word(found: re.Match[str], _: Scene) -> Sequence[Part]:
    return [Part(found[1], found.start(1), found.end(1), phones=_phones(found[2], found.start()))]


def _say_pause(found: re.Match[str], _: Scene) -> Sequence[Part]:
    return [Part(f"{_PAUSE_PART}{_seconds(found, found.start())}", *found.span())]


RULES = {"{": (Rule(_WORD, _say_word), Rule(_PAUSE, _say_pause))}
