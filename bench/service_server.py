"""A server as a process of its own, for the benchmark of the service: started, looked at, ended."""

from __future__ import annotations

import re
import signal
import urllib.request
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType

from tests.support.process import ServerProcess, free_port

WASTED = re.compile(r'^tts_server_audio_wasted_seconds_total\{.*waste="(\w+)".*\} (\S+)$', re.MULTILINE)
SETTINGS = ("engine.slots=128", "engine.max_waiting=256", "server.max_concurrent_streams=200")


class Server(ServerProcess):
    """`with Server("toy", options, folder) as server`: it is ready within the block and ended after it."""

    def __init__(self, model: str, options: Sequence[str], folder: Path) -> None:
        self._metrics = free_port()
        settings = [part for setting in SETTINGS for part in ("--set", setting)]
        prometheus = {
            "OTEL_METRICS_EXPORTER": "prometheus",
            "OTEL_EXPORTER_PROMETHEUS_HOST": "127.0.0.1",
            "OTEL_EXPORTER_PROMETHEUS_PORT": str(self._metrics),
        }
        log = folder / "server.log"
        super().__init__(log, *settings, *options, environ=prometheus, model=("--model", model))

    def __enter__(self) -> Server:
        self.ready()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.signal(signal.SIGTERM)
        self.popen.wait()

    def wasted(self) -> dict[str, float]:
        """Seconds of sound made for nobody so far, by kind."""
        with urllib.request.urlopen(f"http://127.0.0.1:{self._metrics}/metrics") as answer:
            found = WASTED.findall(answer.read().decode())
        return {"unsent": 0.0, "unheard": 0.0} | {kind: float(seconds) for kind, seconds in found}
