"""Pickle -> safetensors, once, because somebody asked: `python -m rhapsode_server.models.speecht5.convert`.

What must not live here: anything that a server calls. The pickle is read with torch's restricted
unpickler (`weights_only=True`), which builds tensors and runs no code of the file's.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import torch
from safetensors.torch import save_file
from torch import Tensor
from torch._weights_only_unpickler import UnpicklingError  # type: ignore[attr-defined]

from rhapsode_server.errors import ModelUnusable
from rhapsode_server.models.speecht5.weights import CONVERT, PICKLES, WEIGHTS, download

FILES = ("config.json", "spm_char.model", PICKLES[0])


def convert(folder: Path) -> Path:
    """Write model.safetensors beside the pytorch_model.bin in `folder`; raises ModelUnusable."""
    source, target = folder / PICKLES[0], folder / WEIGHTS
    if target.exists():
        raise ModelUnusable(f"{target} is there already. Delete it first if it is to be made anew.")
    if not source.is_file():
        raise ModelUnusable(f"{source} is missing. Name the folder that holds it.")
    try:
        content = torch.load(source, map_location="cpu", weights_only=True)
    except (UnpicklingError, RuntimeError, EOFError, ValueError) as error:
        raise ModelUnusable(
            f"{source} holds more than tensors or is damaged. It is not loaded: get the checkpoint elsewhere."
        ) from error
    save_file(_tensors(source, content), target, metadata={"format": "pt"})
    return target


def _tensors(source: Path, content: object) -> dict[str, Tensor]:
    """Tensors with storage of their own: safetensors keeps no sharing."""
    if not isinstance(content, dict) or not content:
        raise ModelUnusable(f"{source} is not a table of tensors. Get the checkpoint elsewhere.")
    strange = [name for name, value in content.items() if not isinstance(value, Tensor)]
    if strange:
        raise ModelUnusable(f"{source}: {strange[0]!r} is not a tensor. Get the checkpoint elsewhere.")
    return {str(name): value.clone().contiguous() for name, value in content.items()}


def main(arguments: list[str] | None = None) -> int:
    """`SOURCE [FOLDER]`: convert a folder in place, or fetch a hub repository into FOLDER and convert it."""
    parser = argparse.ArgumentParser(prog=CONVERT, description="Make model.safetensors of pytorch_model.bin.")
    parser.add_argument("source", help="a folder with pytorch_model.bin, or a hub id")
    parser.add_argument("folder", nargs="?", type=Path, help="where a hub repository is put")
    asked = parser.parse_args(arguments)
    try:
        folder = Path(asked.source)
        if asked.folder is not None:
            folder = download(asked.source, None, list(FILES), asked.folder)
        sys.stdout.write(f"{convert(folder)}\n")
    except ModelUnusable as error:
        sys.stderr.write(f"{error.message}\n")
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
