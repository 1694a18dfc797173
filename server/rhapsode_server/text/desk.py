"""The desk: text in, speakable pieces out, for a whole text or for one that is still arriving.

Lives here: the checks at the door of the text room and the order of its stages (normalise, pronounce,
split), and which of them a language has. What must not: any rule of those stages; models, requests, sound.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import chain
from typing import Literal, Protocol

from rhapsode_server.core import Piece, Word
from rhapsode_server.errors import TextRefused
from rhapsode_server.text import pronounce
from rhapsode_server.text.characters import folded, refuse_control
from rhapsode_server.text.inline import refuse_commands
from rhapsode_server.text.normalize import Normalizer
from rhapsode_server.text.plain import PlainText
from rhapsode_server.text.source import Source
from rhapsode_server.text.split import Splitter, pause_after, render
from rhapsode_server.text.spoken import Spoken

Reads = Literal["phones", "letters"]
SHORTEST_PIECE = 60
"""Characters. A desk that cuts finer than this would cut inside ordinary numbers."""


class _Text(Protocol):
    """A text that may grow."""

    ended: bool

    @property
    def length(self) -> int: ...
    @property
    def position(self) -> int: ...
    def feed(self, text: str) -> None: ...


class _Reader(Protocol):
    """Finds the words of a text."""

    steps: int

    def take(self) -> list[Spoken] | None: ...


class _Stages:
    """One text on its way through the stages. `take` gives pieces until it needs more text."""

    def __init__(self, source: _Text, reader: _Reader, reads: Reads, longest: int, *, eager: bool) -> None:
        self.source = source
        self.reader = reader
        self.splitter = Splitter(longest, eager=eager)
        self.spoke = False
        self.whole = source.ended
        self._reads = reads
        self._article: Spoken | None = None
        self._done = source.position

    def take(self) -> Iterator[Piece]:
        """The pieces that are certain so far, each as soon as it is; no word is read early."""
        while (words := self.reader.take()) is not None:
            for word in words:
                yield from self._hear(word)

    def rest(self) -> Iterator[Piece]:
        """What is left of a text that has ended (or must be spoken now)."""
        if self._article:
            yield from self._pass(self._article)
            self._article = None
        words = self.splitter.flush()
        if words:
            yield self._piece(words, last=True)

    def _hear(self, word: Spoken) -> Iterator[Piece]:
        """Pronounce `word`; an article waits for the word behind it, which may change its sound."""
        if self._reads == "phones" and not word.phones:
            word.phones = pronounce.phones_of(word.text, word.spelled)
        article, self._article = self._article, None
        if article:
            article.phones = pronounce.before_vowel(article.text, word.phones) or article.phones
            yield from self._pass(article)
        if self._reads == "phones" and word.text.lower() == "the" and not word.after:
            self._article = word
        else:
            yield from self._pass(word)

    def _pass(self, word: Spoken) -> Iterator[Piece]:
        for piece in self.splitter.push(word):
            yield self._piece(piece)

    def _piece(self, words: list[Spoken], *, last: bool = False) -> Piece:
        """The piece of `words`; the silence of a sentence's end is not wanted behind the very last."""
        self.spoke = True
        start, self._done = self._done, self.source.length if last else words[-1].until
        final = self.whole and self._done == self.source.length
        text = render(words)
        if last and not words[-1].after:
            words[-1].after = "."  # an end without a mark sounds like an end all the same
        said = tuple(Word(w.text, w.start, w.end, self._phones(w), w.after) for w in words)
        pause = words[-1].pause if final else pause_after(words[-1])
        return Piece(text, said, start, self._done, pause)

    def _phones(self, word: Spoken) -> tuple[str, ...]:
        return word.phones if self._reads == "phones" else ()


class TextDesk:
    """Turns text into pieces for one family, which `reads` phones or letters.

    `longest` bounds the characters of a piece (60 or more), `max_characters` those of a text. English is read
    by rules. Other languages, and "" where the language is not known, are passed on as they are written to
    families that read letters; for those that read phones "" is English, and others are refused.
    """

    def __init__(self, *, reads: Reads, longest: int = 240, max_characters: int = 10_000) -> None:
        if longest < SHORTEST_PIECE:
            raise ValueError(f"longest must be at least {SHORTEST_PIECE} characters, not {longest}")
        self._reads = reads
        self._longest = longest
        self._limit = max_characters

    def warm(self) -> None:
        """Read the dictionary and the letter-to-sound model now (about 0.2 s), where this desk needs them."""
        if self._reads == "phones":
            pronounce.warm()

    def pieces(self, text: str, language: str = "en") -> Iterator[Piece]:
        """The pieces of `text`, made one by one as they are asked for; together they cover all of it.

        Raises TextRefused at once, before the first piece, for a text that cannot be spoken whole.
        """
        english = _is_english(language, self._reads)
        _refuse_longer(len(text), self._limit)
        if not text.strip():
            raise TextRefused("The text is empty. Send at least one word to be spoken.")
        refuse_control(text)
        if "{" in text:
            refuse_commands(*(folded(text, 0) if english else (text, range(len(text)))))
        source, reader = _opened(text, english=english, ended=True)
        stages = _Stages(source, reader, self._reads, self._longest, eager=False)
        made = chain(stages.take(), stages.rest())
        first = next(made, None)
        if first is None:
            raise _nothing_to_say(english=english)
        return chain([first], made)

    def session(self, language: str = "en") -> IncrementalDesk:
        """A desk for a text that arrives in fragments."""
        english = _is_english(language, self._reads)
        return IncrementalDesk(self._reads, self._longest, self._limit, english=english)


class IncrementalDesk:
    """Gives the pieces of a text that is still arriving, each as early as it is safe.

    Words and their positions (counted over all fragments) do not depend on how the text was split into
    fragments; only the cuts between pieces may.
    """

    def __init__(self, reads: Reads, longest: int, max_characters: int, *, english: bool) -> None:
        self._limit = max_characters
        self._english = english
        self._stages = _Stages(*_opened("", english=english, ended=False), reads, longest, eager=True)

    def feed(self, text: str) -> list[Piece]:
        """Add a fragment (any part of the text, maybe empty); return the pieces that are now certain.

        Raises TextRefused, with positions counted over all fragments.
        """
        source = self._stages.source
        _refuse_longer(source.length + len(text), self._limit)
        refuse_control(text, source.length)
        source.feed(text)
        return list(self._stages.take())

    def flush(self) -> list[Piece]:
        """Speak all that has arrived, without waiting for a sentence or word to end; more may follow."""
        self._stages.source.ended = True
        return [*self._stages.take(), *self._stages.rest()]

    def finish(self) -> list[Piece]:
        """Like flush, at the end of the text. Raises TextRefused where nothing of it could be spoken."""
        self._stages.whole = True
        pieces = self.flush()
        if not self._stages.spoke:
            raise _nothing_to_say(english=self._english)
        return pieces


def _refuse_longer(length: int, limit: int) -> None:
    if length > limit:
        raise TextRefused(f"The text has {length} characters and the limit is {limit}. Send it in parts.")


def _opened(text: str, *, english: bool, ended: bool) -> tuple[_Text, _Reader]:
    """The text, and who reads it."""
    if english:
        source = Source(text, ended=ended)
        return source, Normalizer(source)
    plain = PlainText(text, ended=ended)
    return plain, plain


def _is_english(language: str, reads: Reads) -> bool:
    """Whether the rules of English apply. Raises TextRefused for a language that this desk cannot read."""
    if language.lower().replace("_", "-").partition("-")[0] == "en":
        return True
    if language and reads == "phones":
        raise TextRefused(
            'Only English text can be read. Set the language to "en" or leave it empty.', "language"
        )
    return reads == "phones"


def _nothing_to_say(*, english: bool) -> TextRefused:
    silent = "other scripts, emoji and punctuation make" if english else "emoji and punctuation make"
    return TextRefused(
        f"The text has nothing that can be spoken. Send at least one letter or figure ({silent} no sound)."
    )
