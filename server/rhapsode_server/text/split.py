"""Spoken words -> pieces: where a long text is cut, all at once (Splitter) or while it grows (Growing).

Lives here: the choice of the cut. A sentence's end is best, then a clause's, then the place before a
conjunction, then any place between words; never inside a number unless it alone is longer than a piece.
What must not: what a full stop means (punctuation.py), phones, time.

Each word is looked at once when it comes and at most once more after a cut, so the work is linear.
"""

from __future__ import annotations

from dataclasses import dataclass

from rhapsode_server.text.spoken import Spoken
from rhapsode_server.text.tables import CONJUNCTIONS, LINKERS

FIRST = 60
"""Characters of the first piece: about four seconds of speech, enough to prepare the second meanwhile."""
SECOND = 120
SHORT = 40
"""A sentence shorter than this is spoken together with the next one, except at the very beginning."""
EAGER_FIRST, EAGER = 16, 60
"""Characters after which a clause need not wait for its sentence, while text is still arriving."""
SENTENCE_PAUSE, PARAGRAPH_PAUSE = 0.3, 0.6
"""Seconds. Read speech pauses 0.2 to 0.5 s between sentences, about twice that between paragraphs."""


@dataclass(slots=True)
class _Best:
    """The best cuts seen so far, as numbers of words before them; 0 is none."""

    sentence: int = 0
    clause: int = 0
    conjunction: int = 0
    word: int = 0
    weak: int = 0
    any: int = 0

    def choose(self) -> int:
        """The most natural of them."""
        return self.fair() or self.any

    def fair(self) -> int:
        """The most natural of those that part no number."""
        return self.sentence or self.clause or self.conjunction or self.word or self.weak


class Splitter:
    """Words go in one by one, pieces (lists of words) come out as soon as their end is certain.

    `longest` bounds the characters of a piece. With `eager`, a clause is let go before its sentence ends.
    """

    def __init__(self, longest: int, *, eager: bool = False) -> None:
        self._longest = longest
        self._eager = eager
        self._limit = min(FIRST, longest)
        self._first = True
        self._words: list[Spoken] = []
        self._length = 0
        self._best = _Best()
        self.steps = 0

    def push(self, word: Spoken) -> list[list[Spoken]]:
        """Add `word`; return the pieces that are now complete."""
        pieces: list[list[Spoken]] = []
        waiting = [word]
        while waiting:
            self._add(waiting.pop(0), waiting, pieces)
        return pieces

    def flush(self) -> list[Spoken]:
        """All that is left, as one piece (maybe empty)."""
        return self._cut(len(self._words))

    def _add(self, word: Spoken, waiting: list[Spoken], pieces: list[list[Spoken]]) -> None:
        self.steps += 1
        if self._words:
            self._see_boundary(word)
            if self._eager and self._clause_will_do(word):
                pieces.append(self._cut(len(self._words)))
        size = _size(word)
        if self._words and self._length + size > self._limit and not self._waits(word, size):
            pieces.append(self._cut(self._best.choose()))
            waiting[:0] = [*self._words, word]
            self._words, self._length, self._best = [], 0, _Best()
            return
        self._words.append(word)
        self._length += size
        if self._is_enough(word):
            pieces.append(self._cut(len(self._words)))

    def _waits(self, word: Spoken, size: int) -> bool:
        """Whether a number that runs over the limit is let run on, as no fair cut lies before it."""
        if not word.glued or self._length + size > self._longest:
            return False
        return sum(map(_size, self._words[: self._best.fair()])) * 4 < self._limit

    def _see_boundary(self, word: Spoken) -> None:
        """Note what kind of place lies between the words so far and `word`."""
        count, last = len(self._words), self._words[-1]
        self._best.any = count
        if word.glued:
            return
        self._best.weak = count
        if last.text.lower() not in LINKERS:
            self._best.word = count
        if last.ends_sentence:
            self._best.sentence = count
        elif last.after and self._length * 4 >= self._limit:
            self._best.clause = count
        elif word.text in CONJUNCTIONS and self._length * 4 >= self._limit:
            self._best.conjunction = count

    def _clause_will_do(self, word: Spoken) -> bool:
        return bool(self._words[-1].after) and not word.glued and self._length >= self._least()

    def _least(self) -> int:
        return EAGER_FIRST if self._first else EAGER

    def _is_enough(self, word: Spoken) -> bool:
        """Whether the piece ends with `word` whatever comes next."""
        if word.paragraph or word.pause:
            return True
        if self._eager and word.settled and word.after and self._length >= self._least():
            return True
        return word.ends_sentence and (self._first or self._length >= min(SHORT, self._longest // 2))

    def _cut(self, count: int) -> list[Spoken]:
        piece, self._words = self._words[:count], self._words[count:]
        if piece:
            self._limit = self._longest if not self._first else min(SECOND, self._longest)
            self._first = False
        self._length, self._best = sum(map(_size, self._words)), _Best()
        return piece


class Growing:
    """A piece whose words are let go as they come, so that it can only end where it has come to.

    Sentences part pieces by the rule of Splitter. Beyond half of `longest` a piece ends behind a clause,
    beyond three quarters between any two words: what is left is room for a number.
    """

    def __init__(self, longest: int) -> None:
        self.words: list[Spoken] = []
        self._longest = longest
        self._length = 0
        self._first = True

    def ends_before(self, together: list[Spoken]) -> bool:
        """Whether these words, which should stay together, begin a new piece."""
        if not self.words:
            return False
        if self._length + sum(map(_size, together)) > self._longest:
            return True
        word = together[0]
        if word.glued:
            return False
        last = self.words[-1]
        if self._length * 4 >= self._longest * 3:
            return last.text.lower() not in LINKERS
        return bool(last.after) and self._length * 2 >= self._longest

    def add(self, word: Spoken) -> bool:
        """Add `word`; whether the piece ends with it."""
        self.words.append(word)
        self._length += _size(word)
        if word.paragraph or word.pause:
            return True
        return word.ends_sentence and (self._first or self._length >= min(SHORT, self._longest // 2))

    def end(self) -> list[Spoken]:
        """The words of the piece, which is over; the next begins."""
        words, self.words, self._length, self._first = self.words, [], 0, False
        return words


def _size(word: Spoken) -> int:
    """Characters that `word` adds to the text of its piece."""
    return word.size or len(word.text) + len(word.after) + 1 + (word.after == "-")


def pause_after(word: Spoken) -> float:
    """Seconds of silence after a piece that ends with `word`."""
    natural = PARAGRAPH_PAUSE if word.paragraph else SENTENCE_PAUSE if word.ends_sentence else 0.0
    return natural + word.pause


def render(words: list[Spoken]) -> str:
    """The words with their punctuation as one line of text."""
    if words[0].written:
        return " ".join("".join(word.written for word in words).split())
    return " ".join(f"{word.text} -" if word.after == "-" else word.text + word.after for word in words)
