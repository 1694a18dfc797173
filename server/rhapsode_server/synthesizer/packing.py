"""Sound at the voice's rate -> Audio events that join without gap, each with the words that begin in it.

What must not live here: formats (audio/ has them), waiting, the engine. One Packer serves one utterance.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Sequence
from dataclasses import replace
from itertools import accumulate

import numpy as np
from numpy.typing import NDArray

from rhapsode_server.audio.encode import AudioEncoder, Encoded, encoder_for
from rhapsode_server.core import AudioFormat, Piece, WordTime
from rhapsode_server.synthesizer.events import Audio, SpokenWord
from rhapsode_server.synthesizer.stages import Spell

BREATH_SECONDS = 0.06
"""More than any filter or packet holds back: soxr's longest delay here is 25 ms, an Opus packet 20 ms."""


class Packer:
    """Encodes, numbers and counts. `taken` is samples in, at the native rate; `given` samples out."""

    def __init__(self, audio: AudioFormat, native_rate: int) -> None:
        """Raises FormatUnsupported."""
        self._encoder: AudioEncoder = encoder_for(audio, native_rate)
        self._native_rate = native_rate
        self._words: deque[SpokenWord] = deque()
        self._waiting = b""
        self._messages = 0
        self.taken = 0
        self.given = 0
        self.worked = Spell()

    @property
    def sample_rate(self) -> int:
        """The delivered rate in Hz."""
        return self._encoder.sample_rate

    def delivered(self, native: int) -> int:
        """A native sample's number at the delivered rate: the nearest, halves upwards."""
        return (2 * native * self.sample_rate + self._native_rate) // (2 * self._native_rate)

    def sound(self, samples: NDArray[np.float32], words: Sequence[SpokenWord] = ()) -> Audio | None:
        """The next [n] samples and the words that have become known; None while filters fill."""
        self._words.extend(words)
        self.taken += len(samples)
        started = time.monotonic()
        encoded = self._encoder.encode(samples)
        self.worked.add(started, time.monotonic())
        return self._message(encoded, self.given + encoded.samples)

    def silence(self, samples: int) -> Audio | None:
        """The next `samples` samples are silent."""
        return self.sound(np.zeros(samples, np.float32))

    def push(self) -> Audio | None:
        """Give what the filters hold, followed by a breath of silence: somebody waits for all of it."""
        if self.given >= self.delivered(self.taken):
            return None
        return self.silence(round(BREATH_SECONDS * self._native_rate))

    def end_words(self) -> None:
        """No word lasts beyond the sound so far; guessed ones may have seemed to."""
        end = self.delivered(self.taken)
        self._words = deque(
            replace(word, start=min(word.start, max(0, end - 1)), end=min(word.end, end))
            for word in self._words
        )

    def finish(self) -> Audio | None:
        """What the filters still held; None where that is nothing. Call it once, last."""
        return self._message(self._encoder.finish(), None)

    def _message(self, encoded: Encoded, until: int | None) -> Audio | None:
        """Samples [given, until) as an event; `until` None takes every word that is left.

        Bytes that decode to no sample yet (a header) wait for those that do.
        """
        data, self._waiting = self._waiting + encoded.data, b""
        if not data or not (encoded.samples or until is None):
            self._waiting = data
            return None
        words = []
        while self._words and (until is None or self._words[0].start < until):
            words.append(self._words.popleft())
        message = Audio(data, self._messages, self.given, encoded.samples, tuple(words))
        self._messages += 1
        self.given += encoded.samples
        return message


class Wording:
    """Word times of one piece -> words of the caller's text, at the delivered rate.

    Several spoken words may come from one written word ("20%"); they are joined into one, which is
    known when the last of them is.
    """

    def __init__(self, text: str, piece: Piece, begins: int, packer: Packer) -> None:
        """`begins` is the native sample of the utterance at which the piece begins."""
        self._text, self._piece, self._begins, self._packer = text, piece, begins, packer
        self._open: list[WordTime] = []
        self._guessed = 0

    def grow(self, text: str, piece: Piece) -> None:
        """More of the text and of the piece is known: words have been added at the end."""
        self._text, self._piece = text, piece

    def guess(self, samples: int, heard: int = 0) -> list[WordTime]:
        """Times for a model that has none: `samples` of sound shared among the words by their letters.

        Words that had a time before are left out; no other begins before the `heard` samples that have gone.
        """
        words, first = self._piece.words, self._guessed
        if first == len(words):
            return []
        ends = list(accumulate(len(word.text) + len(word.after) + 1 for word in words))
        edges = [max(heard, edge) for edge in (0, *(samples * end // ends[-1] for end in ends))]
        self._guessed = len(words)
        return [WordTime(n, edges[n], edges[n + 1], exact=False) for n in range(first, len(words))]

    def words(self, times: Sequence[WordTime]) -> list[SpokenWord]:
        """The written words that are complete with these times."""
        done = []
        for time_ in times:
            self._open.append(time_)
            if self._completes(time_.index):
                done.append(self._joined())
        return done

    def _completes(self, index: int) -> bool:
        words = self._piece.words
        if index + 1 == len(words):
            return True
        here, after = words[index], words[index + 1]
        return (here.start, here.end) != (after.start, after.end)

    def _joined(self) -> SpokenWord:
        first, last = self._open[0], self._open[-1]
        self._open = []
        word = self._piece.words[first.index]
        return SpokenWord(
            text=self._text[word.start : word.end],
            char_start=word.start,
            char_end=word.end,
            start=self._packer.delivered(self._begins + first.start),
            end=self._packer.delivered(self._begins + last.end),
            exact=first.exact and last.exact,
        )
