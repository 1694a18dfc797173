"""Checkpoints on disk: finding the files, reading safetensors, and tensors by name with their shapes held.

What must not live here: pickles (convert.py turns one into safetensors, when asked to), networks.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from rhapsode_server.errors import ModelUnusable
from rhapsode_server.layers.linear import Activation, Linear
from rhapsode_server.models.shards import INDEX, file_of_each

WEIGHTS = "model.safetensors"
PICKLES = ("pytorch_model.bin", "pytorch_model.bin.index.json")
NORMED = (
    ("weight_g", "weight_v"),
    ("parametrizations.weight.original0", "parametrizations.weight.original1"),
)
"""What weight normalisation calls its two parts, in the older way and in the newer."""
CONVERT = "python -m rhapsode_server.models.speecht5.convert"


def find(source: str, revision: str | None = None) -> Path:
    """The folder of a checkpoint: `source` itself, or a snapshot of that repository of the model hub.

    Raises ModelUnusable where there is neither.
    """
    folder = Path(source).expanduser()
    if folder.is_dir():
        return folder
    if source.count("/") != 1 or source.startswith((".", "/", "~")):
        raise ModelUnusable(
            f"There is no folder {source!r}. Give the folder of a checkpoint or a hub id such as "
            "'microsoft/speecht5_tts'."
        )
    return download(source, revision, ["*.json", "*.safetensors", "spm_char.model"])


def download(source: str, revision: str | None, wanted: list[str], into: Path | None = None) -> Path:
    """A snapshot of that hub repository, of its files like `wanted` only; raises ModelUnusable."""
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError, LocalEntryNotFoundError

    try:
        return Path(snapshot_download(source, revision=revision, allow_patterns=wanted, local_dir=into))
    except (HfHubHTTPError, HFValidationError, LocalEntryNotFoundError, OSError) as error:
        raise ModelUnusable(
            f"The hub repository {source!r} cannot be had ({type(error).__name__}). Check the name, the "
            "revision and the network, or download it elsewhere and give its folder."
        ) from error


def read_json(folder: Path, name: str) -> Mapping[str, Any]:
    """The object in that file; raises ModelUnusable where it is missing or is not JSON."""
    path = folder / name
    try:
        content = json.loads(path.read_bytes())
    except FileNotFoundError as error:
        raise ModelUnusable(f"{path} is missing. Copy the whole checkpoint, not only its weights.") from error
    except (OSError, ValueError) as error:
        raise ModelUnusable(f"{path} cannot be read as JSON. Download it again.") from error
    if not isinstance(content, dict):
        raise ModelUnusable(f"{path} holds no JSON object. Download it again.")
    return content


@dataclass(frozen=True, slots=True)
class Weights:
    """Tensors of one checkpoint below `prefix`; asking for one that is missing or misshaped is an error."""

    tensors: Mapping[str, Tensor]
    origin: str
    dtype: torch.dtype
    device: torch.device
    prefix: str = ""

    @property
    def count(self) -> int:
        """Numbers in all tensors of the checkpoint."""
        return sum(tensor.numel() for tensor in self.tensors.values())

    def below(self, prefix: str) -> Weights:
        """The tensors whose names go on with `prefix` and a dot."""
        return Weights(self.tensors, self.origin, self.dtype, self.device, f"{self.prefix}{prefix}.")

    def exact(self, name: str, *shape: int) -> Tensor:
        """The tensor of that name in float32 on the model's device; raises ModelUnusable."""
        full = self.prefix + name
        found = self.tensors.get(full)
        if found is None:
            raise ModelUnusable(
                f"{self.origin} has no tensor {full!r}. It is no whole checkpoint of this kind: take another."
            )
        if tuple(found.shape) != shape:
            raise ModelUnusable(
                f"{self.origin}: {full!r} is {tuple(found.shape)}, config.json wants {shape}. "
                "Weights and config.json must come from one checkpoint."
            )
        return found.to(self.device, torch.float32)

    def tensor(self, name: str, *shape: int) -> Tensor:
        """The tensor of that name in the model's dtype; raises ModelUnusable."""
        return self.exact(name, *shape).to(self.dtype)

    def linear(self, name: str, inputs: int, outputs: int, activation: Activation = "none") -> Linear:
        """The affine layer of that name."""
        part = self.below(name)
        return Linear(part.tensor("weight", outputs, inputs), part.tensor("bias", outputs), activation)

    def conv(self, name: str, *shape: int, outputs: int, share: float = 1.0) -> tuple[Tensor, Tensor]:
        """Weight of that shape, times `share`, and bias [outputs] of a convolution."""
        weight = self._multiplied_out(name, *shape) * share
        return weight.to(self.dtype), self.below(name).tensor("bias", outputs)

    def _multiplied_out(self, name: str, *shape: int) -> Tensor:
        """A weight without its normalisation (arXiv 1602.07868): lengths are those of the first dimension."""
        part = self.below(name)
        for magnitude, direction in NORMED:
            if part.prefix + direction in self.tensors:
                v = part.exact(direction, *shape)
                g = part.exact(magnitude, shape[0], *(1 for _ in shape[1:]))
                length: Tensor = torch.linalg.vector_norm(v.flatten(1), dim=1).view_as(g)
                return v * (g / length)
        return part.exact("weight", *shape)


def read_weights(folder: Path, dtype: torch.dtype, device: torch.device) -> tuple[Weights, str]:
    """All tensors of the checkpoint in `folder` and a digest of its files; raises ModelUnusable."""
    names = weight_files(folder)
    tensors: dict[str, Tensor] = {}
    digest = hashlib.sha256()
    for name in names:
        tensors |= _load(folder / name)
        with (folder / name).open("rb") as file:
            digest.update(hashlib.file_digest(file, "sha256").digest())
    return Weights(tensors, str(folder / names[0]), dtype, device), digest.hexdigest()


def weight_files(folder: Path) -> list[str]:
    """Names of the safetensors files, in order; never a path out of the folder. Raises ModelUnusable."""
    if (folder / WEIGHTS).is_file():
        return [WEIGHTS]
    if (folder / INDEX).is_file():
        return sorted(set(file_of_each(folder / INDEX).values()))
    for name in PICKLES:
        if (folder / name).exists():
            raise ModelUnusable(
                f"{folder} has its weights only as a pickle ({name}), which could run code when loaded. "
                f"Convert it once: {CONVERT} {folder}"
            )
    raise ModelUnusable(
        f"{folder / WEIGHTS} is missing. Copy the whole checkpoint. One that is published only as a pickle "
        f"is fetched and converted by: {CONVERT} HUB_ID FOLDER"
    )


def _load(path: Path) -> dict[str, Tensor]:
    try:
        return load_file(path)
    except FileNotFoundError as error:
        raise ModelUnusable(f"{path} is missing. Copy the whole checkpoint.") from error
    except (SafetensorError, OSError) as error:
        with path.open("rb") as file:
            head = file.read(2)
        pickled = head == b"PK" or head[:1] == b"\x80"
        what = "is a pickle, not a safetensors file" if pickled else "is not a whole safetensors file"
        advice = (
            f"Rename it to {PICKLES[0]} and run: {CONVERT} {path.parent}" if pickled else "Download it again."
        )
        raise ModelUnusable(f"{path} {what}. {advice}") from error
