"""The voices that a checkpoint brings along, and those that are described in a folder.

What must not live here: cloning from a clip (cloning.py).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType

from rhapsode_server.core import Voice
from rhapsode_server.errors import ConfigError
from rhapsode_server.models.qwen3_tts.conditioning import Conditioning
from rhapsode_server.models.qwen3_tts.config import Checkpoint
from rhapsode_server.models.qwen3_tts.languages import language_codes

LONGEST_INSTRUCTION = 1000
"""Characters of a description and an instruction together."""
PLAIN = "plain"
"""The voice of a Base checkpoint without any clip: no speaker is laid out, and the model finds one itself."""
DESIGNED = "designed"
"""The voice of a design checkpoint that has no description of its own: the instruction is all."""


def preset_voices(checkpoint: Checkpoint, model: str) -> list[Voice]:
    """The speakers of the codec vocabulary, in its order; none for other kinds of checkpoint."""
    return [
        make_voice(checkpoint, model, name, Conditioning(speaker=name), _dialect_labels(checkpoint, name))
        for name in checkpoint.codec_ids.speakers
        if checkpoint.kind == "custom_voice"
    ]


def designed_voices(checkpoint: Checkpoint, model: str, folder: Path | None) -> list[Voice]:
    """The nameless voice, and one voice for each NAME.txt in `folder`, which holds its description.

    Raises errors.ConfigError for a file that is empty, too long or not text.
    """
    voices = [make_voice(checkpoint, model, DESIGNED, Conditioning())]
    for path in sorted(folder.glob("*.txt")) if folder else ():
        description = read_text(path)
        if len(description) > LONGEST_INSTRUCTION:
            raise ConfigError(f"{path} is longer than {LONGEST_INSTRUCTION} characters. Shorten it.")
        voices.append(QwenDesigner(checkpoint, model).design(path.stem.lower(), description))
    return voices


class QwenDesigner:
    """Makes voices of a design checkpoint: a description that comes before each request's instruction."""

    longest = LONGEST_INSTRUCTION

    def __init__(self, checkpoint: Checkpoint, model: str) -> None:
        self._checkpoint = checkpoint
        self._model = model

    def design(self, name: str, description: str) -> Voice:
        """The voice that is so described."""
        voice = make_voice(self._checkpoint, self._model, name, Conditioning(description=description))
        return replace(voice, description=description)


def plain_voice(checkpoint: Checkpoint, model: str) -> Voice:
    """So that a Base checkpoint can be served before the first voice is cloned."""
    description = "No voice in particular: clone one from a clip."
    return replace(make_voice(checkpoint, model, PLAIN, Conditioning()), description=description)


def make_voice(
    checkpoint: Checkpoint,
    model: str,
    name: str,
    conditioning: Conditioning,
    labels: Mapping[str, str] = MappingProxyType({}),
) -> Voice:
    """A voice of this checkpoint; it speaks all languages that the checkpoint does."""
    return Voice(
        name=name,
        model=model,
        languages=language_codes(checkpoint.codec_ids.languages),
        sample_rate=checkpoint.codec.sample_rate,
        conditioning=conditioning,
        labels=labels,
    )


def with_default(voices: list[Voice]) -> Mapping[str, Voice]:
    """By name; the first is the default."""
    return {voice.name: replace(voice, default=index == 0) for index, voice in enumerate(voices)}


def read_text(path: Path) -> str:
    """The text in `path`, on one line. Raises errors.ConfigError where there is none."""
    try:
        text = " ".join(path.read_text(encoding="utf-8").split())
    except (OSError, UnicodeDecodeError):
        text = ""
    if not text:
        raise ConfigError(f"{path} should hold a text in UTF-8, but none can be read from it.")
    return text


def _dialect_labels(checkpoint: Checkpoint, speaker: str) -> Mapping[str, str]:
    dialect = checkpoint.codec_ids.dialects.get(speaker)
    return MappingProxyType({} if dialect is None else {"dialect": dialect})
