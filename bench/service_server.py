"""A server as a process of its own, for the benchmark of the service: started, looked at, ended."""

from __future__ import annotations

import os
import re
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType

WASTED = re.compile(r'^tts_server_audio_wasted_seconds_total\{.*waste="(\w+)".*\} (\S+)$', re.MULTILINE)
SETTINGS = ("engine.slots=128", "engine.max_waiting=256", "server.max_concurrent_streams=200")


class Server:
    """`with Server("toy", options, folder) as server`: it is ready within the block and ended after it."""

    def __init__(self, model: str, options: Sequence[str], folder: Path) -> None:
        self.port, self._metrics = _free_port(), _free_port()
        settings = [part for setting in SETTINGS for part in ("--set", setting)]
        command = [sys.executable, "-m", "rhapsode", "serve", "--model", model, "--port", str(self.port)]
        prometheus = {
            "OTEL_METRICS_EXPORTER": "prometheus",
            "OTEL_EXPORTER_PROMETHEUS_HOST": "127.0.0.1",
            "OTEL_EXPORTER_PROMETHEUS_PORT": str(self._metrics),
        }
        self._log = folder / "server.log"
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(
                [*command, *settings, *options], stderr=log, stdout=log, env=os.environ | prometheus
            )

    def __enter__(self) -> Server:
        while " ready: " not in self._log.read_text():
            if self._process.poll() is not None:
                raise RuntimeError(self._log.read_text())
            time.sleep(0.05)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._process.terminate()
        self._process.wait()

    @property
    def target(self) -> str:
        """Where it is to be called."""
        return f"127.0.0.1:{self.port}"

    def wasted(self) -> dict[str, float]:
        """Seconds of sound made for nobody so far, by kind."""
        with urllib.request.urlopen(f"http://127.0.0.1:{self._metrics}/metrics") as answer:
            found = WASTED.findall(answer.read().decode())
        return {"unsent": 0.0, "unheard": 0.0} | {kind: float(seconds) for kind, seconds in found}

    def processor_seconds(self) -> float:
        """Processor time so far."""
        fields = Path(f"/proc/{self._process.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _free_port() -> int:
    with socket.socket() as asked:
        asked.bind(("127.0.0.1", 0))
        return int(asked.getsockname()[1])
