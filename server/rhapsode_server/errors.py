"""What can go wrong, as one tree; each error carries the gRPC answer that it implies.

RhapsodeError
├── InvalidRequest            INVALID_ARGUMENT     the caller can mend it: `field` says what, the message how
│   ├── TextRefused                                empty, too long, nothing speakable, control characters
│   ├── FormatUnsupported                          encoding or rate
│   ├── SettingUnsupported                         a sampling setting or instruction this family has not got
│   └── ConsentRequired                            a voice is to be cloned without its speaker's consent
├── VoiceNotFound             NOT_FOUND            the message lists the voices there are
├── VoiceExists               ALREADY_EXISTS       a voice is to be created under a name that is taken
├── VoiceTooLarge             FAILED_PRECONDITION  there is no room for it even when all others are given up
├── VoiceCreationUnsupported  UNIMPLEMENTED        this model, or this server, makes no such voices
├── Overloaded                RESOURCE_EXHAUSTED   `retry_after` seconds say when to come back
│   ├── QuotaExceeded                              the caller's own share is used up
│   ├── TooManyContexts                            a session has as many open as one may have
│   └── TooManyUploads                             as many recordings are on their way as may be
├── Unauthenticated           UNAUTHENTICATED      no key, or not a valid one
├── Forbidden                 PERMISSION_DENIED    a valid key without the right
├── DeadlineTooShort          DEADLINE_EXCEEDED    cannot be met, so no work was begun
├── StreamTooLong             DEADLINE_EXCEEDED    a call that falls too far behind its own sound
├── UploadTooSlow             DEADLINE_EXCEEDED    a recording did not come within the time for it
├── SessionIdle               ABORTED              nothing was said in a session for too long
├── Draining                  UNAVAILABLE          the server is going away: retry elsewhere
├── NotReady                  UNAVAILABLE          still loading or warming up
├── GenerationFailed          INTERNAL             the model failed this one utterance
├── EngineStopped             UNAVAILABLE          the engine ended under the request
├── ModelUnusable             FAILED_PRECONDITION  a checkpoint that cannot be loaded: says which file
└── ConfigError               FAILED_PRECONDITION  settings that cannot be used: says which key

What must not live here: gRPC itself (rpc/status.py turns these names into codes). Standard library only.
Messages are for people: one sentence of what is wrong, one of what to do. They never carry the text
to be spoken, a key or a stack trace.
"""

from __future__ import annotations

from typing import ClassVar


class RhapsodeError(Exception):
    """Base of all; `status` is a gRPC status name, `reason` a stable word for programs."""

    status: ClassVar[str] = "INTERNAL"
    reason: ClassVar[str] = "INTERNAL"

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.message = message


class InvalidRequest(RhapsodeError):
    """The request itself is wrong; `field` is the dotted name of the field to mend."""

    status = "INVALID_ARGUMENT"
    reason = "INVALID_REQUEST"

    def __init__(self, field: str, message: str) -> None:
        super().__init__(message)
        self.field = field


class TextRefused(InvalidRequest):
    """The text cannot be spoken."""

    reason = "TEXT_REFUSED"

    def __init__(self, message: str, field: str = "text") -> None:
        super().__init__(field, message)


class FormatUnsupported(InvalidRequest):
    """The audio format cannot be produced."""

    reason = "FORMAT_UNSUPPORTED"


class SettingUnsupported(InvalidRequest):
    """This model has no such setting."""

    reason = "SETTING_UNSUPPORTED"


class ConsentRequired(InvalidRequest):
    """Whoever is to be cloned has to have agreed."""

    reason = "CONSENT_REQUIRED"


class VoiceNotFound(RhapsodeError):
    """No voice of that name; the message lists those there are, `voices` has them as far as a header can.

    `forgets`: there are created voices here, and it may have been one of them.
    """

    status = "NOT_FOUND"
    reason = "VOICE_NOT_FOUND"

    def __init__(self, asked: str, voices: tuple[str, ...], *, forgets: bool = False) -> None:
        shown = asked if len(asked) <= 64 else asked[:64] + "…"
        more = f" and {len(voices) - 12} more, which ListVoices gives" if len(voices) > 12 else ""
        again = " If it was created here, create it again: such voices do not last." if forgets else ""
        super().__init__(
            f"There is no voice named {shown!r}. Choose one of: {', '.join(voices[:12])}{more}.{again}"
        )
        self.voices = voices[:50]


class VoiceExists(RhapsodeError):
    """The name is taken."""

    status = "ALREADY_EXISTS"
    reason = "VOICE_EXISTS"


class VoiceTooLarge(RhapsodeError):
    """A voice that takes more memory than all created voices together may."""

    status = "FAILED_PRECONDITION"
    reason = "VOICE_TOO_LARGE"


class VoiceCreationUnsupported(RhapsodeError):
    """Neither this request nor another one makes such a voice here; the message says what would."""

    status = "UNIMPLEMENTED"
    reason = "VOICE_CREATION_UNSUPPORTED"


class Overloaded(RhapsodeError):
    """All slots and the queue are taken; come back after `retry_after` seconds."""

    status = "RESOURCE_EXHAUSTED"
    reason = "OVERLOADED"

    def __init__(self, message: str, retry_after: float) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class QuotaExceeded(Overloaded):
    """The caller's own quota is used up."""

    reason = "QUOTA_EXCEEDED"


class TooManyContexts(Overloaded):
    """A session has as many contexts open as one may have."""

    reason = "TOO_MANY_CONTEXTS"


class TooManyUploads(Overloaded):
    """As many recordings are on their way as may be."""

    reason = "TOO_MANY_UPLOADS"


class Unauthenticated(RhapsodeError):
    """No key, or not a valid one."""

    status = "UNAUTHENTICATED"
    reason = "UNAUTHENTICATED"


class Forbidden(RhapsodeError):
    """A valid identity without the right."""

    status = "PERMISSION_DENIED"
    reason = "FORBIDDEN"


class DeadlineTooShort(RhapsodeError):
    """The caller's deadline cannot be met; nothing was begun."""

    status = "DEADLINE_EXCEEDED"
    reason = "DEADLINE_TOO_SHORT"


class StreamTooLong(RhapsodeError):
    """The call took so much longer than its sound lasts; what was sent is good."""

    status = "DEADLINE_EXCEEDED"
    reason = "STREAM_TOO_LONG"


class UploadTooSlow(RhapsodeError):
    """A recording was not there in time; nothing is kept of it."""

    status = "DEADLINE_EXCEEDED"
    reason = "UPLOAD_TOO_SLOW"


class SessionIdle(RhapsodeError):
    """Neither side said anything for as long as the session allows."""

    status = "ABORTED"
    reason = "SESSION_IDLE"


class Draining(RhapsodeError):
    """The server is shutting down."""

    status = "UNAVAILABLE"
    reason = "DRAINING"


class NotReady(RhapsodeError):
    """The server is still loading or warming up."""

    status = "UNAVAILABLE"
    reason = "NOT_READY"


class GenerationFailed(RhapsodeError):
    """The model failed this one utterance; others are unharmed."""

    status = "INTERNAL"
    reason = "GENERATION_FAILED"


class EngineStopped(RhapsodeError):
    """The engine ended before the utterance did."""

    status = "UNAVAILABLE"
    reason = "ENGINE_STOPPED"


class ModelUnusable(RhapsodeError):
    """A checkpoint that cannot be loaded; the message names the file and what to do."""

    status = "FAILED_PRECONDITION"
    reason = "MODEL_UNUSABLE"


class ConfigError(RhapsodeError):
    """Settings that cannot be used; the message names the key and what is allowed."""

    status = "FAILED_PRECONDITION"
    reason = "CONFIG_ERROR"


def place(error: BaseException) -> str:
    """File and line where an error was raised."""
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    return "an unknown place" if trace is None else f"{trace.tb_frame.f_code.co_filename}:{trace.tb_lineno}"
