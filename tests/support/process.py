"""A server as a process of its own, as people run it: `rhapsode serve`, signals, exit codes, memory.

What must not live here: a stand-in for the server. Listens on 127.0.0.1 only and is killed at the end.
"""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

RHAPSODE = ("-m", "rhapsode", "serve")
TOY = ("--model", "toy", "--threads", "1")
LISTENING = re.compile(r"listening on [^ ]*:(\d+);")


class ServerProcess:
    """`rhapsode serve` of this model with these further arguments."""

    def __init__(
        self,
        log: Path,
        *arguments: str,
        port: int = 0,
        environ: Mapping[str, str] | None = None,
        program: Sequence[str] = RHAPSODE,
        model: Sequence[str] = TOY,
    ) -> None:
        command = [sys.executable, *program, *model]
        kept = {name: value for name, value in os.environ.items() if not name.startswith("OTEL_")}
        self.log = log
        with log.open("wb") as written:
            self.popen = subprocess.Popen(
                [*command, "--port", str(port), *arguments],
                stdout=written,
                stderr=written,
                env=kept | dict(environ or {}),
            )
        self.port = self._listening()

    @property
    def target(self) -> str:
        """Where it is to be called."""
        return f"127.0.0.1:{self.port}"

    @property
    def said(self) -> str:
        """Its log so far."""
        return self.log.read_text(errors="replace")

    def wait_said(self, words: str) -> None:
        """Until its log has these words; a test that hangs is ended by its time limit."""
        while words not in self.said:
            if self.popen.poll() is not None and words not in self.said:
                raise AssertionError(f"it ended with {self.popen.returncode}:\n{self.said}")
            time.sleep(0.02)

    def ready(self) -> ServerProcess:
        """Wait until it serves."""
        self.wait_said(" ready: ")
        return self

    def signal(self, number: signal.Signals) -> None:
        """Send it a signal."""
        self.popen.send_signal(number)

    def resident(self) -> int:
        """Resident memory in bytes."""
        return int(self._proc("statm").split()[1]) * os.sysconf("SC_PAGE_SIZE")

    def descriptors(self) -> int:
        """Open files and sockets."""
        return len(os.listdir(f"/proc/{self.popen.pid}/fd"))

    def threads(self) -> int:
        """Threads of the process."""
        return len(os.listdir(f"/proc/{self.popen.pid}/task"))

    def processor_seconds(self) -> float:
        """Processor time so far, of user and system."""
        fields = self._proc("stat").rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def end(self) -> None:
        """Kill it where it still runs."""
        if self.popen.poll() is None:
            self.popen.kill()
        self.popen.wait()

    def _listening(self) -> int:
        while (found := LISTENING.search(self.said)) is None:
            if self.popen.poll() is not None:
                raise AssertionError(f"it ended with {self.popen.returncode}:\n{self.said}")
            time.sleep(0.02)
        return int(found[1])

    def _proc(self, name: str) -> str:
        return Path(f"/proc/{self.popen.pid}/{name}").read_text()


@contextmanager
def serving(
    folder: Path,
    *arguments: str,
    port: int = 0,
    environ: Mapping[str, str] | None = None,
    program: Sequence[str] = RHAPSODE,
) -> Iterator[ServerProcess]:
    """A server that is ready; killed at the end where the test has not ended it."""
    log = folder / f"server-{len(list(folder.glob('server-*.log')))}.log"
    server = ServerProcess(log, *arguments, port=port, environ=environ, program=program)
    try:
        yield server.ready()
    finally:
        server.end()


def settings(**values: object) -> list[str]:
    """`--set` for each; two underscores stand for the point."""
    given = ((name.replace("__", "."), value) for name, value in values.items())
    return [part for name, value in given for part in ("--set", f"{name}={value}")]


def free_port() -> int:
    """A port that nobody listens on."""
    with socket.socket() as asked:
        asked.bind(("127.0.0.1", 0))
        return int(asked.getsockname()[1])


def series(port: int, name: str) -> float:
    """The sum over all series of that name on a Prometheus page of this machine."""
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics") as answer:
        page = answer.read().decode()
    return sum(
        float(line.rpartition(" ")[2]) for line in page.splitlines() if re.match(rf"{name}[ {{]", line)
    )
