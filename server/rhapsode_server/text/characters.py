"""Single characters: which are refused, and what each one is read as.

Lives here: the check of a whole text for characters that cannot be meant, and the folding of each
character to ASCII (accents off, full width to plain, smart quotes to straight) plus a few signs which
have a reading of their own (`£`, `°`, `½`, …). What must not: anything that looks at more than one character.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from functools import cache

from rhapsode_server.errors import TextRefused

SILENT = "\x00"
"""Stands for a character without a sound (emoji, a script we cannot read): it only parts words."""

GREEK = "ΑΒΓΔΕΖΗΘΙΚΛΜΝΞΟΠΡΣΤΥΦΧΨΩαβγδεζηθικλνξοπρσςτυφχψω"
"""Spoken by name where one stands alone; a word of them is another script."""

SIGNS = "£€¥₹₩₽₿¢°±×÷√≈≠≤≥∞½¼¾⅓⅔⅛⅜⅝⅞⅕⅖⅗⅘⅙⅚⁰¹²³⁴⁵⁶⁷⁸⁹⁺⁻µ§№…–—•" + GREEK
"""Kept as they are: each has a reading somewhere in the rules."""

_ALIKE = {
    "‘": "'", "’": "'", "‛": "'", "ʼ": "'", "′": "'", "´": "'", "“": '"', "”": '"', "„": '"', "«": '"',
    "»": '"', "″": '"', "‐": "-", "‑": "-", "‒": "–", "―": "—", "−": "-", "⁃": "•", "·": "•", "‣": "•",
    "▪": "•", "●": "•", "○": "•", "◦": "•", "→": "—", "⇒": "—", "←": "—", "ß": "ss", "ẞ": "SS", "æ": "ae",
    "Æ": "AE", "œ": "oe", "Œ": "OE", "ø": "o", "Ø": "O", "ł": "l", "Ł": "L", "đ": "d", "Đ": "D", "ð": "th",
    "Ð": "Th", "þ": "th", "Þ": "Th", "ı": "i", "™": "", "®": "", "©": "", "μ": "µ", "Ω": "Ω", "⁄": "/",
    "。": ".", "、": ",", "！": "!", "？": "?", "，": ",", "：": ":", "；": ";",
}  # fmt: skip
_BRACES = "{}"
"""Only the plain ones begin a command (inline.py), not their wide or upright likenesses."""
_DROPPED = {"Mn", "Me", "Cf", "Cc"}
_REFUSED = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\ud800-\udfff]")


def refuse_control(text: str, base: int = 0) -> None:
    """Raise TextRefused at the first control character; `base` is added to the position that is named."""
    found = _REFUSED.search(text)
    if found:
        raise TextRefused(
            f"The text has the control character U+{ord(found[0]):04X} at position {base + found.start()}. "
            "Remove it: tab, line feed and carriage return are the only ones allowed."
        )


@cache
def fold(character: str) -> str:
    """What `character` is read as: ASCII, one of SIGNS, SILENT, or "" where it only adorns its neighbour."""
    if character in SIGNS:
        return character
    if character in _ALIKE:
        return _ALIKE[character]
    if unicodedata.category(character) in _DROPPED:
        return ""
    digit = unicodedata.decimal(character, None)
    if digit is not None:
        return str(digit)
    plain = "".join(c for c in unicodedata.normalize("NFKD", character) if unicodedata.category(c) != "Mn")
    if plain in _BRACES:
        return SILENT
    kept = "".join(_ALIKE.get(c, c) for c in plain if c != " ")
    return kept if kept and all(c.isascii() or c in SIGNS for c in kept) else SILENT


def folded(text: str, base: int) -> tuple[str, Sequence[int]]:
    """`text` folded, and for each folded character the position (from `base`) of the one it came from."""
    if text.isascii():
        return text, range(base, base + len(text))
    pieces: list[str] = []
    places: list[int] = []
    for place, character in enumerate(text, base):
        reading = character if character.isascii() else fold(character)
        pieces.append(reading)
        places.extend([place] * len(reading))
    return "".join(pieces), places
