"""What files hold, read anew when they change: certificates and keys are replaced while the server runs.

There is nobody who watches: whoever needs the value asks, and a look at the files costs microseconds. Asked
about the files behind the names, so the exchange of a symbolic link, which is how Kubernetes replaces a
mounted secret, is a change like any other. What must not live here: what the files mean.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Generic, TypeVar

from rhapsode_server.errors import ConfigError

log = logging.getLogger(__name__)
T = TypeVar("T")

Stamp = tuple[tuple[int, int, int, int] | None, ...]


class Watched(Generic[T]):
    """The value that `read` makes of `paths`. May be asked on any thread."""

    def __init__(self, paths: Sequence[Path], read: Callable[[], T]) -> None:
        """Raises ConfigError where the files cannot be used."""
        self._paths = tuple(paths)
        self._read = read
        self._stamp = self._look()
        self._value = read()

    def value(self) -> T:
        """As the files are now; where they are broken, as they last were in order, with a line in the log."""
        stamp = self._look()
        if stamp != self._stamp:
            self._stamp = stamp  # before reading: what changes meanwhile is seen the next time
            self._renew()
        return self._value

    def _renew(self) -> None:
        try:
            self._value = self._read()
        except ConfigError as error:
            log.error("what was in use before stays in use: %s", error.message)  # noqa: TRY400 - no trace
        else:
            log.info("read anew: %s", ", ".join(map(str, self._paths)))

    def _look(self) -> Stamp:
        return tuple(map(_stamp, self._paths))


def _stamp(path: Path) -> tuple[int, int, int, int] | None:
    try:
        seen = path.stat()
    except OSError:
        return None
    return seen.st_dev, seen.st_ino, seen.st_size, seen.st_mtime_ns


def content(path: Path, setting: str) -> bytes:
    """What a file holds; raises ConfigError, which names the setting, where it cannot be read."""
    try:
        return path.read_bytes()
    except OSError as error:
        raise ConfigError(f"{setting}: cannot read {path}: {error.strerror}.") from None
