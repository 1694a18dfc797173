"""What can go wrong for a caller, as one tree; `from_rpc` grows the right leaf from a failed call.

RhapsodeError
├── InvalidRequest        INVALID_ARGUMENT, FAILED_PRECONDITION, OUT_OF_RANGE: `field` says what to mend
├── VoiceNotFound         NOT_FOUND: `voices` are the names there are
├── VoiceExists           ALREADY_EXISTS: a voice is to be created under a name that is taken
├── Overloaded            RESOURCE_EXHAUSTED: `retry_after` seconds say when to come back
├── Unauthenticated       UNAUTHENTICATED: no key, or not a valid one
├── Forbidden             PERMISSION_DENIED
├── DeadlineExceeded      DEADLINE_EXCEEDED: not done within the time allowed
├── Cancelled             CANCELLED: by someone else than this caller
├── Unavailable           UNAVAILABLE: the server said that it is not ready, or going away
│   └── ServerUnreachable                no Rhapsode server answered, or the connection was lost
├── Unsupported           UNIMPLEMENTED: there is a server, but not one that can do this
├── ServerFailed          INTERNAL and whatever else
└── StreamBroken          DATA_LOSS: the server broke the contract: sound is missing, or the end is

What must not live here: making calls. Messages are the server's own sentence where it sent one.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, TypeVar

from google.protobuf.message import DecodeError, Message
from google.rpc.code_pb2 import Code
from google.rpc.error_details_pb2 import BadRequest, ErrorInfo, RequestInfo, RetryInfo
from google.rpc.status_pb2 import Status

from rhapsode.talk import Heard

DOMAIN = "rhapsode"
DETAILS_KEY = "grpc-status-details-bin"
Detail = TypeVar("Detail", bound=Message)


@dataclass(frozen=True, slots=True)
class Facts:
    """What the server added to its sentence, for programs; every part may be missing."""

    reason: str = ""
    field: str | None = None
    retry_after: float | None = None
    request_id: str = ""
    voices: tuple[str, ...] = ()
    from_server: bool = False


class RhapsodeError(Exception):
    """Base of all. `code` is the gRPC status by name, `reason` a stable word for programs ("" if none).

    `heard` says how far the listener had got where an utterance of a session has failed, else None.
    """

    default_code: ClassVar[str] = "UNKNOWN"

    def __init__(self, message: str, *, code: str = "", facts: Facts | None = None) -> None:
        super().__init__(message)
        facts = facts or Facts()
        self.message = message
        self.code = code or self.default_code
        self.reason = facts.reason
        self.field = facts.field
        self.retry_after = facts.retry_after
        self.request_id = facts.request_id
        self.voices = facts.voices
        self.heard: Heard | None = None


class InvalidRequest(RhapsodeError):
    """The request is wrong; `field` names what to mend."""

    default_code = "INVALID_ARGUMENT"


class VoiceNotFound(RhapsodeError):
    """The server has no voice of that name; `voices` are those it has."""

    default_code = "NOT_FOUND"


class VoiceExists(RhapsodeError):
    """There is a voice of that name already."""

    default_code = "ALREADY_EXISTS"


class Overloaded(RhapsodeError):
    """The server is full; come back after `retry_after` seconds."""

    default_code = "RESOURCE_EXHAUSTED"


class Unauthenticated(RhapsodeError):
    """No key, or not a valid one."""

    default_code = "UNAUTHENTICATED"


class Forbidden(RhapsodeError):
    """A valid key without the right."""

    default_code = "PERMISSION_DENIED"


class DeadlineExceeded(RhapsodeError):
    """It was not done in the time allowed."""

    default_code = "DEADLINE_EXCEEDED"


class Cancelled(RhapsodeError):
    """The call was cancelled, not by this caller."""

    default_code = "CANCELLED"


class Unavailable(RhapsodeError):
    """The server is not ready yet, or going away."""

    default_code = "UNAVAILABLE"


class ServerUnreachable(Unavailable):
    """No server answered, or the connection was lost."""


class Unsupported(RhapsodeError):
    """The server answers but does not offer this."""

    default_code = "UNIMPLEMENTED"


class ServerFailed(RhapsodeError):
    """The server failed."""

    default_code = "INTERNAL"


class StreamBroken(RhapsodeError):
    """The server broke the contract, so the sound cannot be trusted."""

    default_code = "DATA_LOSS"


_KINDS: Mapping[str, type[RhapsodeError]] = {
    kind.default_code: kind
    for kind in (
        *(InvalidRequest, VoiceNotFound, VoiceExists, Overloaded, Unauthenticated, Forbidden),
        *(DeadlineExceeded, Cancelled, Unavailable, Unsupported, ServerFailed, StreamBroken),
    )
} | {"FAILED_PRECONDITION": InvalidRequest, "OUT_OF_RANGE": InvalidRequest}

_CAUSES = (
    ("refused", "the connection was refused"),
    ("resolving", "the name could not be resolved"),
    ("resolution", "the name could not be resolved"),
    ("handshake", "TLS failed: see whether the server speaks TLS and which certificate it shows"),
    ("certificate", "TLS failed: see whether the server speaks TLS and which certificate it shows"),
    ("reset by peer", "the connection was closed"),
    ("socket closed", "the connection was closed"),
    ("timed out", "the connection timed out"),
    ("timeout", "the connection timed out"),
    ("unreachable", "the network has no way there"),
)


def from_rpc(error: Any, target: str, begun: bool = False) -> RhapsodeError:
    """The error for people that a failed call (grpc.RpcError of either kind) means.

    `begun` says that the server had answered already, so that it was there.
    """
    code: str = error.code().name
    words: str = error.details() or ""
    facts = _facts(error.code().value[0], error.trailing_metadata() or ())
    if code == "UNAVAILABLE" and not facts.from_server:
        said = _lost(target) if begun else _unreachable(words, target)
        return ServerUnreachable(said, facts=facts)
    if code == "UNIMPLEMENTED" and not facts.from_server:
        return Unsupported(_foreign(target), facts=facts)
    if "larger than max" in words and not facts.from_server:  # gRPC's own words and limit, not a full server
        return InvalidRequest("The request is too large for the server. Send the text in parts.", code=code)
    if code == "DEADLINE_EXCEEDED" and not facts.from_server:  # gRPC's own words say nothing of what to do
        words = ""
    return kind_of(code)(words or _wordless(code, target), code=code, facts=facts)


def from_status(status: Status) -> RhapsodeError:
    """The error that a server packed into a message, as a call of its own would have failed with it."""
    code = Code.Name(status.code) if status.code in Code.values() else "UNKNOWN"
    return kind_of(code)(status.message, code=code, facts=_facts_in(status))


def again(error: RhapsodeError, heard: Heard) -> RhapsodeError:
    """The same error for one utterance, of which so much was heard."""
    count = len(heard.text_spoken) + len(heard.text_remaining)
    said = f"{error.message} {heard.characters} of {count} characters had been heard."
    one = type(error)(said, code=error.code)
    for name in ("reason", "field", "retry_after", "request_id", "voices"):
        setattr(one, name, getattr(error, name))
    one.heard = heard
    return one


def kind_of(code: str) -> type[RhapsodeError]:
    """The class of errors with that gRPC status."""
    return _KINDS.get(code, ServerFailed)


def _unreachable(words: str, target: str) -> str:
    low = words.lower()
    cause = next((f" ({said})" for sign, said in _CAUSES if sign in low), "")
    return (
        f"No Rhapsode server answers at {target}{cause}."
        " Start one there with `rhapsode serve`, or give the address of one that runs."
    )


def _lost(target: str) -> str:
    return f"The connection to {target} was lost before all the sound had come. Try again."


def _foreign(target: str) -> str:
    return f"The server at {target} does not offer this: it is no Rhapsode server, or an older one."


def _wordless(code: str, target: str) -> str:
    if code == "DEADLINE_EXCEEDED":
        return f"The server at {target} did not finish in the time allowed. Allow more, or ask for less."
    return f"The call to {target} ended with {code} and no explanation."


def _facts(code: int, trailing: Iterable[tuple[str, Any]]) -> Facts:
    details = next((value for key, value in trailing if key == DETAILS_KEY), None)
    status = _status(details) if isinstance(details, bytes) else None
    return Facts() if status is None or status.code != code else _facts_in(status)


def _facts_in(status: Status) -> Facts:
    info, retry = _detail(status, ErrorInfo), _detail(status, RetryInfo)
    bad, request = _detail(status, BadRequest), _detail(status, RequestInfo)
    voices = info.metadata.get("voices", "") if info else ""
    return Facts(
        reason=info.reason if info else "",
        field=bad.field_violations[0].field if bad and bad.field_violations else None,
        retry_after=retry.retry_delay.ToNanoseconds() / 1e9 if retry else None,
        request_id=request.request_id if request else "",
        voices=tuple(voices.split(",")) if voices else (),
        from_server=info is not None and info.domain == DOMAIN,
    )


def _status(data: bytes) -> Status | None:
    try:
        return Status.FromString(data)
    except DecodeError:
        return None


def _detail(status: Status, kind: type[Detail]) -> Detail | None:
    for packed in status.details:
        found = kind()
        if packed.Is(kind.DESCRIPTOR) and _unpacks(packed, found):
            return found
    return None


def _unpacks(packed: Any, into: Message) -> bool:
    try:
        return bool(packed.Unpack(into))
    except DecodeError:
        return False
