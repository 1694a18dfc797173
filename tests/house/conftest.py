"""What the house tests look at: the repository's own files, read once."""

from __future__ import annotations

import ast
import subprocess
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
SHIPPED = ("server/", "client/python/")
GENERATED = ("_pb2.py", "_pb2.pyi", "_pb2_grpc.py", "_pb2_grpc.pyi")


@dataclass(frozen=True)
class Source:
    """One Python file: where it lies, what it says, and its syntax tree."""

    path: str
    text: str
    tree: ast.Module

    @property
    def shipped(self) -> bool:
        """Whether it is part of the package, not of its tests and tools."""
        return self.path.startswith(SHIPPED)

    @property
    def module(self) -> str:
        """Its dotted name as it is imported; only for shipped files."""
        inside = self.path.removeprefix("server/").removeprefix("client/python/")
        return inside.removesuffix(".py").removesuffix("/__init__").replace("/", ".")


def listed() -> list[str]:
    """Paths that git tracks or would track; of an unpacked archive, every file that is there."""
    command = ["git", "ls-files", "--cached", "--others", "--exclude-standard"]
    answer = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    if answer.returncode == 0:
        return sorted(set(answer.stdout.splitlines()))
    hidden = {".venv", ".git", "node_modules", "__pycache__"}
    files = (path.relative_to(ROOT) for path in ROOT.rglob("*") if path.is_file())
    return sorted(str(path) for path in files if not hidden & set(path.parts))


@pytest.fixture(scope="session")
def root() -> Path:
    """The top of the repository."""
    return ROOT


@pytest.fixture(scope="session")
def files() -> list[str]:
    """Every file of the repository, as a path from its top."""
    return [path for path in listed() if (ROOT / path).is_file()]


@pytest.fixture(scope="session")
def texts(files: list[str]) -> dict[str, str]:
    """Every file that is text, and its text."""
    found = {}
    for path in files:
        try:
            found[path] = (ROOT / path).read_bytes().decode()
        except UnicodeDecodeError:
            continue
    return found


@pytest.fixture(scope="session")
def python(texts: dict[str, str]) -> list[Source]:
    """Every Python file that somebody wrote; generated stubs are left out."""
    return [
        Source(path, text, ast.parse(text, path))
        for path, text in texts.items()
        if path.endswith(".py") and not path.endswith(GENERATED)
    ]


@pytest.fixture(scope="session")
def shipped(python: list[Source]) -> list[Source]:
    """The package itself: server and client."""
    return [source for source in python if source.shipped]
