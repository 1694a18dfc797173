"""Dates and times of day.

Lives here: rules that need a month, a year or a clock. What must not: decades and ordinals on their own.
A date in figures is read month first, as in the United States, unless its first number cannot be a month.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from string import digits as FIGURES

from rhapsode_server.text import numerals
from rhapsode_server.text.figures import TO, ends_sentence
from rhapsode_server.text.spoken import Part, Rule, Scene, letters, spread
from rhapsode_server.text.tables import MONTH_NAMES, MONTHS

_MONTH = r"(?P<month>" + "|".join(sorted((m.capitalize() for m in MONTHS), key=len, reverse=True)) + r")\b\.?"
_YEAR = r"(?P<year>[12]\d{3})(?![\w]|[.,:]\d)"
_DAY = r"(?P<day>3[01]|[12]\d|0?[1-9])(?:st|nd|rd|th)?(?![\w:%]|[.,]\d)"
_ISO = re.compile(
    r"(?P<year>\d{4})(?:-(?P<month>\d{2})-(?P<day>\d{2})(?![\d-])(?:T(?=\d))?"
    r"|/(?P<second>\d{1,2})/(?P<third>\d{1,2})(?![\w/]|\.\d))"
)
_SLASHED = re.compile(r"(\d{1,2})(?P<sign>[/.])(\d{1,2})(?P=sign)(\d{4}|\d{2})(?![\w/]|\.\d)")
_MONTH_FIRST = re.compile(
    rf"{_MONTH}\s{_DAY}(?:{TO}(?P<last>\d{{1,2}})(?:st|nd|rd|th)?(?!\w))?(?:,?\s{_YEAR})?"
)
_MONTH_YEAR = re.compile(rf"{_MONTH},?\s{_YEAR}")
_DAY_FIRST = re.compile(rf"{_DAY}(?P<of>\sof)?\s{_MONTH}(?:,?\s{_YEAR})?(?!\w)")
_HALF = r"(?:[AaPp]\.\s?[Mm]\.|[AaPp]\.?[Mm](?!\w))"
_CLOCK = r"(?:2[0-4]|[01]?\d):[0-5]\d"
_TIME = re.compile(
    rf"(?P<from>{_CLOCK})(?::(?P<seconds>[0-5]\d(?:\.\d{{1,9}})?)Z?)?(?:\s?(?P<early>{_HALF}))?"
    rf"(?:{TO}(?P<to>{_CLOCK})(?:\s?(?P<half>{_HALF}))?)?(?![\w:])"
)
_HOUR = re.compile(rf"(?P<from>1[0-2]|0?[1-9])(?:{TO}(?P<to>1[0-2]|0?[1-9]))?\s?(?P<half>{_HALF})")


def _year(found: re.Match[str]) -> list[Part]:
    return spread(numerals.year(found["year"]), *found.span("year")) if found["year"] else []


def _ordinal(text: str, begin: int, *, the: bool = False, after: str = "") -> list[Part]:
    words = numerals.ordinal(text)
    return spread(f"the {words}" if the else words, begin, begin + len(text), after=after)


def _say_iso(found: re.Match[str], _: Scene) -> Sequence[Part] | None:
    month, day = ("month", "day") if found["month"] else ("second", "third")
    if not (1 <= int(found[month]) <= 12 and 1 <= int(found[day]) <= 31):
        return None
    name = Part(MONTH_NAMES[int(found[month]) - 1], *found.span(month))
    return [name, *_ordinal(found[day], found.start(day), after=","), *_year(found)]


def _say_slashed(found: re.Match[str], _: Scene) -> Sequence[Part] | None:
    month, day = (1, 3) if int(found[1]) <= 12 and found["sign"] == "/" else (3, 1)
    if not (1 <= int(found[month]) <= 12 and 1 <= int(found[day]) <= 31):
        return None
    year = found[4] if len(found[4]) == 4 else ("20" if int(found[4]) < 70 else "19") + found[4]
    name = Part(MONTH_NAMES[int(found[month]) - 1], *found.span(month))
    said = spread(numerals.year(year), *found.span(4))
    return [name, *_ordinal(found[day], found.start(day), after=","), *said]


def _say_month_first(found: re.Match[str], _: Scene) -> Sequence[Part]:
    parts = [Part(MONTHS[found["month"].lower()], *found.span("month"))]
    until = [Part("to", found.end("day"), found.start("last"))] if found["last"] else []
    if until:
        until += _ordinal(found["last"], found.start("last"))
    day = _ordinal(found["day"], found.start("day"))
    days = [*day, *until]
    if found["year"]:
        last = days[-1]
        days[-1] = Part(last.text, last.begin, last.end, after=",")
    return [*parts, *days, *_year(found)]


def _say_month_year(found: re.Match[str], _: Scene) -> Sequence[Part]:
    return [Part(MONTHS[found["month"].lower()], *found.span("month")), *_year(found)]


def _say_day_first(found: re.Match[str], scene: Scene) -> Sequence[Part]:
    of = found.span("of") if found["of"] else (found.start("month"), found.end("month"))
    begin = of[0] + 1 if found["of"] else of[0]
    month = Part(MONTHS[found["month"].lower()], *found.span("month"), after="," if found["year"] else "")
    day = _ordinal(found["day"], found.start("day"), the=scene.before != "the")
    return [*day, Part("of", begin, of[1]), month, *_year(found)]


def _clock(text: str, begin: int, *, half: bool) -> list[Part]:
    """ "3:45" -> three forty five, "3:05" -> three oh five, "15:00" -> fifteen hundred."""
    hour, _, minute = text.partition(":")
    at = begin + len(hour) + 1
    words = spread(numerals.cardinal(hour), begin, begin + len(hour))
    if minute == "00":
        if half:
            return words
        return [*words, *spread("o'clock" if 0 < int(hour) < 13 else "hundred", at, at + 2)]
    minutes = f"oh {numerals.cardinal(minute[1])}" if minute[0] == "0" else numerals.cardinal(minute)
    return [*words, *spread(minutes, at, at + 2)]


def _half(found: re.Match[str], name: str, scene: Scene) -> list[Part]:
    """ "p.m." -> P M; its last stop may end a sentence."""
    if not found[name]:
        return []
    parts = letters(found[name], found.start(name))
    last, ended = parts[-1], found.end(name) == found.end() and found[name].endswith(".")
    after = ends_sentence(found, scene) if ended else ""
    return [*parts[:-1], Part(last.text, last.begin, found.end(name), spelled=True, after=after)]


def _seconds(found: re.Match[str]) -> list[Part]:
    """Seconds and their decimals; none where both are zero."""
    whole, _, rest = (found["seconds"] or "00").partition(".")
    rest = rest.rstrip("0")
    if whole == "00" and not rest:
        return []
    return spread(numerals.decimal(f"{whole}.{rest}"), *found.span("seconds"))


def _say_time(found: re.Match[str], scene: Scene) -> Sequence[Part]:
    halved = bool(found["early"] or found["half"])
    parts = _clock(found["from"], found.start("from"), half=halved)
    parts += _seconds(found)
    parts += _half(found, "early", scene)
    if found["to"]:
        parts.append(Part("to", parts[-1].end, found.start("to")))
        parts += _clock(found["to"], found.start("to"), half=halved)
    return [*parts, *_half(found, "half", scene)]


def _say_hour(found: re.Match[str], scene: Scene) -> Sequence[Part]:
    parts = spread(numerals.cardinal(found["from"]), *found.span("from"))
    if found["to"]:
        parts.append(Part("to", found.end("from"), found.start("to")))
        parts += spread(numerals.cardinal(found["to"]), *found.span("to"))
    return [*parts, *_half(found, "half", scene)]


_DIGIT_RULES = (
    Rule(_ISO, _say_iso),
    Rule(_SLASHED, _say_slashed),
    Rule(_TIME, _say_time),
    Rule(_HOUR, _say_hour),
    Rule(_DAY_FIRST, _say_day_first),
)
RULES = {
    "JFMASOND": (Rule(_MONTH_FIRST, _say_month_first), Rule(_MONTH_YEAR, _say_month_year)),
    FIGURES: _DIGIT_RULES,
}
