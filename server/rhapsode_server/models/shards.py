"""Weights that lie in several files: which file has which tensor, as an index beside them says.

Shared by the families that read published checkpoints. What must not live here: tensors, a family.
"""

from __future__ import annotations

import json
from pathlib import Path

from rhapsode_server.errors import ModelUnusable

INDEX = "model.safetensors.index.json"


def file_of_each(index: Path) -> dict[str, str]:
    """Tensor -> the safetensors file beside `index` that has it. Raises ModelUnusable.

    A name that leads out of the folder is never looked up.
    """
    try:
        content = json.loads(index.read_bytes())
    except (OSError, ValueError):
        raise ModelUnusable(f"{index} cannot be read as JSON. Download it again.") from None
    found = content.get("weight_map") if isinstance(content, dict) else None
    files = found if isinstance(found, dict) else {}
    if not files or not all(isinstance(name, str) and _is_plain(name) for name in files.values()):
        raise ModelUnusable(f"{index} names no safetensors files beside it. Download it again.")
    return files


def _is_plain(name: str) -> bool:
    return name.endswith(".safetensors") and not set(name) & set("/\\\0") and name[0] != "."
