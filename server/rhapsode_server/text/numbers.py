"""Numbers that stand for themselves: cardinals, ordinals, years, fractions, ranges, ratios, versions.

Lives here: rules that need no unit, currency or calendar. What must not: those (measures.py, money.py,
calendar.py), telephone numbers (telephone.py).
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from string import digits as FIGURES

from rhapsode_server.text import numerals
from rhapsode_server.text.figures import ALONE, AMOUNT, END, RAISED, TO, WHOLE, digits, names_code, number
from rhapsode_server.text.spoken import Part, Rule, Scene, spread
from rhapsode_server.text.tables import (
    CALL_WORDS,
    DECADE_WORDS,
    MAGNITUDES,
    MONTH_NAMES,
    PLACE_WORDS,
    STATES,
    YEAR_WORDS,
)

_SIGNED = re.compile(rf"{ALONE}(?P<sign><=|>=|[-+±~≈<>≤≥])\s?(?=\.?\d|[$£€¥₹₩₽₿])")
_SIGNS = {
    "-": "minus", "+": "plus", "±": "plus or minus", "~": "about", "≈": "about", "<": "less than",
    ">": "more than", "≤": "at most", "≥": "at least", "<=": "at most", ">=": "at least",
}  # fmt: skip
_VERSION = re.compile(
    r"(?P<v>[vV]\.?)?(?P<rest>\d{1,5}(?:\.\d{1,5}){2,6})(?![\w])|(?P<w>[vV])(?P<one>\d{1,5}(?:\.\d{1,5})?)(?![\w])"
)
_ORDINAL = re.compile(rf"({WHOLE})(?:st|nd|rd|th|ST|ND|RD|TH){END}")
_OF_TENS = re.compile(r"'?\d{1,3}0'?s")
_DECADE = re.compile(rf"'?(\d{{2}}0|\d0)'?s{END}|'?(1\d{{2}}0|20\d0)'?s{END}")
_MIXED = re.compile(rf"(\d{{1,9}})(?:[\s-](\d{{1,2}})/(\d{{1,3}})|[\s-]?([½¼¾⅓⅔⅛⅜⅝⅞⅕⅖⅗⅘⅙⅚])){END}(?!/)")
_FRACTION = re.compile(rf"({AMOUNT})\s?/\s?(\d{{1,9}}){END}(?!/)|([½¼¾⅓⅔⅛⅜⅝⅞⅕⅖⅗⅘⅙⅚])")
_SINGLE = {
    "½": (1, 2), "¼": (1, 4), "¾": (3, 4), "⅓": (1, 3), "⅔": (2, 3), "⅛": (1, 8), "⅜": (3, 8), "⅝": (5, 8),
    "⅞": (7, 8), "⅕": (1, 5), "⅖": (2, 5), "⅗": (3, 5), "⅘": (4, 5), "⅙": (1, 6), "⅚": (5, 6),
}  # fmt: skip
_RATIO = re.compile(rf"(\d{{1,9}}):(\d{{1,9}}){END}(?!:)")
_RANGE = re.compile(rf"({AMOUNT}){TO}({AMOUNT}){END}(?![-–]\d)")
_TIMES = re.compile(rf"({AMOUNT})\s?[x×*]\s?({AMOUNT})(?=[\W_{RAISED}]|x|\Z)|({AMOUNT})x{END}")
_NUMBERED = re.compile(rf"(?:#|№\s?|Nos?\.\s?)(?=(\d))(\d{{1,40}}){END}")
_CODE_SIGN = re.compile(r"#(?=[A-Z]{1,4}-?\d)")
_SCIENTIFIC = re.compile(r"(\d{1,15}(?:\.\d{1,15})?)[eE]([-+]?)(\d{1,3})(?![\w-])")
_SHORTENED = re.compile(rf"({AMOUNT})(k|K|M|B|mn|bn|Bn|T){END}")
LONGEST_PLAIN = 8
"""Figures. A number so long without commas is a code and not a count."""
_PLAIN = re.compile(rf"{AMOUNT}|\d{{1,512}}")
_YEAR = re.compile(r"[12]\d{3}")
_NAMED = {(1, 2): "half", (1, 4): "quarter", (3, 4): "quarters"}
_SPECIAL = {
    "24/7": "twenty four seven",
    "9/11": "nine eleven",
    "50/50": "fifty fifty",
    "20/20": "twenty twenty",
}


def fraction(above: int, below: int) -> str:
    """(3, 4) -> "three quarters"; anything unusual is "over"."""
    if (above, below) in _NAMED:
        return f"{numerals.cardinal(str(above))} {_NAMED[above, below]}"
    if above < below and (2 < below <= 10 or below in (12, 16, 32, 64, 100, 1000)):
        return f"{numerals.cardinal(str(above))} {numerals.ordinal(str(below))}{'s' * (above != 1)}"
    return f"{numerals.cardinal(str(above))} over {numerals.cardinal(str(below))}"


def _say_sign(found: re.Match[str], _: Scene) -> Sequence[Part]:
    return spread(_SIGNS[found["sign"]], *found.span("sign"))


def _say_version(found: re.Match[str], _: Scene) -> Sequence[Part]:
    sign, dotted = ("v", "rest") if found["rest"] else ("w", "one")
    begin = found.start(dotted)
    parts = [Part("V", found.start(sign), found.start(sign) + 1, spelled=True)] if found[sign] else []
    between = "dot" if found[dotted].count(".") == 3 and not parts else "point"
    for run in re.finditer(r"\d+|\.", found[dotted]):
        at = begin + run.start()
        parts += [Part(between, at, at + 1)] if run[0] == "." else number(run[0], at)
    return parts


def _say_ordinal(found: re.Match[str], _: Scene) -> Sequence[Part]:
    return spread(numerals.ordinal(found[1]), *found.span())


def _say_decade(found: re.Match[str], scene: Scene) -> Sequence[Part] | None:
    """ "the 30s" and "'30s" are years, "30s" alone is a time."""
    figures = found[1] or found[2]
    if len(figures) == 3 or figures in ("10", "00"):
        return None
    if len(figures) == 2 and "'" not in found[0] and not _announces_decade(scene.earlier):
        return None
    return spread(numerals.decade(figures), *found.span())


def _announces_decade(earlier: Sequence[str]) -> bool:
    """Whether the words before tell of years: "the", "late", or other decades that these joined."""
    listed = False
    for word in reversed(earlier):
        if word in DECADE_WORDS or (len(word) > 4 and _OF_TENS.fullmatch(word)):
            return True
        if _OF_TENS.fullmatch(word):
            listed = True
            if "'" in word:
                return True
        elif word not in ("and", "or", "to", "through"):
            return False
    return listed and len(earlier) == Scene.MOST_EARLIER


def _say_mixed(found: re.Match[str], _: Scene) -> Sequence[Part] | None:
    above, below = _SINGLE[found[4]] if found[4] else (int(found[2]), int(found[3]))
    if above >= below or below > 64:
        return None
    begin = found.start(4) if found[4] else found.start(2)
    words = fraction(above, below)
    joined = (
        "and a" + words[3:]
        if words.startswith("one ") and not words.startswith("one eigh")
        else f"and {words}"
    )
    return [*number(found[1], found.start(1)), *spread(joined, begin, found.end())]


def _say_fraction(found: re.Match[str], _: Scene) -> Sequence[Part] | None:
    if found[3]:
        return spread(fraction(*_SINGLE[found[3]]), *found.span())
    if found[0] in _SPECIAL:
        return spread(_SPECIAL[found[0]], *found.span())
    above, below = numerals.plain(found[1]), found[2]
    if "." in above or (int(above) >= int(below) and below in ("5", "10", "100")):
        out_of = spread("out of", found.end(1), found.start(2))
        return [*number(found[1], found.start(1)), *out_of, *number(below, found.start(2))]
    return spread(fraction(int(above), int(below)), *found.span())


def _say_ratio(found: re.Match[str], _: Scene) -> Sequence[Part]:
    return [
        *number(found[1], found.start(1)),
        Part("to", found.end(1), found.start(2)),
        *number(found[2], found.start(2)),
    ]


def _say_range(found: re.Match[str], scene: Scene) -> Sequence[Part] | None:
    first, second = found[1], found[2]
    if first[0] == "0" and len(first) > 1:
        return None
    years = _is_year(first, scene, certain=len(second) == 4) and len(second) in (2, 4) and "." not in second
    words = [spread(numerals.year(first), *found.span(1))] if years else [number(first, found.start(1))]
    between = "minus" if found.string[found.end() :].startswith(" =") else "to"
    last = (
        spread(numerals.year(second), *found.span(2))
        if years and len(second) == 4
        else number(second, found.start(2))
    )
    return [*words[0], Part(between, found.end(1), found.start(2)), *last]


def _say_times(found: re.Match[str], _: Scene) -> Sequence[Part]:
    if found[3]:
        return [*number(found[3], found.start(3)), Part("times", found.end(3), found.end())]
    behind = found.string[found.end() :]
    product = "*" in found[0] or behind.startswith((" =", "^", "⁻", *RAISED))
    between = "times" if product else "by"
    return [
        *number(found[1], found.start(1)),
        Part(between, found.end(1), found.start(2)),
        *number(found[2], found.start(2)),
    ]


def _say_numbered(found: re.Match[str], _: Scene) -> Sequence[Part]:
    sign = Part("numbers" if found[0][:3] in ("Nos", "nos") else "number", found.start(), found.start(2))
    said = number(found[2], found.start(2)) if len(found[2]) < 4 else digits(found[2], found.start(2))
    return [sign, *said]


def _say_code_sign(found: re.Match[str], _: Scene) -> Sequence[Part]:
    return [Part("number", *found.span())]


def _say_shortened(found: re.Match[str], scene: Scene) -> Sequence[Part] | None:
    """ "10k" is ten thousand, but "4K" a screen, "9700K" a processor and "Apt 4B" a door."""
    screen = found[1] in ("2", "4", "8") and found[2] == "K"
    if screen or re.fullmatch(r"\d{4,}", found[1]) or scene.before in PLACE_WORDS:
        return None
    return [*number(found[1], found.start(1)), Part(MAGNITUDES[found[2].lower()], *found.span(2))]


def _say_scientific(found: re.Match[str], scene: Scene) -> Sequence[Part] | None:
    """ "1e6" is one times ten to the six, but a door or a code where the words before say so."""
    if scene.before in PLACE_WORDS or names_code(scene):
        return None
    minus = "minus " if found[2] == "-" else ""
    power = spread(minus + numerals.cardinal(found[3]), found.start(2), found.end())
    times = spread("times ten to the", found.end(1), found.end(1) + 1)
    return [*number(found[1], found.start()), *times, *power]


def _is_year(figures: str, scene: Scene, *, certain: bool = False) -> bool:
    """Whether four figures are a year: from 1900 to 2099, earlier where the words before say so."""
    if len(figures) != 4 or not figures.isdigit():
        return False
    value = int(figures)
    told = certain or scene.before in YEAR_WORDS or scene.before.capitalize() in MONTH_NAMES
    if scene.before in ("and", "or", "to") and len(scene.earlier) > 1:
        told = told or bool(_YEAR.fullmatch(scene.earlier[-2]))
    return 1900 <= value <= 2099 or (told and 1000 <= value < 2100)


def _say_plain(found: re.Match[str], scene: Scene) -> Sequence[Part]:
    text, begin = found[0], found.start()
    if not text.isdecimal():
        return digits(text, begin) if " " in text and names_code(scene) else number(text, begin)
    coded = len(text) >= 4 and names_code(scene)
    called = len(text) == 3 and (text == "911" or scene.before in CALL_WORDS)
    posted = len(text) == 5 and scene.shouted and scene.before in STATES
    worthless = len(text) >= LONGEST_PLAIN or (len(text) > 1 and text[0] == "0")
    if coded or called or posted or worthless:
        return digits(text, begin)
    if _is_year(text, scene):
        return spread(numerals.year(text), *found.span())
    return number(text, begin)


_DIGIT_RULES = (
    Rule(_SCIENTIFIC, _say_scientific),
    Rule(_ORDINAL, _say_ordinal),
    Rule(_VERSION, _say_version),
    Rule(_MIXED, _say_mixed),
    Rule(_FRACTION, _say_fraction),
    Rule(_RATIO, _say_ratio),
    Rule(_TIMES, _say_times),
    Rule(_RANGE, _say_range),
    Rule(_SHORTENED, _say_shortened),
)
RULES = {
    "-+±~≈<>≤≥": (Rule(_SIGNED, _say_sign),),
    FIGURES: _DIGIT_RULES,
    ".": (Rule(re.compile(r"(?<!\w)\.\d{1,20}(?!\w)"), _say_plain),),
    "½¼¾⅓⅔⅛⅜⅝⅞⅕⅖⅗⅘⅙⅚": (Rule(_FRACTION, _say_fraction),),
    "vV": (Rule(_VERSION, _say_version),),
    "#№N": (Rule(_CODE_SIGN, _say_code_sign), Rule(_NUMBERED, _say_numbered)),
}
DECADE_RULES = {FIGURES + "'": (Rule(_DECADE, _say_decade),)}
"""Tried before the units, for which an s is a second."""
PLAIN_RULES = {FIGURES: (Rule(_PLAIN, _say_plain),)}
"""Tried after the codes of letters and figures (words.py)."""
