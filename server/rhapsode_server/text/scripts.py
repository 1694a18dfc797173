"""Single characters of any script: what kind each is, and which mark it sets as punctuation.

Lives here: what the reader of languages without rules (plain.py) knows of a character. What must not:
anything that looks at more than one; how English reads a character (characters.py).
"""

from __future__ import annotations

import re
import unicodedata
from enum import Enum, auto, unique
from functools import cache


@unique
class Kind(Enum):
    """What a character does to the words around it."""

    LETTER = auto()
    """A letter or figure: makes up words, which stand between blanks."""
    WIDE = auto()
    """A letter of Chinese or Japanese, which write no blanks: a word of its own."""
    JOIN = auto()
    """Belongs to the letter before: accents, vowel signs, joiners."""
    BLANK = auto()
    """White space, and what is not said: emoji and other pictures."""
    SIGN = auto()
    """Punctuation, currency, mathematics."""
    NOTHING = auto()
    """Invisible, and as if it were not there."""


MARKS = {
    **dict.fromkeys(".。．｡।॥۔։።…", "."),
    **dict.fromkeys("!！‼﹗", "!"),
    **dict.fromkeys("?？؟\u037e⁇﹖", "?"),
    **dict.fromkeys(",，、､،፣", ","),
    **dict.fromkeys(";；؛﹔", ";"),
    **dict.fromkeys(":：", ":"),
    **dict.fromkeys("—―–", "-"),
}
"""Punctuation -> the mark of core.BREAKS that it stands for; \u037e is the Greek question mark."""

_WIDE = re.compile(
    "[\u3005-\u3007\u3021-\u3029\u3031-\u3035\u3038-\u303c\u3041-\u309f\u30a1-\u30fa\u30fc-\u312f\u31a0-\u31ff"
    "\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\uff66-\uff9f\U00020000-\U0003ffff]"
)
_HANGUL = re.compile("[\uac00-\ud7a3]")
_JOINERS = "\u200c\u200d"
_PICTURES = re.compile("[\u2190-\u21ff\u2300-\u23ff\u2500-\u2bff\U0001f000-\U000effff]")
_PICTURE_STYLES = re.compile("[\ufe00-\ufe0f]")
_BY_CATEGORY = {"L": Kind.LETTER, "N": Kind.LETTER, "M": Kind.JOIN, "P": Kind.SIGN, "S": Kind.SIGN}


@cache
def kind(character: str) -> Kind:
    """The kind of `character`."""
    category = unicodedata.category(character)
    if character.isspace() or (category[0] not in "LNM" and _PICTURES.match(character)):
        return Kind.BLANK
    if category[0] == "L" and _WIDE.match(character):
        return Kind.WIDE
    if character in _JOINERS:
        return Kind.JOIN
    if _PICTURE_STYLES.match(character):
        return Kind.NOTHING
    return _BY_CATEGORY.get(category[0], Kind.NOTHING)


@cache
def opens(sign: str) -> bool:
    """Whether `sign` belongs to the word behind it."""
    return unicodedata.category(sign) in ("Ps", "Pi", "Sc") or sign in "¿¡"


@cache
def weight(character: str) -> int:
    """How many Latin letters take as long to say: an ideograph or a syllable of kana 3, of Hangul 2."""
    return 3 if _WIDE.match(character) else 2 if _HANGUL.match(character) else 1
