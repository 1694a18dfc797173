"""Where settings come from: a TOML file, then the environment, then the command line.

What lives here: how the three sources become one tree. What must not: a setting itself (settings.py),
reading a setting anywhere else, gRPC, torch.

A name is written `section.key` in messages, `[section]` / `key = …` in the file, `RHAPSODE_SECTION__KEY` in
the environment and `--set section.key=value` on the command line. A name that does not exist is an error
that says which one was meant: a setting that is silently ignored costs somebody an evening.
"""

from __future__ import annotations

import argparse
import difflib
import os
import re
import tomllib
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any

from pydantic import BaseModel, SecretStr, ValidationError
from pydantic_core import ErrorDetails

from rhapsode_server.errors import ConfigError
from rhapsode_server.settings import ModelSettings, Settings

__all__ = ["ModelSettings", "Settings", "from_command_line", "load", "names", "shown"]

PREFIX = "RHAPSODE_"
OPTIONS = "model.options."
FILE_VARIABLE = "RHAPSODE_CONFIG"
"""Names the settings file; not a setting itself."""

_CLIENT_VARIABLES = frozenset(
    {FILE_VARIABLE, "RHAPSODE_SERVER", "RHAPSODE_API_KEY", "RHAPSODE_TLS", "RHAPSODE_CA"}
)
"""Variables of the light client and of the container, which may share our environment."""

_KUBERNETES = re.compile(r"_SERVICE_(HOST|PORT)(_\w+)?$|_PORT_\d+_(TCP|UDP|SCTP)(_(PROTO|PORT|ADDR))?$")
"""What Kubernetes puts into a pod beside a Service named `rhapsode…`; with `…_PORT=tcp://…` below."""


_SECRET = re.compile(r"token|secret|password|key", re.IGNORECASE)
"""Options of a model that are not shown."""

Layer = dict[str, dict[str, Any]]


def load(
    file: Path | None = None,
    flags: Mapping[str, object] | None = None,
    environ: Mapping[str, str] = os.environ,
) -> Settings:
    """Settings from `file` (else the one that RHAPSODE_CONFIG names), then `environ`, then `flags`.

    `flags` maps dotted names to values. Raises errors.ConfigError, which names the setting, where it was
    set and what is allowed.
    """
    named = environ.get(FILE_VARIABLE)
    path = file or (Path(named) if named else None)
    origins: dict[str, str] = {}
    tree: Layer = {}
    for name, value, origin in [
        *(_from_file(path) if path else ()),
        *_from_environment(environ),
        *((name, value, "the command line") for name, value in (flags or {}).items()),
    ]:
        _place(tree, name, value, origin)
        origins[name] = origin
    try:
        return Settings.model_validate(tree)
    except ValidationError as error:
        raise ConfigError(_sentence(error.errors()[0], origins)) from None


FLAGS = {
    "host": ("server.host", "address to listen on; 0.0.0.0 for every interface"),
    "port": ("server.port", "port of the service; 0 lets the system choose"),
    "health-port": ("server.health_port", "a second port, for health probes only"),
    "model": ("model.source", "a family's name, a folder with a checkpoint or a hub id"),
    "voices": ("model.voices", "folder with further voices"),
    "device": ("model.device", "auto, cpu or cuda"),
    "threads": ("model.threads", "threads of one matrix product; 0 for one per core"),
    "slots": ("engine.slots", "utterances decoded together"),
    "log-format": ("telemetry.log_format", "text or json"),
}
"""Short names of the settings that are most often given on the command line."""


def from_command_line(argv: list[str]) -> Settings:
    """File, environment, then these arguments.

    Raises ConfigError; SystemExit where argparse has shown its help or what it does not understand.
    """
    parser = argparse.ArgumentParser("rhapsode serve", description="Serve speech.", allow_abbrev=False)
    parser.add_argument("--config", type=Path, metavar="FILE", help="settings in TOML")
    for flag, (name, meaning) in FLAGS.items():
        parser.add_argument(f"--{flag}", dest=name, metavar=flag.upper(), help=meaning)
    every = "any other setting by its name, section.key"
    parser.add_argument("--set", action="append", default=[], metavar="NAME=VALUE", help=every)
    given = vars(parser.parse_args(argv))
    flags = {name: given[name] for name, _ in FLAGS.values() if given[name] is not None}
    for pair in given["set"]:
        name, equals, value = pair.partition("=")
        if not equals:
            raise ConfigError(f"--set needs NAME=VALUE, such as engine.slots=64, not {pair!r}.")
        flags[name] = value
    return load(given["config"], flags)


def shown(settings: Settings) -> dict[str, object]:
    """Every setting by its dotted name, fit for a log: a secret is shown as asterisks."""
    return dict(_leaves(settings))


@cache
def names() -> tuple[str, ...]:
    """The dotted name of every setting."""
    return tuple(name for name, _ in _leaves(Settings()))


def _leaves(settings: BaseModel, prefix: str = "") -> Iterator[tuple[str, object]]:
    for key, value in settings:
        name = f"{prefix}{key}"
        if isinstance(value, BaseModel):
            yield from _leaves(value, f"{name}.")
        elif isinstance(value, dict):
            yield name, {key: "***" if _SECRET.search(key) else option for key, option in value.items()}
        else:
            yield name, str(value) if isinstance(value, SecretStr | Path) else value


# ---- the three sources


def _from_file(path: Path) -> Iterator[tuple[str, object, str]]:
    try:
        with path.open("rb") as opened:
            sections = tomllib.load(opened)
    except OSError as error:
        raise ConfigError(f"Cannot read the settings file {path}: {error.strerror}.") from None
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"The settings file {path} is not valid TOML: {error}.") from None
    for section, keys in sections.items():
        if not isinstance(keys, dict):
            raise ConfigError(_unknown(section, str(path)))
        for key, value in keys.items():
            table = value if f"{section}.{key}." == OPTIONS and isinstance(value, dict) else None
            for option, setting in (table or {}).items():
                yield f"{OPTIONS}{option}", setting, str(path)
            if table is None:
                yield f"{section}.{key}", value, str(path)


def _from_environment(environ: Mapping[str, str]) -> Iterator[tuple[str, object, str]]:
    for variable in sorted(environ):
        if variable.startswith(PREFIX) and not _foreign(variable, environ[variable]):
            name = variable.removeprefix(PREFIX).lower().replace("__", ".")
            yield name, environ[variable], variable


def _foreign(variable: str, value: str) -> bool:
    """Set by somebody else: the client, or Kubernetes for a Service of our name."""
    linked = variable.endswith("_PORT") and value.startswith(("tcp://", "udp://", "sctp://"))
    return linked or variable in _CLIENT_VARIABLES or _KUBERNETES.search(variable) is not None


def _place(tree: Layer, name: str, value: object, origin: str) -> None:
    section, dot, key = name.partition(".")
    option = name.removeprefix(OPTIONS)
    if option != name and option:
        tree.setdefault("model", {}).setdefault("options", {})[option] = _scalar(value)
    elif not dot or name not in names():
        raise ConfigError(_unknown(name, origin))
    else:
        tree.setdefault(section, {})[key] = value


def _scalar(value: object) -> object:
    """What a word means where nothing says its type: true, 3 and 0.5 are what they are in TOML."""
    try:
        return tomllib.loads(f"value = {value}")["value"] if isinstance(value, str) else value
    except tomllib.TOMLDecodeError:
        return value


# ---- messages


def _unknown(name: str, origin: str) -> str:
    """`origin` is the variable itself where the environment is to blame, else the file or the flags."""
    near = difflib.get_close_matches(name.replace("_", "."), names(), n=1, cutoff=0.0)[0]
    if origin.startswith(PREFIX):
        return f"There is no setting {origin}. The nearest one is {PREFIX}{near.upper().replace('.', '__')}."
    return f"There is no setting {name!r} (set in {origin}). The nearest one is {near!r}."


def _sentence(problem: ErrorDetails, origins: Mapping[str, str]) -> str:
    name = ".".join(str(part) for part in problem["loc"][:2])
    origin = origins.get(name, "the defaults")
    said = problem["msg"][0].lower() + problem["msg"][1:]
    return f"The setting {name!r} from {origin} cannot be used: {said}, not {problem['input']!r}."
