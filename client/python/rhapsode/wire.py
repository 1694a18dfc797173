"""The client's nouns to protobuf and back.

What lives here: pure translation, and refusing what cannot be translated. What must not: calls, files.
"""

from __future__ import annotations

from datetime import timedelta
from enum import StrEnum
from typing import Any, TypeVar

from google.protobuf.duration_pb2 import Duration

from rhapsode import speech
from rhapsode.errors import Facts, InvalidRequest
from rhapsode.options import SpeechOptions, known
from rhapsode.speech import AudioChunk, Encoding, FinishReason, Pace, Priority, SpeechInfo
from rhapsode.tts.v1 import audio_pb2, synthesis_pb2, voice_pb2

ENCODINGS = {
    Encoding.PCM_S16LE: audio_pb2.AUDIO_ENCODING_PCM_S16LE,
    Encoding.WAV: audio_pb2.AUDIO_ENCODING_WAV,
    Encoding.MULAW: audio_pb2.AUDIO_ENCODING_MULAW,
    Encoding.ALAW: audio_pb2.AUDIO_ENCODING_ALAW,
    Encoding.OGG_OPUS: audio_pb2.AUDIO_ENCODING_OGG_OPUS,
}
PRIORITIES = {
    Priority.HIGH: synthesis_pb2.PRIORITY_HIGH,
    Priority.NORMAL: synthesis_pb2.PRIORITY_NORMAL,
    Priority.LOW: synthesis_pb2.PRIORITY_LOW,
}
PACES = {Pace.PLAYBACK: synthesis_pb2.PACE_PLAYBACK, Pace.FASTEST: synthesis_pb2.PACE_FASTEST}
FINISHES = {
    synthesis_pb2.FINISH_REASON_STOP: FinishReason.STOP,
    synthesis_pb2.FINISH_REASON_LENGTH: FinishReason.LENGTH,
    synthesis_pb2.FINISH_REASON_CANCELLED: FinishReason.CANCELLED,
    synthesis_pb2.FINISH_REASON_DEADLINE: FinishReason.DEADLINE,
    synthesis_pb2.FINISH_REASON_RUNAWAY: FinishReason.RUNAWAY,
    synthesis_pb2.FINISH_REASON_ERROR: FinishReason.ERROR,
}
STAGES = {
    getattr(synthesis_pb2, f"STAGE_{stage.name}"): stage
    for stage in speech.Stage
    if stage is not speech.Stage.UNKNOWN
}
SAMPLING = ("temperature", "top_k", "top_p", "repetition_penalty")
PLAIN = ("voice", "speed", "seed", "language", "instruction", "request_id")
Choice = TypeVar("Choice", bound=StrEnum)


def request(text: str, options: SpeechOptions) -> synthesis_pb2.SynthesizeRequest:
    """The request that says the same. Raises InvalidRequest where something cannot be said at all."""
    given = known(options, SpeechOptions)
    message = synthesis_pb2.SynthesizeRequest()
    put(message, "text", text)
    for name in PLAIN:
        put(message, name, given.get(name))
    put_shared(message, given)
    put_format(message, given)
    put_pace(message, given)
    put_max_ttfa(message, given)
    return message


def put_shared(message: Any, given: dict[str, Any]) -> None:
    """How the model draws, and who is served first."""
    if sampling := {name: given[name] for name in SAMPLING if given.get(name) is not None}:
        message.sampling.SetInParent()
        for name, value in sampling.items():
            put(message.sampling, name, value)
    if given.get("priority") is not None:
        message.priority = PRIORITIES[_choice(Priority, given["priority"], "priority")]


def put_format(message: Any, given: dict[str, Any]) -> None:
    """What the sound shall look like."""
    if given.get("format") is not None:
        encoding = _choice(Encoding, given["format"], "format")
        message.audio_format.encoding = ENCODINGS[encoding]
    if given.get("sample_rate") is not None:
        put(message.audio_format, "sample_rate_hz", given["sample_rate"])


def put_pace(message: Any, given: dict[str, Any]) -> None:
    """How fast the sound may come."""
    if given.get("pace") is not None:
        message.pace = PACES[_choice(Pace, given["pace"], "pace")]


def put_max_ttfa(message: Any, given: dict[str, Any]) -> None:
    """The longest wait for the first sound."""
    put_duration(message, "max_ttfa", given.get("max_ttfa"))


def put_duration(message: Any, name: str, seconds: float | None) -> None:
    """Set a time unless None; what no duration can hold is refused by name."""
    if seconds is None:
        return
    try:
        getattr(message, name).FromTimedelta(timedelta(seconds=seconds))
    except (ValueError, OverflowError) as error:  # NaN, infinity, more than ten thousand years
        raise _refused(name, f"The value for {name} cannot be sent: it is out of range.") from error


def put(message: Any, name: str, value: object) -> None:
    """Set a field unless None; text that is no Unicode, or a number that does not fit, is refused by name."""
    if value is None:
        return
    try:
        setattr(message, name, value)
    except (ValueError, OverflowError) as error:  # UnicodeEncodeError is a ValueError
        raise _refused(name, f"The value for {name} cannot be sent: {_why(error)}.") from error


def _why(error: Exception) -> str:
    return "it is not valid Unicode" if isinstance(error, UnicodeError) else "it is out of range"


def _choice(kind: type[Choice], value: str, name: str) -> Choice:
    try:
        return kind(value)
    except ValueError:
        choices = ", ".join(kind)
        raise _refused(name, f"There is no {name} {value!r}. Choose one of: {choices}.") from None


def _refused(name: str, message: str) -> InvalidRequest:
    return InvalidRequest(message, facts=Facts(field=name))


def info(message: synthesis_pb2.SynthesisStarted) -> SpeechInfo:
    """What the first message says."""
    encodings = {number: encoding for encoding, number in ENCODINGS.items()}
    estimated = message.HasField("estimated_first_audio")
    return SpeechInfo(
        request_id=message.request_id,
        trace_id=message.trace_id,
        voice=message.voice,
        model=message.model,
        encoding=encodings.get(message.audio_format.encoding, Encoding.PCM_S16LE),
        sample_rate=message.audio_format.sample_rate_hz,
        seed=message.seed,
        queue_time=seconds(message.queue_time),
        estimated_first_audio=seconds(message.estimated_first_audio) if estimated else None,
    )


def chunk(message: audio_pb2.AudioChunk) -> AudioChunk:
    """A piece of sound."""
    words = tuple(
        speech.Word(w.text, w.char_start, w.char_end, w.start_sample, w.end_sample, w.exact)
        for w in message.words
    )
    return AudioChunk(message.data, message.start_sample, message.sample_count, words)


def result(message: synthesis_pb2.SynthesisDone) -> speech.SpeechResult:
    """What the last message says."""
    return speech.SpeechResult(
        finish_reason=FINISHES.get(message.finish_reason, FinishReason.UNKNOWN),
        usage=usage(message.usage),
        timings=timings(message.timings),
        stages=tuple(stage_time(one) for one in message.timings.stages),
    )


def usage(message: synthesis_pb2.Usage) -> speech.Usage:
    """What an utterance took."""
    return speech.Usage(
        message.characters, message.delivered_samples, message.generated_samples, message.frames
    )


def timings(message: synthesis_pb2.Timings) -> speech.Timings:
    """Where the time went."""
    return speech.Timings(**{name: seconds(getattr(message, name)) for name in speech.Timings.__slots__})


def stage_time(message: synthesis_pb2.StageTime) -> speech.StageTime:
    """When a stage was."""
    spent = (seconds(message.start), seconds(message.end), seconds(message.busy))
    return speech.StageTime(STAGES.get(message.stage, speech.Stage.UNKNOWN), message.piece, *spent)


def voice(message: voice_pb2.Voice) -> speech.Voice:
    """A speaker."""
    return speech.Voice(
        name=message.name,
        model=message.model,
        languages=tuple(message.languages),
        sample_rate=message.sample_rate_hz,
        description=message.description,
        is_default=message.is_default,
        labels=dict(message.labels),
    )


def seconds(duration: Duration) -> float:
    """The duration in seconds."""
    return float(duration.ToNanoseconds()) / 1e9
