"""Where a checkpoint's tensors come from and how they reach their modules.

What must not live here: a module's arithmetic. Only safetensors are read; nothing is unpickled and no code
that comes with a checkpoint is run. Modules are built without storage and take over what is read.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Protocol

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor, nn

from rhapsode_server.errors import ModelUnusable
from rhapsode_server.models.shards import INDEX, file_of_each

PATTERNS = ["*.json", "*.safetensors", "merges.txt", "speech_tokenizer/*"]
_HUB_ID = re.compile(r"[\w.-]+/[\w.-]+")

Source = str | Callable[["Store"], Tensor]
"""The name of a tensor in the file, or how to make a parameter out of several."""


def locate(source: str) -> Path:
    """The local folder of `source`, a directory or a hub id; a hub id is downloaded where it is not cached.

    Raises errors.ModelUnusable.
    """
    path = Path(source).expanduser()
    if path.is_dir():
        return path
    if not _HUB_ID.fullmatch(source):
        raise ModelUnusable(f"{source!r} is neither a folder nor a hub id. Give the folder of a checkpoint.")
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError

    try:
        return Path(snapshot_download(source, allow_patterns=PATTERNS))
    except (HfHubHTTPError, LocalEntryNotFoundError, OSError, ValueError) as error:
        raise ModelUnusable(
            f"The checkpoint {source!r} could not be downloaded ({type(error).__name__}). "
            "Check the name and the network, or give a local folder."
        ) from None


def _why_unread(path: Path) -> str:
    """What is wrong with a file that is no safetensors file, and what to do."""
    if not path.is_file():
        pickle = next((f" Its weights are there only as a pickle ({p.name})." for p in _pickles(path)), "")
        return f"{path} is missing.{pickle} Copy the whole checkpoint, with its safetensors."
    with path.open("rb") as file:
        head = file.read(9)
    if _is_pickle(head):
        return f"{path} is a pickle, which could run code when loaded. Take the checkpoint with safetensors."
    return f"{path} cannot be read as safetensors. Download it again."


def _is_pickle(head: bytes) -> bool:
    """A zip archive or a bare pickle; safetensors begin with a length, any byte, and then a {."""
    return head[:2] == b"PK" or (
        head[:1] == b"\x80" and head[1:2] in (b"\2", b"\3", b"\4", b"\5") and head[8:9] != b"{"
    )


def _pickles(path: Path) -> list[Path]:
    return sorted(path.parent.glob("*.bin"))


class Store(Protocol):
    """Tensors by name; `path` is what errors call them by."""

    path: Path

    def take(self, name: str) -> Tensor:
        """The tensor called `name`."""
        ...

    def stacked(self, *names: str) -> Tensor:
        """Several tensors, one below the other."""
        ...


class Tensors:
    """The tensors of a safetensors file, or of the shards that an index beside it names, read by name.

    `dtype` and `device` are those of what it hands out. Raises errors.ModelUnusable where a file is missing
    or cannot be read, or has not the tensors that the index says.
    """

    def __init__(self, path: Path, *, dtype: torch.dtype | None, device: str) -> None:
        index = path.with_name(INDEX)
        sharded = index.is_file() and not path.is_file()
        self.path = index if sharded else path
        self._dtype = dtype
        self._device = device
        self._files = _shards(index) if sharded else _whole(path)
        self.names: frozenset[str] = frozenset(self._files)

    @property
    def parameters(self) -> int:
        """Numbers in all tensors."""
        shapes = (self._files[name].get_slice(name).get_shape() for name in self.names)
        return sum(math.prod(shape) for shape in shapes)

    def take(self, name: str) -> Tensor:
        """The tensor called `name`. Raises errors.ModelUnusable."""
        if name not in self.names:
            raise ModelUnusable(f"{self.path} lacks the tensor {name}. Use an unmodified checkpoint.")
        tensor: Tensor = self._files[name].get_tensor(name)
        dtype = self._dtype if tensor.is_floating_point() else None
        return tensor.to(device=self._device, dtype=dtype)

    def stacked(self, *names: str) -> Tensor:
        """Several tensors, one below the other."""
        return torch.cat([self.take(name) for name in names])

    def check_depth(self, prefix: str, count: int, key: str) -> None:
        """Raise errors.ModelUnusable for tensors of parts beyond the `count` that `key` of the config gives.

        The parts' numbers follow `prefix`. The first parts of a deeper stack would load, and speak nonsense.
        """
        numbered = re.compile(re.escape(prefix) + r"(\d+)\.")
        beyond = [name for name in self.names if (found := numbered.match(name)) and int(found[1]) >= count]
        if beyond:
            raise ModelUnusable(
                f"{self.path} has {min(beyond)}, but {key} in config.json is {count}. Copy weights and"
                " config.json from one checkpoint."
            )


def _open(path: Path) -> Any:
    try:
        opened: Any = safe_open
        return opened(path, framework="pt", device="cpu")
    except (OSError, SafetensorError):
        raise ModelUnusable(_why_unread(path)) from None


def _whole(path: Path) -> dict[str, Any]:
    """Tensor -> the one open file."""
    file = _open(path)
    return dict.fromkeys(file.keys(), file)


def _shards(index: Path) -> dict[str, Any]:
    """Tensor -> the open file that has it."""
    where = file_of_each(index)
    files = {name: _open(index.with_name(name)) for name in sorted(set(where.values()))}
    held = {name: frozenset(file.keys()) for name, file in files.items()}
    for tensor, name in where.items():
        if tensor not in held[name]:
            raise ModelUnusable(
                f"{index} says that {name} has the tensor {tensor}, but it has not. Copy all of them from one"
                " checkpoint."
            )
    return {tensor: files[name] for tensor, name in where.items()}


def fill(module: nn.Module, tensors: Store, sources: Mapping[str, Source]) -> None:
    """Give every parameter of `module` its tensor: `sources` maps parameter names to where they come from.

    Raises errors.ModelUnusable for a tensor that is missing, has another shape than the config implies, or
    holds whole numbers.
    """
    state = {}
    for name, parameter in module.state_dict().items():
        source = sources[name]
        tensor = tensors.take(source) if isinstance(source, str) else source(tensors)
        if tensor.shape != parameter.shape:
            raise ModelUnusable(
                f"{tensors.path}: {source if isinstance(source, str) else name} has the shape "
                f"{list(tensor.shape)}, but config.json implies {list(parameter.shape)}."
            )
        if parameter.is_floating_point() and not tensor.is_floating_point():
            raise ModelUnusable(
                f"{tensors.path}: {source if isinstance(source, str) else name} holds {tensor.dtype}, but "
                "weights are floating point. Use an unmodified checkpoint."
            )
        state[name] = tensor
    module.load_state_dict(state, strict=True, assign=True)
    module.eval().requires_grad_(False)


def decoder_sources(name: str, prefix: str, layers: int, heads: tuple[int, int] | None) -> dict[str, Source]:
    """Sources of a layers.decoder.Decoder called `name`, stored under `prefix` in the usual names.

    `heads` are query and key heads where queries and keys are normalised.
    """
    sources: dict[str, Source] = {f"{name}norm.weight": f"{prefix}norm.weight"}
    for index in range(layers):
        block, stored = f"{name}layers.{index}.", f"{prefix}layers.{index}."
        sources |= _block_sources(block, stored)
        if heads is not None:
            sources[f"{block}attention.qk_norm"] = _qk_norm(f"{stored}self_attn.", *heads)
    return sources


def _block_sources(block: str, stored: str) -> dict[str, Source]:
    return {
        f"{block}attention_norm.weight": f"{stored}input_layernorm.weight",
        f"{block}mlp_norm.weight": f"{stored}post_attention_layernorm.weight",
        f"{block}attention.qkv.weight": stack(*(f"{stored}self_attn.{x}_proj.weight" for x in "qkv")),
        f"{block}attention.out.weight": f"{stored}self_attn.o_proj.weight",
        f"{block}mlp.gate_up.weight": stack(*(f"{stored}mlp.{x}_proj.weight" for x in ("gate", "up"))),
        f"{block}mlp.down.weight": f"{stored}mlp.down_proj.weight",
        f"{block}attention_scale": f"{stored}self_attn_layer_scale.scale",
        f"{block}mlp_scale": f"{stored}mlp_layer_scale.scale",
    }


def stack(*names: str) -> Source:
    """A parameter made of several tensors, one below the other."""
    return lambda tensors: tensors.stacked(*names)


def _qk_norm(stored: str, heads: int, kv_heads: int) -> Source:
    def both(tensors: Store) -> Tensor:
        query, key = tensors.take(f"{stored}q_norm.weight"), tensors.take(f"{stored}k_norm.weight")
        return torch.cat((query.expand(heads, 1, -1), key.expand(kv_heads, 1, -1)))

    return both
