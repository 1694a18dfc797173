"""The one object that the composition root holds: what listens, when it is drained, how it ends.

What must not live here: a span, a metric, a name; the SDK's set-up (export.py).
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections import deque
from collections.abc import Callable
from importlib.metadata import PackageNotFoundError, version

from opentelemetry.context import Context

from rhapsode_server.engine.observer import SILENT, Observer, StepEvent
from rhapsode_server.errors import RhapsodeError
from rhapsode_server.synthesizer.events import UNRECORDED, Recorder
from rhapsode_server.telemetry import outcome
from rhapsode_server.telemetry.announcements import Announcements, Ended, StageFailure
from rhapsode_server.telemetry.call import current_ids
from rhapsode_server.telemetry.export import Exporting, Wanted, wanted
from rhapsode_server.telemetry.metrics import CreatedVoices, Load, Metrics
from rhapsode_server.telemetry.names import SERVICE, STEP_EVERY
from rhapsode_server.telemetry.server_interceptor import ServerInterceptor
from rhapsode_server.telemetry.steps import Steps
from rhapsode_server.telemetry.tracing import Utterances

PERIOD = 1.0
"""Seconds between two looks at what was announced: telemetry is in no hurry and never in the way, and many at
once cost less than one by one, for whose code the processor's caches are cold after a step."""

_AT_ONCE = 64
"""Announcements handled before others get their turn on the event loop."""


class Telemetry:
    """Off until an `Exporting` is given: then everything here is a null object."""

    def __init__(self, exporting: Exporting | None, step_every: int = STEP_EVERY) -> None:
        self.observer: Observer = SILENT
        self.recorder: Recorder = UNRECORDED
        self._listening = _Listening(exporting, step_every) if exporting else None
        if self._listening:
            self.observer = self.recorder = self._listening.announced

    @classmethod
    def from_environment(cls) -> Telemetry:
        """On or off as the OTEL_* variables say. Raises ConfigError."""
        what: Wanted = wanted()
        return cls(Exporting(what, _version()) if what else None)

    @property
    def on(self) -> bool:
        """Whether anything is exported."""
        return self._listening is not None

    @property
    def prometheus_port(self) -> int | None:
        """Where metrics are served for Prometheus, if they are."""
        return self._listening.exporting.prometheus_port if self._listening else None

    def interceptors(self, tenant: Callable[[], str] = str) -> tuple[ServerInterceptor, ...]:
        """For grpc.aio.server, before all others.

        `tenant` is the pseudonym of who calls, asked when the call ends and in its context; "" for nobody.
        """
        return (self._listening.interceptor(tenant),) if self._listening else ()

    def start(
        self,
        model: str,
        load: Callable[[], Load],
        heartbeat_age: Callable[[], float],
        created: CreatedVoices | None = None,
    ) -> None:
        """Begin to look at what is announced. What began before is a warm-up and passed over.

        Call it once, on the event loop, with time.monotonic as the engine's clock.

        `model` is the name that labels the metrics, `created` are the voices that callers make, if they may.
        """
        if self._listening:
            self._listening.start(model, load, heartbeat_age)
            if created is not None:
                self._listening.metrics.watch_voices(created)

    def trace_id(self) -> str:
        """The current call's trace in hexadecimal; "" where there is none."""
        return current_ids().get("trace_id", "") if self._listening else ""

    def context_ended(self, error: BaseException | None, sounded: bool) -> None:
        """An utterance of a session has ended, or was refused; its RPC goes on and will not tell.

        `error` is CancelledError where the client cancelled it, None where all went well.
        """
        if not self._listening:
            return
        metrics, cutting = self._listening.metrics, self._listening.cutting
        metrics.context(outcome.of_context(error, draining=cutting))
        if isinstance(error, RhapsodeError) and outcome.refuses(error) and not sounded:
            metrics.rejected(error.reason)

    def cutting(self) -> None:
        """What still runs is about to be cancelled by the server: so it was not the callers."""
        if self._listening:
            self._listening.cutting = True

    async def shutdown(self, deadline: float = 5.0) -> bool:
        """Hand over what is left, within `deadline` seconds; False where a collector did not take it."""
        return await self._listening.stop(deadline) if self._listening else True


class _Listening:
    """Telemetry that is on."""

    def __init__(self, exporting: Exporting, step_every: int) -> None:
        self.exporting = exporting
        self.announced = Announcements()
        self.cutting = False
        self.metrics = Metrics(exporting.meter)
        self._steps = Steps(exporting.step_tracer, step_every)
        self._utterances = Utterances(exporting.tracer, self._steps)
        self._pump: asyncio.Task[None] | None = None
        self._told: deque[Ended] = deque()
        self._since = 0.0
        self._ended = False

    def interceptor(self, tenant: Callable[[], str]) -> ServerInterceptor:
        return ServerInterceptor(self.exporting.tracer, self.metrics, lambda: self.cutting, tenant)

    def start(self, model: str, load: Callable[[], Load], heartbeat_age: Callable[[], float]) -> None:
        self._since = time.monotonic()
        self.metrics.watch(model, load, heartbeat_age)
        self._pump = asyncio.get_running_loop().create_task(self._listen())

    async def stop(self, deadline: float) -> bool:
        if self._ended:
            return True
        self._ended = True
        if self._pump is not None:
            self._pump.cancel()
            await asyncio.wait([self._pump])
        await self._drain()
        self._steps.flush()
        done = await _on_a_thread(self.exporting.close, deadline)
        if not done:
            self.exporting.abandon()
        return done

    async def _listen(self) -> None:
        while True:
            await asyncio.sleep(PERIOD)
            await self._drain()

    async def _drain(self) -> None:
        """Steps first: an utterance that ended links to the steps that served it.

        Nothing is lost where this is cancelled: the next one goes on with it.
        """
        handled = 0
        while (announcement := self.announced.take()) is not None:
            if isinstance(announcement, Ended):
                self._told.append(announcement)
            else:
                self._of_engine(announcement)
            handled += 1
            if handled % _AT_ONCE == 0:
                await asyncio.sleep(0)
        while self._told:
            each = self._told.popleft()
            if each.report.started >= self._since:
                context: Context = self._utterances.ended(each)
                self.metrics.utterance(each.report, context)
                await asyncio.sleep(0)
        self.metrics.tally()
        self.metrics.lost(self.announced.lost)

    def _of_engine(self, announcement: StepEvent | StageFailure) -> None:
        if isinstance(announcement, StageFailure):
            self.metrics.failed(announcement)
        elif announcement.started >= self._since:
            self.metrics.step(announcement)
            self._steps.announced(announcement)


async def _on_a_thread(work: Callable[[], None], deadline: float) -> bool:
    """Run `work` on a thread that may be left behind; whether it ended in time."""
    loop = asyncio.get_running_loop()
    done = asyncio.Event()

    def run() -> None:
        work()
        if not loop.is_closed():
            loop.call_soon_threadsafe(done.set)

    threading.Thread(target=run, name="rhapsode-telemetry-end", daemon=True).start()
    try:
        await asyncio.wait_for(done.wait(), deadline)
    except TimeoutError:
        return False
    return True


def _version() -> str:
    try:
        return version(SERVICE)
    except PackageNotFoundError:
        return "0"
