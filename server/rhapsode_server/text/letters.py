"""Letter to sound: the phones of a word that no dictionary has.

Lives here: the run of the model that tools/pronunciation/train_letters.py has trained on nineteen
twentieths of CMUdict (data/letters.npz, int8). A stack of residual convolutions gives each letter the
phones it owns; then the word is left with exactly one primary stress.
Measured on the 6,051 words held out (tools/pronunciation/evaluate.py): 10.1 % of the phones are wrong
counting stress, 7.4 % without; with the word forms of pronounce.py before it 9.4 % and 7.0 %.
What must not: dictionaries, suffixes, spelling (pronounce.py).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from importlib.resources import files

import numpy as np
from numpy.typing import NDArray

_ALPHABET = "_^$abcdefghijklmnopqrstuvwxyz"
_EPSILON = 1e-5
Array = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class _Block:
    """One residual block: layer norm (gain, bias), then a convolution [kernel, in, out] with bias [out]."""

    gain: Array
    shift: Array
    kernel: Array
    bias: Array
    dilation: int


@dataclass(frozen=True, slots=True)
class _Model:
    labels: tuple[str, ...]
    embed: Array
    blocks: tuple[_Block, ...]
    gain: Array
    shift: Array
    out: Array
    bias: Array


@cache
def _model() -> _Model:
    with files(__package__).joinpath("data/letters.npz").open("rb") as opened:
        stored = dict(np.load(opened, allow_pickle=False))

    def matrix(name: str) -> Array:
        """Stored int8 rows times their scales."""
        scale = stored[f"{name}.scale"]
        wide: Array = (stored[name] * scale.reshape(-1, *[1] * (stored[name].ndim - 1))).astype(np.float32)
        return wide

    blocks = tuple(
        _Block(
            stored[f"blocks.{index}.norm.weight"],
            stored[f"blocks.{index}.norm.bias"],
            np.ascontiguousarray(matrix(f"blocks.{index}.conv.weight").transpose(2, 1, 0)),
            stored[f"blocks.{index}.conv.bias"],
            int(dilation),
        )
        for index, dilation in enumerate(stored["dilations"])
    )
    labels = tuple(stored["labels"].tobytes().decode().split("\n"))
    norm = stored["norm.weight"], stored["norm.bias"]
    return _Model(labels, matrix("embed.weight"), blocks, *norm, matrix("out.weight").T, stored["out.bias"])


def warm() -> None:
    """Read the model now, so that the first unknown word need not wait for it."""
    _model()


def _normed(x: Array, gain: Array, shift: Array) -> Array:
    centred = x - x.mean(-1, keepdims=True)
    spread = np.sqrt((centred * centred).mean(-1, keepdims=True) + np.float32(_EPSILON))
    normed: Array = centred / spread * gain + shift
    return normed


def _through(block: _Block, x: Array) -> Array:
    """[letters, width] -> [letters, width]."""
    taps, length = block.kernel.shape[0], x.shape[0]
    reach = block.dilation * (taps // 2)
    padded = np.pad(_normed(x, block.gain, block.shift), ((reach, reach), (0, 0)))
    h = block.bias.copy()
    total = sum(
        (
            padded[at : at + length] @ block.kernel[tap]
            for tap, at in enumerate(range(0, 2 * reach + 1, block.dilation))
        ),
        start=h,
    )
    summed: Array = x + np.maximum(total, 0)
    return summed


def _scores(word: str) -> Array:
    """Scores of the labels for each letter of `word`. [letters, labels]"""
    model = _model()
    x = model.embed[[_ALPHABET.index(letter) for letter in f"^{word}$"]]
    for block in model.blocks:
        x = _through(block, x)
    scores: Array = _normed(x[1:-1], model.gain, model.shift) @ model.out + model.bias
    return scores


def sound_out(word: str) -> tuple[str, ...]:
    """The phones of `word` (letters a to z only), with exactly one primary stress where it has a vowel."""
    scores = _scores(word)
    labels = _model().labels
    said = [labels[index] for index in scores.argmax(-1)]
    return tuple(phone for label in _one_stress(said, scores) for phone in label.split())


def _one_stress(said: list[str], scores: Array) -> list[str]:
    """The labels with one primary stress: on the vowel that scores best with it."""
    number = {label: index for index, label in enumerate(_model().labels)}
    best, chosen = -np.inf, -1
    for place, label in enumerate(said):
        index = number.get(_stressed(label, "1"), -1)
        if label[-1:] in "012" and label and index >= 0 and scores[place, index] - scores[place].max() > best:
            best, chosen = float(scores[place, index] - scores[place].max()), place
    return [
        _stressed(label, "1") if place == chosen else _stressed(label, "2") if label.endswith("1") else label
        for place, label in enumerate(said)
    ]


def _stressed(label: str, stress: str) -> str:
    """The label with the digit at its end changed, where it has one."""
    return label[:-1] + stress if label[-1:] in ("0", "1", "2") else label
