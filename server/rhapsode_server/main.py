"""`rhapsode serve`: the composition root, the only file that knows all others. Nothing imports it.

Start: settings, ports, model, engine, warm-up, ready. Ports come before the model, so that a port in use is
known at once and probes are answered while the model loads. End, each step with a deadline: not ready, stop
admitting, drain, cancel the rest, stop the engine, flush telemetry last; a second signal ends at once.

Exit codes: 0 as asked, 2 settings or model unusable, 69 port unavailable, 70 the engine died or hangs.
What must not live here: anything that a request passes through.
"""

from __future__ import annotations

import asyncio
import contextlib
import faulthandler
import logging
import os
import signal
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import TypeVar

import grpc
from rhapsode.tts.v1 import service_pb2_grpc, voice_service_pb2_grpc

from rhapsode_server import config, limits
from rhapsode_server.config import ModelSettings, Settings
from rhapsode_server.engine.engine import Engine
from rhapsode_server.errors import ConfigError, EngineStopped, GenerationFailed, ModelUnusable
from rhapsode_server.loading import alone, load_model, warm_up
from rhapsode_server.models.base import SpeechModel
from rhapsode_server.rpc import server as servers
from rhapsode_server.rpc.call import request_id, tenant
from rhapsode_server.rpc.gate import Gate
from rhapsode_server.rpc.health import Health
from rhapsode_server.rpc.interceptors import Edge
from rhapsode_server.rpc.load_reports import LoadReports
from rhapsode_server.rpc.security import Security
from rhapsode_server.rpc.server import PortUnavailable
from rhapsode_server.rpc.service import SpeechSynthesis
from rhapsode_server.rpc.session_events import Witness
from rhapsode_server.rpc.voices import VoiceMaking
from rhapsode_server.synthesizer import Synthesizer
from rhapsode_server.telemetry.logging import configure
from rhapsode_server.telemetry.telemetry import Telemetry
from rhapsode_server.text.desk import TextDesk
from rhapsode_server.voices.studio import Studio

log = logging.getLogger(__name__)
T = TypeVar("T")

AS_ASKED, UNUSABLE, NO_PORT, ENGINE_LOST = 0, 2, 69, 70
AFTER_DRAIN_SECONDS = 5.0
"""For each step after the drain: calls to learn that they are cancelled, the engine to stop."""
HUNG_SECONDS = 1.0
"""The same where the engine hangs: it will not stop, and its callers should learn it soon."""


def serve_command(argv: list[str]) -> int:
    """Run the server with these arguments; returns the exit code. A signal ends it."""
    try:
        settings = config.from_command_line(argv)
        told = settings.telemetry
        configure(told.log_format, told.log_level, request_id=request_id)
        return asyncio.run(_until_signalled(settings))
    except (ConfigError, ModelUnusable) as error:
        return _refused(error.message, UNUSABLE)
    except PortUnavailable as error:
        return _refused(error.message, NO_PORT)
    except (EngineStopped, GenerationFailed) as error:  # in the warm-up
        return _refused(error.message, ENGINE_LOST)
    except SystemExit as answered:  # argparse has shown its help, or what is wrong
        return answered.code if isinstance(answered.code, int) else UNUSABLE


class Serving:
    """One server from its ports to its end. `stop` asks it to end, `run` returns the exit code."""

    def __init__(
        self,
        settings: Settings,
        telemetry: Telemetry | None = None,
        load: Callable[[ModelSettings], SpeechModel] | None = None,
    ) -> None:
        self.settings = settings
        self.ready = asyncio.Event()
        self.port = 0
        self.health_port: int | None = None
        self.engine: Engine | None = None
        self.stuck = False
        self.patience = AFTER_DRAIN_SECONDS
        self.gate = Gate()
        self._telemetry = telemetry or Telemetry(None)
        self._load = load or load_model
        self._health = Health()
        self._servers: list[grpc.aio.Server] = []
        self._synthesizer: Synthesizer | None = None
        self._studio: Studio | None = None
        self._life: asyncio.Task[None] | None = None
        self._stop = asyncio.Event()
        self._lost = asyncio.Event()

    @property
    def lost(self) -> bool:
        """The engine has died or was found hung: whoever ends the process, its exit code is 70."""
        return self._lost.is_set()

    def stop(self) -> None:
        """End in order: what runs may finish, within `server.drain_seconds`."""
        self._stop.set()

    async def run(self) -> int:
        """Listen, load, serve, drain. Raises PortUnavailable, ModelUnusable, ConfigError."""
        log.info("settings: %s", " ".join(f"{n}={v!r}" for n, v in config.shown(self.settings).items()))
        await self._listen()
        self._life = life = asyncio.create_task(self._live())
        others = [asyncio.create_task(event.wait()) for event in (self._stop, self._lost)]
        try:
            await asyncio.wait([life, *others], return_when=asyncio.FIRST_COMPLETED)
            if life.done():
                life.result()
            elif self._silent():
                self._hung()  # liveness has said so already, and what waits for this engine waits in vain
        finally:
            if not self.ready.is_set():
                life.cancel()
            drains = self._stop.is_set() and not self.lost
            await self._end(self.settings.server.drain_seconds if drains else 0.0)
            for task in (life, *others):
                task.cancel()
        if self.engine is not None and isinstance(self.engine.fault, ConfigError):
            raise self.engine.fault
        return ENGINE_LOST if self.lost else AS_ASKED

    # ---- beginning

    async def _listen(self) -> None:
        """Take the ports and answer health probes; every other call is told NotReady."""
        wanted = self.settings.server
        security = Security.of(self.settings.security, self.settings.quotas)
        reports = LoadReports(lambda: self.engine.load() if self.engine else None)
        told = [reports] if wanted.load_reports else []
        edges = [*self._telemetry.interceptors(tenant), *told, Edge(), *security.guards]
        main = servers.build(limits.connections(self.settings), edges)
        if told:
            reports.add_to(main)
        service = SpeechSynthesis(
            self.gate,
            longest=wanted.max_stream_seconds,
            session=limits.sessions(self.settings),
            witness=Witness(self._telemetry.trace_id, self._telemetry.context_ended),
        )
        service_pb2_grpc.add_SpeechSynthesisServiceServicer_to_server(service, main)  # type: ignore[no-untyped-call]
        making = VoiceMaking(self.gate)
        voice_service_pb2_grpc.add_VoiceServiceServicer_to_server(making, main)  # type: ignore[no-untyped-call]
        self._health.add_to(main)
        if wanted.reflection:
            servers.reflect(main)
        self.port = servers.bind(main, wanted.host, wanted.port, "--port", security.credentials)
        self._servers.append(main)
        if wanted.health_port is not None:
            probes = servers.build(limits.connections(self.settings), [Edge()])
            self._health.add_to(probes)
            self.health_port = servers.bind(probes, wanted.host, wanted.health_port, "--health-port")
            self._servers.append(probes)
        await self._health.set(ready=False, alive=True)
        for server in self._servers:
            await server.start()
        log.info("listening on %s:%d; loading the model", wanted.host, self.port)

    async def _live(self) -> None:
        """Load, warm up, serve, also while it drains; returns where the engine hangs."""
        self.stuck = True
        model = await _in_thread(partial(self._load, self.settings.model))
        self.stuck = False
        self.engine = self._new_engine(model)
        self.engine.start()
        desk = TextDesk(
            reads=model.frontend.reads,
            longest=model.frontend.longest_piece,
            max_characters=self.settings.limits.max_characters,
        )
        await _in_thread(desk.warm)
        voices = limits.voices(self.settings, model)
        self._studio = Studio(model, voices, limits.uploads(self.settings), alone)
        self._synthesizer = Synthesizer(
            self.engine, desk, limits.manner(self.settings), self._telemetry.recorder, voices=voices
        )
        await warm_up(self._synthesizer)
        self._telemetry.start(model.name, self.engine.load, self.engine.heartbeat_age, voices.created)
        self.gate.open(self._synthesizer, self._studio)
        await self._health.set(ready=True)
        self.ready.set()
        log.info("ready: %d voices on %s:%d", len(model.voices), self.settings.server.host, self.port)
        await self._health.follow(self.engine.heartbeat_age, self.settings.engine.hang_seconds)
        self._hung()

    def _silent(self) -> bool:
        """The engine has served, and makes no progress for so long that probes are told."""
        limit = self.settings.engine.hang_seconds
        return bool(self.engine and self.ready.is_set() and self.engine.heartbeat_age() >= limit)

    def _hung(self) -> None:
        """Show where it hangs, once; it is lost, and so is all that it was asked for."""
        if self.lost:
            return
        log.critical("the engine makes no progress; where every thread stands is shown below")
        faulthandler.dump_traceback(all_threads=True)
        self.patience = min(self.patience, HUNG_SECONDS)
        self._lost.set()

    def _new_engine(self, model: SpeechModel) -> Engine:
        loop = asyncio.get_running_loop()

        def died() -> None:
            loop.call_soon_threadsafe(self._lost.set)

        return Engine(model, limits.engine(self.settings, model), self._telemetry.observer, on_death=died)

    # ---- end

    async def _end(self, drain_seconds: float) -> None:
        """Not ready, stop admitting, drain, cancel the rest, stop the engine; each with a deadline."""
        log.info("ending; %d calls are under way", self.gate.inside)
        await self._health.set(ready=False)
        self.gate.close(drain_seconds)
        # Clients are sent away now (GOAWAY) and look for other servers; calls under way are left alone. While
        # their connections stood they would go on choosing this server, only to be refused.
        leaving = [asyncio.create_task(server.stop(drain_seconds + 60)) for server in self._servers[:1]]
        if self.engine is not None:
            self.engine.drain()
            await self._wait_empty(drain_seconds, self._lost)
            if self._life is not None:
                self._life.cancel()  # its watch; an engine that has stopped makes no progress either
            self._telemetry.cutting()
            self.stuck = not await _in_thread(partial(self.engine.stop, self.patience))
            if self.stuck and self.ready.is_set():
                self._hung()
            await self._wait_empty(self.patience)
        for server in self._servers:
            await server.stop(grace=1.0)
        await asyncio.gather(*leaving)
        if self._studio is not None:
            self._studio.close()
        if self._synthesizer is not None:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._synthesizer.close(), self.patience)
        await self._telemetry.shutdown(self.patience)
        log.info("ended")

    async def _wait_empty(self, seconds: float, unless: asyncio.Event | None = None) -> None:
        """Until no call is inside, so many seconds have passed, or `unless` is set."""
        waits: list[asyncio.Task[object]] = [asyncio.create_task(self.gate.wait_empty())]
        if unless is not None:
            waits.append(asyncio.create_task(unless.wait()))
        await asyncio.wait(waits, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
        for wait in waits:
            wait.cancel()


async def _until_signalled(settings: Settings) -> int:
    """Run; the first SIGTERM or SIGINT ends in order, the second at once."""
    serving = Serving(settings, Telemetry.from_environment())

    def signalled(number: int) -> None:
        if asked.is_set():
            os._exit(ENGINE_LOST if serving.lost else 128 + number)
        asked.set()
        log.info("%s: draining; once more ends at once", signal.Signals(number).name)
        serving.stop()

    asked = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, signalled, number)
    code = await serving.run()
    if serving.stuck:
        logging.shutdown()
        os._exit(code)  # a thread is busy in foreign code, and the interpreter would wait for it
    return code


async def _in_thread(work: Callable[[], T]) -> T:
    """Run `work` on a thread of its own, for which nobody waits where the caller is cancelled."""
    pool = ThreadPoolExecutor(1)
    try:
        return await asyncio.get_running_loop().run_in_executor(pool, work)
    finally:
        pool.shutdown(wait=False)


def _refused(message: str, code: int) -> int:
    sys.stderr.write(f"rhapsode serve: {message}\n")
    return code
