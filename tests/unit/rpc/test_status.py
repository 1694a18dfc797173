"""One table: error -> answer, the same in code and in docs/errors.md."""

from __future__ import annotations

import re
from pathlib import Path

import grpc
import pytest
from google.rpc.error_details_pb2 import BadRequest, ErrorInfo, RequestInfo, RetryInfo
from google.rpc.status_pb2 import Status
from rhapsode_server import errors
from rhapsode_server.errors import (
    ConfigError,
    InvalidRequest,
    ModelUnusable,
    Overloaded,
    QuotaExceeded,
    RhapsodeError,
    TextRefused,
    TooManyContexts,
    TooManyUploads,
    VoiceNotFound,
)
from rhapsode_server.rpc.server import PortUnavailable
from rhapsode_server.rpc.status import DETAILS_KEY, PUSHBACK_KEY, Answer, answer, unexpected

DOCS = (Path(__file__).resolve().parents[3] / "docs" / "errors.md").read_text(encoding="utf-8")
ONLY_AT_START = (ModelUnusable, ConfigError, PortUnavailable)

MADE: dict[type[RhapsodeError], RhapsodeError] = {
    InvalidRequest: InvalidRequest("speed", "Sentence."),
    TextRefused: TextRefused("Sentence."),
    errors.FormatUnsupported: errors.FormatUnsupported("audio_format.sample_rate_hz", "Sentence."),
    errors.SettingUnsupported: errors.SettingUnsupported("sampling.top_k", "Sentence."),
    errors.ConsentRequired: errors.ConsentRequired("config.consent", "Sentence."),
    VoiceNotFound: VoiceNotFound("bob", ("alto", "bass")),
    Overloaded: Overloaded("Sentence.", 1.25),
    QuotaExceeded: QuotaExceeded("Sentence.", 0.5),
    TooManyContexts: TooManyContexts("Sentence.", 0.5),
    TooManyUploads: TooManyUploads("Sentence.", 0.5),
}


def kinds(root: type[RhapsodeError] = RhapsodeError) -> list[type[RhapsodeError]]:
    """Every class of errors.py below the root."""
    below = [kind for kind in root.__subclasses__() if kind.__module__ == errors.__name__]
    return below + [deeper for kind in below for deeper in kinds(kind)]


def made(kind: type[RhapsodeError]) -> RhapsodeError:
    return MADE[kind] if kind in MADE else kind("Sentence.")


def unpacked(told: Answer) -> tuple[Status, dict[str, object]]:
    status = Status.FromString(bytes(dict(told.trailing)[DETAILS_KEY]))  # type: ignore[arg-type]
    found: dict[str, object] = {}
    for packed in status.details:
        for kind in (ErrorInfo, BadRequest, RetryInfo, RequestInfo):
            if packed.Is(kind.DESCRIPTOR):
                detail = kind()
                packed.Unpack(detail)
                found[kind.__name__] = detail
    return status, found


@pytest.mark.parametrize("kind", kinds(), ids=lambda kind: kind.__name__)
def test_every_error_has_its_answer(kind: type[RhapsodeError]) -> None:
    error = made(kind)
    told = answer(error, "r-1")
    status, found = unpacked(told)
    assert told.code is grpc.StatusCode[kind.status]
    assert (status.code, status.message) == (told.code.value[0], error.message)
    info, request = found["ErrorInfo"], found["RequestInfo"]
    assert isinstance(info, ErrorInfo)
    assert isinstance(request, RequestInfo)
    assert (info.reason, info.domain, request.request_id) == (kind.reason, "rhapsode", "r-1")
    assert ("BadRequest" in found) == isinstance(error, InvalidRequest)
    assert ("RetryInfo" in found) == (PUSHBACK_KEY in dict(told.trailing)) == isinstance(error, Overloaded)


def test_a_field_is_named() -> None:
    bad = unpacked(answer(InvalidRequest("audio_format.encoding", "Mend it.")))[1]["BadRequest"]
    assert isinstance(bad, BadRequest)
    [violation] = bad.field_violations
    assert (violation.field, violation.description) == ("audio_format.encoding", "Mend it.")
    assert violation.reason == "INVALID_REQUEST"


def test_a_wait_is_told_to_people_programs_and_grpc() -> None:
    told = answer(Overloaded("Come back.", 1.2345))
    retry = unpacked(told)[1]["RetryInfo"]
    assert isinstance(retry, RetryInfo)
    assert retry.retry_delay.ToMilliseconds() == 1234
    assert dict(told.trailing)[PUSHBACK_KEY] in ("1234", "1235")


def test_voices_are_listed_for_programs() -> None:
    info = unpacked(answer(VoiceNotFound("bob", ("alto", "bass"))))[1]["ErrorInfo"]
    assert isinstance(info, ErrorInfo)
    assert dict(info.metadata) == {"voices": "alto,bass"}


def test_a_long_list_of_voices_still_fits_into_the_headers() -> None:
    """gRPC takes 8 KiB of them by default."""
    names = tuple(f"{number:064}" for number in range(500))
    told = answer(VoiceNotFound("x" * 9999, names, forgets=True), "r-1")
    assert "ListVoices" in told.message
    assert "create it again" in told.message
    sent = len(told.message) + sum(4 * len(value) // 3 for _, value in told.trailing)
    assert sent < 8000


def test_the_unforeseen_tells_an_id_and_nothing_else() -> None:
    told = unexpected("r-9")
    assert told.code is grpc.StatusCode.INTERNAL
    assert "r-9" in told.message
    assert unpacked(told)[1].keys() == {"ErrorInfo", "RequestInfo"}


def test_the_documents_table_is_the_codes_table() -> None:
    rows = re.findall(r"^\| `(\w+)` \| (\w+) \|", DOCS, re.MULTILINE)
    known = [(kind.reason, kind.status) for kind in kinds() if kind not in ONLY_AT_START]
    assert sorted(rows) == sorted([*known, (RhapsodeError.reason, RhapsodeError.status)])


def test_the_document_names_what_only_starts_meet() -> None:
    for kind in ONLY_AT_START:
        assert f"`{kind.reason}`" in DOCS.rpartition("##")[2]
