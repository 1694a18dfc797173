"""How the command line fails: one line to standard error and an exit code that a script can tell apart.

What must not live here: deciding that something is wrong.

    0    done                      4    the server is full: try again later
    1    the server failed         5    not the whole text was spoken
    2    wrong usage or request    130  interrupted
    3    no server, or not ready   141  nobody takes our output any more
"""

from __future__ import annotations

import errno
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import typer

from rhapsode.player import NoSoundDevice

FAILED = 1
USAGE = 2
UNREACHABLE = 3
FULL = 4
INTERRUPTED = 130
BROKEN_PIPE = 141
"""128 and the number of SIGPIPE: what a shell says of any program that writes to a reader who has left."""

FULL_DISK = (errno.ENOSPC, errno.EDQUOT)
ADVICE = {
    errno.ENOENT: "See whether the name is right and its folder is there.",
    errno.ENOTDIR: "A part of that path is a file where a folder should be. See whether the name is right.",
    errno.EISDIR: "Name a file in it.",
    errno.EACCES: "Choose another place, or ask its owner for the right.",
    errno.EPERM: "Choose another place, or ask its owner for the right.",
    errno.EROFS: "Choose a place that can be written to.",
    errno.ENAMETOOLONG: "Choose a shorter name.",
    errno.ENOSPC: "Free some space, or choose another place.",
    errno.EDQUOT: "Free some space, or choose another place.",
}


class Wrong(Exception):
    """Something that ends the command: a sentence and an exit code."""

    def __init__(self, message: str, code: int = FAILED) -> None:
        super().__init__(message)
        self.code = code


class Usage(Wrong):
    """The command was given in a way that cannot be done."""

    def __init__(self, message: str) -> None:
        super().__init__(message, USAGE)


@contextmanager
def told() -> Iterator[None]:
    """Turn what goes wrong inside into one line and an exit code; whatever is not foreseen passes."""
    from rhapsode.errors import RhapsodeError

    try:
        yield
    except Wrong as error:
        _end(str(error), error.code)
    except RhapsodeError as error:
        _end(str(error), _code(error))
    except KeyboardInterrupt:
        _end("Interrupted.", INTERRUPTED)
    except BrokenPipeError:
        _end_quietly()
    except NoSoundDevice as error:
        _end(str(error), FAILED)
    except OSError as error:
        _end(_of_a_file(error), FAILED if error.errno in FULL_DISK else USAGE)


def _of_a_file(error: OSError) -> str:
    """What is wrong with which file, and what to do."""
    what = f"{error.filename}: {error.strerror}." if error.filename else f"{error.strerror or error}."
    return f"{what} {ADVICE.get(error.errno or 0, 'See whether it can be read or written.')}"


def _code(error: Exception) -> int:
    from rhapsode import errors

    if isinstance(error, errors.InvalidRequest | errors.VoiceNotFound | errors.VoiceExists):
        return USAGE
    if isinstance(error, errors.Unavailable):
        return UNREACHABLE
    return FULL if isinstance(error, errors.Overloaded) else FAILED


def _end(message: str, code: int) -> None:
    typer.echo(f"rhapsode: {' '.join(message.split())}", err=True)
    raise typer.Exit(code)


def _end_quietly() -> None:
    """Whoever read our output has enough, as `head` has: nothing to say, though not all was written.

    Python would complain once more when it closes standard output; there is nothing left to complain to.
    """
    with open(os.devnull, "w") as nothing:
        os.dup2(nothing.fileno(), sys.stdout.fileno())
    raise typer.Exit(BROKEN_PIPE)
