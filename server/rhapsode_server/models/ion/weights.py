"""ion's files -> networks. safetensors only, sizes in their metadata, digests in a manifest beside them.

Lives here: finding, checking and reading. Must not live here: downloading, pickle, the engine's protocols.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass
from importlib import resources
from pathlib import Path
from typing import Final, TypeVar

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import nn

from rhapsode_server.errors import ModelUnusable
from rhapsode_server.models.ion.generator import Generator, VocoderConfig
from rhapsode_server.models.ion.network import AcousticConfig, AcousticNetwork

ACOUSTIC: Final = "acoustic.safetensors"
VOCODER: Final = "vocoder.safetensors"
MANIFEST: Final = "config.json"
CONFIG_KEY: Final = "config"
FORBIDDEN_SUFFIXES: Final = (".bin", ".ckpt", ".pickle", ".pkl", ".pt", ".pth")

N = TypeVar("N", bound=nn.Module)
C = TypeVar("C", AcousticConfig, VocoderConfig)


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """Both networks on their device, ready to run, and the digest of what they were read from."""

    acoustic: AcousticNetwork
    vocoder: Generator
    digest: str


def folder_of(source: str) -> Path:
    """The folder inside this package for `ion`, else the folder that `source` names."""
    return Path(str(resources.files(__package__))) if source == "ion" else Path(source)


def read(source: str, device: str) -> Checkpoint:
    """Read the checkpoint in `folder_of(source)`.

    Raises ModelUnusable for a file that is missing, damaged, a pickle, or of other shapes than it says.
    """
    folder = folder_of(source)
    digests = _manifest(folder)
    acoustic_file, vocoder_file = (_checked(folder, name, digests) for name in (ACOUSTIC, VOCODER))
    acoustic = AcousticNetwork(_config(acoustic_file, AcousticConfig))
    vocoder = Generator(_config(vocoder_file, VocoderConfig))
    _fill(acoustic, acoustic_file)
    _fill(vocoder, vocoder_file)
    digest = hashlib.sha256("".join(digests[name] for name in (ACOUSTIC, VOCODER)).encode()).hexdigest()
    return Checkpoint(_ready(acoustic, device), _ready(vocoder, device), digest[:16])


def write(folder: Path, acoustic: AcousticNetwork, vocoder: Generator) -> None:
    """Write both networks in half precision, which loses nothing that can be heard, and their manifest."""
    folder.mkdir(parents=True, exist_ok=True)
    digests = {}
    for name, network in ((ACOUSTIC, acoustic), (VOCODER, vocoder)):
        tensors = {key: value.detach().half().contiguous() for key, value in network.state_dict().items()}
        data = save(tensors, {CONFIG_KEY: json.dumps(asdict(network.config))})
        (folder / name).write_bytes(data)
        digests[name] = hashlib.sha256(data).hexdigest()
    manifest = {"model_type": "ion", "sha256": digests}
    (folder / MANIFEST).write_text(json.dumps(manifest, indent=2) + "\n")


def _manifest(folder: Path) -> dict[str, str]:
    """Digests by file name."""
    path = folder / MANIFEST
    if not path.is_file():
        _refuse_pickle(folder)
        raise ModelUnusable(
            f"{path} is missing. Point to a folder made by the recipe in voices/ion, or to `ion`."
        )
    try:
        digests = json.loads(path.read_text())["sha256"]
        return {name: str(digests[name]) for name in (ACOUSTIC, VOCODER)}
    except (ValueError, KeyError, TypeError) as error:
        raise ModelUnusable(
            f"{path} does not name the digests of {ACOUSTIC} and {VOCODER}. Export again."
        ) from error


def _refuse_pickle(folder: Path) -> None:
    """Such files run code when they are read."""
    for path in sorted(folder.glob("*")):
        if path.suffix in FORBIDDEN_SUFFIXES:
            raise ModelUnusable(
                f"{path} may be a pickle, which is never read here. Export it as safetensors."
            )


def _checked(folder: Path, name: str, digests: dict[str, str]) -> Path:
    """The file's path, once its digest is what the manifest says."""
    path = folder / name
    if not path.is_file():
        raise ModelUnusable(f"{path} is missing. Install the package again, or export the voice again.")
    if hashlib.sha256(path.read_bytes()).hexdigest() != digests[name]:
        raise ModelUnusable(
            f"{path} is damaged: its digest is not the manifest's. Install or export it again."
        )
    return path


def _config(path: Path, kind: type[C]) -> C:
    """The sizes in the file's metadata."""
    try:
        with safe_open(path, "pt") as file:
            config = json.loads((file.metadata() or {})[CONFIG_KEY])
        return kind(**{str(key): int(value) for key, value in config.items()})
    except (SafetensorError, KeyError, ValueError, AttributeError, TypeError) as error:
        raise ModelUnusable(
            f"{path} is not a safetensors file of this family. Export the voice again."
        ) from error


def _fill(network: nn.Module, path: Path) -> None:
    """Copy every tensor; names and shapes must fit exactly."""
    with safe_open(path, "pt") as file:
        tensors = {key: file.get_tensor(key).float() for key in file.keys()}  # noqa: SIM118 - not a dict
    try:
        network.load_state_dict(tensors)
    except RuntimeError as error:
        raise ModelUnusable(
            f"{path} holds other tensors than its sizes say. Export the voice again."
        ) from error


def _ready(network: N, device: str) -> N:
    """In place for speaking."""
    network.eval().requires_grad_(False)
    return network.to(torch.device(device))
