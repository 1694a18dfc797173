"""Prices and sums of money.

Lives here: amounts with a currency's sign, code or hundredth part. What must not: other units.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from string import digits as FIGURES

from rhapsode_server.text import numerals
from rhapsode_server.text.figures import ALONE, AMOUNT, TO, number
from rhapsode_server.text.measures import several
from rhapsode_server.text.spoken import Part, Rule, Scene, spread
from rhapsode_server.text.tables import CURRENCIES, CURRENCY_CODES, CURRENCY_PREFIXES, MAGNITUDES, REAL

_SIGN = "[" + "".join(CURRENCIES) + "]"
_LONG = "hundred|thousand|million|billion|trillion|bn|mn|mil"
_MAGNITUDE = rf"(?:\s?(?P<magnitude>{_LONG})(?!\w)|(?P<short>[kKmMbBtT]|MM|tn)(?!\w))?"
_CODES = "|".join(code.upper() for code in CURRENCY_CODES)
_PREFIX = r"(?:US|U\.S\.|CA|C|AU|A|NZ|HK|S|R)?"
_BEFORE = re.compile(
    rf"{ALONE}(?P<minus>-)?(?P<prefix>{_PREFIX})(?P<sign>{_SIGN})\s?(?P<first>{AMOUNT})"
    rf"(?:{TO}{_SIGN}?(?P<amount>{AMOUNT}))?{_MAGNITUDE}(?![\w])"
)
_AFTER = re.compile(
    rf"(?P<first>{AMOUNT})(?:{TO}(?P<amount>{AMOUNT}))?{_MAGNITUDE}\s?(?:(?P<sign>{_SIGN})|(?P<code>{_CODES}))(?!\w)"
)
_CODE_BEFORE = re.compile(
    rf"(?P<code>{_CODES})\s?(?P<first>{AMOUNT})(?:{TO}(?P<amount>{AMOUNT}))?{_MAGNITUDE}(?!\w)"
)
_CENTS = re.compile(rf"(?P<first>{AMOUNT})\s?¢")


def _names(found: re.Match[str]) -> tuple[str, str, str, str]:
    """One and several of the currency, one and several of its hundredth part ("" where it has none)."""
    groups = found.groupdict()
    code, prefix = groups.get("code"), (groups.get("prefix") or "").lower()
    kind = CURRENCY_CODES[code.lower()] if code else groups["sign"]
    if kind[-1] not in CURRENCIES:
        return kind, several(kind), "", ""
    if kind == "$" and prefix == "r":
        return REAL
    one, many, cent, cents = CURRENCIES[kind[-1]]
    adjective = CURRENCY_PREFIXES.get(prefix, "") or kind[:-1].strip()
    lead = f"{adjective} " if adjective and not (code and prefix == "us") else ""
    return lead + one, lead + many, cent, cents


def _sign_span(found: re.Match[str]) -> tuple[int, int]:
    """Where the currency itself is written."""
    groups = found.groupdict()
    name = "code" if groups.get("code") else "sign"
    begin = found.start("prefix") if groups.get("prefix") else found.start(name)
    return begin, found.end(name)


def _coins(found: re.Match[str], amount: str, begin: int) -> list[Part] | None:
    """ "3.50" -> three dollars and fifty cents; None where the amount is not in whole hundredths."""
    one, many, cent, cents = _names(found)
    whole, _, part = numerals.plain(amount).partition(".")
    whole_end = begin + len(amount) - len(part) - 1 if part else begin + len(amount)
    if len(part) != 2 or not cent:
        return None
    span, at = (begin, whole_end), whole_end + 1
    name = spread(many if numerals.plural(whole or "0") else one, *_sign_span(found))
    large = [*spread(numerals.cardinal(whole or "0"), *span), *name]
    if part == "00":
        return large
    small = spread(f"{numerals.cardinal(part)} {cents if part != '01' else cent}", at, at + 2)
    return small if not whole.strip("0") else [*large, Part("and", at - 1, at), *small]


def _say(found: re.Match[str], _: Scene) -> Sequence[Part]:
    groups = found.groupdict()
    one, many, *_rest = _names(found)
    magnitude = groups.get("magnitude") or groups.get("short")
    minus = spread("minus", *found.span("minus")) if groups.get("minus") else []
    last = "amount" if groups.get("amount") else "first"
    lead = [] if last == "first" else [*number(found["first"], found.start("first")), _to(found)]
    coins = None if magnitude else _coins(found, found[last], found.start(last))
    if coins:
        return [*minus, *lead, *coins]
    said = [*minus, *lead, *number(found[last], found.start(last))]
    if magnitude:
        name = "magnitude" if groups.get("magnitude") else "short"
        said.append(Part(MAGNITUDES[magnitude.lower()], *found.span(name)))
    single = not magnitude and last == "first" and found[last] == "1"
    return [*said, *spread(one if single else many, *_sign_span(found))]


def _to(found: re.Match[str]) -> Part:
    return Part("to", found.end("first"), found.start("amount"))


def _say_cents(found: re.Match[str], _: Scene) -> Sequence[Part]:
    name = "cent" if found["first"] == "1" else "cents"
    return [*number(found["first"], found.start()), Part(name, found.end() - 1, found.end())]


RULES = {
    "-UCANHSR" + "".join(CURRENCIES): (Rule(_BEFORE, _say),),
    "".join(sorted({code[0].upper() for code in CURRENCY_CODES})): (Rule(_CODE_BEFORE, _say),),
    FIGURES + ".": (Rule(_CENTS, _say_cents), Rule(_AFTER, _say)),
}
