"""Amounts with a unit, and percentages.

Lives here: the rules of units; their names are in tables.py. What must not: money.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from string import digits as FIGURES

from rhapsode_server.text import numerals
from rhapsode_server.text.figures import AMOUNT, RAISED, SINGLE_FRACTIONS, TO, ends_sentence, number
from rhapsode_server.text.spoken import Part, Rule, Scene, spread
from rhapsode_server.text.tables import IRREGULAR, PER, UNITS

_JOINED_ONLY = {"l", "s", "in", "pt", "bar", "cal", "ha"}
"""Units which are read as such only when they touch the number: apart they are words or letters."""
_NEVER_JOINED = {"A", "B", "N", "J", "K"}
"""5A is a gate or a flat, 5B a class: too short to be sure even when they touch."""
_ALL = sorted(set(UNITS) - _NEVER_JOINED, key=len, reverse=True)
_APART = [unit for unit in _ALL if unit not in _JOINED_ONLY]
_STOPPED = (
    "ft", "in", "lbs", "lb", "oz", "hrs", "hr", "mins", "min", "secs", "sec", "mi", "yds", "yd", "gal", "tsp",
    "tbsp", "yrs", "yr", "wks", "wk", "cal", "qt", "pt",
)  # fmt: skip
"""Units that may carry a full stop of their own."""
_AMOUNTS = (
    rf"(?P<first>{AMOUNT})(?:(?P<to>{TO}|\s?[x×]\s?)(?P<amount>{AMOUNT}))?(?:\s?[x×]\s?(?P<third>{AMOUNT}))?"
)
_TOUCHING = "|".join(map(re.escape, _ALL))
_DISTANT = "|".join(map(re.escape, _APART))
_MEASURE = re.compile(
    rf"{_AMOUNTS}(?:(?P<join>\s|-)?(?P<stopped>{'|'.join(_STOPPED)})\.(?=\s|\Z)"
    rf"|(?:(?P<touching>{_TOUCHING})|(?P<gap>\s|-)(?P<apart>{_DISTANT}))(?![\w{RAISED}⁻°/']|-\d|(?<=\s[A-Z])\.))"
)
_POWER = r"(?:[²³]|\^[23])"
_SOME = "|".join(map(re.escape, sorted(UNITS, key=len, reverse=True)))
_BELOW = "|".join(map(re.escape, sorted({*UNITS, *PER} - {"A", "B", "N", "°"}, key=len, reverse=True)))
_COMPOUND = re.compile(
    rf"{_AMOUNTS}[\s-]?(?P<unit>{_SOME})(?P<power>{_POWER})?"
    rf"(?:/(?P<below>{_BELOW})(?P<lower>{_POWER})?|(?<=[²³23]))(?![\w/^])"
)
"""Units over others and powers of units: m/s², kg/m^3, s²."""
_LENGTHS = frozenset(["meter", "kilometer", "centimeter", "millimeter", "foot", "inch", "mile", "yard"])
"""Said "square meter"; of anything else "second squared"."""
_DURATION = re.compile(
    r"(?:(?P<day>\d{1,3})d\s?(?=\d))?(?:(?P<hour>\d{1,3})\s?(?:h|hrs?)\s?)?"
    r"(?:(?P<minute>[0-5]?\d)\s?(?:m|min|mins)(?:\s|(?![A-Za-z])))?(?:(?P<second>[0-5]?\d)\s?(?:s|secs?))?"
    r"(?<=\w)(?!\w)"
)
"""1h 30m, 1h30m, 2h 5m 10s: beside hours or seconds an m is minutes."""
_FEET = re.compile(r"(?P<feet>\d{1,2})'\s?(?P<inches>\d{1,2})\"")
_ANGLE = re.compile(
    r"(?P<degree>\d{1,3})°\s?(?P<minute>[0-5]?\d)'(?:\s?(?P<second>[0-5]?\d(?:\.\d{1,6})?)(?:\"|''))?(?!\w)"
)
"""40° 26' 46": beside degrees the strokes are minutes and seconds."""
_STROKE = re.compile(rf"(?<=[\d{SINGLE_FRACTIONS}])(?:''|['\"])(?!\w)")
_SIDES = re.compile(
    rf"(?P<first>{AMOUNT})(?P<sign>['\"])\s?[x×]\s?(?P<amount>{AMOUNT})(?P=sign)"
    rf"(?:\s?[x×]\s?(?P<third>{AMOUNT})(?P=sign))?(?!\w)"
)
_SINGLE = re.compile(rf"1|\d{{1,3}}/\d{{1,3}}|[{SINGLE_FRACTIONS}]")
"""One, or a part of one."""
_PERCENT = re.compile(rf"(?P<first>{AMOUNT})(?:\s?%?{TO}(?P<amount>{AMOUNT}))?\s?(?P<sign>%)")
_PER = re.compile(r"/(" + "|".join(sorted(map(re.escape, PER), key=len, reverse=True)) + r")(?![\w/])")


_LONG_PER = frozenset(("hour", "day", "month", "year", "week", "person", "minute", "second", "user"))


def several(one: str) -> str:
    """The plural of a unit: of its noun, which stands before "per" and after or before an adjective."""
    head, per, rest = one.partition(" per ")
    if head.startswith("degree"):
        return head.replace("degree", "degrees", 1) + per + rest
    *before, noun = head.split()
    return " ".join([*before, IRREGULAR.get(noun, f"{noun}s")]) + per + rest


def _amounts(found: re.Match[str]) -> list[Part]:
    """One amount, or a range, or two or three sides."""
    groups = found.groupdict()
    parts = number(found["first"], found.start("first"))
    previous = "first"
    for name in ("amount", "third"):
        if groups.get(name):
            between = "to" if name == "amount" and set(groups.get("to") or "-") & set("-–") else "by"
            parts.append(Part(between, found.end(previous), found.start(name)))
            parts += number(found[name], found.start(name))
            previous = name
    return parts


def _say_measure(found: re.Match[str], scene: Scene) -> Sequence[Part]:
    name = "touching" if found["touching"] else "stopped" if found["stopped"] else "apart"
    unit = "minute" if found[name] == "m" and scene.before in ("hour", "hours") else UNITS[found[name]]
    single = "-" in (found["join"], found["gap"]) or (
        found["amount"] is None and not numerals.plural(found["first"])
    )
    after = ends_sentence(found, scene) if found[0].endswith(".") else ""
    return [*_amounts(found), *spread(unit if single else several(unit), *found.span(name), after=after)]


def _powered(unit: str, power: str | None) -> tuple[str, str]:
    """A unit to some power, and what stands behind it: ("square meter", "") or ("second", "squared")."""
    if not power:
        return unit, ""
    square = power in ("²", "^2")
    if unit in _LENGTHS:
        return f"{'square' if square else 'cubic'} {unit}", ""
    return unit, "squared" if square else "cubed"


def _say_compound(found: re.Match[str], _: Scene) -> Sequence[Part]:
    noun, behind = _powered(UNITS[found["unit"]], found["power"])
    single = found["amount"] is None and not numerals.plural(found["first"])
    end = found.end("power") if found["power"] else found.end("unit")
    said = spread(f"{noun if single else several(noun)} {behind}", found.start("unit"), end)
    if found["below"]:
        lower = UNITS.get(found["below"]) or PER[found["below"]]
        said += spread(f"per {' '.join(_powered(lower, found['lower']))}", end, found.end())
    return [*_amounts(found), *said]


def _say_duration(found: re.Match[str], _: Scene) -> Sequence[Part] | None:
    """Two or more of days, hours, minutes and seconds that follow each other."""
    names = [name for name, figures in found.groupdict().items() if figures]
    if len(names) < 2:
        return None
    parts: list[Part] = []
    for name, after in zip(names, [*names[1:], ""], strict=True):
        end = found.start(after) if after else found.end()
        unit = several(name) if numerals.plural(found[name]) else name
        parts += [*number(found[name], found.start(name)), Part(unit, found.end(name), end)]
    return parts


def _say_feet(found: re.Match[str], _: Scene) -> Sequence[Part]:
    feet, inches = number(found["feet"], found.start("feet")), number(found["inches"], found.start("inches"))
    name = "foot" if found["inches"] != "0" else "feet"
    return [*feet, Part(name, found.end("feet"), found.end("feet") + 1), *inches]


def _say_angle(found: re.Match[str], _: Scene) -> Sequence[Part]:
    parts: list[Part] = []
    for name, after in (("degree", "minute"), ("minute", "second"), ("second", "")):
        if found[name]:
            end = found.start(after) if after and found[after] else found.end()
            unit = several(name) if numerals.plural(found[name]) else name
            parts += [*number(found[name], found.start(name)), Part(unit, found.end(name), end)]
    return parts


def _say_sides(found: re.Match[str], scene: Scene) -> Sequence[Part] | None:
    if found["sign"] in scene.quotes:
        return None
    parts: list[Part] = []
    unit = "foot" if found["sign"] == "'" else "inch"
    for name in filter(found.group, ("first", "amount", "third")):
        begin, end = found.span(name)
        parts += [Part("by", parts[-1].end, begin)] if parts else []
        single = scene.before in ("a", "an") or not numerals.plural(found[name])
        said = unit if single else several(unit)
        parts += [*number(found[name], begin), Part(said, end, end + 1)]
    return parts


def _say_stroke(found: re.Match[str], scene: Scene) -> Sequence[Part] | None:
    """ "5' tall" is five feet, "a 6' fence" six foot; where a quotation is open the sign only closes it."""
    if found[0] in scene.quotes:
        return None
    single = _SINGLE.fullmatch(scene.before) or scene.earlier[-2:-1] in (("a",), ("an",))
    unit = "foot" if found[0] == "'" else "inch"
    return [Part(unit if single else several(unit), *found.span())]


def _say_percent(found: re.Match[str], _: Scene) -> Sequence[Part]:
    return [*_amounts(found), Part("percent", *found.span("sign"))]


def _say_per(found: re.Match[str], _: Scene) -> Sequence[Part] | None:
    before = found.string[: found.start()]
    counted = re.search(r"[\d%kKmM$£€¥]\Z", before[-1:])
    thing = re.search(r"([A-Za-z]{2,30})\Z", before[-31:])
    if not counted and not (thing and thing[1] not in PER and found[1] in _LONG_PER):
        return None
    return [Part("per", found.start(), found.start() + 1), *spread(PER[found[1]], *found.span(1))]


_UNIT_RULES = (
    Rule(_DURATION, _say_duration),
    Rule(_COMPOUND, _say_compound),
    Rule(_MEASURE, _say_measure),
)
RULES = {
    FIGURES: (
        Rule(_ANGLE, _say_angle),
        Rule(_SIDES, _say_sides),
        Rule(_FEET, _say_feet),
        Rule(_PERCENT, _say_percent),
        *_UNIT_RULES,
    ),
    ".": (Rule(_PERCENT, _say_percent), *_UNIT_RULES),
    "/": (Rule(_PER, _say_per),),
    "'\"": (Rule(_STROKE, _say_stroke),),
}
