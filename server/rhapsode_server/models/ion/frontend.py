"""A piece of text as ion's tokens: ARPAbet -> the teacher's phones, punctuation -> silences.

Lives here: the mapping from a pronouncing dictionary's spelling to the phones the voice was trained on, and
the few words that running speech says otherwise than a dictionary does. Must not live here: normalisation,
pronunciation of unknown words, tensors of a model.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Literal

from rhapsode_server.core import Word
from rhapsode_server.errors import SettingUnsupported, TextRefused
from rhapsode_server.models.base import Prompt, Utterance
from rhapsode_server.models.ion.phones import PHONES, VOWELS, Token, pause, pause_after, word_tokens

LONGEST_TOKEN: Final = 40
"""Mel frames (0.64 s) at speed 1; the teacher's longest phone in 19 hours lasts 0.41 s."""
MOST_TOKENS: Final = 512
"""Rows of an utterance's state: about 45 s of speech, or a 250-letter spelling."""

CLOSING: Final = 6
CUT: Final = 2
"""Mel frames kept of the last silence: 0.1 s after a mark of punctuation, 0.03 s where a sentence was merely
cut.
"""

SPOKEN_FORMS: Final = {
    "to": (("t", 0), ("ax", 0)),
    "and": (("ae", 0), ("n", 0), ("d", 0)),
    "a": (("ax", 0),),
    "of": (("ah", 1), ("v", 0)),
}
"""Words that the teacher, like most people, says otherwise in a sentence than the dictionary's first entry.
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class IonPrompt(Prompt):
    """Tokens of one piece, the speaker's number, the factor on the speaking rate, mel frames of silence at
    the end.
    """

    tokens: tuple[Token, ...]
    speaker: int
    speed: float
    closing: int


class IonFrontend:
    """Phones and punctuation in, IonPrompt out. Keeps nothing, so any thread may call it."""

    reads: Literal["phones", "letters"] = "phones"
    speed_range = (0.5, 2.0)
    longest_piece = 250

    def __init__(self, mels_per_frame: int) -> None:
        self._mels = mels_per_frame

    def prepare(self, utterance: Utterance) -> IonPrompt:
        """Spell the piece.

        Raises TextRefused for a piece without a phone or with more than MOST_TOKENS, SettingUnsupported for
        an instruction, a sampling setting, a foreign language or a speed out of range.
        """
        _refuse_settings(utterance, self.speed_range)
        tokens = spell(utterance.piece.words)
        if len(tokens) > MOST_TOKENS:
            raise TextRefused(
                f"This needs {len(tokens)} sounds at once, more than {MOST_TOKENS}. Send shorter sentences."
            )
        speaker = utterance.voice.conditioning
        if not isinstance(speaker, int):
            raise TypeError("a voice of this family carries its speaker's number")
        most = math.ceil(len(tokens) * LONGEST_TOKEN / utterance.speed / self._mels) + 1
        return IonPrompt(
            positions=len(tokens),
            max_frames=most,
            seed=utterance.seed,
            tokens=tokens,
            speaker=speaker,
            speed=utterance.speed,
            closing=CLOSING if utterance.piece.words[-1].after else CUT,
        )


def _refuse_settings(utterance: Utterance, speeds: tuple[float, float]) -> None:
    """Say by name what this family has not got."""
    if utterance.instruction:
        raise SettingUnsupported("instruction", "This voice takes no instruction. Leave it empty.")
    if chosen := utterance.sampling.chosen():
        raise SettingUnsupported(
            f"sampling.{chosen[0]}", "This voice draws nothing at random. Leave sampling unset."
        )
    if utterance.language and not utterance.language.lower().startswith("en"):
        raise SettingUnsupported(
            "language", "This voice speaks English only. Leave the language empty or say `en`."
        )
    if not speeds[0] <= utterance.speed <= speeds[1]:
        raise SettingUnsupported("speed", f"Choose a speed from {speeds[0]} to {speeds[1]}.")


def spell(words: Sequence[Word]) -> tuple[Token, ...]:
    """All tokens of a piece, with a silence at either end. Raises TextRefused where no word has a phone."""
    tokens: list[Token] = []
    for index, word in enumerate(words):
        if not word.phones:
            continue
        following = next((later.phones for later in words[index + 1 :] if later.phones), ())
        tokens += word_tokens(spoken(word, following), word.text, index)
        if word.after:
            tokens.append(pause(_silence(word.after)))
    if not tokens:
        raise TextRefused("There is nothing to speak in this text. Send words or numbers.")
    if tokens[-1].word >= 0:
        # Cut without a mark: the sentence goes on in the next piece, so the voice must not fall.
        tokens.append(pause("comma"))
    return (pause("start"), *tokens)


def _silence(mark: str) -> str:
    """A dash is a short silence, too."""
    return "comma" if mark == "-" else pause_after(mark)


def spoken(word: Word, following: Sequence[str]) -> list[tuple[str, int]]:
    """The word's phones and stresses as the teacher says them before a word of `following` phones."""
    text = word.text.lower()
    if text == "the":
        before_vowel = bool(following) and teacher_phone(following[0])[0] in VOWELS and not word.after
        return [("dh", 0), ("iy" if before_vowel else "ax", 0)]
    # The letter A and a stressed "a" come with another vowel than AH0 and are said as spelled.
    if text in SPOKEN_FORMS and (text != "a" or word.phones == ("AH0",)):
        return list(SPOKEN_FORMS[text])
    return [teacher_phone(phone) for phone in word.phones]


def teacher_phone(arpabet: str) -> tuple[str, int]:
    """`AH0` -> (ax, 0), `EH2` -> (eh, 1), `NG` -> (ng, 0).

    The teacher's dictionary marks secondary stress like primary: 4,509 of 5,540 vowels in the training text.
    Raises TextRefused for a symbol that is not ARPAbet.
    """
    name, stress = arpabet.rstrip("012").lower(), int(arpabet[-1:] in "12")
    name = "ax" if name == "ah" and not stress else name
    if name not in PHONES:
        raise TextRefused(
            "The text holds a sound that is not ARPAbet. Use its 39 phones, vowels with a stress digit."
        )
    return name, stress
