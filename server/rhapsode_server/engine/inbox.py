"""The first crossing: commands from any thread to the engine's, which applies them between its steps.

What must not live here: what a command does.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable

Command = Callable[[], None]


class Inbox:
    """Commands for the engine thread. `send` never blocks; after `close` the worker ends.

    `ended` is set before the worker's last look, so whoever sends and then finds it unset knows that the
    command is certain to be applied.
    """

    def __init__(self) -> None:
        self._commands: deque[Command] = deque()
        self._wake = threading.Event()
        self.closed = False
        self.ended = False

    def send(self, command: Command) -> None:
        """Hand over a command, from any thread."""
        self._commands.append(command)
        self._wake.set()

    def wake(self) -> None:
        """There may be something to do that no command tells of."""
        self._wake.set()

    def close(self) -> None:
        """Ask the worker to end."""
        self.closed = True
        self._wake.set()

    def apply(self) -> None:
        """Run what has come, in order. Engine thread only."""
        self._wake.clear()
        while self._commands:
            self._commands.popleft()()

    def wait(self, seconds: float | None) -> None:
        """Sleep until a command comes, or for `seconds`. Engine thread only."""
        self._wake.wait(seconds)
