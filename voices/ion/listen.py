"""A listener that cannot be argued with: pocketsphinx with its own US English model, and the word error rate.

Must not live here: how the sound was made.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from pocketsphinx import Config, Decoder

RATE = 16_000
_SPELLING = str.maketrans({"-": " ", "'": None})


def words_of(text: str) -> list[str]:
    """Lower-case words without punctuation or apostrophes."""
    return re.findall(r"[a-z0-9]+", text.lower().translate(_SPELLING))


def errors(said: Sequence[str], heard: Sequence[str]) -> int:
    """Words substituted, left out or added: Levenshtein's distance."""
    row = list(range(len(heard) + 1))
    for number, word in enumerate(said, 1):
        diagonal, row[0] = row[0], number
        for place, other in enumerate(heard, 1):
            diagonal, row[place] = (
                row[place],
                min(row[place] + 1, row[place - 1] + 1, diagonal + (word != other)),
            )
    return row[-1]


class Listener:
    """One decoder. The cepstral mean is taken over each sound by itself, so the order of sounds does not
    matter.
    """

    def __init__(self) -> None:
        self._decoder = Decoder(Config(samprate=RATE, cmn="batch", loglevel="FATAL"))

    def hear(self, sound: NDArray[np.int16]) -> list[str]:
        """Words recognised."""
        self._decoder.start_utt()
        self._decoder.process_raw(sound.tobytes(), full_utt=True)
        self._decoder.end_utt()
        hypothesis = self._decoder.hyp()
        return words_of(hypothesis.hypstr) if hypothesis else []
