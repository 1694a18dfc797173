"""What the reliability tests share. The list of what must hold, R1 to R18, is docs/reliability.md.

Everything is on 127.0.0.1, bounded in count and in time, and ends by itself. What is quick counts, and
asserts nothing about the clock, which a busy machine would decide; the same at full size, with its times, is
`slow` and asks for the fixture `quiet`.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import grpc
import pytest
from rhapsode.tts.v1 import service_pb2_grpc, synthesis_pb2

LATE = 0.01
"""Seconds by which a timer may fire late on a machine that can judge times."""


@pytest.fixture
def quiet() -> None:
    """Skip where the machine is too busy for its clock to say anything about the server."""
    late = sorted(_lateness() for _ in range(200))[197]
    began, worked = time.monotonic(), time.process_time()
    while time.process_time() - worked < 0.5:
        pass
    share = 0.5 / (time.monotonic() - began)
    if late > LATE or share < 0.85:
        pytest.skip(f"the machine is busy: timers {1000 * late:.0f} ms late, {share:.0%} of a processor")


def _lateness() -> float:
    due = time.monotonic() + 0.003
    time.sleep(0.003)
    return time.monotonic() - due


def percentile(values: Iterable[float], share: float) -> float:
    """The smallest value that at least `share` of all do not exceed (nearest rank)."""
    ordered = sorted(values)
    return ordered[max(0, -int(-share * len(ordered) // 1) - 1)]


@dataclass
class Answer:
    """How one call of Synthesize went for its caller; times in seconds."""

    code: grpc.StatusCode = grpc.StatusCode.OK
    data: bytes = b""
    samples: int = 0
    reason: int = 0
    took: float = 0.0
    first: float | None = None
    gaps: tuple[float, ...] = ()
    words: str = ""
    trailing: Any = ()

    def trailing_metadata(self) -> Any:
        """As grpc.RpcError has it."""
        return self.trailing

    @property
    def whole(self) -> bool:
        """The whole text was spoken and its end was told."""
        return self.code is grpc.StatusCode.OK and self.reason == synthesis_pb2.FINISH_REASON_STOP


class Callers:
    """Blocking callers on threads: a refused stream of grpc.aio's client can break the interpreter."""

    def __init__(
        self,
        target: str,
        threads: int,
        channels: int = 1,
        options: Sequence[tuple[str, Any]] = (),
        metadata: Sequence[tuple[str, str]] = (),
    ) -> None:
        self._metadata = metadata
        own = (("grpc.use_local_subchannel_pool", 1), *options)
        self._channels = [grpc.insecure_channel(target, own) for _ in range(channels)]
        self._stubs = [service_pb2_grpc.SpeechSynthesisServiceStub(each) for each in self._channels]  # type: ignore[no-untyped-call]
        self._pool = ThreadPoolExecutor(threads)
        self.sounding = 0
        """Calls that have had their first sound."""

    def submit(self, number: int, request: synthesis_pb2.SynthesizeRequest) -> Future[Answer]:
        """Begin one call."""
        return self._pool.submit(self.one, number, request)

    def all(self, requests: Sequence[synthesis_pb2.SynthesizeRequest], **how: Any) -> list[Answer]:
        """Every request, as many at a time as there are threads; in order."""
        return list(self._pool.map(lambda pair: self.one(*pair, **how), enumerate(requests)))

    def one(
        self,
        number: int,
        request: synthesis_pb2.SynthesizeRequest,
        timeout: float | Callable[[int], float] | None = None,
        leave_after: int = 0,
    ) -> Answer:
        """One call to its end, or until it has `leave_after` messages."""
        began = last = time.monotonic()
        answer, gaps, messages = Answer(), [], 0
        limit = timeout(number) if callable(timeout) else timeout
        call = self._stubs[number % len(self._stubs)].Synthesize(
            request, timeout=limit, metadata=self._metadata
        )
        try:
            for message in call:
                messages += 1
                if message.HasField("audio"):
                    now = time.monotonic()
                    if answer.first is None:
                        answer.first = now - began
                        self.sounding += 1
                    else:
                        gaps.append(now - last)
                    last = now
                    answer.data += message.audio.data
                    answer.samples += message.audio.sample_count
                answer.reason = message.done.finish_reason
                if messages == leave_after:
                    call.cancel()
        except grpc.RpcError as error:
            answer.code, answer.words = error.code(), error.details() or ""
            answer.trailing = error.trailing_metadata()
        answer.took, answer.gaps = time.monotonic() - began, tuple(gaps)
        return answer

    def close(self) -> None:
        """End threads and connections."""
        self._pool.shutdown()
        for channel in self._channels:
            channel.close()


def asking(count: int, text: str = "", **fields: Any) -> list[synthesis_pb2.SynthesizeRequest]:
    """`count` requests with seeds of their own, so that each has a sound of its own."""
    return [
        synthesis_pb2.SynthesizeRequest(
            text=text or f"This is utterance number {seed}.", **{"seed": seed, **fields}
        )
        for seed in range(count)
    ]
