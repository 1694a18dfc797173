"""Signs without words: what each one marks, and what the beginning and the end of a line mean.

Lives here: sentence ends, commas, dashes, brackets, ellipses; Markdown's headings, bullets, rules and
fences. What must not: signs that are spoken ("&", "%"), abbreviations.
"""

from __future__ import annotations

import re

from rhapsode_server.text.figures import RAISED
from rhapsode_server.text.source import Chunk
from rhapsode_server.text.spoken import Spoken

_HEADING = re.compile(r"#{1,6}\Z")
_BULLET = re.compile(r"[-*+•–—]\Z")
_NUMBERED = re.compile(r"\d{1,3}[.)]\Z")
_QUOTE = re.compile(r">+\Z")
_RULE = re.compile(r"(?:[-=*_]{3,}|[|:+-]{3,})\Z")
_FENCE = re.compile(r"(?:```|~~~)[\w+#.-]{0,30}\Z")
_BOX = re.compile(r"\[[xX]?\]\Z")
_CLOSERS = re.compile(rf"[\"')\]}}*_`~\x00.,;:!?—{RAISED}]*\Z")
_ELLIPSIS = re.compile(r"…[.…]{0,500}|\.[.…]{1,500}")
_DASHES = re.compile(r"--{1,500}|[—–]{1,500}")
_PLAIN = {",": ",", ";": ";", ":": ":", "!": "!", "?": "?", "|": ",", ")": ",", "(": ",", "•": ","}


class Line:
    """Where we are in a line of text."""

    def __init__(self) -> None:
        self.starting = True
        self._item = False
        self._numbered = False

    def begin(self, chunk: Chunk, last: Spoken | None) -> int:
        """The length of the Markdown sign that `chunk` is, at the start of a line; 0 where it is none."""
        if not self.starting:
            return 0
        text = chunk.text
        if _HEADING.match(text) or _BULLET.match(text):
            self._item = chunk.newlines == 0 and bool(chunk.following)
            return len(text)
        self._numbered = bool(_NUMBERED.match(text))
        self._item = self._item or self._numbered
        if _RULE.match(text) and last is not None:
            last.mark(".")
        silent = _RULE.match(text) or _FENCE.match(text) or _QUOTE.match(text) or _BOX.match(text)
        return len(text) if silent else 0

    def heard(self, sign: str) -> str:
        """The mark of `sign` here: the stop behind the number of a list's item is only a short pause."""
        numbered, self._numbered = self._numbered, False
        return "," if numbered and sign == "." else sign

    def end(self, chunk: Chunk) -> tuple[str, bool]:
        """The mark that the space behind `chunk` sets on the word before, and whether a paragraph ends."""
        if chunk.newlines == 0 or not chunk.following:
            return "", False
        item, self._item, self.starting = self._item, False, True
        if chunk.newlines > 1:
            return ".", True
        if item or chunk.following in "-*+•#>`":
            return ".", False
        return ("," if chunk.following.isupper() or chunk.following.isdigit() else ""), False


class Quotes:
    """Which quotation marks are open: behind figures the same signs are feet and inches."""

    def __init__(self) -> None:
        self._double = self._single = False

    @property
    def open(self) -> str:
        """Those that are, as they are written."""
        return "'" * self._single + '"' * self._double

    def hear(self, text: str, begin: int, end: int) -> None:
        """Take note of the marks in [begin, end); an apostrophe within a word is none."""
        for at in range(begin, end):
            if text[at] == '"':
                self._double = not self._double
            elif text[at] == "'":
                self._single = not text[:at][-1:].isalnum() and text[at + 1 : at + 2].isalnum()


def hear(text: str, at: int, bound: int, following: str) -> tuple[int, str]:
    """The end of the sign at `at` and the mark it sets ("" for none); `bound` ends the chunk it stands in.

    `following` is the first character behind the chunk, "" at the end of the text.
    """
    if at >= bound:
        return bound, ""
    dots, dashes = _ELLIPSIS.match(text, at), _DASHES.match(text, at)
    if dots:
        return dots.end(), _ellipsis(text, dots.end(), bound, following)
    if dashes:
        return dashes.end(), "-"
    sign = text[at]
    if sign == ".":
        return at + 1, _stop(text, at, bound)
    if sign == "-":
        return at + 1, "-" if at + 1 >= bound and (at == 0 or text[at - 1] == " ") else ""
    if sign == "!" and text[at + 1 : at + 2] == "[":
        return at + 1, ""
    return at + 1, _PLAIN.get(sign, "")


def _ellipsis(text: str, end: int, bound: int, following: str) -> str:
    """Three dots trail off within a sentence, or end it where a capital or nothing follows."""
    if not _CLOSERS.match(text, end, bound):
        return ","
    return "." if not following or following.isupper() else ","


def _stop(text: str, at: int, bound: int) -> str:
    """A full stop ends a sentence where its chunk ends, or between a small letter and a capital."""
    if text[at + 1 : at + 2] in (",", ";", ":"):
        return ""
    if _CLOSERS.match(text, at + 1, bound):
        return "."
    glued_sentences = at > 0 and text[at - 1].islower() and text[at + 1].isupper()
    return "." if glued_sentences else ""
