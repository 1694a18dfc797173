"""Text that is still being written, token by token: what is certain is handed on, what may change is kept.

What must not live here: tensors of a row in flight, sentences (the caller decides what one prompt holds).
The ids that come out, put together, are those of the whole text, however it was cut; and the end of speech
is ruled out until the row has taken the end of the text, so that it does not matter either when text comes.
"""

from __future__ import annotations

import unicodedata
from dataclasses import dataclass, replace

from rhapsode_server.errors import TextRefused
from rhapsode_server.models.base import Addition, Utterance
from rhapsode_server.models.qwen3_tts.frontend import QwenFrontend, QwenPrompt, conditioning
from rhapsode_server.models.qwen3_tts.tokenizer import TextTokenizer


@dataclass(frozen=True, slots=True, kw_only=True)
class QwenAddition(Addition):
    """Text tokens for the coming steps; `fewest` is given with the last of them."""

    ids: tuple[int, ...]
    fewest: int | None = None


class CertainTokens:
    """Cuts an arriving text into tokens that no further character can change."""

    def __init__(self, tokenizer: TextTokenizer) -> None:
        self._tokenizer = tokenizer
        self._held = ""
        self._begun = False

    def add(self, text: str) -> list[int]:
        """Tokens that have become certain with `text`."""
        self._held += text
        if not self._begun:
            self._held = self._held.lstrip()
            self._begun = bool(self._held)
        normalised, words = self._tokenizer.pieces(self._held)
        edge = _certain(normalised, [(start, end) for _, start, end in words])
        self._held = normalised[edge:]
        return [token for ids, _, end in words if end <= edge for token in ids]

    def finish(self) -> list[int]:
        """The tokens of all that was held back."""
        rest, self._held = self._held.rstrip(), ""
        return self._tokenizer.encode(rest)


def _certain(text: str, words: list[tuple[int, int]]) -> int:
    """How many characters of `text` are in words that nothing after it can change.

    The last word that is not white space may grow, and so may white space after it. A mark that combines
    may change the letter that it belongs to, which can be in the word before the last.
    """
    spoken = [start for start, end in words if not text[start:end].isspace()]
    starters = [index for index, letter in enumerate(text) if not unicodedata.combining(letter)]
    if len(spoken) < 2 or not starters:
        return 0
    limit = min(spoken[-1], starters[-1])
    return max((end for _, end in words if end <= limit), default=0)


class QwenFeed:
    """One arriving text: a prompt as soon as the model can begin, then additions."""

    def __init__(self, frontend: QwenFrontend, utterance: Utterance) -> None:
        self._frontend = frontend
        self._utterance = utterance
        self._clip = conditioning(utterance).clip
        self._tokens = CertainTokens(frontend.tokenizer)
        self._text = ""
        self._waiting: list[int] = []
        self._begun = False
        self._room = self._after_prompt = 0
        frontend.speech(utterance, (), complete=False)

    def feed(self, text: str) -> QwenPrompt | QwenAddition | None:
        """Add a fragment; the prompt comes when enough is certain for the model to begin."""
        self._text += text
        self._waiting += self._tokens.add(text)
        if not self._begun:
            return self._begin(complete=False) if self._enough() else None
        return self._go_on(complete=False) if self._waiting else None

    def finish(self) -> QwenPrompt | QwenAddition:
        """The end of the text. Raises errors.TextRefused where nothing in it can be spoken."""
        self._waiting += self._tokens.finish()
        if not self._speakable():
            raise TextRefused("There is nothing to speak in this text. Send at least one word.")
        return self._go_on(complete=True) if self._begun else self._begin(complete=True)

    def _enough(self) -> bool:
        """Whether the prefill needs no padding: a token at least, and one beside each frame of a clip.

        What has nothing to speak yet is kept back, for it may never have.
        """
        if not self._speakable():
            return False
        text = len(self._waiting) + (len(self._clip.text) if self._clip else 0)
        return bool(self._waiting) and text > (self._clip.frames if self._clip else 0)

    def _speakable(self) -> bool:
        return any(letter.isalnum() for letter in self._text)

    def _begin(self, *, complete: bool) -> QwenPrompt:
        body, self._waiting = tuple(self._waiting), []
        speech = self._frontend.speech(self._utterance, body, complete=complete)
        prompt = self._frontend.assemble(speech, self._utterance, self._text, streaming=True)
        self._after_prompt = len(prompt.trailing)
        self._room = self._frontend.room(len(prompt.rows))
        self._refuse_longer()
        if complete:
            fewest, most = self._bounds(prompt.fewest, prompt.max_frames)
            prompt = replace(prompt, fewest=fewest, max_frames=most, positions=len(prompt.rows) + most)
        self._begun = True
        return prompt

    def _go_on(self, *, complete: bool) -> QwenAddition:
        ids = (*self._waiting, *(self._frontend.end if complete else ()))
        self._waiting = []
        self._after_prompt += len(ids)
        self._refuse_longer()
        if not complete:
            return QwenAddition(ids=ids, allowance=1 + self._after_prompt, max_frames=self._room)
        fewest, most = self._bounds(*self._frontend.bounds(self._text, self._room))
        return QwenAddition(ids=ids, allowance=None, max_frames=most, fewest=fewest)

    def _refuse_longer(self) -> None:
        if self._after_prompt >= self._room:
            raise TextRefused("This text is too long for one utterance. Send it in sentences.")

    def _bounds(self, fewest: int, most: int) -> tuple[int, int]:
        """The bounds of a whole text, widened to what a row may do that has not seen its end yet.

        Frame number n adds text token n - 1, so frames up to the last token's can have been made by then.
        """
        return max(fewest, self._after_prompt), max(most, self._after_prompt + 1)


class QwenFeedingFrontend(QwenFrontend):
    """The family's frontend, which can begin before it has seen the whole text."""

    def open(self, utterance: Utterance) -> QwenFeed:
        """Begin a text. Raises errors.SettingUnsupported and errors.InvalidRequest as `prepare` does."""
        return QwenFeed(self, utterance)
