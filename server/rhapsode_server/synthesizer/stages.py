"""When each stage of an utterance began and ended, out of the stamps that were taken on the way.

What must not live here: a clock, spans of a tracer (telemetry/ has its own of the same stamps).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import Enum, unique

from rhapsode_server.engine.sequence import Stamps

MOST_PIECES = 16
"""Pieces of one utterance that are told of: a book's last message must stay a message."""


@unique
class Stage(Enum):
    """A stage of the way from text to sound."""

    RECEIVE = "receive"
    NORMALIZE = "normalize"
    QUEUE = "queue"
    PREFILL = "prefill"
    DECODE = "decode"
    VOCODE = "vocode"
    ENCODE = "encode"
    SEND = "send"


@dataclass(frozen=True, slots=True)
class StageTime:
    """A stage took from `start` to `end`, seconds after the call's arrival; for `busy` of them it worked.

    `piece` counts the pieces of the text; it is 0 for the stages of the whole utterance.
    """

    stage: Stage
    piece: int
    start: float
    end: float
    busy: float


@dataclass(slots=True)
class Spell:
    """A stage that comes again and again: its first beginning, its last end, and how long it worked."""

    first: float | None = None
    last: float = 0.0
    busy: float = 0.0

    def add(self, start: float, end: float) -> None:
        """It worked once more (seconds of one clock)."""
        self.first = start if self.first is None else self.first
        self.last = end
        self.busy += end - start


@dataclass(frozen=True, slots=True)
class Worked:
    """A piece's text was worked on from `started` to `ended`; the engine stamped the rest."""

    started: float
    ended: float
    stamps: Stamps


def timeline(
    received: float,
    arrived: float,
    pieces: Sequence[Worked],
    encode: Spell,
    send: Spell,
) -> tuple[StageTime, ...]:
    """All stages that have begun and ended, in the order of their beginnings.

    `received` is when the call came, `arrived` when its request had been read; all of one clock.
    """
    found = [StageTime(Stage.RECEIVE, 0, received, arrived, arrived - received)] if received < arrived else []
    for number, piece in enumerate(pieces[:MOST_PIECES]):
        found += _of_piece(number, piece)
    for stage, spell in ((Stage.ENCODE, encode), (Stage.SEND, send)):
        if spell.first is not None:
            found.append(StageTime(stage, 0, spell.first, spell.last, spell.busy))
    return tuple(sorted((_since(received, one) for one in found), key=lambda one: (one.start, one.end)))


def _of_piece(number: int, piece: Worked) -> Iterable[StageTime]:
    stamps = piece.stamps
    queued = stamps.admitted if stamps.admitted is not None else stamps.finished
    spells = (
        (Stage.NORMALIZE, piece.started, piece.ended, None),
        (Stage.QUEUE, stamps.submitted, queued, 0.0),
        (Stage.PREFILL, stamps.admitted, stamps.prefilled, stamps.prefill_busy),
        (Stage.DECODE, stamps.prefilled, stamps.last_frame, stamps.decode_busy),
        (Stage.VOCODE, stamps.first_frame, stamps.finished, stamps.vocode_busy),
    )
    for stage, start, end, busy in spells:
        if start is not None and end is not None:
            yield StageTime(stage, number, start, end, end - start if busy is None else busy)


def _since(nought: float, one: StageTime) -> StageTime:
    return StageTime(one.stage, one.piece, one.start - nought, max(one.start, one.end) - nought, one.busy)
