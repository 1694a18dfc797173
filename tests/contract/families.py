"""The families under contract: how to get a small model of each, and what to say with it.

Adding a family is one entry here. A `build` may write a random checkpoint into the folder it is given.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from rhapsode_server.core import Piece, Voice, Word
from rhapsode_server.models.base import Prompt, SpeechModel, Utterance
from rhapsode_server.models.qwen3_tts.config import Kind

SENTENCES = (
    "yes",
    "one moment please",
    "the kettle sings before the water boils",
    "a long road is walked one step at a time and seldom in a straight line",
    "good morning",
    "seven red lanterns hang above the river",
)

PHONES = {
    "yes": "Y EH1 S", "one": "W AH1 N", "moment": "M OW1 M AH0 N T", "please": "P L IY1 Z", "the": "DH AH0",
    "kettle": "K EH1 T AH0 L", "sings": "S IH1 NG Z", "before": "B IH0 F AO1 R", "water": "W AO1 T ER0",
    "boils": "B OY1 L Z", "a": "AH0", "long": "L AO1 NG", "road": "R OW1 D", "is": "IH1 Z",
    "walked": "W AO1 K T", "step": "S T EH1 P", "at": "AE1 T", "time": "T AY1 M", "and": "AH0 N D",
    "seldom": "S EH1 L D AH0 M", "in": "IH0 N", "straight": "S T R EY1 T", "line": "L AY1 N",
    "good": "G UH1 D", "morning": "M AO1 R N IH0 NG", "seven": "S EH1 V AH0 N", "red": "R EH1 D",
    "lanterns": "L AE1 N T ER0 N Z", "hang": "HH AE1 NG", "above": "AH0 B AH1 V", "river": "R IH1 V ER0",
}  # fmt: skip


@dataclass(frozen=True)
class Family:
    """`tolerance` bounds |streamed - offline| and |alone - among neighbours|, per sample in -1..1.

    `samples`: another seed gives other audio. `continuous`: frames are real numbers, not codes.
    """

    name: str
    build: Callable[[Path], SpeechModel]
    tolerance: float = 1e-5
    samples: bool = True
    continuous: bool = True
    slots: tuple[int, ...] = (1, 3, 8)


def piece(text: str) -> Piece:
    """A Piece of plain words."""
    words, start = [], 0
    for spoken in text.split():
        start = text.index(spoken, start)
        after = "." if start + len(spoken) == len(text) else ""
        words.append(Word(spoken, start, start + len(spoken), tuple(PHONES[spoken].split()), after))
        start += len(spoken)
    return Piece(text.capitalize() + ".", tuple(words), 0, len(text))


def prompt(model: SpeechModel, text: str, seed: int = 0, voice: Voice | None = None) -> Prompt:
    """What the model's own frontend makes of `text`."""
    default = next(voice for voice in model.voices.values() if voice.default)
    return model.frontend.prepare(Utterance(piece(text), voice or default, seed=seed))


def toy(folder: Path) -> SpeechModel:
    """Needs no folder."""
    from rhapsode_server.models import toy

    return toy.load()


def ion(folder: Path) -> SpeechModel:
    """The weights that ship in the package; needs no folder."""
    from rhapsode_server.models import ion

    return ion.load()


def noise_clip(path: Path, seconds: float, seed: int) -> None:
    """A recording of nobody."""
    import numpy as np
    import soundfile

    soundfile.write(path, np.random.default_rng(seed).normal(0.0, 0.1, int(24_000 * seconds)), 24_000)


def speecht5(folder: Path) -> SpeechModel:
    """Random weights that stop by themselves, never before a frame for each character; two voices."""
    from rhapsode_server.models import speecht5

    from ..support.speecht5 import TINY, tiny_checkpoint, write_voice

    tiny_checkpoint(folder)
    for seed, name in enumerate(("ada", "bert")):
        write_voice(folder / "voices" / f"{name}.npy", TINY["speaker_embedding_dim"], seed)
    return speecht5.load(str(folder), voices=folder / "voices", min_length_ratio=2.0)


def qwen3_tts(kind: Kind) -> Callable[[Path], SpeechModel]:
    """A random checkpoint of that kind, small, ending about every tenth frame."""

    def build(folder: Path) -> SpeechModel:
        from rhapsode_server.models import qwen3_tts
        from rhapsode_server.models.qwen3_tts.geometry import GEOMETRIES
        from rhapsode_server.models.qwen3_tts.random_checkpoint import write_checkpoint

        write_checkpoint(folder, GEOMETRIES["tiny"], kind, end_chance=0.1)
        voices = folder / "voices"
        voices.mkdir()
        (voices / "shown.txt").write_text("a calm voice, which says this", encoding="utf-8")
        for name, seconds, seed in (("shown", 1.5, 1), ("vector", 1.1, 2)):
            noise_clip(voices / f"{name}.wav", seconds, seed)
        return qwen3_tts.load(str(folder), positions=512, voices=voices)

    return build


FAMILIES = [
    Family("toy", toy),
    Family("ion", ion, samples=False),
    Family("speecht5", speecht5),
    Family("qwen3_tts, presets", qwen3_tts("custom_voice"), continuous=False),
    Family("qwen3_tts, designed", qwen3_tts("voice_design"), continuous=False),
    Family("qwen3_tts, cloned", qwen3_tts("base"), continuous=False),
]
