"""A server that says what a test tells it to say, over a real connection on this machine.

What must not live here: assertions, anything of the real server.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import grpc
from google.protobuf.any_pb2 import Any as Packed
from google.protobuf.duration_pb2 import Duration
from google.protobuf.message import Message
from google.rpc.error_details_pb2 import BadRequest, ErrorInfo, RequestInfo, RetryInfo
from google.rpc.status_pb2 import Status
from rhapsode.tts.v1 import audio_pb2, service_pb2_grpc, synthesis_pb2, voice_pb2

RATE = 24000
Answer = Callable[[synthesis_pb2.SynthesizeRequest, Any], Iterator[synthesis_pb2.SynthesizeResponse]]


STAGES = (
    (synthesis_pb2.STAGE_RECEIVE, 0, 0, 1, 1),
    (synthesis_pb2.STAGE_NORMALIZE, 0, 1, 5, 4),
    (synthesis_pb2.STAGE_DECODE, 0, 15, 115, 100),
    (synthesis_pb2.STAGE_NORMALIZE, 1, 20, 24, 4),
    (synthesis_pb2.STAGE_SEND, 0, 41, 200, 3),
    (synthesis_pb2.STAGE_DECODE, 2, 120, 180, 40),
    (99, 0, 190, 200, 1),
)
"""Stage, piece, start, end and busy time in ms, as `done` tells them."""


def stage_time(stage: int, piece: int, *times: int) -> synthesis_pb2.StageTime:
    """When a stage was."""
    start, end, busy = (Duration(nanos=ms * 1_000_000) for ms in times)
    return synthesis_pb2.StageTime(stage=stage, piece=piece, start=start, end=end, busy=busy)  # type: ignore[arg-type]


def started(encoding: int = audio_pb2.AUDIO_ENCODING_PCM_S16LE) -> synthesis_pb2.SynthesizeResponse:
    """The first message."""
    said = synthesis_pb2.SynthesisStarted(
        request_id="r-1",
        trace_id="0af7651916cd43dd8448eb211c80319c",
        voice="ion",
        model="ion-tiny",
        audio_format=audio_pb2.AudioFormat(encoding=encoding, sample_rate_hz=RATE),  # type: ignore[arg-type]
        seed=7,
        queue_time=Duration(nanos=2_000_000),
        estimated_first_audio=Duration(nanos=90_000_000),
    )
    return synthesis_pb2.SynthesizeResponse(started=said)


def audio(
    data: bytes, start: int, seq: int, count: int | None = None, words: tuple[audio_pb2.Word, ...] = ()
) -> synthesis_pb2.SynthesizeResponse:
    """A piece of sound; two bytes are a sample where `count` does not say otherwise."""
    count = len(data) // 2 if count is None else count
    piece = audio_pb2.AudioChunk(data=data, start_sample=start, sample_count=count, seq=seq, words=words)
    return synthesis_pb2.SynthesizeResponse(audio=piece)


def done(
    reason: int = synthesis_pb2.FINISH_REASON_STOP, samples: int = 0
) -> synthesis_pb2.SynthesizeResponse:
    """The last message."""
    usage = synthesis_pb2.Usage(characters=5, delivered_samples=samples, generated_samples=samples, frames=3)
    stages = {"queue": 2, "text": 4, "prefill": 8, "decode": 100, "vocode": 50, "encode": 1, "send": 3}
    durations = {name: Duration(nanos=ms * 1_000_000) for name, ms in stages.items()}
    timings = synthesis_pb2.Timings(first_audio=Duration(nanos=40_000_000), total=Duration(seconds=1))
    for name, duration in durations.items():
        getattr(timings, name).CopyFrom(duration)
    timings.stages.extend(stage_time(*times) for times in STAGES)
    said = synthesis_pb2.SynthesisDone(finish_reason=reason, usage=usage, timings=timings)  # type: ignore[arg-type]
    return synthesis_pb2.SynthesizeResponse(done=said)


def utterance(*pieces: bytes, encoding: int = audio_pb2.AUDIO_ENCODING_PCM_S16LE) -> Answer:
    """A whole utterance with these pieces of 16 bit samples."""

    def answer(*_: Any) -> Iterator[synthesis_pb2.SynthesizeResponse]:
        yield started(encoding)
        position = 0
        for seq, piece in enumerate(pieces):
            yield audio(piece, position, seq)
            position += len(piece) // 2
        yield done(samples=position)

    return answer


def refuse(
    context: Any,
    code: grpc.StatusCode,
    message: str,
    *,
    reason: str,
    field: str = "",
    retry_after: float | None = None,
    metadata: dict[str, str] | None = None,
) -> None:
    """Abort the call as the real server does: google.rpc details, and a pushback for what may be retried."""
    parts: list[Message] = [ErrorInfo(reason=reason, domain="rhapsode", metadata=metadata or {})]
    parts.append(RequestInfo(request_id="r-9"))
    if field:
        parts.append(BadRequest(field_violations=[BadRequest.FieldViolation(field=field)]))
    if retry_after is not None:
        parts.append(RetryInfo(retry_delay=Duration(nanos=round(retry_after * 1e9))))
    status = Status(code=code.value[0], message=message)
    for part in parts:
        packed = Packed()
        packed.Pack(part)
        status.details.append(packed)
    trailing: list[tuple[str, str | bytes]] = [("grpc-status-details-bin", status.SerializeToString())]
    if retry_after is not None:
        trailing.append(("grpc-retry-pushback-ms", str(round(retry_after * 1000))))
    context.set_trailing_metadata(trailing)
    context.abort(code, message)


class Fake(service_pb2_grpc.SpeechSynthesisServiceServicer):
    """The servicer. `answer` is called for every Synthesize; what came in is kept."""

    def __init__(self) -> None:
        self.answer: Answer = utterance(b"\x01\x00" * 100, b"\x02\x00" * 50)
        self.voices: list[voice_pb2.Voice] = []
        self.requests: list[synthesis_pb2.SynthesizeRequest] = []
        self.metadata: list[dict[str, str]] = []
        self.first_sent = threading.Event()
        self.gone = threading.Event()

    def Synthesize(self, request: Any, context: Any) -> Iterator[Any]:  # noqa: N802
        """Do as told."""
        self._keep(context)
        self.requests.append(request)
        context.add_callback(self.gone.set)
        yield from self.answer(request, context)

    def ListVoices(self, request: Any, context: Any) -> voice_pb2.ListVoicesResponse:  # noqa: N802
        """The voices that a test has set."""
        self._keep(context)
        chosen = [v for v in self.voices if not request.language or request.language in v.languages]
        return voice_pb2.ListVoicesResponse(voices=chosen)

    def _keep(self, context: Any) -> None:
        self.metadata.append({str(key): value for key, value in context.invocation_metadata()})

    def endless(self, _request: Any, context: Any) -> Iterator[synthesis_pb2.SynthesizeResponse]:
        """An answer that goes on until the caller gives up."""
        yield started()
        yield audio(b"\0\0" * 10, 0, 0)
        self.first_sent.set()
        self.gone.wait(30)


def serve(fake: Fake, secrets: Any = None) -> tuple[grpc.Server, str]:
    """Start a server for `fake` on a port that is free; gives the server and its address."""
    server = grpc.server(ThreadPoolExecutor(4))
    service_pb2_grpc.add_SpeechSynthesisServiceServicer_to_server(fake, server)  # type: ignore[no-untyped-call]
    here = "127.0.0.1:0"
    port = server.add_secure_port(here, secrets) if secrets else server.add_insecure_port(here)
    server.start()
    return server, f"127.0.0.1:{port}"
