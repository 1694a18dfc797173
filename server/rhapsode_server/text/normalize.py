"""Text -> spoken words, each with the characters it came from.

Lives here: the walk over the text, chunk by chunk: at each place the first rule that holds says what is
spoken (the rules live in the modules beside this one), and punctuation becomes marks on the word before.
What must not: any rule about what a number or a sign means, pronunciations, the cutting into pieces.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise

from rhapsode_server.text import punctuation
from rhapsode_server.text.inline import pause_of, refuse_commands
from rhapsode_server.text.rules import rule_table
from rhapsode_server.text.source import Chunk, Source
from rhapsode_server.text.spoken import Part, Scene, Spoken
from rhapsode_server.text.view import View, view_of


class Normalizer:
    """Reads a Source; `take` gives the words of the next stretch.

    A word is held back until the mark that may follow it has been seen.
    """

    def __init__(self, source: Source) -> None:
        self._source = source
        self._table = rule_table()
        self._at = 0
        self._view: View | None = None
        self._last: Spoken | None = None
        self._ready: list[Spoken] = []
        self._held = False
        self._line = punctuation.Line()
        self._quotes = punctuation.Quotes()
        self._earlier: deque[str] = deque(maxlen=Scene.MOST_EARLIER)
        self._named = False
        self._shouted = False
        self.steps = 0

    def take(self) -> list[Spoken] | None:
        """The words of one more stretch (maybe none), or None where more text is needed or none is left."""
        view = self._view = self._view or view_of(self._source)
        if view is None:
            return self._rest()
        end = self._step(view)
        self._leave(view, end)
        ready, self._ready = self._ready, []
        return ready

    def _rest(self) -> list[Spoken] | None:
        """The word held back, where the text has ended."""
        if not (self._held and self._source.ended and self._last):
            return None
        self._last.until = max(self._last.until, self._source.length)
        self._held = False
        return [self._last]

    def _step(self, view: View) -> int:
        """Read one thing at the current place; return where it ends in the view."""
        self.steps += 1
        if self._last and (self._last.ends_sentence or self._last.paragraph):
            self._earlier.clear()
            self._named = self._shouted = False
        if self._at == 0:
            refuse_commands(view.chunks[0].text, view.chunks[0].places)
            skipped = self._line.begin(view.chunks[0], self._last)
            if skipped:
                return skipped
        scene = self._scene(view)
        for rule in self._table.get(view.text[self._at : self._at + 1], ()):
            found = rule.pattern.match(view.text, self._at)
            if found is None or found.end() == self._at:
                continue
            parts = rule.say(found, scene)
            if parts is not None:
                self._say(parts, view)
                if parts:
                    self._remember(found[0])
                return found.end()
        return self._punctuate(view)

    def _scene(self, view: View) -> Scene:
        chunk = view.chunks[-1]
        following = "" if chunk.newlines > 1 else chunk.following
        named = self._named and bool(self._last) and not (self._last and self._last.after)
        return Scene(
            tuple(self._earlier), named, self._shouted, self._line.starting, following, self._quotes.open
        )

    def _remember(self, written: str) -> None:
        """Keep what was read for the rules that look back."""
        self._earlier.append(written.strip(".:#").lower())
        self._named = written[:1].isupper()
        self._shouted = len(written) > 1 and written.isupper()

    def _say(self, parts: Sequence[Part], view: View) -> None:
        parts = _in_order(parts)
        first = True
        for part in parts:
            pause = pause_of(part)
            if pause is not None:
                if self._last:
                    self._last.pause += pause
                continue
            self._add(part, view, glued=not first or self._mid_word())
            first = False
        if parts:
            self._line.starting = False

    def _mid_word(self) -> bool:
        """Whether the word before stands in the same chunk with nothing heard in between."""
        return self._at > 0 and self._held and self._last is not None and not self._last.after

    def _add(self, part: Part, view: View, *, glued: bool) -> None:
        start, end = view.places[part.begin], view.end_place(part.end)
        if self._last and self._held:
            if self._last.until == self._last.end:
                self._last.until = max(self._last.end, start)
            self._ready.append(self._last)
        self._last = Spoken(
            part.text, start, end, end, part.spelled, part.phones, after=part.after, glued=glued
        )
        self._held = True

    def _punctuate(self, view: View) -> int:
        """Hear the sign at the current place as punctuation, or pass over it in silence."""
        end, sign = punctuation.hear(view.text, self._at, view.bounds[0][1], view.chunks[0].following)
        self._quotes.hear(view.text, self._at, end)
        if sign and self._last:
            self._last.mark(self._line.heard(sign))
        return end

    def _leave(self, view: View, end: int) -> None:
        """Go to `end` of the view; drop the chunks that are done with."""
        self._at, done = end, None
        for (begin, bound), chunk in zip(view.bounds, view.chunks, strict=True):
            if end < bound:
                self._at = max(0, end - begin)
                break
            self._source.drop()
            self._at, self._view, done = 0, None, chunk
        if done and self._at == 0:
            self._finish(done)

    def _finish(self, chunk: Chunk) -> None:
        """A chunk is done: its white space may mark the word before and sets it free."""
        sign, paragraph = self._line.end(chunk)
        if paragraph:
            self._quotes = punctuation.Quotes()
        if self._last is None:
            return
        if sign:
            self._last.mark(sign)
        self._last.paragraph = self._last.paragraph or paragraph
        if not self._held:
            return
        self._last.until, self._last.settled = chunk.until, True
        if chunk.following.isascii() and chunk.following.isalnum():
            self._ready.append(self._last)
            self._held = False


def _in_order(parts: Sequence[Part]) -> Sequence[Part]:
    """Parts whose places run forward; where the words are said in another order they all share one place.

    "$5" is said "five dollars": both words come from both characters.
    """
    if all(part.begin <= after.begin for part, after in pairwise(parts)):
        return parts
    begin, end = min(part.begin for part in parts), max(part.end for part in parts)
    return [replace(part, begin=begin, end=end) for part in parts]
