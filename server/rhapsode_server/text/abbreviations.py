"""Abbreviations with a full stop, initials, and roman numerals.

Lives here: whether a full stop belongs to the word before it. What must not: units after a number
(measures.py), a.m. and p.m. (calendar.py).
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from string import ascii_letters, ascii_uppercase

from rhapsode_server.text import numerals
from rhapsode_server.text.figures import at_end, ends_sentence, next_word
from rhapsode_server.text.spoken import Part, Rule, Scene, letters, spread
from rhapsode_server.text.tables import (
    ABBREVIATIONS,
    ALSO_WORDS,
    CAN_END,
    COMPASS,
    MONTHS,
    NUMBERED_WORDS,
    REGNAL_NAMES,
    STARTERS,
    TITLES,
)

_DOTTED = re.compile(r"((?:[A-Za-z]{1,7}\.){1,4})(?![\w])")
_LETTERS = re.compile(r"(?:[A-Za-z]\.){2,8}(?:[A-Za-z](?![\w.]))?(?:'s)?(?!\w)|[A-Z](?:\.[A-Z]){1,6}(?!\w)")
_DEGREE = re.compile(r"(?:Ph\.D|B\.Sc|M\.Sc|B\.Ed|M\.Ed)\.?(?!\w)")
_INITIAL = re.compile(r"([A-Z])\.(?=\s|\Z|[A-Z])")
_SHORT = re.compile(r"(?:w/o|w/|b/c|vs|etc|N/A|n/a|c/o|a/c|Mr|Mrs|Ms|Dr|St)(?![\w./])")
_SHORT_WORDS = {
    "w/o": "without", "w/": "with", "b/c": "because", "vs": "versus", "etc": "et cetera",
    "n/a": "not available", "c/o": "care of", "a/c": "air conditioning", "mr": "Mister", "mrs": "Missus",
    "ms": "Miz",
    "dr": "Doctor", "st": "Saint",
}  # fmt: skip
_ROMAN = re.compile(r"(M{0,3}(?:CM|CD|D?C{0,3})(?:XC|XL|L?X{0,3})(?:IX|IV|V?I{0,3}))(?!\w)(?!\.\w)")
_NUMERAL = re.compile(r"[IVXLCDM]+")
_VALUES = {"I": 1, "V": 5, "X": 10, "L": 50, "C": 100, "D": 500, "M": 1000}


def _say_dotted(found: re.Match[str], scene: Scene) -> Sequence[Part] | None:
    """A known abbreviation with its stop, or None."""
    name = found[1][:-1].lower()
    stop = ends_sentence(found, scene)
    capital = found[1][0].isupper()
    if name == "st":
        street = scene.named or not next_word(found)[:1].isupper()
        return spread("Street" if street else "Saint", *found.span(), after=stop if street else "")
    if name == "pt" and re.fullmatch(r"[IVXL]{1,7}|\d{1,3}", next_word(found)):
        return spread("Part" if capital else "part", *found.span())
    if name in TITLES and capital and next_word(found):
        return spread(TITLES[name], *found.span())
    if name in NUMBERED_WORDS and _NUMERAL.fullmatch(next_word(found)):
        stop = ""
    if CAN_END.get(name) or (name in ABBREVIATIONS and not (name in ALSO_WORDS and stop)):
        return spread(CAN_END.get(name) or ABBREVIATIONS[name], *found.span(), after=stop)
    if name in MONTHS and name != "may" and capital:
        return spread(MONTHS[name], *found.span(), after=stop)
    return None


def _say_letters(found: re.Match[str], scene: Scene) -> Sequence[Part]:
    """ "U.S." -> U S; its last stop ends the sentence where a capital or nothing follows."""
    text = found[0].removesuffix("'s")
    parts = letters(text, found.start())
    last = parts[-1]
    stop = ends_sentence(found, scene) if found[0].endswith(".") else ""
    owner = "'s" if found[0].endswith("'s") else ""
    return [
        *parts[:-1],
        Part(last.text + owner, last.begin, found.end(), spelled=True, after=stop),
    ]


def _say_initial(found: re.Match[str], scene: Scene) -> Sequence[Part] | None:
    """A single capital with a stop, before a name ("J. Smith")."""
    word = next_word(found)
    if found[1] in COMPASS and scene.before.isdigit():
        return [Part(COMPASS[found[1]], *found.span())]
    before_name = word[:1].isupper() and (len(word) < 2 or word.lower() not in STARTERS)
    if not before_name or (scene.earlier and (not scene.named or found[1] == "I")):
        return None
    return [Part(found[1], found.start(), found.end(), spelled=True)]


def _say_short(found: re.Match[str], scene: Scene) -> Sequence[Part] | None:
    name = found[0].lower()
    if name == "st" and scene.named:
        return spread("Street", *found.span())
    if name in ("mr", "mrs", "ms", "dr", "st") and not (at_end(found) and scene.following.isupper()):
        return None
    return spread(_SHORT_WORDS[name], *found.span())


def roman(numeral: str) -> int:
    """ "XIV" -> 14."""
    values = [_VALUES[letter] for letter in numeral]
    return sum(-v if v < after else v for v, after in zip(values, [*values[1:], 0], strict=True))


def _say_roman(found: re.Match[str], scene: Scene) -> Sequence[Part] | None:
    """A roman numeral, only after a word that is usually numbered or a name that kings bear."""
    if not found[1]:
        return None
    figures = str(roman(found[1]))
    if scene.before in NUMBERED_WORDS and found[1] not in ("C", "D", "L", "M"):
        return spread(numerals.cardinal(figures), *found.span(1))
    if scene.before in REGNAL_NAMES and (len(found[1]) > 1 or found[1] in "VX"):
        return spread(f"the {numerals.ordinal(figures)}", *found.span(1))
    return None


RULES = {
    "IVXLCDM": (Rule(_ROMAN, _say_roman),),
    ascii_letters: (
        Rule(_SHORT, _say_short),
        Rule(_DOTTED, _say_dotted),
        Rule(_DEGREE, _say_letters),
        Rule(_LETTERS, _say_letters),
    ),
    ascii_uppercase: (Rule(_INITIAL, _say_initial),),
}
