"""Letters -> character ids, for a model that reads spelling.

What must not live here: normalisation (done before), splitting, the network.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import torch
from sentencepiece import SentencePieceProcessor
from torch import Tensor
from torch.nn import functional as F

from rhapsode_server.core import Piece
from rhapsode_server.errors import ModelUnusable, SettingUnsupported, TextRefused
from rhapsode_server.models.base import Prompt, Utterance
from rhapsode_server.models.speecht5.config import AcousticConfig

VOCABULARY = "spm_char.model"
SPACE = "\u2581"
"""How SentencePiece writes a space."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SpeechT5Prompt(Prompt):
    """tokens [T] int64, ending with the end mark; speaker [width], of length 1 or all zeros.

    Before frame number `min_frames` (from 1) the model may not stop. `words` are the tokens [begin, end) of
    each word of the piece, in order; empty where the vocabulary has none of a word's characters.
    """

    tokens: Tensor
    speaker: Tensor
    min_frames: int
    words: tuple[tuple[int, int], ...] = ()


@dataclass(frozen=True, slots=True)
class Lengths:
    """Bounds on the frames of an utterance, as in the published generation loop.

    The ratios are mel slices for each character; `most` frames are never exceeded.
    """

    min_ratio: float = 0.0
    max_ratio: float = 20.0
    most: int = 1876

    def of(self, tokens: int, reduction: int) -> tuple[int, int]:
        """Fewest and most frames for that many tokens, `reduction` mel slices to the frame."""
        longest = int(tokens * self.max_ratio / reduction)
        return int(tokens * self.min_ratio / reduction), max(1, min(longest, self.most))


class SpeechT5Frontend:
    """Piece and voice -> SpeechT5Prompt. Holds no state, so any number of threads may call it."""

    reads: Literal["phones", "letters"] = "letters"
    speed_range = (1.0, 1.0)

    def __init__(self, vocabulary: Path, config: AcousticConfig, lengths: Lengths) -> None:
        self._pieces = _open(vocabulary)
        if self._pieces.get_piece_size() > config.vocab_size:
            raise ModelUnusable(
                f"{vocabulary} has {self._pieces.get_piece_size()} characters, config.json only "
                f"{config.vocab_size}. Both must come from one checkpoint."
            )
        self._config = config
        self._lengths = lengths
        self.longest_piece = config.max_text_positions - 2
        """Room is left for the space that the vocabulary puts in front and for the end mark."""

    def prepare(self, utterance: Utterance) -> SpeechT5Prompt:
        """Spell the piece. Characters that the vocabulary lacks are dropped, for they have no sound.

        Raises TextRefused where no letter or digit is left or the piece is too long, SettingUnsupported for
        what this family has not got.
        """
        _refuse_settings(utterance)
        tokens = [*self._spell(utterance.piece.text), self._config.eos_token_id]
        fewest, most = self._lengths.of(len(tokens), self._config.reduction_factor)
        speaker = utterance.voice.conditioning
        if not isinstance(speaker, Tensor):
            raise TypeError("a voice of this family carries its x-vector")
        return SpeechT5Prompt(
            positions=most,
            max_frames=most,
            seed=utterance.seed,
            tokens=torch.tensor(tokens),
            speaker=F.normalize(speaker.float(), dim=0),
            min_frames=fewest,
            words=self._places(utterance.piece, tokens),
        )

    def _places(self, piece: Piece, tokens: list[int]) -> tuple[tuple[int, int], ...]:
        """The tokens of each word: every token is a character, so words are found as in a text."""
        spelled, at, found = self._read(tokens), 0, []
        for word in piece.words:
            sought = self._read(self._pieces.encode(word.text)).strip(SPACE)
            begin = spelled.find(sought, at) if sought else -1
            begin, at = (at, at) if begin < 0 else (begin, begin + len(sought))
            found.append((begin, at))
        return tuple(found)

    def _read(self, tokens: list[int]) -> str:
        """The characters of tokens, one for each, all in lower case; unknown ones are left out."""
        unknown = self._pieces.unk_id()
        written = (self._pieces.id_to_piece(token).lower() for token in tokens if token != unknown)
        return "".join(one if len(one) == 1 else "\0" for one in written)

    def _spell(self, text: str) -> list[int]:
        unknown = self._pieces.unk_id()
        space = self._pieces.piece_to_id(SPACE)
        ids: list[int] = []
        for token in self._pieces.encode(text):
            if token != unknown and not (token == space and ids and ids[-1] == space):
                ids.append(token)
        if not any(character.isalnum() for character in self._pieces.decode(ids)):
            raise TextRefused(
                "Nothing in this text can be spoken by this model. Send letters of its language."
            )
        if len(ids) >= self._config.max_text_positions:
            raise TextRefused(
                f"A piece of this text is longer than {self.longest_piece} characters. Split it."
            )
        return ids


def _refuse_settings(utterance: Utterance) -> None:
    if utterance.instruction:
        raise SettingUnsupported("instruction", "This model takes no instruction. Leave it empty.")
    for name in utterance.sampling.chosen():
        raise SettingUnsupported(f"sampling.{name}", f"This model has no setting {name!r}. Leave it out.")
    if utterance.language and utterance.language.partition("-")[0].lower() not in utterance.voice.languages:
        raise SettingUnsupported(
            "language", f"This voice speaks {', '.join(utterance.voice.languages)}. Leave the language empty."
        )
    if utterance.speed != 1.0:
        raise SettingUnsupported("speed", "This model speaks at one speed. Leave it at 1.0.")


def _open(path: Path) -> SentencePieceProcessor:
    if not path.is_file():
        raise ModelUnusable(f"{path} is missing. Copy the whole checkpoint, the vocabulary too.")
    pieces = SentencePieceProcessor()
    try:
        pieces.Load(str(path))
    except (RuntimeError, OSError) as error:
        raise ModelUnusable(f"{path} is not a SentencePiece model. Download it again.") from error
    return pieces
