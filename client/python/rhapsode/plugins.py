"""Commands that other packages add, found by the entry-point group `rhapsode.commands`.

An entry point is a function that gets the arguments after its name and returns an exit code. It is loaded
only when it is called, so the client never imports a server that is not wanted or not installed.
"""

from __future__ import annotations

from collections.abc import Callable
from importlib.metadata import EntryPoint, entry_points

import typer

from rhapsode.failing import Wrong, told

GROUP = "rhapsode.commands"
HELP = {
    "serve": "Start a server on this machine.",
    "probe": "Speak one sentence and judge it, for tests of a deployment.",
    "download": "Fetch a checkpoint from the model hub.",
    "capacity": "How many servers do so many callers need?",
}
EXTRA = {"serve": "server", "download": "server", "capacity": "server"}
"""The extra that brings what a command needs."""


def add_to(app: typer.Typer) -> None:
    """Add every command that is installed, and those that could be, to say how."""
    found = {entry.name: entry for entry in entry_points(group=GROUP)}
    for name in sorted(found.keys() | EXTRA.keys()):
        app.command(
            name,
            help=HELP.get(name, "Added by another package."),
            add_help_option=False,
            context_settings={"ignore_unknown_options": True, "allow_extra_args": True},
        )(_command(name, found.get(name)))


def _command(name: str, entry: EntryPoint | None) -> Callable[[typer.Context], None]:
    def run(context: typer.Context) -> None:
        with told():
            command = _load(name, entry)
        raise typer.Exit(command(list(context.args)))

    return run


def _load(name: str, entry: EntryPoint | None) -> Callable[[list[str]], int]:
    if entry is None:
        raise _absent(name)
    try:
        command: Callable[[list[str]], int] = entry.load()
    except ModuleNotFoundError as error:
        raise _absent(name, f" completely ({error.name} is missing)") from error
    return command


def _absent(name: str, how: str = "") -> Wrong:
    return Wrong(f"`rhapsode {name}` is not installed{how}. {_remedy(name)}")


def _remedy(name: str) -> str:
    extra = EXTRA.get(name)
    return f'Run: pip install "rhapsode[{extra}]"' if extra else "Install again the package that adds it."
