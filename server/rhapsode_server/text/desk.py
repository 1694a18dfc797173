"""The desk: text in, speakable pieces out, for a whole text or for one that is still arriving.

Lives here: the checks at the door of the text room and the order of its stages (normalise, pronounce,
split), and which of them a language has. What must not: any rule of those stages; models, requests, sound.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import chain
from typing import Generic, Literal, Protocol, TypeVar

from rhapsode_server.core import Growth, Piece, Word
from rhapsode_server.errors import TextRefused
from rhapsode_server.text import pronounce
from rhapsode_server.text.characters import folded, refuse_control
from rhapsode_server.text.inline import refuse_commands
from rhapsode_server.text.normalize import Normalizer
from rhapsode_server.text.plain import PlainText
from rhapsode_server.text.source import Source
from rhapsode_server.text.split import Growing, Splitter, pause_after, render
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
    """One text on its way through the stages, up to words and the pieces made of them."""

    def __init__(self, source: _Text, reader: _Reader, reads: Reads) -> None:
        self.source = source
        self.reader = reader
        self.spoke = False
        self.whole = source.ended
        self._reads = reads
        self._article: Spoken | None = None
        self._done = source.position

    def words(self) -> Iterator[Spoken]:
        """The words that are certain so far, each as soon as it is; none is read early."""
        while (words := self.reader.take()) is not None:
            for word in words:
                yield from self._hear(word)
        if self.source.ended and self._article:
            yield self._article
            self._article = None

    def _hear(self, word: Spoken) -> Iterator[Spoken]:
        """Pronounce `word`; an article waits for the word behind it, which may change its sound."""
        if self._reads == "phones" and not word.phones:
            word.phones = pronounce.phones_of(word.text, word.spelled)
        article, self._article = self._article, None
        if article:
            article.phones = pronounce.before_vowel(article.text, word.phones) or article.phones
            yield article
        if self._reads == "phones" and word.text.lower() == "the" and not word.after:
            self._article = word
        else:
            yield word

    def piece(self, words: list[Spoken], *, last: bool = False) -> Piece:
        """The piece of `words`; the silence of a sentence's end is not wanted behind the very last."""
        made = self.so_far(words, last=last)
        self._done = made.end
        return made

    def so_far(self, words: list[Spoken], *, last: bool = False) -> Piece:
        """The same while more words may follow."""
        self.spoke = True
        end = self.source.length if last else words[-1].until
        final = self.whole and end == self.source.length
        text = render(words)
        if last and not words[-1].after:
            words[-1].after = "."  # an end without a mark sounds like an end all the same
        said = tuple(Word(w.text, w.start, w.end, self._phones(w), w.after) for w in words)
        pause = words[-1].pause if final else pause_after(words[-1])
        return Piece(text, said, self._done, end, pause)

    def _phones(self, word: Spoken) -> tuple[str, ...]:
        return word.phones if self._reads == "phones" else ()


class _Pieces:
    """The last stage where pieces are cut before they are given away."""

    def __init__(self, stages: _Stages, longest: int, *, eager: bool) -> None:
        self.stages = stages
        self._splitter = Splitter(longest, eager=eager)

    def take(self) -> Iterator[Piece]:
        """The pieces that are certain; where the text has ended (or must be spoken now), all of them."""
        for word in self.stages.words():
            for words in self._splitter.push(word):
                yield self.stages.piece(words)
        rest = self._splitter.flush() if self.stages.source.ended else []
        if rest:
            yield self.stages.piece(rest, last=True)


class _Growths:
    """The last stage where pieces are shown while they grow."""

    def __init__(self, stages: _Stages, longest: int) -> None:
        self.stages = stages
        self._open = Growing(longest)

    def take(self) -> Iterator[Growth]:
        """Every piece that has ended, then the one that grows, where it has grown."""
        grown = False
        for number, together in self._groups():
            word = together[0]
            if self._open.ends_before(together if number == 0 else [word]):
                yield Growth(self.stages.piece(self._open.end()), complete=True)
            grown = not self._open.add(word)
            if not grown:
                yield Growth(self.stages.piece(self._open.end()), complete=True)
        if self.stages.source.ended and self._open.words:
            yield Growth(self.stages.piece(self._open.end(), last=True), complete=True)
        elif grown:
            yield Growth(self.stages.so_far(self._open.words), complete=False)

    def _groups(self) -> Iterator[tuple[int, list[Spoken]]]:
        """Every word with those behind it that are glued to it, such as a number's, and its place there.

        The reader gives all words of a number at once, so none of a group is still to come.
        """
        words = list(self.stages.words())
        place = 0
        for index, word in enumerate(words):
            place = place + 1 if word.glued else 0
            end = index + 1
            while end < len(words) and words[end].glued:
                end += 1
            yield place, words[index:end]


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
        stages = _Stages(*_opened(text, english=english, ended=True), self._reads)
        made = _Pieces(stages, self._longest, eager=False).take()
        first = next(made, None)
        if first is None:
            raise _nothing_to_say(english=english)
        return chain([first], made)

    def session(self, language: str = "en") -> IncrementalDesk[Piece]:
        """A desk for a text that arrives in fragments."""
        stages, english = self._arriving(language)
        return IncrementalDesk(_Pieces(stages, self._longest, eager=True), self._limit, english=english)

    def growing(self, language: str = "en") -> IncrementalDesk[Growth]:
        """The same for a family that can begin before it has seen the whole of a piece.

        Where pieces end does not depend on how the text was split into fragments.
        """
        stages, english = self._arriving(language)
        return IncrementalDesk(_Growths(stages, self._longest), self._limit, english=english)

    def _arriving(self, language: str) -> tuple[_Stages, bool]:
        english = _is_english(language, self._reads)
        return _Stages(*_opened("", english=english, ended=False), self._reads), english


T = TypeVar("T", covariant=True)


class _LastStage(Protocol[T]):
    """What an arriving text ends up in: pieces, or pieces that grow."""

    @property
    def stages(self) -> _Stages: ...
    def take(self) -> Iterator[T]: ...


class IncrementalDesk(Generic[T]):
    """Gives the pieces of a text that is still arriving, each (or each growth of one) as early as it is safe.

    Words and their positions (counted over all fragments) do not depend on how the text was split into
    fragments; only the cuts between pieces may.
    """

    def __init__(self, last: _LastStage[T], max_characters: int, *, english: bool) -> None:
        self._limit = max_characters
        self._english = english
        self._last = last
        self._stages = last.stages

    def feed(self, text: str) -> list[T]:
        """Add a fragment (any part of the text, maybe empty); return what is now certain.

        Raises TextRefused, with positions counted over all fragments.
        """
        source = self._stages.source
        _refuse_longer(source.length + len(text), self._limit)
        refuse_control(text, source.length)
        source.feed(text)
        return list(self._last.take())

    def flush(self) -> list[T]:
        """Speak all that has arrived, without waiting for a sentence or word to end; more may follow."""
        self._stages.source.ended = True
        return list(self._last.take())

    def finish(self) -> list[T]:
        """Like flush, at the end of the text. Raises TextRefused where nothing of it could be spoken."""
        self._stages.whole = True
        given = self.flush()
        if not self._stages.spoke:
            raise _nothing_to_say(english=self._english)
        return given


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
