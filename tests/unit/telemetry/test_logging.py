"""Log lines: what they carry, and that an exception's message stays inside."""

from __future__ import annotations

import io
import json
import logging
from collections.abc import Iterator
from datetime import datetime

import pytest
from opentelemetry.trace import use_span
from rhapsode_server.telemetry import logging as lines

from tests.unit.telemetry.made import CANARY, Kept

log = logging.getLogger("rhapsode_server.test")


@pytest.fixture
def written() -> Iterator[io.StringIO]:
    """JSON lines of level info; the loggers are put back afterwards."""
    root = logging.getLogger()
    before, level = root.handlers[:], root.level
    stream = io.StringIO()
    lines.configure("json", "info", stream, request_id=lambda: "req-7")
    yield stream
    root.handlers[:] = before
    root.setLevel(level)


def last(written: io.StringIO) -> dict[str, object]:
    line: dict[str, object] = json.loads(written.getvalue().splitlines()[-1])
    return line


def test_a_line_is_one_object(written: io.StringIO) -> None:
    log.warning("%d voices\non two lines", 3)
    line = last(written)
    assert (line["level"], line["logger"]) == ("warning", "rhapsode_server.test")
    assert line["message"] == "3 voices\non two lines"
    assert line["request_id"] == "req-7"
    assert datetime.fromisoformat(str(line["time"])).tzinfo is not None


def test_a_line_written_in_a_span_carries_its_ids(written: io.StringIO, kept: Kept) -> None:
    span = kept.tracer.start_span("s")
    with use_span(span):
        log.info("inside")
    context = span.get_span_context()
    assert last(written)["trace_id"] == f"{context.trace_id:032x}"
    assert last(written)["span_id"] == f"{context.span_id:016x}"
    log.info("outside")
    assert "trace_id" not in last(written)


def test_facts_and_a_lines_own_request_id_are_written_and_nothing_else(written: io.StringIO) -> None:
    log.info("done", extra={"facts": {"seconds": 0.5}, "request_id": "other", "text": CANARY})
    line = last(written)
    assert (line["seconds"], line["request_id"]) == (0.5, "other")
    assert CANARY not in written.getvalue()


@pytest.mark.parametrize("form", ["json", "text"])
def test_an_exception_is_told_by_type_and_place_only(written: io.StringIO, form: str) -> None:
    lines.configure(form, "info", written)  # type: ignore[arg-type]
    try:
        int(CANARY)
    except ValueError:
        log.exception("failed")
    told = written.getvalue()
    assert CANARY not in told
    assert "ValueError" in told
    assert "test_logging.py" in told
    assert "int(" not in told


def test_the_sdk_repeats_itself_once_a_minute(written: io.StringIO) -> None:
    sdk = logging.getLogger("opentelemetry.exporter")
    for number in range(5):
        sdk.warning("collector %d is gone", number)
        log.warning("ours is always written")
    sdk.warning("something else")
    messages = [json.loads(line)["message"] for line in written.getvalue().splitlines()]
    assert messages.count("ours is always written") == 5
    assert [m for m in messages if not m.startswith("ours")] == ["collector 0 is gone", "something else"]


def test_after_a_minute_it_is_written_again() -> None:
    sparse = lines.Sparse(60.0)
    record = logging.makeLogRecord({"name": "opentelemetry.sdk", "msg": "gone"})
    written = []
    for record.created in (1000.0, 1059.0, 1060.0, 1061.0):
        written.append(sparse.filter(record))
    assert written == [True, False, True, False]


def test_text_is_for_people(written: io.StringIO) -> None:
    lines.configure("text", "info", written)
    log.info("ready", extra={"facts": {"port": 1}})
    assert "INFO" in written.getvalue()
    assert written.getvalue().endswith("rhapsode_server.test: ready port=1\n")


def test_lines_below_the_level_are_not_written(written: io.StringIO) -> None:
    log.debug("quiet")
    assert written.getvalue() == ""
