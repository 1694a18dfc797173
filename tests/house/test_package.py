"""What is installed with what: the client stays light, the environment holds what is pinned."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
import tomllib
from importlib.metadata import packages_distributions, version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from packaging.requirements import Requirement

if TYPE_CHECKING:
    from tests.house.conftest import Source

HEAVY = {"torch", "transformers", "numpy", "opentelemetry-sdk", "soundfile", "av", "pydantic"}
TOOLS_OF_THEIR_OWN = ("build.txt", "uv.txt", "protoc.txt")


def named(requirement: str) -> str:
    """`grpcio` of `grpcio>=1.76,<2`."""
    return re.split(r"[^A-Za-z0-9._-]", requirement, maxsplit=1)[0].lower()


def project(root: Path) -> dict[str, Any]:
    """The [project] table."""
    table: dict[str, Any] = tomllib.loads((root / "pyproject.toml").read_text())["project"]
    return table


def pins(root: Path) -> dict[str, str]:
    """Exact versions of the development environment, by name; those for other platforms left out."""
    lines = re.findall(r"^(\S+==.*?) \\$", (root / "constraints" / "dev.txt").read_text(), re.MULTILINE)
    here = [pin for pin in map(Requirement, lines) if pin.marker is None or pin.marker.evaluate()]
    return {pin.name: str(pin.specifier).removeprefix("==") for pin in here}


def test_whatever_comes_into_the_image_is_pinned_by_digest(root: Path) -> None:
    file, script = (root / "Dockerfile").read_text(), (root / "scripts" / "image-install").read_text()
    bases = re.findall(r"^ARG BASE_IMAGE=(.*)$", file, re.MULTILINE)
    assert [bool(re.fullmatch(r"\S+@sha256:[0-9a-f]{64}", base)) for base in bases] == [True]
    assert set(re.findall(r"^FROM (\S+)", file, re.MULTILINE)) == {"${BASE_IMAGE}", "packages"}
    files = re.findall(r"-r (constraints/\S+)", script)
    assert len(files) == script.count("--require-hashes -r") == 3
    for name in [*files, "constraints/build.txt"]:
        blocks = re.split(r"\n(?=\S)", (root / name).read_text())
        assert not [block for block in blocks if "==" in block and "--hash=sha256:" not in block]


def test_the_client_asks_for_nothing_heavy(root: Path) -> None:
    wanted = {named(requirement) for requirement in project(root)["dependencies"]}
    assert not wanted & HEAVY


def test_the_environment_is_what_is_pinned(root: Path) -> None:
    """Versions in use and versions in constraints/ are the same, so what was tested is what is shipped."""
    pinned = pins(root)
    table = project(root)
    wanted = [
        *table["dependencies"],
        *(r for extra in table["optional-dependencies"].values() for r in extra),
    ]
    names = {named(requirement) for requirement in wanted}
    assert names <= pinned.keys(), f"run `make constraints`: {names - pinned.keys()} not pinned"
    # PyTorch's CPU build calls itself 2.15.0+cpu; it is the same version.
    other = {name: version(name) for name in names if version(name).partition("+")[0] != pinned[name]}
    assert not other, f"run `make env`: {other} installed, { ({n: pinned[n] for n in other}) } pinned"


def imported(source: Source) -> set[str]:
    """Top-level names of the modules of others that a file imports."""
    found: set[str] = set()
    for node in ast.walk(source.tree):
        if isinstance(node, ast.Import):
            found |= {name.name.partition(".")[0] for name in node.names}
        elif isinstance(node, ast.ImportFrom) and node.level == 0:
            found.add((node.module or "").partition(".")[0])
    return found - sys.stdlib_module_names


def test_what_is_imported_is_asked_for(root: Path, python: list[Source]) -> None:
    """By the extra of whoever imports it: nothing works only because something else brings it along.

    The chart's tests have an environment of their own, whose packages are not installed here.
    """
    table = project(root)
    extras = {name: {named(r) for r in wanted} for name, wanted in table["optional-dependencies"].items()}
    base = {named(r) for r in table["dependencies"]}
    server = base | extras["server"] | {"pydantic-core"}  # which pydantic pins exactly
    everything = server.union(*extras.values())
    asked = {"client/": base | extras["play"] | {"opentelemetry-api"}, "server/": server}
    brings = packages_distributions()
    missing = []
    for source in python:
        mine = next((asked[place] for place in asked if source.path.startswith(place)), everything)
        for module in imported(source) & brings.keys() - {"rhapsode", "rhapsode_server"}:
            if not mine & {name.lower().replace("_", "-") for name in brings[module]}:
                missing.append(f"  {source.path} imports {module}, of {brings[module]}")
    assert not missing, "name these in pyproject.toml where they are used:\n" + "\n".join(missing)


CHECK = """
import importlib.util as find
import rhapsode, rhapsode.tts.v1.service_pb2_grpc
heavy = [name for name in ("torch", "transformers", "opentelemetry", "soundfile") if find.find_spec(name)]
assert not heavy, heavy
"""


@pytest.mark.slow
def test_a_plain_install_is_light(root: Path, tmp_path: Path) -> None:
    """`pip install .` in an environment of its own: no torch, and the command says what it can do."""

    def run(*command: str | Path, code: int = 0) -> str:
        ran = subprocess.run([str(part) for part in command], cwd=tmp_path, capture_output=True, text=True)
        assert ran.returncode == code, ran.stdout + ran.stderr
        return ran.stdout + ran.stderr

    run(sys.executable, "-m", "venv", tmp_path / "env")
    python = tmp_path / "env" / "bin" / "python"
    run(python, "-m", "pip", "install", "--quiet", "-c", unhashed(root, tmp_path), root)
    run(python, "-c", CHECK)
    assert "say" in run(tmp_path / "env" / "bin" / "rhapsode", "--help")
    assert "rhapsode[server]" in run(tmp_path / "env" / "bin" / "rhapsode", "serve", code=1)


def unhashed(root: Path, folder: Path) -> Path:
    """The exact versions without digests, which pip takes as constraints."""
    text = (root / "constraints" / "dev.txt").read_text()
    path = folder / "constraints.txt"
    path.write_text("\n".join(re.findall(r"^(\S+==[^\\\n]+?) \\$", text, re.MULTILINE)))
    return path
