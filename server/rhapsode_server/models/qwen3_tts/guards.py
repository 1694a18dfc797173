"""What keeps an utterance within reason: how short and how long a text can possibly sound.

What must not live here: tensors, a request. The model sometimes misses its end token (once in some hundred
utterances) and then makes noise up to its very last position, and sometimes ends before it has spoken;
both can be told from the text alone.
"""

from __future__ import annotations

import unicodedata
from dataclasses import dataclass

SECONDS_PER_IDEOGRAPH = 0.25
SECONDS_PER_SYLLABLE = 0.15  # one Hangul or kana letter
SECONDS_PER_DIGIT = 0.35
SECONDS_PER_LETTER = 0.07  # 14 letters a second, an unhurried reader of English
SECONDS_PER_SYMBOL = 0.2  # "%", "+": may be read as a word, may be silent


@dataclass(frozen=True, slots=True)
class Guards:
    """Bounds on an utterance, as factors on how long its text would take an unhurried reader.

    The end token is ruled out before `floor` times that, and before `least_frames` in any case (the
    reference's min_new_tokens); at `ceiling` times that and `grace` seconds the utterance ends with
    LENGTH. A window of `watched` frames with no more than `distinct` different codes in codebook 0 is a
    model that has lost the text: RUNAWAY. So is one that makes `silence` seconds without a sound; the longest
    pauses that an instruction asks for are about half of that. 0 turns floor, ceiling, watching or that off.
    """

    floor: float = 0.3
    ceiling: float = 4.0
    grace: float = 4.0
    least_frames: int = 2
    watched: int = 48
    distinct: int = 2
    silence: float = 6.0

    def fewest(self, text: str, frame_rate: float) -> int:
        """Frames before which the end token is ruled out."""
        sure = sum(_seconds(letter) for letter in text if letter.isalpha())
        return max(self.least_frames, int(self.floor * sure * frame_rate))

    def most(self, text: str, frame_rate: float, limit: int) -> int:
        """Frames after which the utterance ends in any case, never more than `limit`."""
        if not self.ceiling:
            return limit
        seconds = self.grace + self.ceiling * sum(_seconds(letter) for letter in text)
        return min(limit, int(seconds * frame_rate))


REFERENCE = Guards(floor=0.0, ceiling=0.0, watched=0, silence=0.0)
"""What the reference implementation does, and nothing more."""


def _seconds(letter: str) -> float:
    """How long one character of a text takes to say."""
    if letter.isspace():
        return 0.0
    if letter.isdigit():
        return SECONDS_PER_DIGIT
    if not letter.isalpha():
        return SECONDS_PER_SYMBOL
    if letter.isascii():
        return SECONDS_PER_LETTER
    name = unicodedata.name(letter, "")
    if name.startswith("CJK"):
        return SECONDS_PER_IDEOGRAPH
    if name.startswith(("HANGUL", "HIRAGANA", "KATAKANA")):
        return SECONDS_PER_SYLLABLE
    return SECONDS_PER_LETTER
