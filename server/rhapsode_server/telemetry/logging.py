"""Log lines: as text for people, as JSON with trace, span and request id for machines.

An exception is told by its type and the places it came through, never by its message: a message may quote
what was to be spoken. What must not live here: who logs what.
"""

from __future__ import annotations

import json
import logging
import sys
import traceback
from collections.abc import Callable
from datetime import UTC, datetime
from types import TracebackType
from typing import Literal, TextIO

from rhapsode_server.telemetry.call import current_ids

DEEPEST = 20
"""Frames of an exception that are told, the innermost ones."""

LEVELS = {"debug": logging.DEBUG, "info": logging.INFO, "warning": logging.WARNING, "error": logging.ERROR}


def configure(
    form: Literal["text", "json"] = "text",
    level: str = "info",
    to: TextIO | None = None,
    request_id: Callable[[], str] = str,
) -> None:
    """Send every logger's lines to `to` (standard error), in place of whatever was set up before.

    `request_id` names the request that the current task serves, or is "".
    """
    handler = logging.StreamHandler(to or sys.stderr)
    handler.setFormatter(JsonLines() if form == "json" else TextLines())
    handler.addFilter(Sparse())
    handler.addFilter(Named(request_id))
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(LEVELS[level])


class Named(logging.Filter):
    """Gives each line the id of the request it was written for, unless it says one itself."""

    def __init__(self, request_id: Callable[[], str]) -> None:
        super().__init__()
        self._request_id = request_id

    def filter(self, record: logging.LogRecord) -> bool:
        """Name the line; keep every line."""
        if not hasattr(record, "request_id"):
            record.request_id = self._request_id()
        return True


class Sparse(logging.Filter):
    """Lets the OpenTelemetry SDK repeat a complaint once a minute: a collector may be gone for days."""

    def __init__(self, seconds: float = 60.0) -> None:
        super().__init__()
        self._seconds = seconds
        self._last: dict[tuple[str, str], float] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        """Whether the line is written."""
        if not record.name.startswith("opentelemetry"):
            return True
        key = (record.name, str(record.msg))
        fresh = record.created - self._last.get(key, 0.0) >= self._seconds
        if fresh:
            self._last[key] = record.created
        return fresh


class JsonLines(logging.Formatter):
    """One JSON object a line."""

    def format(self, record: logging.LogRecord) -> str:
        """Time, level, logger and message; then trace and request, facts and exception where there are."""
        line: dict[str, object] = {
            "time": _time(record),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
            **current_ids(),
            **_facts(record),
        }
        if record.exc_info and record.exc_info[0]:
            line["error.type"] = record.exc_info[0].__qualname__
            line["error.at"] = places(record.exc_info[2])
        return json.dumps(line, ensure_ascii=False, default=str)


class TextLines(logging.Formatter):
    """For a terminal: time, level, logger, message, and what else there is as name=value."""

    def format(self, record: logging.LogRecord) -> str:
        """One line, and one more for each place of an exception."""
        facts = "".join(f" {name}={value}" for name, value in _facts(record).items())
        head = f"{_time(record)} {record.levelname:7} {record.name}: {record.getMessage()}{facts}"
        if not (record.exc_info and record.exc_info[0]):
            return head
        places_ = "".join(f"\n    {place}" for place in places(record.exc_info[2]))
        return f"{head} ({record.exc_info[0].__qualname__}){places_}"


def places(trace_back: TracebackType | None) -> list[str]:
    """`file:line in function` of every frame, outermost first; no source line, no value."""
    frames = traceback.extract_tb(trace_back)[-DEEPEST:]
    return [f"{frame.filename}:{frame.lineno} in {frame.name}" for frame in frames]


def _time(record: logging.LogRecord) -> str:
    return (
        datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    )


def _facts(record: logging.LogRecord) -> dict[str, object]:
    """What the line carries besides its message: `extra={"facts": {...}}` and "request_id", nothing else."""
    facts: dict[str, object] = dict(getattr(record, "facts", {}))
    named = getattr(record, "request_id", "")
    if named:
        facts["request_id"] = named
    return facts
