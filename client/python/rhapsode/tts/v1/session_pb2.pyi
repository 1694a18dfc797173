import datetime

from google.protobuf import duration_pb2 as _duration_pb2
from google.rpc import status_pb2 as _status_pb2
from rhapsode.tts.v1 import audio_pb2 as _audio_pb2
from rhapsode.tts.v1 import synthesis_pb2 as _synthesis_pb2
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class ServerNoticeKind(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    SERVER_NOTICE_KIND_UNSPECIFIED: _ClassVar[ServerNoticeKind]
    SERVER_NOTICE_KIND_DRAINING: _ClassVar[ServerNoticeKind]
SERVER_NOTICE_KIND_UNSPECIFIED: ServerNoticeKind
SERVER_NOTICE_KIND_DRAINING: ServerNoticeKind

class StreamSynthesizeRequest(_message.Message):
    __slots__ = ("context_id", "session_config", "start_context", "text", "flush", "end_context", "cancel", "playback_report", "update_config", "ping")
    CONTEXT_ID_FIELD_NUMBER: _ClassVar[int]
    SESSION_CONFIG_FIELD_NUMBER: _ClassVar[int]
    START_CONTEXT_FIELD_NUMBER: _ClassVar[int]
    TEXT_FIELD_NUMBER: _ClassVar[int]
    FLUSH_FIELD_NUMBER: _ClassVar[int]
    END_CONTEXT_FIELD_NUMBER: _ClassVar[int]
    CANCEL_FIELD_NUMBER: _ClassVar[int]
    PLAYBACK_REPORT_FIELD_NUMBER: _ClassVar[int]
    UPDATE_CONFIG_FIELD_NUMBER: _ClassVar[int]
    PING_FIELD_NUMBER: _ClassVar[int]
    context_id: str
    session_config: SessionConfig
    start_context: StartContext
    text: TextInput
    flush: Flush
    end_context: EndContext
    cancel: Cancel
    playback_report: PlaybackReport
    update_config: UpdateConfig
    ping: Ping
    def __init__(self, context_id: _Optional[str] = ..., session_config: _Optional[_Union[SessionConfig, _Mapping]] = ..., start_context: _Optional[_Union[StartContext, _Mapping]] = ..., text: _Optional[_Union[TextInput, _Mapping]] = ..., flush: _Optional[_Union[Flush, _Mapping]] = ..., end_context: _Optional[_Union[EndContext, _Mapping]] = ..., cancel: _Optional[_Union[Cancel, _Mapping]] = ..., playback_report: _Optional[_Union[PlaybackReport, _Mapping]] = ..., update_config: _Optional[_Union[UpdateConfig, _Mapping]] = ..., ping: _Optional[_Union[Ping, _Mapping]] = ...) -> None: ...

class SessionConfig(_message.Message):
    __slots__ = ("voice", "audio_format", "speed", "language", "instruction", "sampling", "priority", "max_ahead", "idle_timeout", "pace")
    VOICE_FIELD_NUMBER: _ClassVar[int]
    AUDIO_FORMAT_FIELD_NUMBER: _ClassVar[int]
    SPEED_FIELD_NUMBER: _ClassVar[int]
    LANGUAGE_FIELD_NUMBER: _ClassVar[int]
    INSTRUCTION_FIELD_NUMBER: _ClassVar[int]
    SAMPLING_FIELD_NUMBER: _ClassVar[int]
    PRIORITY_FIELD_NUMBER: _ClassVar[int]
    MAX_AHEAD_FIELD_NUMBER: _ClassVar[int]
    IDLE_TIMEOUT_FIELD_NUMBER: _ClassVar[int]
    PACE_FIELD_NUMBER: _ClassVar[int]
    voice: str
    audio_format: _audio_pb2.AudioFormat
    speed: float
    language: str
    instruction: str
    sampling: _synthesis_pb2.SamplingParams
    priority: _synthesis_pb2.Priority
    max_ahead: _duration_pb2.Duration
    idle_timeout: _duration_pb2.Duration
    pace: _synthesis_pb2.Pace
    def __init__(self, voice: _Optional[str] = ..., audio_format: _Optional[_Union[_audio_pb2.AudioFormat, _Mapping]] = ..., speed: _Optional[float] = ..., language: _Optional[str] = ..., instruction: _Optional[str] = ..., sampling: _Optional[_Union[_synthesis_pb2.SamplingParams, _Mapping]] = ..., priority: _Optional[_Union[_synthesis_pb2.Priority, str]] = ..., max_ahead: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ..., idle_timeout: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ..., pace: _Optional[_Union[_synthesis_pb2.Pace, str]] = ...) -> None: ...

class StartContext(_message.Message):
    __slots__ = ("voice", "speed", "seed", "language", "instruction", "sampling", "priority", "max_ttfa", "request_id")
    VOICE_FIELD_NUMBER: _ClassVar[int]
    SPEED_FIELD_NUMBER: _ClassVar[int]
    SEED_FIELD_NUMBER: _ClassVar[int]
    LANGUAGE_FIELD_NUMBER: _ClassVar[int]
    INSTRUCTION_FIELD_NUMBER: _ClassVar[int]
    SAMPLING_FIELD_NUMBER: _ClassVar[int]
    PRIORITY_FIELD_NUMBER: _ClassVar[int]
    MAX_TTFA_FIELD_NUMBER: _ClassVar[int]
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    voice: str
    speed: float
    seed: int
    language: str
    instruction: str
    sampling: _synthesis_pb2.SamplingParams
    priority: _synthesis_pb2.Priority
    max_ttfa: _duration_pb2.Duration
    request_id: str
    def __init__(self, voice: _Optional[str] = ..., speed: _Optional[float] = ..., seed: _Optional[int] = ..., language: _Optional[str] = ..., instruction: _Optional[str] = ..., sampling: _Optional[_Union[_synthesis_pb2.SamplingParams, _Mapping]] = ..., priority: _Optional[_Union[_synthesis_pb2.Priority, str]] = ..., max_ttfa: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ..., request_id: _Optional[str] = ...) -> None: ...

class TextInput(_message.Message):
    __slots__ = ("text",)
    TEXT_FIELD_NUMBER: _ClassVar[int]
    text: str
    def __init__(self, text: _Optional[str] = ...) -> None: ...

class Flush(_message.Message):
    __slots__ = ("flush_id",)
    FLUSH_ID_FIELD_NUMBER: _ClassVar[int]
    flush_id: str
    def __init__(self, flush_id: _Optional[str] = ...) -> None: ...

class EndContext(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class Cancel(_message.Message):
    __slots__ = ("all", "playback_offset")
    ALL_FIELD_NUMBER: _ClassVar[int]
    PLAYBACK_OFFSET_FIELD_NUMBER: _ClassVar[int]
    all: bool
    playback_offset: int
    def __init__(self, all: bool = ..., playback_offset: _Optional[int] = ...) -> None: ...

class PlaybackReport(_message.Message):
    __slots__ = ("played_samples", "buffered_samples", "paused")
    PLAYED_SAMPLES_FIELD_NUMBER: _ClassVar[int]
    BUFFERED_SAMPLES_FIELD_NUMBER: _ClassVar[int]
    PAUSED_FIELD_NUMBER: _ClassVar[int]
    played_samples: int
    buffered_samples: int
    paused: bool
    def __init__(self, played_samples: _Optional[int] = ..., buffered_samples: _Optional[int] = ..., paused: bool = ...) -> None: ...

class UpdateConfig(_message.Message):
    __slots__ = ("speed",)
    SPEED_FIELD_NUMBER: _ClassVar[int]
    speed: float
    def __init__(self, speed: _Optional[float] = ...) -> None: ...

class Ping(_message.Message):
    __slots__ = ("nonce",)
    NONCE_FIELD_NUMBER: _ClassVar[int]
    nonce: int
    def __init__(self, nonce: _Optional[int] = ...) -> None: ...

class StreamSynthesizeResponse(_message.Message):
    __slots__ = ("context_id", "session_started", "context_started", "audio", "flush_done", "context_done", "context_cancelled", "warning", "context_error", "pong", "server_notice")
    CONTEXT_ID_FIELD_NUMBER: _ClassVar[int]
    SESSION_STARTED_FIELD_NUMBER: _ClassVar[int]
    CONTEXT_STARTED_FIELD_NUMBER: _ClassVar[int]
    AUDIO_FIELD_NUMBER: _ClassVar[int]
    FLUSH_DONE_FIELD_NUMBER: _ClassVar[int]
    CONTEXT_DONE_FIELD_NUMBER: _ClassVar[int]
    CONTEXT_CANCELLED_FIELD_NUMBER: _ClassVar[int]
    WARNING_FIELD_NUMBER: _ClassVar[int]
    CONTEXT_ERROR_FIELD_NUMBER: _ClassVar[int]
    PONG_FIELD_NUMBER: _ClassVar[int]
    SERVER_NOTICE_FIELD_NUMBER: _ClassVar[int]
    context_id: str
    session_started: SessionStarted
    context_started: _synthesis_pb2.SynthesisStarted
    audio: _audio_pb2.AudioChunk
    flush_done: FlushDone
    context_done: _synthesis_pb2.SynthesisDone
    context_cancelled: ContextCancelled
    warning: Warning
    context_error: _status_pb2.Status
    pong: Pong
    server_notice: ServerNotice
    def __init__(self, context_id: _Optional[str] = ..., session_started: _Optional[_Union[SessionStarted, _Mapping]] = ..., context_started: _Optional[_Union[_synthesis_pb2.SynthesisStarted, _Mapping]] = ..., audio: _Optional[_Union[_audio_pb2.AudioChunk, _Mapping]] = ..., flush_done: _Optional[_Union[FlushDone, _Mapping]] = ..., context_done: _Optional[_Union[_synthesis_pb2.SynthesisDone, _Mapping]] = ..., context_cancelled: _Optional[_Union[ContextCancelled, _Mapping]] = ..., warning: _Optional[_Union[Warning, _Mapping]] = ..., context_error: _Optional[_Union[_status_pb2.Status, _Mapping]] = ..., pong: _Optional[_Union[Pong, _Mapping]] = ..., server_notice: _Optional[_Union[ServerNotice, _Mapping]] = ...) -> None: ...

class SessionStarted(_message.Message):
    __slots__ = ("session_id", "server_version", "trace_id", "limits")
    SESSION_ID_FIELD_NUMBER: _ClassVar[int]
    SERVER_VERSION_FIELD_NUMBER: _ClassVar[int]
    TRACE_ID_FIELD_NUMBER: _ClassVar[int]
    LIMITS_FIELD_NUMBER: _ClassVar[int]
    session_id: str
    server_version: str
    trace_id: str
    limits: SessionLimits
    def __init__(self, session_id: _Optional[str] = ..., server_version: _Optional[str] = ..., trace_id: _Optional[str] = ..., limits: _Optional[_Union[SessionLimits, _Mapping]] = ...) -> None: ...

class SessionLimits(_message.Message):
    __slots__ = ("max_contexts", "max_context_characters", "max_ahead", "idle_timeout")
    MAX_CONTEXTS_FIELD_NUMBER: _ClassVar[int]
    MAX_CONTEXT_CHARACTERS_FIELD_NUMBER: _ClassVar[int]
    MAX_AHEAD_FIELD_NUMBER: _ClassVar[int]
    IDLE_TIMEOUT_FIELD_NUMBER: _ClassVar[int]
    max_contexts: int
    max_context_characters: int
    max_ahead: _duration_pb2.Duration
    idle_timeout: _duration_pb2.Duration
    def __init__(self, max_contexts: _Optional[int] = ..., max_context_characters: _Optional[int] = ..., max_ahead: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ..., idle_timeout: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ...) -> None: ...

class FlushDone(_message.Message):
    __slots__ = ("flush_id", "end_sample")
    FLUSH_ID_FIELD_NUMBER: _ClassVar[int]
    END_SAMPLE_FIELD_NUMBER: _ClassVar[int]
    flush_id: str
    end_sample: int
    def __init__(self, flush_id: _Optional[str] = ..., end_sample: _Optional[int] = ...) -> None: ...

class ContextCancelled(_message.Message):
    __slots__ = ("text_spoken", "text_remaining", "char_offset", "end_sample", "usage", "timings")
    TEXT_SPOKEN_FIELD_NUMBER: _ClassVar[int]
    TEXT_REMAINING_FIELD_NUMBER: _ClassVar[int]
    CHAR_OFFSET_FIELD_NUMBER: _ClassVar[int]
    END_SAMPLE_FIELD_NUMBER: _ClassVar[int]
    USAGE_FIELD_NUMBER: _ClassVar[int]
    TIMINGS_FIELD_NUMBER: _ClassVar[int]
    text_spoken: str
    text_remaining: str
    char_offset: int
    end_sample: int
    usage: _synthesis_pb2.Usage
    timings: _synthesis_pb2.Timings
    def __init__(self, text_spoken: _Optional[str] = ..., text_remaining: _Optional[str] = ..., char_offset: _Optional[int] = ..., end_sample: _Optional[int] = ..., usage: _Optional[_Union[_synthesis_pb2.Usage, _Mapping]] = ..., timings: _Optional[_Union[_synthesis_pb2.Timings, _Mapping]] = ...) -> None: ...

class Warning(_message.Message):
    __slots__ = ("reason", "message")
    REASON_FIELD_NUMBER: _ClassVar[int]
    MESSAGE_FIELD_NUMBER: _ClassVar[int]
    reason: str
    message: str
    def __init__(self, reason: _Optional[str] = ..., message: _Optional[str] = ...) -> None: ...

class Pong(_message.Message):
    __slots__ = ("nonce",)
    NONCE_FIELD_NUMBER: _ClassVar[int]
    nonce: int
    def __init__(self, nonce: _Optional[int] = ...) -> None: ...

class ServerNotice(_message.Message):
    __slots__ = ("kind", "time_left", "message")
    KIND_FIELD_NUMBER: _ClassVar[int]
    TIME_LEFT_FIELD_NUMBER: _ClassVar[int]
    MESSAGE_FIELD_NUMBER: _ClassVar[int]
    kind: ServerNoticeKind
    time_left: _duration_pb2.Duration
    message: str
    def __init__(self, kind: _Optional[_Union[ServerNoticeKind, str]] = ..., time_left: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ..., message: _Optional[str] = ...) -> None: ...
