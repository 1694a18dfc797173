"""Speech from text over gRPC, as it is spoken.

    with rhapsode.Client("localhost:50051") as client:
        for chunk in client.synthesize("Hello!", voice="ion"):
            play(chunk.data)

`AsyncClient` is the same for asyncio. The messages on the wire are in `rhapsode.tts.v1`.

The names below are imported when they are first used: the command line must be able to quiet gRPC before
it is loaded, and to show its help without loading it.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rhapsode.aio import AsyncClient, AsyncSpeechStream
    from rhapsode.aio_context import AsyncContext, AsyncSpeech
    from rhapsode.aio_session import AsyncSession
    from rhapsode.channel import Tls
    from rhapsode.client import Client, SpeechStream
    from rhapsode.context import Context, Speech
    from rhapsode.errors import (
        Cancelled,
        DeadlineExceeded,
        Forbidden,
        InvalidRequest,
        Overloaded,
        RhapsodeError,
        ServerFailed,
        ServerUnreachable,
        StreamBroken,
        Unauthenticated,
        Unavailable,
        Unsupported,
        VoiceExists,
        VoiceNotFound,
    )
    from rhapsode.options import ContextOptions, SessionOptions, SpeechOptions
    from rhapsode.session import Session
    from rhapsode.speech import (
        AudioChunk,
        Encoding,
        FinishReason,
        Pace,
        Priority,
        SpeechInfo,
        SpeechResult,
        Stage,
        StageTime,
        Timings,
        Usage,
        Voice,
        Word,
    )
    from rhapsode.talk import (
        Draining,
        Flushed,
        Heard,
        SessionInfo,
        Warned,
    )

_HOMES = {
    "aio": ("AsyncClient", "AsyncSpeechStream"),
    "aio_context": ("AsyncContext", "AsyncSpeech"),
    "aio_session": ("AsyncSession",),
    "channel": ("Tls",),
    "client": ("Client", "SpeechStream"),
    "errors": (
        *("Cancelled", "DeadlineExceeded", "Forbidden", "InvalidRequest", "Overloaded", "RhapsodeError"),
        *("ServerFailed", "ServerUnreachable", "StreamBroken", "Unauthenticated", "Unavailable"),
        *("Unsupported", "VoiceExists", "VoiceNotFound"),
    ),
    "context": ("Context", "Speech"),
    "options": ("ContextOptions", "SessionOptions", "SpeechOptions"),
    "session": ("Session",),
    "talk": ("Draining", "Flushed", "Heard", "SessionInfo", "Warned"),
    "speech": (
        *("AudioChunk", "Encoding", "FinishReason", "Pace", "Priority", "SpeechInfo"),
        *("SpeechResult", "Stage", "StageTime", "Timings", "Usage", "Voice", "Word"),
    ),
}
_HOME_OF = {name: home for home, names in _HOMES.items() for name in names}


def __getattr__(name: str) -> Any:
    if name not in _HOME_OF:
        raise AttributeError(f"module 'rhapsode' has no attribute {name!r}")
    found = getattr(import_module(f"rhapsode.{_HOME_OF[name]}"), name)
    globals()[name] = found
    return found


__all__ = [
    "AsyncClient",
    "AsyncContext",
    "AsyncSession",
    "AsyncSpeech",
    "AsyncSpeechStream",
    "AudioChunk",
    "Cancelled",
    "Client",
    "Context",
    "ContextOptions",
    "DeadlineExceeded",
    "Draining",
    "Encoding",
    "FinishReason",
    "Flushed",
    "Forbidden",
    "Heard",
    "InvalidRequest",
    "Overloaded",
    "Pace",
    "Priority",
    "RhapsodeError",
    "ServerFailed",
    "ServerUnreachable",
    "Session",
    "SessionInfo",
    "SessionOptions",
    "Speech",
    "SpeechInfo",
    "SpeechOptions",
    "SpeechResult",
    "SpeechStream",
    "Stage",
    "StageTime",
    "StreamBroken",
    "Timings",
    "Tls",
    "Unauthenticated",
    "Unavailable",
    "Unsupported",
    "Usage",
    "Voice",
    "VoiceExists",
    "VoiceNotFound",
    "Warned",
    "Word",
]
