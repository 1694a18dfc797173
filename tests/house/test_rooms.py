"""Who may import whom: the table of docs/architecture.md, held against the code.

A module belongs to the first room whose pattern fits its name. It may import itself, the rooms named
after it and the third-party packages named after those; the standard library is free but for the
modules in `without`. Imports made late or for types alone count too: they are knowledge all the same.
"""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tests.house.conftest import Source

OURS = ("rhapsode", "rhapsode_server")
ANY = ("*",)
NOUNS = ("core", "errors")
STUBS = ("rhapsode.tts", "rhapsode.tts.*")
PURE = ("engine.plan", "engine.scheduler", "engine.sequence", "engine.windows", "engine.slots")
RUNNERS = ("engine.runner", "engine.graphs", "engine.memory")
DOORS = (
    "engine",
    "engine.endings",
    "engine.engine",
    "engine.inbox",
    "engine.silence",
    "engine.worker",
    "engine.stream",
    "engine.observer",
)
NO_WORLD = (
    *("asyncio", "concurrent", "datetime", "logging", "multiprocessing", "os", "queue", "random"),
    *("select", "signal", "socket", "subprocess", "threading", "time"),
)
CHECKPOINTS = ("huggingface_hub", "safetensors", "sentencepiece", "tokenizers", "transformers")


@dataclass(frozen=True)
class Room:
    """`members` are patterns of module names, short ones meaning `rhapsode_server.` before them."""

    members: tuple[str, ...]
    rooms: tuple[str, ...] = ()
    packages: tuple[str, ...] = ()
    without: tuple[str, ...] = ()


TABLE = (
    Room(NOUNS, rooms=NOUNS, without=("asyncio", "threading", "time")),
    Room(("layers", "layers.*"), rooms=("layers.*",), packages=("torch",)),
    Room(("models", "models.base"), rooms=NOUNS, packages=("torch",)),
    Room(("models.shards",), rooms=NOUNS),
    Room(("models.registry",), rooms=(*NOUNS, "models.base"), packages=("torch",)),
    Room(
        ("models.*",),  # a family; that it knows no other family is checked beside the table
        rooms=(*NOUNS, "models.base", "models.*", "layers", "layers.*", "audio", "audio.*"),
        packages=("torch", "numpy", *CHECKPOINTS),
    ),
    Room(PURE, rooms=(*NOUNS, *PURE), without=NO_WORLD),
    Room(RUNNERS, rooms=(*NOUNS, "models.base", *PURE, *RUNNERS), packages=("torch", "numpy")),
    Room(DOORS, rooms=(*NOUNS, "models.base", *PURE, *RUNNERS, *DOORS), packages=("torch", "numpy")),
    Room(
        ("text", "text.*"),
        rooms=(*NOUNS, "text", "text.*"),
        packages=("num2words", "numpy"),
        without=("asyncio", "threading"),
    ),
    Room(
        ("audio", "audio.*"),
        rooms=(*NOUNS, "audio", "audio.*"),
        packages=("av", "numpy", "soundfile", "soxr"),
    ),
    Room(
        ("voices", "voices.*"),
        rooms=(*NOUNS, "audio", "audio.*", "models.base", "voices", "voices.*"),
        packages=("numpy", "safetensors", "torch"),
    ),
    Room(
        ("synthesizer", "synthesizer.*"),
        rooms=(
            *(*NOUNS, "text", "text.*", "audio", "audio.*", "voices", "voices.*"),
            *("engine.engine", "engine.stream", "engine.sequence", "models.base"),
            *("synthesizer", "synthesizer.*"),
        ),
        packages=("numpy",),
    ),
    Room(
        ("rpc", "rpc.*"),
        rooms=(*NOUNS, "synthesizer", "synthesizer.*", "voices", "voices.*", "rpc", "rpc.*", *STUBS),
        packages=("grpc", "grpc_health", "grpc_reflection", "google"),
    ),
    Room(
        ("telemetry", "telemetry.*"),
        rooms=(
            *(*NOUNS, "engine.observer", "engine.sequence", "synthesizer.events"),
            *("telemetry", "telemetry.*"),
        ),
        packages=("grpc", "opentelemetry", "prometheus_client"),
    ),
    Room(("capacity",), rooms=NOUNS),
    Room(("signature",), rooms=NOUNS, packages=("cryptography",)),
    Room(("download",), rooms=(*NOUNS, "signature"), packages=("huggingface_hub",)),
    Room(
        ("loading",),
        rooms=(*NOUNS, "settings", "models.registry", "models.base", "synthesizer"),
        packages=("torch",),
    ),
    Room(
        ("limits",),
        rooms=(
            *("settings", "loading", "engine.worker", "models.base", "rpc.server", "rpc.session_convert"),
            *("synthesizer", "voices.catalogue", "voices.created", "voices.upload"),
        ),
    ),
    Room(("parity",), rooms=(*NOUNS, "models.registry")),
    Room(
        ("config", "settings"),
        rooms=(*NOUNS, "settings"),
        packages=("pydantic", "pydantic_core", "pydantic_settings"),
    ),
    Room(("main", "__main__"), rooms=ANY, packages=ANY),
    Room(("rhapsode_server",)),
    Room(
        ("rhapsode", "rhapsode.*"),
        rooms=("rhapsode", "rhapsode.*"),
        packages=("google", "grpc", "numpy", "opentelemetry", "rich", "sounddevice", "typer"),
    ),
)
COMPOSITION_ROOT = "rhapsode_server.main"
NOT_FAMILIES = ("base", "registry", "shards")


def full(pattern: str) -> str:
    """The pattern with the server's name before it, unless it names a package of ours already."""
    ours = pattern in ("*", *OURS) or pattern.startswith("rhapsode.")
    return pattern if ours else f"rhapsode_server.{pattern}"


def fits(name: str, patterns: tuple[str, ...]) -> bool:
    """Whether any of the patterns matches the dotted name."""
    return any(fnmatchcase(name, full(pattern)) for pattern in patterns)


def room_of(module: str) -> Room | None:
    """The first room of the table that has this module."""
    return next((room for room in TABLE if fits(module, room.members)), None)


def imports(tree: ast.Module, module: str, modules: set[str], package: bool) -> Iterator[tuple[int, str]]:
    """Line and dotted name of everything that is imported, relative names resolved, at any depth."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                parts = module.split(".")
                parts = parts[: len(parts) - node.level + package]
                base = ".".join([*parts, *filter(None, [base])])
            for alias in node.names:
                whole = f"{base}.{alias.name}"
                yield node.lineno, whole if whole in modules else base


def family_of(module: str) -> str | None:
    """`ion` for rhapsode_server.models.ion.frontend, None outside a family."""
    parts = module.split(".")
    inside = parts[:2] == ["rhapsode_server", "models"] and len(parts) > 2 and parts[2] not in NOT_FAMILIES
    return parts[2] if inside else None


def allowed(room: Room, module: str, target: str) -> bool:
    """Whether `module`, of that room, may import `target`."""
    top = target.partition(".")[0]
    if top in OURS:
        strange_family = family_of(module) and family_of(target) not in (None, family_of(module))
        return target == module or (fits(target, room.rooms) and not strange_family)
    if top in sys.stdlib_module_names:
        return top not in room.without
    return room.packages == ANY or top in room.packages


def violations(shipped: list[Source]) -> list[str]:
    """Every import that the table does not have, as a sentence."""
    modules = {source.module for source in shipped}
    found = []
    for source in shipped:
        room = room_of(source.module)
        if room is None:
            found.append(f"{source.path}: no room of tests/house/test_rooms.py has this module; give it one")
            continue
        for line, target in imports(source.tree, source.module, modules, source.path.endswith("__init__.py")):
            if not allowed(room, source.module, target):
                found.append(f"{source.path}:{line}: {source.module} may not import {target}")
    return sorted(set(found))


def test_rooms_import_only_what_the_table_allows(shipped: list[Source]) -> None:
    found = violations(shipped)
    assert not found, "docs/architecture.md says who may import whom:\n" + "\n".join(found)


def test_nothing_imports_the_composition_root(shipped: list[Source]) -> None:
    modules = {source.module for source in shipped}
    guilty = [
        f"{source.path}:{line}"
        for source in shipped
        for line, target in imports(source.tree, source.module, modules, source.path.endswith("__init__.py"))
        if target == COMPOSITION_ROOT and source.module != "rhapsode_server.__main__"
    ]
    assert not guilty, f"main knows everyone and nobody knows main; it is imported at {guilty}"


def _check(module: str, line: str, *others: str) -> list[str]:
    """What the table says of one import line in a module of that name."""
    modules = {module, *others}
    room = room_of(module)
    assert room is not None
    return [t for _, t in imports(ast.parse(line), module, modules, False) if not allowed(room, module, t)]


def test_the_table_has_teeth() -> None:
    server = "rhapsode_server"
    assert _check(f"{server}.engine.scheduler", "import torch")
    assert _check(f"{server}.engine.scheduler", "from time import monotonic")
    assert _check(f"{server}.engine.runner", f"from {server}.models import ion", f"{server}.models.ion")
    assert _check(f"{server}.models.ion.acoustic", f"from {server}.models.chattts.frontend import x")
    assert _check(f"{server}.models.ion.acoustic", "from ..chattts import frontend")
    assert _check(f"{server}.synthesizer", "import grpc")
    assert _check(f"{server}.telemetry.metrics", f"from {server}.engine.engine import Engine")
    assert _check("rhapsode.client", f"from {server}.core import Voice")
    assert _check("rhapsode.client", "def f():\n    import torch")


def test_the_table_lets_the_house_work() -> None:
    server = "rhapsode_server"
    assert not _check(f"{server}.engine.scheduler", f"from {server}.engine.windows import next_window")
    assert not _check(f"{server}.engine.scheduler", "from . import windows", f"{server}.engine.windows")
    assert not _check(f"{server}.models.ion.acoustic", "from .weights import load")
    assert not _check(f"{server}.rpc.convert", "from rhapsode.tts.v1 import tts_pb2")
    assert not _check(f"{server}.engine.engine", "import asyncio, threading")
