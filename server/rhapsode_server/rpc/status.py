"""One table: what went wrong -> what the caller is told.

What lives here: the gRPC code, the google.rpc details and the trailing metadata of every error of errors.py.
What must not: deciding that something is wrong, logging, a servicer. The sentence is the error's own.

Details: always an ErrorInfo (reason, domain "rhapsode"); a BadRequest that names the field of an
InvalidRequest; a RetryInfo for what may be tried again, and then also `grpc-retry-pushback-ms`, which
stock gRPC clients with a retry policy obey by themselves (gRFC A6).
"""

from __future__ import annotations

from dataclasses import dataclass

import grpc
from google.protobuf.any_pb2 import Any
from google.protobuf.duration_pb2 import Duration
from google.protobuf.message import Message
from google.rpc.error_details_pb2 import BadRequest, ErrorInfo, RequestInfo, RetryInfo
from google.rpc.status_pb2 import Status

from rhapsode_server.errors import InvalidRequest, Overloaded, RhapsodeError, VoiceNotFound

DOMAIN = "rhapsode"
DETAILS_KEY = "grpc-status-details-bin"
PUSHBACK_KEY = "grpc-retry-pushback-ms"

Metadata = tuple[tuple[str, str | bytes], ...]


@dataclass(frozen=True, slots=True)
class Answer:
    """What `context.abort` is given."""

    code: grpc.StatusCode
    message: str
    trailing: Metadata


def answer(error: RhapsodeError, request_id: str = "") -> Answer:
    """The answer for one error; `request_id` goes into the details, so that a log line can be found."""
    code = grpc.StatusCode[error.status]
    details = _details(error, request_id)
    status = Status(code=code.value[0], message=error.message, details=[_packed(part) for part in details])
    trailing: Metadata = ((DETAILS_KEY, status.SerializeToString()),)
    if isinstance(error, Overloaded):
        trailing += ((PUSHBACK_KEY, str(round(error.retry_after * 1000))),)
    return Answer(code, error.message, trailing)


def unexpected(request_id: str) -> Answer:
    """The answer for an error that nobody foresaw: an id to ask about, and nothing of what happened."""
    return answer(Unexpected(request_id), request_id)


class Unexpected(RhapsodeError):
    """An exception that is not of errors.py reached the edge of an RPC."""

    reason = "INTERNAL"

    def __init__(self, request_id: str) -> None:
        super().__init__(
            "The server failed on this request in a way it did not foresee. Try again; if it happens"
            f" again, report the request id {request_id}."
        )


def _details(error: RhapsodeError, request_id: str) -> list[Message]:
    details: list[Message] = [ErrorInfo(reason=error.reason, domain=DOMAIN, metadata=_facts(error))]
    if isinstance(error, InvalidRequest):
        details.append(BadRequest(field_violations=[_violation(error)]))
    if isinstance(error, Overloaded):
        details.append(RetryInfo(retry_delay=_duration(error.retry_after)))
    if request_id:
        details.append(RequestInfo(request_id=request_id))
    return details


def _facts(error: RhapsodeError) -> dict[str, str]:
    return {"voices": ",".join(error.voices)} if isinstance(error, VoiceNotFound) else {}


def _violation(error: InvalidRequest) -> BadRequest.FieldViolation:
    return BadRequest.FieldViolation(field=error.field, description=error.message, reason=error.reason)


def _packed(message: Message) -> Any:
    packed = Any()
    packed.Pack(message)
    return packed


def _duration(seconds: float) -> Duration:
    whole = Duration()
    whole.FromNanoseconds(round(seconds * 1_000_000_000))
    return whole
