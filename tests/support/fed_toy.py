"""The toy family, made to begin before it has seen the whole text: letters are added to rows in flight.

Every letter is certain as soon as it is there. The very last frame of the letters so far waits until more is
known, because it may be the one that says stop; so fed text makes exactly the frames of the whole text.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from rhapsode_server.core import Piece
from rhapsode_server.errors import TextRefused
from rhapsode_server.models import toy
from rhapsode_server.models.base import Addition, SpeechModel, Step, Utterance
from torch import Tensor

Spans = tuple[tuple[int, int], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class ToyAddition(Addition):
    """More letters [n], and the spans of all words that are complete with them."""

    letters: Tensor
    spans: Spans


class ToyFeed:
    """A text on its way in."""

    def __init__(self, frontend: toy.ToyFrontend, utterance: Utterance) -> None:
        self._frontend = frontend
        self._utterance = utterance
        self._text = ""
        self._whole: toy.ToyPrompt | None = None
        self._given = 0

    def feed(self, text: str) -> toy.ToyPrompt | ToyAddition | None:
        """The prompt with the first letter that can be heard, then an addition for each fragment."""
        self._text += text
        if len(self._text) > toy.POSITIONS:
            raise TextRefused("This text is too long for one utterance. Send it in sentences.")
        heard = any(letter.isalnum() for letter in self._text)
        return self._hand_on(complete=False) if heard and text else None

    def finish(self) -> toy.ToyPrompt | ToyAddition:
        """The end. Raises TextRefused where nothing of the text can be heard."""
        return self._hand_on(complete=True)

    def _hand_on(self, *, complete: bool) -> toy.ToyPrompt | ToyAddition:
        piece = Piece(self._text, (), 0, len(self._text))
        known = self._frontend.prepare(replace(self._utterance, piece=piece))
        spans = known.spans if complete or self._text.endswith(" ") else known.spans[:-1]
        allowance = None if complete else len(self._text) * known.frames_per_letter - 1
        most = toy.POSITIONS * known.frames_per_letter
        new, self._given = known.letters[self._given :], len(known.letters)
        if self._whole is not None:
            return ToyAddition(allowance=allowance, max_frames=most, letters=new, spans=spans)
        self._whole = replace(
            known, positions=toy.POSITIONS, max_frames=most, allowance=allowance, spans=spans
        )
        return self._whole


class FedToyFrontend(toy.ToyFrontend):
    """The toy's frontend, which can begin before it has seen the whole text."""

    def open(self, utterance: Utterance) -> ToyFeed:
        """Begin a text."""
        return ToyFeed(self, utterance)


class FedToyAcoustic(toy.ToyAcoustic):
    """The toy's acoustic model, whose rows take more letters while they are decoded."""

    def __init__(self) -> None:
        super().__init__()
        self.growing: set[int] = set()

    def prefill(self, state: toy.ToyState, slots: list[int], prompts: object) -> None:
        """Remember besides which rows will be fed."""
        super().prefill(state, slots, prompts)  # type: ignore[arg-type]
        for slot, prompt in zip(slots, prompts, strict=True):  # type: ignore[call-overload]
            (self.growing.discard if prompt.allowance is None else self.growing.add)(slot)

    def feed(self, state: toy.ToyState, slot: int, addition: Addition) -> None:
        """Append letters to the row."""
        assert isinstance(addition, ToyAddition)
        begin = int(state.length[slot])
        state.letters[slot, begin : begin + len(addition.letters)] = addition.letters
        state.length[slot] = begin + len(addition.letters)
        state.spans[slot] = addition.spans
        if addition.allowance is None:
            self.growing.discard(slot)

    def decode(self, state: toy.ToyState, slots: Tensor) -> Step:
        """A row that may still be fed never stops, nor does it pass the end of its letters."""
        rows = slots.tolist()
        growing = torch.tensor([row in self.growing for row in rows])
        room = state.length[slots] * state.each[slots] - growing.long()
        assert bool((state.made[slots] < room).all()), "a starving row was decoded"
        step = super().decode(state, slots)
        return replace(step, stopped=step.stopped & ~growing)


def load() -> SpeechModel:
    """The toy model with these two parts. Its acoustic model serves one engine at a time."""
    return replace(toy.load(), frontend=FedToyFrontend(), acoustic=FedToyAcoustic())
