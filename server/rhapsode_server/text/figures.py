"""Building blocks for the rules about numbers: patterns for figures, and what joins two of them.

Lives here: what several of those rules share. What must not: a rule.
"""

from __future__ import annotations

import re

from rhapsode_server.text import numerals
from rhapsode_server.text.spoken import Part, Scene, spread
from rhapsode_server.text.tables import CODE_WORDS, STARTERS

NARROW = "\u00a0"
"""Stands in a view for a space that does not part two numbers (source.py)."""
GROUPED = (
    rf"(?:[1-9]\d{{0,2}}(?:{NARROW}\d{{3}}){{1,6}}(?!{NARROW}?\d)"
    r"|[1-9]\d{0,2}(?=(?: \d{3}){0,5} 000(?!\d))(?: \d{3}){1,6}(?! ?\d)"
    r"|[1-9]\d?(?:(?=(?: \d{3}){0,5} 0\d\d(?!\d))(?: \d{3}){1,6}|(?: \d{3}){2,6})(?! ?\d))"
)
"""1 000 000: groups of three. Common spaces may part numbers too ("rooms 12 345", "601 234 567"), so there
must be a group that is none by itself, or two behind one or two figures."""
WHOLE = rf"(?:\d{{1,3}}(?:,\d{{3}}){{1,6}}(?!\d|,\d)|{GROUPED}|\d{{1,40}})"
AMOUNT = (
    r"(?:\d{1,3}(?:\.\d{3}){1,6},\d{2}(?![\d.,]\d|\d)"
    rf"|{GROUPED},\d{{1,2}}(?!\s?\d)|{WHOLE}(?:\.\d{{1,20}})?|\.\d{{1,20}})"
)
"""1.234,50  1 234,50  1,234  1234  3.14  .5"""
SINGLE_FRACTIONS = "½¼¾⅓⅔⅛⅜⅝⅞⅕⅖⅗⅘⅙⅚"
RAISED = "⁰¹²³⁴⁵⁶⁷⁸⁹"
"""Figures of a power or a note, in the order of their values."""
TO = r"\s?[-–]\s?"
"""What stands between the two ends of a range."""
ALONE = r"(?<![\w.)])"
"""Nothing before that a sign could belong to."""
END = r"(?![\w])"
_NEXT_WORD = re.compile(r"[\s\"'(*_]{1,5}([A-Za-z0-9]{1,50})")
_PASSED_OVER = frozenset(["is", "was", "are", "number", "no", "the", "your", "my", "a", "of", "nr"])


def number(text: str, begin: int) -> list[Part]:
    """An amount as written -> its words."""
    return spread(numerals.decimal(text), begin, begin + len(text))


def group(found: re.Match[str], name: str | int) -> list[Part]:
    """The amount in a group of a match -> its words; nothing where the group is empty."""
    return number(found[name], found.start(name)) if found[name] else []


def digits(text: str, begin: int, *, after: str = "") -> list[Part]:
    """Figures one by one, each from its own character; `after` follows the last."""
    places = [place for place, character in enumerate(text, begin) if character.isdigit()]
    return [
        Part(
            numerals.digits(text[place - begin]), place, place + 1, after=after if place == places[-1] else ""
        )
        for place in places
    ]


def at_end(found: re.Match[str]) -> bool:
    """Whether a match reaches the end of what the rule was shown."""
    return found.end() == len(found.string)


def next_word(found: re.Match[str]) -> str:
    """The word behind a match, where the rule was shown it (behind an abbreviation it is), else ""."""
    word = _NEXT_WORD.match(found.string, found.end())
    return word[1] if word else ""


def ends_sentence(found: re.Match[str], scene: Scene) -> str:
    """The mark of a full stop that belongs to an abbreviation: "." where a sentence ends with it, else "".

    A capital behind it may begin a sentence or be a name ("3 p.m. Eastern"): a word that often begins
    one decides.
    """
    if at_end(found):
        return "" if scene.following else "."
    word = next_word(found)
    return "." if word[:1].isupper() and word.lower() in STARTERS else ""


def names_code(scene: Scene) -> bool:
    """Whether the words before announce a code: "order number 12345", "your PIN is 8842"."""
    numbered = False
    for word in reversed(scene.earlier):
        if word in CODE_WORDS:
            return True
        if word not in _PASSED_OVER:
            return False
        numbered = numbered or word in ("number", "no")
    return numbered
