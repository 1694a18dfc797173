"""Signs that are spoken, and those that only dress the text: Markdown, HTML, short codes of emoji.

Lives here: single signs and the wrappings of words. What must not: punctuation (punctuation.py), signs
that belong to a number (numbers.py).
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence

from rhapsode_server.text import numerals
from rhapsode_server.text.characters import GREEK
from rhapsode_server.text.figures import RAISED
from rhapsode_server.text.source import TARGET
from rhapsode_server.text.spoken import Part, Rule, Scene, spread
from rhapsode_server.text.tables import UNITS

_SPOKEN = {
    "&": "and", "+": "plus", "=": "equals", "%": "percent", "@": "at", "°": "degrees", "£": "pounds",
    "€": "euros", "¥": "yen", "₹": "rupees", "₿": "bitcoin", "¢": "cents", "±": "plus or minus", "×": "times",
    "÷": "divided by", "√": "square root of", "≈": "about", "≠": "not equal to", "≤": "at most",
    "≥": "at least", "∞": "infinity", "²": "squared", "³": "cubed", "µ": "micro", "Ω": "ohms",
    "§": "section", "№": "number", "<": "less than", ">": "more than",
}  # fmt: skip
_ALONE = re.compile(
    r"[&=@%×÷√≈≠≤≥∞±§№£€¥₹₿¢°]|µ(?=[A-Za-z])|(?<=\d)Ω|(?<![\w])\+(?![\w+])|(?<=\w)\+{1,2}(?!\w)|(?<=\d)\+(?=\d)"
)
_COMPARISON = r"(?:!==?|={2,3}|<=|>=|[<>≤≥≠])"
_COMPARED = re.compile(
    rf"(?<!\S)(?P<apart>{_COMPARISON})(?!\S)|(?<=[\w)\]])(?P<touching>{_COMPARISON})(?=[\w(.$€£-])"
)
_RELATIONS = {
    "<": "is less than", ">": "is greater than", "<=": "is less than or equal to",
    ">=": "is greater than or equal to", "!=": "is not equal to", "=": "equals",
}  # fmt: skip
_LIKE = str.maketrans({"≤": "<=", "≥": ">=", "≠": "!="})
_BARE = {"<": "less than", ">": "more than", "<=": "at most", ">=": "at least", "!=": "not equal to"}
_UNTIL = re.compile(r"(?:(?<=[ap]m)|(?<=[AP]M)|(?<=[ap]\.m\.))\s?[-–]\s?(?=\d)")
_SHARP = re.compile(r"(?<=[A-G])#(?!\w)")
_DOT = re.compile(r"(?<!\S)\.(?=[A-Za-z]{2})")
_POWER = re.compile(rf"(?P<sign>[⁺⁻])?(?P<power>[{RAISED}]{{1,15}})|[⁺⁻]")
_NOTED = re.compile(r"([A-Za-z]{2,30})\Z|[.,;:!?\"']\Z")
"""What a raised figure is a note of, unless the word is a unit or a function."""
_FUNCTIONS = frozenset(("sin", "cos", "tan", "log", "ln", "exp"))
_RAISED = re.compile(r"(?<=[\w)])\^(?=[\w(-])")
_TIMES = re.compile(r"(?<=\d)\*(?=\d)")
_TAG = re.compile(r"</?[A-Za-z][^<>\n]{0,120}/?>|<!--[^\n]{0,120}-->")
_ENTITY = re.compile(r"&(amp|lt|gt|nbsp|quot|apos|#39);")
_SMILEY = re.compile(r":[a-z][a-z0-9_+-]{1,30}:(?!\w)|[:;]'?-?[()DPp](?![\w])|(?<!\w)<3(?!\w)")
_PLURAL = re.compile(r"\((?:s|es)\)")
_TARGET = re.compile(TARGET.pattern)
_URL_LIKE = re.compile(r"\]\((?:[a-z]{2,8}:|[/#.<]|www|[\w-]{1,60}\.\w|\))", re.IGNORECASE)
_GREEK = re.compile(f"[{GREEK}µ]{{1,500}}")
_DOUBLE = re.compile(r"&&|\|\|")
_FOOTNOTE = re.compile(r"\[\^?\d{1,3}\](?!\()")
_ESCAPED = re.compile(r"\\[\\`*_{}\[\]()#+.!|<>~-]")


def _say(found: re.Match[str], _: Scene) -> Sequence[Part]:
    return spread(" ".join(_SPOKEN[sign] for sign in found[0]), *found.span())


def _say_power(found: re.Match[str], _: Scene) -> Sequence[Part]:
    """x² squared, 10⁶ to the sixth, 10⁻³ to the minus three; a note's number is silent, as [1] is."""
    before, power = found.string[max(0, found.start() - 31) : found.start()], found["power"]
    if power is None:
        return spread("plus" if found[0] == "⁺" else "minus", *found.span())
    if found[0] in _SPOKEN:
        return spread(_SPOKEN[found[0]], *found.span())
    figures = "".join(str(RAISED.index(one)) for one in power)
    if not before.strip():
        return spread(numerals.cardinal(figures), *found.span())
    noted = _NOTED.search(before)
    if noted and not found["sign"] and not (noted[1] in UNITS or noted[1] in _FUNCTIONS):
        return ()
    minus = found["sign"] == "⁻"
    said = numerals.ordinal(figures) if figures.strip("0") and not minus else numerals.cardinal(figures)
    return spread(f"to the {'minus ' if minus else ''}{said}", *found.span())


def _say_compared(found: re.Match[str], scene: Scene) -> Sequence[Part]:
    """ "a < b" is a statement; behind a longer word ("scores >= 50") the sign belongs to what follows."""
    sign = found[0].translate(_LIKE)
    sign = "=" if sign.startswith("==") else sign.replace("==", "=")
    before = scene.before
    states = bool(found["touching"]) or len(before) == 1 or any(map(str.isdigit, before))
    words = _RELATIONS[sign] if states else _BARE.get(sign, _RELATIONS[sign])
    return spread(words, *found.span())


def _say_greek(found: re.Match[str], _: Scene) -> Sequence[Part]:
    if len(found[0]) > 1:
        return ()
    name = unicodedata.name("μ" if found[0] == "µ" else found[0]).rsplit(" ", 1)[-1].lower()
    return spread({"lamda": "lambda"}.get(name, name), *found.span())


def _silent(_found: re.Match[str], _: Scene) -> Sequence[Part]:
    return ()


def _say_link(found: re.Match[str], _: Scene) -> Sequence[Part] | None:
    return () if _URL_LIKE.match(found[0]) else None


def _say_entity(found: re.Match[str], _: Scene) -> Sequence[Part]:
    said = {"amp": "and", "lt": "less than", "gt": "more than"}.get(found[1], "")
    return spread(said, *found.span())


def _say_raised(found: re.Match[str], _: Scene) -> Sequence[Part]:
    return spread("to the power of", *found.span())


def _say_until(found: re.Match[str], _: Scene) -> Sequence[Part]:
    return [Part("to", *found.span())]


def _say_sharp(found: re.Match[str], _: Scene) -> Sequence[Part]:
    return [Part("sharp", *found.span())]


def _say_dot(found: re.Match[str], _: Scene) -> Sequence[Part]:
    return [Part("dot", *found.span())]


def _say_times(found: re.Match[str], _: Scene) -> Sequence[Part]:
    return spread("times", *found.span())


def _say_double(found: re.Match[str], _: Scene) -> Sequence[Part]:
    return spread("and" if found[0] == "&&" else "or", *found.span())


WRAPPINGS = {
    "]": (Rule(_TARGET, _say_link),),
    "[": (Rule(_FOOTNOTE, _silent),),
    "<": (Rule(_TAG, _silent), Rule(_SMILEY, _silent)),
    "-–": (Rule(_UNTIL, _say_until),),
    "#": (Rule(_SHARP, _say_sharp),),
    ".": (Rule(_DOT, _say_dot),),
    "&": (Rule(_ENTITY, _say_entity),),
    "&|": (Rule(_DOUBLE, _say_double),),
    ":;": (Rule(_SMILEY, _silent),),
    "(": (Rule(_PLURAL, _silent),),
    "\\": (Rule(_ESCAPED, _silent),),
}
"""Tried first: what is inside them is read as if they were not there."""
RULES = {
    "<>!=≤≥≠": (Rule(_COMPARED, _say_compared),),
    "^": (Rule(_RAISED, _say_raised),),
    "*": (Rule(_TIMES, _say_times),),
    RAISED + "⁺⁻": (Rule(_POWER, _say_power),),
    "&=@%×÷√≈≠≤≥∞±§№£€¥₹₿¢°µΩ+": (Rule(_ALONE, _say),),
    GREEK + "µ": (Rule(_GREEK, _say_greek),),
}
