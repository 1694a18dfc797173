"""From what gRPC raises to an error for people."""

from __future__ import annotations

from dataclasses import dataclass

import grpc
import pytest
import rhapsode
from google.rpc.error_details_pb2 import ErrorInfo
from google.rpc.status_pb2 import Status
from hypothesis import given
from hypothesis import strategies as st
from rhapsode.errors import RhapsodeError, from_rpc

KEY = "grpc-status-details-bin"


@dataclass
class Failed:
    """What a failed call of either kind offers."""

    status: grpc.StatusCode
    words: str | None = ""
    trailing: tuple[tuple[str, str | bytes], ...] | None = ()

    def code(self) -> grpc.StatusCode:
        return self.status

    def details(self) -> str | None:
        return self.words

    def trailing_metadata(self) -> tuple[tuple[str, str | bytes], ...] | None:
        return self.trailing


def details(code: int, domain: str = "rhapsode") -> tuple[tuple[str, str | bytes], ...]:
    """Trailing metadata with an ErrorInfo for a status of that number."""
    status = Status(code=code)
    status.details.add().Pack(ErrorInfo(reason="DRAINING", domain=domain))
    return ((KEY, status.SerializeToString()),)


@pytest.mark.parametrize("code", [code for code in grpc.StatusCode if code is not grpc.StatusCode.OK])
def test_every_status_becomes_one_sentence_with_its_code(code: grpc.StatusCode) -> None:
    error = from_rpc(Failed(code, None, None), "here:1")
    assert isinstance(error, RhapsodeError)
    assert error.code == code.name
    assert "here:1" in str(error)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("errors resolving nowhere.invalid:50051: Domain name not found", "name could not be resolved"),
        ("DNS resolution failed for a:1", "name could not be resolved"),
        ("failed to connect to all addresses; connect: Connection refused (111)", "connection was refused"),
        ("Ssl handshake failed (TSI_PROTOCOL_FAILURE): WRONG_VERSION_NUMBER", "TLS failed"),
        ("Socket closed", "connection was closed"),
        ("something new", "answers at here:1. Start"),
    ],
)
def test_why_nobody_answers(words: str, said: str) -> None:
    error = from_rpc(Failed(grpc.StatusCode.UNAVAILABLE, words), "here:1")
    assert isinstance(error, rhapsode.ServerUnreachable)
    assert said in str(error)


def test_a_server_that_says_it_is_leaving_is_not_unreachable() -> None:
    error = from_rpc(Failed(grpc.StatusCode.UNAVAILABLE, "Leaving.", details(14)), "here:1")
    assert type(error) is rhapsode.Unavailable
    assert (str(error), error.reason) == ("Leaving.", "DRAINING")


def test_a_message_that_is_too_large_is_no_full_server() -> None:
    words = "CLIENT: Received message larger than max (5000009 vs. 4194304)"
    error = from_rpc(Failed(grpc.StatusCode.RESOURCE_EXHAUSTED, words), "here:1")
    assert isinstance(error, rhapsode.InvalidRequest)
    assert "too large" in str(error)


@pytest.mark.parametrize("trailing", [details(14, "proxy.example"), details(8), ((KEY, b"\xff\xff"),)])
def test_details_of_others_are_not_believed(trailing: tuple[tuple[str, str | bytes], ...]) -> None:
    """A proxy's details, details of another status, and no details at all: nobody of ours answered."""
    error = from_rpc(Failed(grpc.StatusCode.UNAVAILABLE, "x", trailing), "here:1")
    assert isinstance(error, rhapsode.ServerUnreachable)


@given(data=st.binary(max_size=200), packed=st.binary(max_size=60))
def test_no_bytes_break_the_decoder(data: bytes, packed: bytes) -> None:
    status = Status(code=13)
    for name in ("ErrorInfo", "BadRequest", "RetryInfo", "RequestInfo"):
        status.details.add(type_url=f"type.googleapis.com/google.rpc.{name}", value=packed)
    for trailing in (((KEY, data),), ((KEY, status.SerializeToString()),)):
        error = from_rpc(Failed(grpc.StatusCode.INTERNAL, "x", trailing), "here:1")
        assert isinstance(error, rhapsode.ServerFailed)


@pytest.mark.parametrize("words", ["Deadline Exceeded", "Stream removed (Deadline Exceeded)"])
def test_a_deadline_of_grpcs_own_says_what_to_do(words: str) -> None:
    error = from_rpc(Failed(grpc.StatusCode.DEADLINE_EXCEEDED, words), "here:1")
    assert isinstance(error, rhapsode.DeadlineExceeded)
    assert "Allow more" in str(error)
    told = from_rpc(Failed(grpc.StatusCode.DEADLINE_EXCEEDED, "Too long.", details(4)), "here:1")
    assert str(told) == "Too long."
