"""Text in a language we have no rules for -> its words as they stand, each with its characters.

Lives here: the walk over such a text, a character at a time, that finds its words, their punctuation and
the ends of sentences, and passes over Markdown. What must not: what a character is (scripts.py), the cut
into pieces (split.py), anything about one language.

A word is what stands between blanks, without the punctuation at its ends; in Chinese and Japanese it is a
single character. No decision but one about brackets looks ahead, so words do not depend on fragments.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from rhapsode_server.text.inline import refuse_commands, silence, spelling
from rhapsode_server.text.scripts import MARKS, Kind, kind, opens, weight
from rhapsode_server.text.source import past_brackets
from rhapsode_server.text.spoken import STRENGTH, Spoken

LONGEST_WORD = 32
"""Characters. A longer run without blanks is cut, so that a word always fits into a piece."""
_SHORTENED = re.compile(r"\.|\A[b-df-hj-np-tv-xzB-DF-HJ-NP-TV-XZ][b-df-hj-np-tv-xz]{1,3}\Z")
"""Abbreviations that show: stops inside ("z.B"), or no vowel ("Dr", "Mrs", "Nr")."""
_MOST_JOINED = 40
_MOST_WRITTEN = 60
_MOST_SIGNS = 4
"""A word keeps so many signs before it, and about so many behind it: enough for "?!" and quotes."""
_BULLET = re.compile(r"[-+*•#>–—]+\Z")
_UNSAID = re.compile(r"\*+|~~|[`_|\[\]{}\\]")
"""Markdown around a word."""
_UNSAID_WITHIN = re.compile(r"\*\*|~~|[`\[\]{}\\]")
_PARTING = re.compile(r"[^\x00-\x7f’‐‑·]|[!?|\"]|\.{2}|\]\(")
"""Signs that part two words without a blank; others within a word belong to it: "l'eau", "3,50", "mot(s)"."""
_CLOSING = frozenset(MARKS) - frozenset(".-–—―")
"""Marks of the word before even behind a blank, as French sets them."""


@dataclass(slots=True)
class _Word:
    """A word that may still grow. `lead` and `tail` are the signs and blanks around it."""

    core: str
    start: int
    end: int
    lead: str = ""
    tail: str = ""
    wide: bool = False
    open: bool = True
    glued: bool = False
    newlines: int = 0
    item: bool = False
    pause: float = 0.0

    @property
    def apart(self) -> bool:
        """Whether a blank came behind it."""
        return self.tail.endswith(" ")

    def goes_on(self) -> bool:
        """Whether a letter that comes now is part of this word."""
        if self.wide or not self.open or self.apart or _PARTING.search(self.tail):
            return False
        return len(self.core) + len(self.tail) < LONGEST_WORD

    def grow(self, letter: str, end: int) -> None:
        """Add a letter, and the signs between."""
        self.core += _UNSAID_WITHIN.sub("", self.tail) + letter
        self.tail, self.end = "", end

    def spoken(self, until: int, following: str) -> Spoken:
        """The word as the splitter takes it; `following` is the first letter of the next, "" at the end."""
        mark = max(self._marks(following), key=STRENGTH.__getitem__)
        if self.item and STRENGTH[mark] < STRENGTH["."]:
            self.tail = self.tail if mark else self.tail.rstrip() + ("。" if self.wide else ". ")
            mark = "."
        written = _UNSAID.sub("", self.lead) + self.core + _UNSAID.sub("", self.tail)
        written = written[:_MOST_WRITTEN]
        return Spoken(
            self.core, self.start, self.end, until, after=mark, glued=self.glued, settled=True,
            paragraph=self.newlines > 1, pause=self.pause, written=written,
            size=len(written) + sum(weight(letter) - 1 for letter in self.core),
        )  # fmt: skip

    def _marks(self, following: str) -> list[str]:
        marks = [MARKS.get(sign, "") for sign in self.tail if sign != "." or not self._abbreviates(following)]
        return ["", *marks, "-" if " -" in self.tail else "", "." if self.newlines > 1 else ""]

    def _abbreviates(self, following: str) -> bool:
        """Whether a full stop here ends no sentence: "5. Mai", "J. Bach", "z.B. Obst", "Nr. eins"."""
        if not following or self.tail.count(".") > 1:
            return False
        initial = len(self.core) == 1 and self.core.upper() != self.core.lower()
        ordinal = self.core.isdigit() and len(self.core) <= 2
        return following.islower() or initial or ordinal or bool(_SHORTENED.search(self.core))


class PlainText:
    """A growing text; `take` gives its words one by one. Positions count from the text's beginning."""

    def __init__(self, text: str = "", *, ended: bool = False) -> None:
        self.ended = ended
        self.steps = 0
        self._text = text
        self._base = 0
        self._at = 0
        self._last: _Word | None = None
        self._lead = ""
        self._lead_at = 0
        self._line_start = True
        self._ready: list[Spoken] = []

    @property
    def length(self) -> int:
        """Characters received in all."""
        return self._base + len(self._text)

    @property
    def position(self) -> int:
        """How far the text has been read."""
        return self._base + self._at

    def feed(self, text: str) -> None:
        """Add `text` at the end; a text that had ended goes on."""
        self._base += self._at
        self._text, self._at = self._text[self._at :] + text, 0
        self.ended = False

    def take(self) -> list[Spoken] | None:
        """One more word, or None where more text is needed or none is left."""
        while self._at < len(self._text):
            self.steps += 1
            end = self._bracketed()
            if end is None:
                return None
            if end == self._at:
                self._read(self._text[end])
                end += 1
            self._at = end
            if self._ready:
                ready, self._ready = self._ready, []
                return ready
        return self._rest()

    def _rest(self) -> list[Spoken] | None:
        """The last word, where the text has ended."""
        last = self._last
        if last is None or not self.ended:
            return None
        last.tail += self._lead
        self._lead, self._last = "", None
        return [last.spoken(self.length, "")]

    # ---- brackets

    def _bracketed(self) -> int | None:
        """The end of the command or link's target that begins here; here for none; None where it is open."""
        text, at = self._text, self._at
        if text[at] not in "{]":
            return at
        if text[at] == "]" and text[at + 1 : at + 2] != "(":
            return at if self.ended or at + 1 < len(text) else None
        end = past_brackets(text, at, ended=self.ended)
        if end is None or end == at + 1:
            return end and at
        return end if text[at] == "]" or self._command(text[at:end]) else at

    def _command(self, braces: str) -> bool:
        """Obey `braces` where they are a command."""
        refuse_commands(braces, range(self.position, self.position + len(braces)))
        word, pause = spelling(braces), silence(braces)
        if word:
            self._begin(_Word(word, self.position + 1, self.position + 1 + len(word), open=False))
        if pause and self._last:
            self._last.pause += pause
        return bool(word) or pause is not None

    # ---- characters

    def _read(self, character: str) -> None:
        what = kind(character)
        if what is Kind.LETTER or what is Kind.WIDE:
            self._letter(character, wide=what is Kind.WIDE)
        elif what is Kind.SIGN:
            self._sign(character)
        elif what is Kind.BLANK:
            self._blank(character)
        elif what is Kind.JOIN and self._last and not self._last.tail and not self._lead:
            self._join(self._last, character)

    def _letter(self, letter: str, *, wide: bool) -> None:
        last, place = self._last, self.position
        if last and not wide and not self._lead and last.goes_on():
            last.grow(letter, place + 1)
            return
        cut = last is not None and not (last.tail or last.wide or wide or self._lead) and last.open
        self._begin(_Word(letter, place, place + 1, wide=wide, glued=cut))

    def _begin(self, word: _Word) -> None:
        """The word before is done, and `word` begins."""
        word.lead = self._lead
        if self._last:
            until = self._lead_at if self._lead else self.position
            self._ready.append(self._last.spoken(until, word.core[0]))
        self._last, self._lead, self._line_start = word, "", False

    def _join(self, last: _Word, adornment: str) -> None:
        if last.open and len(last.core) < _MOST_JOINED:
            last.core += adornment
            last.end = self.position + 1

    def _sign(self, sign: str) -> None:
        last = self._last
        apart = last is None or (last.apart and sign not in _CLOSING)
        if last is None or apart or self._lead or (opens(sign) and (last.wide or last.tail)):
            self._lead_at = self._lead_at if self._lead else self.position
            self._lead += sign if len(self._lead) < _MOST_SIGNS else ""
        elif len(last.tail) < _MOST_SIGNS:
            last.tail += sign

    def _blank(self, blank: str) -> None:
        """A blank parts words, and shows which of them the signs before it belong to."""
        last = self._last
        if self._lead:
            self._place_lead(last)
        if last and not last.apart:
            last.tail += " "
        if last:
            last.newlines += {"\n": 1, "\u2029": 2}.get(blank, 0)
        self._line_start = self._line_start or blank in "\n\u2029"

    def _place_lead(self, last: _Word | None) -> None:
        if self._line_start and _BULLET.match(self._lead):
            if last:
                last.item = True
            self._lead = ""
        elif any(map(opens, self._lead)):
            self._lead += " " if not self._lead.endswith(" ") else ""
        else:
            if last:
                last.tail = (last.tail + self._lead)[: 2 * _MOST_SIGNS] + " "
            self._lead = ""
