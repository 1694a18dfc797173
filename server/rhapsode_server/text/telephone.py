"""Numbers that are read figure by figure in groups: telephones, cards, grouped codes.

Lives here: rules for figures whose value means nothing. What must not: amounts.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from string import digits as FIGURES

from rhapsode_server.text.figures import digits
from rhapsode_server.text.spoken import Part, Rule, Scene, spread

_NATIONAL = re.compile(
    r"(?:\+?\d{1,3}[\s.-])?(?:\(\d{3}\)[\s.-]?|\d{3}[\s.-])\d{3}[\s.-]\d{4}(?![\w-])"
    r"(?:,?\s?(?:x|ext\.?)\s?\d{1,6}(?!\w))?"
)
_LOCAL = re.compile(r"\d{3}-\d{4}(?![\w-])")
_INTERNATIONAL = re.compile(r"\+\d{1,3}(?:[\s.-]?\(?\d{1,5}\)?){2,7}(?!\w)")
_TOLL_FREE = re.compile(r"1-(8\d\d)-(?=[A-Z])")
_CARD = re.compile(r"\d{4}(?:[\s-]\d{4}){2,4}(?![\w-])")
_GROUPED = re.compile(r"\d{1,12}(?:-\d{1,12}){2,10}(?![\w-])|\d{5}-\d{4}(?![\w-])")
_GROUP = re.compile(r"\d+|\+|[a-z]+")
FEWEST = 7
"""Figures in an international number; fewer are a sum with a sign."""


def _groups(found: re.Match[str], _: Scene) -> Sequence[Part]:
    """Each group figure by figure, a comma's pause between the groups."""
    runs = list(_GROUP.finditer(found[0]))
    parts: list[Part] = []
    for run in runs:
        at, after = found.start() + run.start(), "," if run is not runs[-1] else ""
        if run[0] == "+":
            parts.append(Part("plus", at, at + 1))
        elif run[0].isalpha():
            parts.append(Part("extension", at, at + len(run[0])))
        else:
            parts += digits(run[0], at, after=after)
    return parts


def _say_international(found: re.Match[str], scene: Scene) -> Sequence[Part] | None:
    return _groups(found, scene) if sum(map(str.isdigit, found[0])) >= FEWEST else None


def _say_toll_free(found: re.Match[str], _: Scene) -> Sequence[Part]:
    words = spread("eight hundred", *found.span(1)) if found[1] == "800" else digits(found[1], found.start(1))
    return [*digits("1", found.start()), *words]


_DIGIT_RULES = (
    Rule(_NATIONAL, _groups),
    Rule(_LOCAL, _groups),
    Rule(_TOLL_FREE, _say_toll_free),
    Rule(_CARD, _groups),
    Rule(_GROUPED, _groups),
)
RULES = {
    "+": (Rule(_NATIONAL, _groups), Rule(_INTERNATIONAL, _say_international)),
    "(": (Rule(_NATIONAL, _groups),),
    FIGURES: _DIGIT_RULES,
}
