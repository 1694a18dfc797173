"""What comes with the light package, and what must not: no torch, no server, no gRPC for a help page."""

from __future__ import annotations

import re
import subprocess
import sys
import tomllib
from importlib.metadata import EntryPoint
from pathlib import Path
from typing import Any

import pytest
import rhapsode
import typer
from rhapsode import plugins
from typer.testing import CliRunner

ROOT = Path(__file__).resolve().parents[3]
LIGHT = {"grpcio", "googleapis-common-protos", "protobuf", "rich", "typer"}
HEAVY = ("torch", "transformers", "numpy", "pydantic", "rhapsode_server", "opentelemetry")


def base_requirements() -> set[str]:
    """Names that `pip install rhapsode` asks for."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    return {re.split(r"[<>=!~;\[ ]", line)[0] for line in project["dependencies"]}


def test_the_light_package_is_light() -> None:
    assert base_requirements() == LIGHT


def loaded(code: str) -> set[str]:
    """Top-level modules that a fresh Python has after running `code`."""
    program = f"{code}\nimport sys; print(*sys.modules)"
    command = [sys.executable, "-c", program]
    environment = {"PYTHONPATH": str(ROOT / "client" / "python")}
    ran = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    return set(ran.stdout.split())


def test_using_the_client_loads_nothing_heavy() -> None:
    modules = loaded(
        "import rhapsode, rhapsode.say; rhapsode.Client('localhost:1').close(); rhapsode.AsyncClient()"
    )
    assert "grpc" in modules
    assert not modules & set(HEAVY)


def test_help_does_not_load_grpc() -> None:
    assert not loaded("import rhapsode.cli") & {"grpc", "google.protobuf", *HEAVY}


def test_every_name_is_there() -> None:
    for name in rhapsode.__all__:
        assert getattr(rhapsode, name).__name__ == name
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = rhapsode.nothing
    text = Path(rhapsode.__file__).read_text(encoding="utf-8")
    typed = set(re.findall(r"^        (\w+),$|import ([\w, ]+)$", text, re.MULTILINE))
    names = {name for found in typed for part in found for name in part.split(", ") if name}
    assert set(rhapsode.__all__) == names - {"import_module", "TYPE_CHECKING", "Any"}


def app_with(monkeypatch: pytest.MonkeyPatch, *entries: EntryPoint) -> typer.Typer:
    """A command line with these plug-ins installed."""
    monkeypatch.setattr(plugins, "entry_points", lambda group: [e for e in entries if e.group == group])
    app = typer.Typer(rich_markup_mode=None)
    plugins.add_to(app)
    app.command("other")(lambda: None)
    return app


def test_a_plugin_gets_its_arguments_and_gives_the_exit_code(monkeypatch: pytest.MonkeyPatch) -> None:
    got: list[list[str]] = []

    def serve(arguments: list[str]) -> int:
        got.append(arguments)
        return 7

    monkeypatch.setattr(EntryPoint, "load", lambda _self: serve)
    app = app_with(monkeypatch, EntryPoint("serve", "somewhere:serve", plugins.GROUP))
    result = CliRunner().invoke(app, ["serve", "--port", "1", "--help", "-x", "word"])
    assert result.exit_code == 7
    assert got == [["--port", "1", "--help", "-x", "word"]]


@pytest.mark.parametrize(
    "entries", [(), (EntryPoint("serve", "a_package_that_is_missing.main:serve", plugins.GROUP),)]
)
def test_serve_without_the_server_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch, entries: tuple[EntryPoint, ...]
) -> None:
    result = CliRunner().invoke(app_with(monkeypatch, *entries), ["serve", "--port", "1"])
    assert result.exit_code == 1
    assert 'Run: pip install "rhapsode[server]"' in result.stderr
    assert "Traceback" not in result.output


def test_what_is_installed_is_listed(monkeypatch: pytest.MonkeyPatch) -> None:
    entry: Any = EntryPoint("bench", "x:y", plugins.GROUP)
    listed = CliRunner().invoke(app_with(monkeypatch, entry), ["--help"]).output
    assert "bench" in listed
    assert "serve" in listed
