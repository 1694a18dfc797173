"""All rules in one table, by the character that a match begins with.

Lives here: the order in which the rules are tried. What must not: a rule.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache

from rhapsode_server.text import (
    abbreviations,
    calendar,
    inline,
    measures,
    money,
    numbers,
    signs,
    telephone,
    web,
    words,
)
from rhapsode_server.text.spoken import Rule

_IN_ORDER = (
    inline.RULES,
    signs.WRAPPINGS,
    web.RULES,
    calendar.RULES,
    telephone.RULES,
    money.RULES,
    numbers.DECADE_RULES,
    measures.RULES,
    numbers.RULES,
    abbreviations.RULES,
    words.RULES,
    numbers.PLAIN_RULES,
    signs.RULES,
)
"""The first rule that holds wins: the particular before the general."""


@cache
def rule_table() -> Mapping[str, tuple[Rule, ...]]:
    """First character -> the rules to try, in order."""
    table: dict[str, tuple[Rule, ...]] = {}
    for rules in _IN_ORDER:
        for characters, some in rules.items():
            for character in characters:
                table[character] = table.get(character, ()) + some
    return table
