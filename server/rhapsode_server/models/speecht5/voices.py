"""Speakers: x-vectors from files of numbers, or the neutral one that every checkpoint can speak with.

What must not live here: a path from a request. The folder comes from the settings, names from its files.
"""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from rhapsode_server.core import Voice
from rhapsode_server.errors import ModelUnusable

NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,63}")
NEUTRAL = "neutral"
LANGUAGES = ("en",)


def read_voices(
    folder: str | Path | None, width: int, model: str, sample_rate: int, default: str | None
) -> dict[str, Voice]:
    """Voices by name from `*.npy` and `*.safetensors` in `folder`, each one x-vector of `width` numbers.

    Without a folder there is one voice, "neutral": the vector of zeros, as in the examples of the
    transformers documentation. `default` names the default voice; without it the first name is taken.
    Raises ModelUnusable.
    """
    vectors = {NEUTRAL: torch.zeros(width)} if folder is None else _read_folder(Path(folder), width)
    chosen = default or min(vectors)
    if chosen not in vectors:
        raise ModelUnusable(
            f"There is no voice {chosen!r} to be the default. Choose one of: {', '.join(vectors)}."
        )
    return {
        name: Voice(name, model, LANGUAGES, sample_rate, default=name == chosen, conditioning=vector)
        for name, vector in sorted(vectors.items())
    }


def _read_folder(folder: Path, width: int) -> dict[str, Tensor]:
    files = sorted(path for path in _entries(folder) if path.suffix in (".npy", ".safetensors"))
    if not files:
        raise ModelUnusable(
            f"{folder} has no .npy or .safetensors file. Put one x-vector into it for each voice."
        )
    vectors: dict[str, Tensor] = {}
    for path in files:
        if not NAME.fullmatch(path.stem):
            raise ModelUnusable(
                f"{path}: a voice is named after its file, so the name must match {NAME.pattern}."
            )
        if path.stem in vectors:
            raise ModelUnusable(f"{folder} has the voice {path.stem!r} twice. Remove one of the two files.")
        vectors[path.stem] = _checked(path, _read(path), width)
    return vectors


def _entries(folder: Path) -> list[Path]:
    try:
        return list(folder.iterdir())
    except OSError as error:
        raise ModelUnusable(
            f"The folder of voices {folder} cannot be read. Create it or name another."
        ) from error


def _read(path: Path) -> Tensor:
    try:
        if path.suffix == ".npy":
            return torch.from_numpy(np.load(path, allow_pickle=False).astype(np.float32))
        tensors = list(load_file(path).values())
    except (SafetensorError, OSError, ValueError, TypeError, EOFError) as error:
        raise ModelUnusable(
            f"{path} is no plain array of numbers. Save the x-vector again, without objects."
        ) from error
    if len(tensors) != 1:
        raise ModelUnusable(
            f"{path} holds {len(tensors)} tensors instead of one x-vector. Save one per file."
        )
    return tensors[0].float()


def _checked(path: Path, vector: Tensor, width: int) -> Tensor:
    flat = vector.flatten()
    if tuple(vector.shape) not in ((width,), (1, width)) or not bool(torch.isfinite(flat).all()):
        raise ModelUnusable(
            f"{path} is {tuple(vector.shape)} or has values that are not finite. This model wants {width} "
            "finite numbers: compute the x-vector again."
        )
    return flat
