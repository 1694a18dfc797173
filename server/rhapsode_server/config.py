"""One frozen tree of settings: a TOML file, then the environment, then the command line.

What lives here: every setting with its default, its bounds and its unit, and how the three sources become
one tree. What must not: reading a setting anywhere else, a default that is repeated elsewhere, gRPC, torch.

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
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, SecretStr, ValidationError
from pydantic_core import ErrorDetails

from rhapsode_server.errors import ConfigError

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


class _Section(BaseModel):
    model_config = ConfigDict(
        frozen=True, extra="forbid", validate_default=True, use_attribute_docstrings=True
    )


class ServerSettings(_Section):
    """Where the server listens and how it treats connections. Times in seconds."""

    host: str = "127.0.0.1"
    """Only this machine unless told otherwise; "0.0.0.0" or "[::]" for every interface."""
    port: int = Field(default=50051, ge=0, le=65535)
    """0 lets the system choose; the port in use is logged."""
    health_port: int | None = Field(default=None, ge=0, le=65535)
    """A second, plaintext port with grpc.health.v1 only, for probes; the main port has it too."""
    reflection: bool = False
    """Let clients such as grpcurl ask which services there are."""
    drain_seconds: float = Field(default=30.0, ge=0)
    """How long running utterances may go on after SIGTERM; then they are cancelled."""
    max_stream_seconds: float = Field(default=1800.0, gt=0)
    """A call that takes longer ends with DEADLINE_EXCEEDED, reason STREAM_TOO_LONG."""
    max_concurrent_streams: int = Field(default=100, ge=1)
    """Per connection: one client that opens and resets streams cannot stall the others."""
    max_connection_age: float = Field(default=300.0, gt=0)
    """Clients then reconnect, and so find new servers; running streams are never cut by it."""
    max_connection_idle: float = Field(default=900.0, gt=0)
    """A connection without calls is closed after this."""
    keepalive_time: float = Field(default=30.0, ge=1)
    """A quiet connection is asked this often whether anybody is there."""
    keepalive_timeout: float = Field(default=10.0, ge=1)
    """A connection that does not answer for so long is closed, and its calls are cancelled."""
    max_message_bytes: int = Field(default=4 * 1024 * 1024, ge=1024)
    """The largest request."""


class ModelSettings(_Section):
    """Which checkpoint speaks, and on what."""

    source: str = "ion"
    """The name of a family with weights of its own, or a folder with a checkpoint, or a hub id."""
    family: str = ""
    """Whose checkpoint `source` is, where that cannot be told from its name or its config.json."""
    options: dict[str, str | int | float | bool] = {}
    """Further arguments of the family's loader, such as `dtype`; it refuses those that it has not got."""
    device: str = Field(default="auto", pattern=r"^(auto|cpu|cuda(:\d+)?|mps)$")
    """auto, cpu, cuda, cuda:1 or mps; auto is a GPU where there is one."""
    threads: int = Field(default=0, ge=0)
    """Threads of one matrix product; 0: one for each core this process may use."""
    voices: Path | None = None
    """A folder with further voices."""


class EngineSettings(_Section):
    """How many utterances at once, and how far ahead of their listeners."""

    slots: int | None = Field(default=None, ge=1)
    """Utterances decoded together; unset: what the model thinks sensible."""
    max_waiting: int = Field(default=64, ge=0)
    """Utterances that may wait for a slot; the next one is answered RESOURCE_EXHAUSTED."""
    max_ahead: float = Field(default=10.0, ge=0)
    """Seconds of sound made ahead of what a listener has heard; 0: as far as it goes."""
    hang_seconds: float = Field(default=30.0, gt=0)
    """A step that takes longer makes the server not ready; after twice that it ends with code 70."""


class LimitSettings(_Section):
    """What a request may ask for."""

    max_characters: int = Field(default=10_000, ge=1)
    """Characters of one text, after which it is refused."""
    text_workers: int = Field(default=4, ge=1)
    """Threads that turn text into prompts."""
    session_contexts: int = Field(default=16, ge=1)
    """Contexts that one session may have open at a time."""
    session_idle_seconds: float = Field(default=60.0, gt=0)
    """A session in which neither side says anything for so long is ended, reason SESSION_IDLE."""


class TelemetrySettings(_Section):
    """What is told about the work. Exporters are configured by the standard OTEL_* variables."""

    log_format: Literal["text", "json"] = "text"
    """Lines for people, or a JSON object a line."""
    log_level: Literal["debug", "info", "warning", "error"] = "info"
    """The least serious lines that are written; health checks are logged at debug."""


class Settings(_Section):
    """The whole tree."""

    server: ServerSettings = ServerSettings()
    model: ModelSettings = ModelSettings()
    engine: EngineSettings = EngineSettings()
    limits: LimitSettings = LimitSettings()
    telemetry: TelemetrySettings = TelemetrySettings()


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
            raise ConfigError(f"--set needs NAME=VALUE, not {pair!r}.")
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
