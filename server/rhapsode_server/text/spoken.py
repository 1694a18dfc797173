"""The nouns that the text room passes from hand to hand, below those of core.

Lives here: what a rule says (Part), what it may know of its surroundings (Scene), the rule itself, and a
spoken word on its way to a piece (Spoken). What must not: any rule, any table.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import ClassVar

from rhapsode_server.core import BREAKS

STRENGTH = {"": 0, "-": 1, ",": 2, ";": 3, ":": 4, ".": 5, "!": 6, "?": 7}
"""Where two marks meet, the stronger one stays ("?!" asks, ".," ends)."""
assert set(STRENGTH) == {"", *BREAKS}  # noqa: S101
SENTENCE_ENDS = frozenset(".?!")


@dataclass(frozen=True, slots=True)
class Part:
    """One spoken word of a rule's answer; [begin, end) index the text the rule was shown.

    `spelled` words are said as the names of their letters. `phones` are given by the caller's own override.
    """

    text: str
    begin: int
    end: int
    spelled: bool = False
    after: str = ""
    phones: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Scene:
    """What stands around: the words before, whether a line begins here, and what follows.

    `earlier` are up to MOST_EARLIER words of the same sentence, as written but in lower case; `named`
    tells that the last of them began with a capital, `shouted` that it was all capitals. `following` is the
    first character of the text behind what the rule is shown, "" at the end or where a paragraph ends.
    `quotes` are the quotation marks, ' and ", that are open.
    """

    MOST_EARLIER: ClassVar[int] = 4

    earlier: tuple[str, ...]
    named: bool
    shouted: bool
    line_start: bool
    following: str
    quotes: str = ""

    @property
    def before(self) -> str:
        """The last word before, "" at the start of a sentence."""
        return self.earlier[-1] if self.earlier else ""


Say = Callable[["re.Match[str]", Scene], Sequence[Part] | None]
"""Says a match in words; None where the rule does not hold after all."""


@dataclass(frozen=True, slots=True)
class Rule:
    """Where `pattern` matches, `say` gives the words."""

    pattern: re.Pattern[str]
    say: Say


@dataclass(slots=True)
class Spoken:
    """A spoken word which may still gain punctuation, a pause, or the white space behind it.

    [start, end) are the characters it was read from, `until` is where the next piece may begin. A `glued`
    word is not parted from the one before; behind a `settled` one a piece may end. `pause` is in seconds,
    asked for by the caller. `written` is how the word stands in its piece, where that is not text and mark;
    `size` what it adds to the length of a piece, 0 for its characters.
    """

    text: str
    start: int
    end: int
    until: int
    spelled: bool = False
    phones: tuple[str, ...] = ()
    after: str = ""
    glued: bool = False
    settled: bool = False
    paragraph: bool = False
    pause: float = 0.0
    written: str = ""
    size: int = 0

    def mark(self, sign: str) -> None:
        """Put punctuation behind the word, where it has not got a stronger one."""
        if STRENGTH[sign] > STRENGTH[self.after]:
            self.after = sign

    @property
    def ends_sentence(self) -> bool:
        """Whether a sentence ends with this word."""
        return self.after in SENTENCE_ENDS and bool(self.after)


def spread(words: str, begin: int, end: int, *, after: str = "") -> list[Part]:
    """Several words which all come from the same characters; `after` follows the last."""
    texts = words.split()
    parts = [Part(text, begin, end) for text in texts[:-1]]
    return [*parts, *(Part(text, begin, end, after=after) for text in texts[-1:])]


def letters(text: str, begin: int) -> list[Part]:
    """`text` said letter by letter, each from its own character."""
    return [
        Part(character.upper(), place, place + 1, spelled=True)
        for place, character in enumerate(text, begin)
        if character.isalpha()
    ]
