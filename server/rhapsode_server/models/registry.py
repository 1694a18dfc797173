"""Which family a name, a folder or a hub id belongs to, and its model loaded.

A family is a module of this package with `load(source, *, device) -> SpeechModel`; it is imported only
when it is asked for, so that one family's libraries are no burden to another's. What must not live here:
anything about a family but its name.
"""

from __future__ import annotations

import inspect
import json
import os
from collections.abc import Callable
from importlib import import_module
from pathlib import Path

import torch

from rhapsode_server.errors import ConfigError, ModelUnusable
from rhapsode_server.models.base import SpeechModel

FAMILIES = {name: f"rhapsode_server.models.{name}" for name in ("ion", "toy", "speecht5", "qwen3_tts")}


def load(source: str, *, family: str = "", device: str = "cpu", **options: object) -> SpeechModel:
    """Load `source`: a family's name for its own checkpoint, a folder, or a hub id.

    `family` says whose checkpoint it is where that cannot be seen; `options` are the family's own (a
    None is left out). Raises ModelUnusable where no family can be found or the checkpoint cannot be
    used, ConfigError for an option that the family has not got.
    """
    if source not in FAMILIES:
        _check_named(source)
        _check_folder(source)
    name = family or family_of(source)
    loader = _loader(name)
    chosen = {key: value for key, value in options.items() if value is not None}
    _check_options(name, set(chosen), set(inspect.signature(loader).parameters) - {"source", "device"})
    where = () if source == name else (source,)
    return loader(*where, device=device, **chosen)


def _check_options(family: str, chosen: set[str], there_are: set[str]) -> None:
    for option in sorted(chosen - there_are):
        has = f"It has: {', '.join(sorted(there_are))}." if there_are else "It has none."
        raise ConfigError(f"The model family {family!r} has no option {option!r}. {has} Leave it out.")


def device_for(wanted: str) -> str:
    """The device that "auto" means here; any other name as it is. Raises ConfigError for one not here."""
    there_are = devices()
    if wanted == "auto":
        return "cuda" if "cuda" in there_are else "cpu"
    if wanted not in there_are:
        raise ConfigError(
            f"model.device cannot be {wanted!r}: torch finds no such device here. There are:"
            f" {', '.join(there_are)}. Use one of them, or see to its driver and to a torch built for it."
        )
    return wanted


def devices() -> tuple[str, ...]:
    """Every device that torch can compute on here, by each name that it goes by."""
    found = ["cpu"]
    if torch.cuda.is_available():
        found += ["cuda", *(f"cuda:{number}" for number in range(torch.cuda.device_count()))]
    if torch.backends.mps.is_available():
        found.append("mps")
    return tuple(found)


def usable_cores(quota: Path = Path("/sys/fs/cgroup/cpu.max")) -> int:
    """Cores that this process may use: those of the machine, of its affinity, and of its container's quota.

    A container with a quota of 2 CPUs on a machine of 64 still sees 64; that many threads would spend
    their time being throttled. `quota` is "MICROSECONDS PERIOD" or "max PERIOD" (cgroup v2).
    """
    affinity = getattr(os, "sched_getaffinity", None)
    cores = len(affinity(0)) if affinity else os.cpu_count() or 1
    try:
        granted, period = quota.read_text().split()
        return cores if granted == "max" else max(1, min(cores, int(granted) // int(period)))
    except (OSError, ValueError):
        return cores


def family_of(source: str) -> str:
    """The family that `source` says by its name, its config.json or its hub id; raises ModelUnusable."""
    if source in FAMILIES:
        return source
    said = _model_type(_config(Path(source))) or source
    plain = said.rpartition("/")[2].lower().replace("-", "_")
    for name in FAMILIES:
        if plain.startswith(name) or f"_{name}" in plain:
            return name
    raise ModelUnusable(
        f"No family of models can be told from {source!r}{_why_not(Path(source).expanduser())}. Name one of"
        f" {', '.join(FAMILIES)}, or say whose checkpoint it is with model.family."
    )


def _check_named(source: str) -> None:
    if not source.strip():
        raise ModelUnusable(
            "model.source is empty. Name the folder of a checkpoint, a hub id, or one of"
            f" {', '.join(FAMILIES)}; or leave it out, and it is ion."
        )


def _check_folder(source: str) -> None:
    """Raises ModelUnusable where `source` can only be a folder and there is none, or nothing in it."""
    folder = Path(source).expanduser()
    if folder.is_dir():
        if not any(folder.iterdir()):
            raise ModelUnusable(f"The folder {source!r} is empty. Copy the whole checkpoint into it.")
    elif folder.exists():
        raise ModelUnusable(f"{source!r} is a file. Give the folder that the checkpoint is in.")
    elif source.startswith(("/", ".", "~")) or source.count("/") > 1:
        raise ModelUnusable(
            f"There is no folder {source!r}. Give the folder of a checkpoint, a hub id, or one of"
            f" {', '.join(FAMILIES)}."
        )


def _why_not(folder: Path) -> str:
    """What is missing in a folder that does not say whose checkpoint it holds; "" for a hub id."""
    if not folder.is_dir():
        return "" if "/" in str(folder) else ": there is no folder of that name, and a hub id is OWNER/NAME"
    if not (folder / "config.json").is_file():
        return ": it has no config.json; copy the whole checkpoint, not only its weights"
    config = _config(folder)
    if config is None:
        return ": its config.json is not JSON, perhaps half of a download; copy it again"
    said = _model_type(config)
    return f": its config.json is of a {said!r}" if said else ": its config.json names no model_type"


def _config(folder: Path) -> object:
    """What is in the folder's config.json, None where there is none or it is not JSON."""
    try:
        read: object = json.loads((folder / "config.json").read_text("utf-8"))
    except (OSError, ValueError):
        return None
    return read


def _model_type(config: object) -> str:
    """`model_type` of a config.json, "" where it does not say."""
    return str(config.get("model_type", "")) if isinstance(config, dict) else ""


def _loader(name: str) -> Callable[..., SpeechModel]:
    if name not in FAMILIES:
        raise ModelUnusable(f"There is no model family {name!r}. There are: {', '.join(FAMILIES)}.")
    try:
        module = import_module(FAMILIES[name])
    except ModuleNotFoundError as error:
        raise ModelUnusable(
            f"The model family {name!r} needs the module {error.name!r}, which is not installed."
        ) from None
    loader: Callable[..., SpeechModel] = module.load
    return loader
