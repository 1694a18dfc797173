"""Numbers as words: cardinals, ordinals, years, digits one by one, decimals.

Lives here: figures in, words out, by num2words. What must not: where in a text they stood.
"""

from __future__ import annotations

import re
from functools import lru_cache

from num2words import num2words

LONGEST_CARDINAL = 15
"""Digits; a longer number is read digit by digit."""
_COMMA_LAST = re.compile(r"\d{1,3}(?:\.\d{3}){1,6},\d{2}")
_NAMES = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")


@lru_cache(maxsize=4096)
def _worded(number: int, form: str) -> str:
    words: str = num2words(number, to=form, lang="en")
    return words.replace(",", "").replace("-", " ")


def plain(figures: str) -> str:
    """Without the marks of groups, and with a point: "1,234.5" -> "1234.5", "1.234,50" -> "1234.50"."""
    if _COMMA_LAST.fullmatch(figures):
        return figures.replace(".", "").replace(",", ".")
    together = "".join(figures.split())
    return together.replace(",", "" if together == figures else ".")


def digits(figures: str) -> str:
    """ "407" -> "four zero seven"."""
    return " ".join(_NAMES[int(figure)] for figure in figures if figure.isdecimal())


def cardinal(figures: str) -> str:
    """ "1,234" -> "one thousand two hundred and thirty four"; a very long number digit by digit."""
    whole = plain(figures)
    return digits(whole) if len(whole) > LONGEST_CARDINAL else _worded(int(whole), "cardinal")


def decimal(figures: str) -> str:
    """ "3.14" -> "three point one four"; without a point a cardinal."""
    whole, point, rest = plain(figures).partition(".")
    words = cardinal(whole) if whole else ("zero" if point else "")
    return f"{words} point {digits(rest)}" if rest else words


def ordinal(figures: str) -> str:
    """ "21" -> "twenty first"."""
    whole = plain(figures)
    return digits(whole) if len(whole) > LONGEST_CARDINAL else _worded(int(whole), "ordinal")


def year(figures: str) -> str:
    """ "1999" -> "nineteen ninety nine", "2026" -> "twenty twenty six", "2005" -> "two thousand and five"."""
    return _worded(int(figures), "year")


def decade(figures: str) -> str:
    """ "1990" -> "nineteen nineties", "80" -> "eighties", "2000" -> "two thousands"."""
    words = year(figures) if len(figures) == 4 else cardinal(figures)
    return re.sub(r"y\Z", "ie", words) + ("es" if words.endswith("x") else "s")


def plural(figures: str) -> bool:
    """Whether so many of a thing are "things": all but exactly one."""
    return plain(figures).lstrip("-+") != "1"
