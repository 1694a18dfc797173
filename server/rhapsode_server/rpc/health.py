"""grpc.health.v1: is there life, and would a request be served?

"liveness" is NOT_SERVING where the engine has made no progress for too long: restart the process.
"readiness", "" and the name of the service are SERVING from the end of warm-up until the first SIGTERM,
unless the engine hangs. Overload is no reason: it is answered call by call, or all servers of a
deployment would leave together. What must not live here: the engine itself, signals.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import grpc
from grpc_health.v1 import health, health_pb2, health_pb2_grpc

LIVENESS = "liveness"
READINESS = ("", "readiness", "rhapsode.tts.v1.SpeechSynthesisService")

_WORDS = {
    True: health_pb2.HealthCheckResponse.SERVING,
    False: health_pb2.HealthCheckResponse.NOT_SERVING,
}


class Health:
    """What the probes are told. `ready` is what the process thinks of itself, `alive` what it sees."""

    def __init__(self) -> None:
        self._servicer = health.aio.HealthServicer()
        self._ready = False
        self._alive = True

    def add_to(self, server: grpc.aio.Server) -> None:
        """Answer on this server."""
        health_pb2_grpc.add_HealthServicer_to_server(self._servicer, server)

    async def set(self, *, ready: bool | None = None, alive: bool | None = None) -> None:
        """Tell what has changed; watchers are told at once."""
        self._ready = self._ready if ready is None else ready
        self._alive = self._alive if alive is None else alive
        await self._servicer.set(LIVENESS, _WORDS[self._alive])
        for name in READINESS:
            await self._servicer.set(name, _WORDS[self._ready and self._alive])

    async def follow(self, silence: Callable[[], float], hang_seconds: float) -> None:
        """Watch the engine's heartbeat; returns where it has been silent for twice `hang_seconds`.

        `silence` gives the seconds since the engine last made progress.
        """
        while (quiet := silence()) < 2 * hang_seconds:
            if self._alive != (quiet < hang_seconds):
                await self.set(alive=quiet < hang_seconds)
            left = hang_seconds - quiet  # so that it is told when the time is up, not at the next look
            await asyncio.sleep(min(1.0, hang_seconds / 4, left if left > 0 else 1.0))
        await self.set(alive=False)
