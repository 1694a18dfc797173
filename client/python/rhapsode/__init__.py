"""Speech from text over gRPC, as it is spoken.

    with rhapsode.Client("localhost:50051") as client:
        for chunk in client.synthesize("Hello!", voice="ion"):
            play(chunk.data)

`AsyncClient` is the same for asyncio. The messages on the wire are in `rhapsode.tts.v1`.
"""

from rhapsode.aio import AsyncClient, AsyncSpeechStream
from rhapsode.channel import Tls
from rhapsode.client import Client, SpeechStream
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
    VoiceNotFound,
)
from rhapsode.speech import (
    AudioChunk,
    Encoding,
    FinishReason,
    Priority,
    SpeechInfo,
    SpeechOptions,
    SpeechResult,
    Timings,
    Usage,
    Voice,
    Word,
)

__all__ = [
    "AsyncClient",
    "AsyncSpeechStream",
    "AudioChunk",
    "Cancelled",
    "Client",
    "DeadlineExceeded",
    "Encoding",
    "FinishReason",
    "Forbidden",
    "InvalidRequest",
    "Overloaded",
    "Priority",
    "RhapsodeError",
    "ServerFailed",
    "ServerUnreachable",
    "SpeechInfo",
    "SpeechOptions",
    "SpeechResult",
    "SpeechStream",
    "StreamBroken",
    "Timings",
    "Tls",
    "Unauthenticated",
    "Unavailable",
    "Unsupported",
    "Usage",
    "Voice",
    "VoiceNotFound",
    "Word",
]
