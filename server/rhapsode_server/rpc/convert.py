"""Protobuf <-> the nouns of core.py, and nothing else: no work, no waiting, no decision.

What cannot be expressed in core.py (an enum value from a newer client, a duration below zero) is refused
here, with the wire's name of the field.
"""

from __future__ import annotations

import secrets

from google.protobuf.duration_pb2 import Duration
from rhapsode.tts.v1 import audio_pb2, synthesis_pb2, voice_pb2

from rhapsode_server.core import (
    AudioFormat,
    Encoding,
    FinishReason,
    Priority,
    Request,
    SamplingParams,
    Voice,
)
from rhapsode_server.errors import FormatUnsupported, InvalidRequest
from rhapsode_server.synthesizer import (
    Audio,
    Done,
    Event,
    SpokenWord,
    Stage,
    StageTime,
    Started,
    Terms,
    Timings,
    Usage,
)

_ENCODINGS = {
    audio_pb2.AUDIO_ENCODING_UNSPECIFIED: Encoding.PCM_S16LE,
    audio_pb2.AUDIO_ENCODING_PCM_S16LE: Encoding.PCM_S16LE,
    audio_pb2.AUDIO_ENCODING_WAV: Encoding.WAV,
    audio_pb2.AUDIO_ENCODING_MULAW: Encoding.MULAW,
    audio_pb2.AUDIO_ENCODING_ALAW: Encoding.ALAW,
    audio_pb2.AUDIO_ENCODING_OGG_OPUS: Encoding.OGG_OPUS,
}
_ENCODING_NUMBERS = {encoding: number for number, encoding in _ENCODINGS.items() if number}
_PRIORITIES: dict[int, Priority] = {
    synthesis_pb2.PRIORITY_UNSPECIFIED: Priority.NORMAL,
    synthesis_pb2.PRIORITY_HIGH: Priority.HIGH,
    synthesis_pb2.PRIORITY_NORMAL: Priority.NORMAL,
    synthesis_pb2.PRIORITY_LOW: Priority.LOW,
}
_FINISH_REASONS = {
    FinishReason.STOP: synthesis_pb2.FINISH_REASON_STOP,
    FinishReason.LENGTH: synthesis_pb2.FINISH_REASON_LENGTH,
    FinishReason.CANCELLED: synthesis_pb2.FINISH_REASON_CANCELLED,
    FinishReason.DEADLINE: synthesis_pb2.FINISH_REASON_DEADLINE,
    FinishReason.RUNAWAY: synthesis_pb2.FINISH_REASON_RUNAWAY,
    FinishReason.ERROR: synthesis_pb2.FINISH_REASON_ERROR,
}

_STAGES = {
    Stage.RECEIVE: synthesis_pb2.STAGE_RECEIVE,
    Stage.NORMALIZE: synthesis_pb2.STAGE_NORMALIZE,
    Stage.QUEUE: synthesis_pb2.STAGE_QUEUE,
    Stage.PREFILL: synthesis_pb2.STAGE_PREFILL,
    Stage.DECODE: synthesis_pb2.STAGE_DECODE,
    Stage.VOCODE: synthesis_pb2.STAGE_VOCODE,
    Stage.ENCODE: synthesis_pb2.STAGE_ENCODE,
    Stage.SEND: synthesis_pb2.STAGE_SEND,
}

_MOST_SECONDS = 315_576_000_000
"""Ten thousand years: the most that google.protobuf.Duration allows."""

# ---- what the client says


def request(message: synthesis_pb2.SynthesizeRequest, request_id: str, tenant: str = "") -> Request:
    """The utterance that `tenant` asks for; `request_id` where it names none. Raises InvalidRequest."""
    return Request(
        request_id=message.request_id or request_id,
        text=message.text,
        voice=message.voice,
        audio=audio_format(message.audio_format),
        speed=message.speed or 1.0,
        seed=message.seed if message.HasField("seed") else secrets.randbits(32),
        language=message.language,
        instruction=message.instruction,
        sampling=sampling(message.sampling),
        priority=priority(message.priority),
        tenant=tenant,
    )


def terms(
    message: synthesis_pb2.SynthesizeRequest, time_left: float | None, received: float | None = None
) -> Terms:
    """Until when the sound is of use, and how fast it may come. Raises InvalidRequest."""
    longest = seconds(message.max_ttfa, "max_ttfa") if message.HasField("max_ttfa") else None
    if longest is not None and longest <= 0:
        raise InvalidRequest("max_ttfa", "max_ttfa must be longer than 0. Send such a duration, or none.")
    return Terms(time_left, longest, paced=paced(message.pace), received=received)


def paced(number: int) -> bool:
    """Whether the sound is for somebody who listens. Raises InvalidRequest for a number that is none."""
    if number not in synthesis_pb2.Pace.values():
        raise InvalidRequest("pace", f"Pace number {number} is not known here. Leave it out.")
    return number != synthesis_pb2.PACE_FASTEST


def audio_format(message: audio_pb2.AudioFormat) -> AudioFormat:
    """Raises FormatUnsupported for an encoding that this server has never heard of."""
    encoding = _ENCODINGS.get(message.encoding)
    if encoding is None:
        known = ", ".join(sorted(audio_pb2.AudioEncoding.Name(number) for number in _ENCODINGS if number))
        raise FormatUnsupported(
            "audio_format.encoding",
            f"There is no encoding number {message.encoding}. Use one of {known}.",
        )
    return AudioFormat(encoding, message.sample_rate_hz)


def sampling(message: synthesis_pb2.SamplingParams) -> SamplingParams:
    """What is absent stays None."""

    def chosen(name: str) -> float | None:
        return getattr(message, name) if message.HasField(name) else None

    top_k = chosen("top_k")
    return SamplingParams(
        temperature=chosen("temperature"),
        top_k=None if top_k is None else int(top_k),
        top_p=chosen("top_p"),
        repetition_penalty=chosen("repetition_penalty"),
    )


def priority(number: int) -> Priority:
    """Raises InvalidRequest for a number that is none."""
    if number not in _PRIORITIES:
        raise InvalidRequest("priority", f"Priority number {number} is not known here. Leave it out.")
    return _PRIORITIES[number]


def seconds(message: Duration, field: str) -> float:
    """A Duration in seconds. Raises InvalidRequest for one that its type does not allow; no parser does."""
    whole, nanos = message.seconds, message.nanos
    if abs(whole) > _MOST_SECONDS or abs(nanos) > 999_999_999 or whole * nanos < 0:
        raise InvalidRequest(
            field,
            f"{field} is no valid google.protobuf.Duration: it has at most {_MOST_SECONDS:,} seconds and"
            " 999,999,999 nanos, both of one sign. Send such a duration, or none.",
        )
    return float(whole) + nanos * 1e-9


# ---- what the server says


def response(event: Event, asked: Request, model: str, trace_id: str) -> synthesis_pb2.SynthesizeResponse:
    """One event of an utterance as a message of Synthesize."""
    match event:
        case Started():
            return synthesis_pb2.SynthesizeResponse(started=started(event, asked, model, trace_id))
        case Audio():
            return synthesis_pb2.SynthesizeResponse(audio=audio(event))
        case Done():
            return synthesis_pb2.SynthesizeResponse(done=done(event))


def started(event: Started, asked: Request, model: str, trace_id: str) -> synthesis_pb2.SynthesisStarted:
    """What the caller will really get."""
    estimate = event.estimated_first_audio
    return synthesis_pb2.SynthesisStarted(
        request_id=asked.request_id,
        trace_id=trace_id,
        voice=event.voice.name,
        model=model,
        audio_format=audio_pb2.AudioFormat(
            encoding=_ENCODING_NUMBERS[event.audio.encoding], sample_rate_hz=event.audio.sample_rate
        ),
        seed=asked.seed,
        queue_time=duration(event.waited),
        estimated_first_audio=None if estimate is None else duration(estimate),
    )


def audio(event: Audio) -> audio_pb2.AudioChunk:
    """One piece of sound."""
    return audio_pb2.AudioChunk(
        data=event.data,
        seq=event.seq,
        start_sample=event.start,
        sample_count=event.samples,
        words=[word(spoken) for spoken in event.words],
    )


def word(spoken: SpokenWord) -> audio_pb2.Word:
    """One word of the caller's text."""
    return audio_pb2.Word(
        text=spoken.text,
        char_start=spoken.char_start,
        char_end=spoken.char_end,
        start_sample=spoken.start,
        end_sample=spoken.end,
        exact=spoken.exact,
    )


def done(event: Done) -> synthesis_pb2.SynthesisDone:
    """The last message."""
    return synthesis_pb2.SynthesisDone(
        finish_reason=_FINISH_REASONS[event.reason], usage=usage(event.usage), timings=timings(event.timings)
    )


def usage(used: Usage) -> synthesis_pb2.Usage:
    """What an utterance took."""
    return synthesis_pb2.Usage(
        characters=used.characters,
        delivered_samples=used.delivered,
        generated_samples=used.generated,
        frames=used.frames,
    )


def timings(spent: Timings) -> synthesis_pb2.Timings:
    """Where the time went; `first_audio` is absent where there was none."""
    return synthesis_pb2.Timings(
        queue=duration(spent.queue),
        text=duration(spent.text),
        prefill=duration(spent.prefill),
        decode=duration(spent.decode),
        vocode=duration(spent.vocode),
        encode=duration(spent.encode),
        send=duration(spent.send),
        first_audio=None if spent.first_audio is None else duration(spent.first_audio),
        total=duration(spent.total),
        stages=[stage_time(one) for one in spent.stages],
    )


def stage_time(spent: StageTime) -> synthesis_pb2.StageTime:
    """When a stage was."""
    return synthesis_pb2.StageTime(
        stage=_STAGES[spent.stage],
        piece=spent.piece,
        start=duration(spent.start),
        end=duration(spent.end),
        busy=duration(spent.busy),
    )


def voice(known: Voice) -> voice_pb2.Voice:
    """A voice for a list."""
    return voice_pb2.Voice(
        name=known.name,
        model=known.model,
        languages=known.languages,
        sample_rate_hz=known.sample_rate,
        description=known.description,
        is_default=known.default,
        labels=dict(known.labels),
    )


def duration(time: float) -> Duration:
    """Seconds as a Duration, to the nanosecond."""
    message = Duration()
    message.FromNanoseconds(round(time * 1_000_000_000))
    return message
