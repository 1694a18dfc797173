"""Words written in letters: plain ones, capitals, joined capitals, letters mixed with figures.

Lives here: how a run of letters and figures is taken apart. What must not: abbreviations with a full
stop (abbreviations.py), numbers on their own (numbers.py).
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from string import ascii_letters, ascii_uppercase, digits

from rhapsode_server.text import numerals
from rhapsode_server.text.lexicon import is_spelled, known
from rhapsode_server.text.spoken import Part, Rule, Scene, letters, spread
from rhapsode_server.text.tables import SAID_AS_WORDS, SHORT_FORMS, SPELLED

_WORD = re.compile(r"[A-Za-z]{1,50}(?:'[A-Za-z]{1,20}){0,3}(?:(?<=[sS])'(?![A-Za-z\"]))?")
_CLITIC = re.compile(r"'(?:tis|twas|em|cause|til|bout|n)(?![A-Za-z])", re.IGNORECASE)
_MIXED = re.compile(r"(?=[A-Za-z]{0,40}\d)(?=\d{0,40}[A-Za-z])[A-Za-z0-9]{2,40}")
_HYPHENED = re.compile(r"([A-Z]{1,4})-(\d{3,12})(?!\w)")
_RUN = re.compile(r"[A-Za-z]+|\d+")
_HUMP = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|[A-Z]")
_WHOLE_HUMPS = re.compile(r"(?:Mc|Mac|De|Di|La|Le|Van|Fitz|O)[A-Z][a-z]+\Z")
_SHOUTED_SUFFIX = re.compile(r"([A-Z]{2,})(s|'s|'d|'ll|'ve|'re)\Z")
_VOWEL = re.compile(r"[AEIOUYaeiouy]")


def _spells(word: str, shouting: bool) -> bool:
    """Whether a word in capitals is said by its letters ("FBI") and not as a word ("NASA", "STOP")."""
    if word in SPELLED:
        return not (shouting and word in ("US", "IT", "AM"))
    if word in SAID_AS_WORDS:
        return False
    lower = word.lower()
    if known(lower):
        return is_spelled(lower)
    return len(word) < 5 or not _VOWEL.search(word)


def capitals(word: str, begin: int, *, shouting: bool = False) -> list[Part]:
    """A word in capitals, as a word or letter by letter; a small ending ("s", "'s") stays with it."""
    suffixed = _SHOUTED_SUFFIX.match(word)
    stem, suffix = (suffixed[1], "'" + suffixed[2].lstrip("'")) if suffixed else (word, "")
    if len(stem) < 2 or not stem.isupper() or not _spells(stem, shouting):
        return [Part(word, begin, begin + len(word))]
    parts = letters(stem, begin)
    last = parts[-1]
    parts[-1] = Part(last.text + suffix, last.begin, begin + len(word), spelled=True)
    return parts


def word_parts(word: str, begin: int, *, shouting: bool = False) -> list[Part]:
    """A run of letters as it is said: whole, spelled, or in the parts its capitals show."""
    if word.isupper() or _SHOUTED_SUFFIX.match(word):
        return capitals(word, begin, shouting=shouting)
    if "'" in word or not any(character.isupper() for character in word[1:]) or _WHOLE_HUMPS.match(word):
        return [Part(word, begin, begin + len(word))]
    if not _VOWEL.search(word) and len(word) < 6:
        return letters(word, begin)
    parts: list[Part] = []
    for hump in _HUMP.finditer(word):
        parts += (
            capitals(hump[0], begin + hump.start())
            if len(hump[0]) > 1
            else letters(hump[0], begin + hump.start())
        )
    return parts


def figures_in_code(figures: str, begin: int) -> list[Part]:
    """Figures beside letters: up to two as a number ("A4", "MP3"), more one by one ("A380")."""
    if len(figures) <= 2 and figures[0] != "0":
        return spread(numerals.cardinal(figures), begin, begin + len(figures))
    return [Part(numerals.digits(figure), begin + at, begin + at + 1) for at, figure in enumerate(figures)]


def code_parts(code: str, begin: int) -> list[Part]:
    """Letters mixed with figures ("B2B", "iPhone15"): short or vowelless runs of letters are spelled."""
    parts: list[Part] = []
    for run in _RUN.finditer(code):
        at = begin + run.start()
        if run[0].isdigit():
            parts += figures_in_code(run[0], at)
        elif len(run[0]) < 3 or not _VOWEL.search(run[0]):
            parts += letters(run[0], at)
        else:
            parts += word_parts(run[0], at)
    return parts


def _say_word(found: re.Match[str], scene: Scene) -> Sequence[Part]:
    """A word; an apostrophe at its end that closes a quotation is not part of it."""
    begin = found.start()
    if found[0] in SHORT_FORMS:
        return spread(SHORT_FORMS[found[0]], *found.span())
    if found[0].isupper() and "&" in found.string[max(0, begin - 1) : found.end() + 1] and len(found[0]) < 4:
        return letters(found[0], begin)
    quoted = found[0].endswith("'") and begin > 0 and found.string[begin - 1] == "'"
    return word_parts(found[0][:-1] if quoted else found[0], begin, shouting=scene.shouted)


def _say_mixed(found: re.Match[str], _: Scene) -> Sequence[Part]:
    return code_parts(found[0], found.start())


def _say_hyphened(found: re.Match[str], _: Scene) -> Sequence[Part]:
    return [*letters(found[1], found.start()), *figures_in_code(found[2], found.start(2))]


def _say_clitic(found: re.Match[str], _: Scene) -> Sequence[Part]:
    return [Part(found[0], *found.span())]


RULES = {
    ascii_letters + digits: (Rule(_MIXED, _say_mixed),),
    ascii_uppercase: (Rule(_HYPHENED, _say_hyphened),),
    ascii_letters: (Rule(_WORD, _say_word),),
    "'": (Rule(_CLITIC, _say_clitic),),
}
