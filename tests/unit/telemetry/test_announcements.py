"""The engine's thread writes down and never waits; what is too much is lost and counted."""

from __future__ import annotations

import threading

from opentelemetry.context import Context
from rhapsode_server.core import FinishReason
from rhapsode_server.engine.observer import SequenceEvent
from rhapsode_server.telemetry.announcements import Announcements, Ended, StageFailure
from rhapsode_server.telemetry.call import CURRENT, Call, current_ids, epoch

from tests.unit.telemetry.made import report, stamps, step


def test_announcements_come_out_in_order_and_then_none() -> None:
    announced = Announcements()
    announced.step_done(step(1, 7))
    announced.step_failed("decode", "ValueError", 2)
    announced.utterance_ended(report())
    kinds = [type(announced.take()).__name__ for _ in range(4)]
    assert kinds == ["StepEvent", "StageFailure", "Ended", "NoneType"]


def test_a_sequence_is_told_once_with_its_utterance() -> None:
    announced = Announcements()
    announced.sequence_finished(SequenceEvent(1, FinishReason.STOP, 3, 3, stamps()))
    assert announced.take() is None


def test_what_is_too_much_is_lost_oldest_first_and_counted() -> None:
    announced = Announcements(capacity=3)
    for number in range(5):
        announced.step_failed("decode", str(number), 1)
    assert announced.lost == 2
    assert announced.take() == StageFailure("decode", "2", 1)


def test_nothing_is_lost_between_two_threads() -> None:
    announced, taken = Announcements(), 0

    def write() -> None:
        for number in range(5000):
            announced.step_done(step(number, 1))

    writer = threading.Thread(target=write)
    writer.start()
    while writer.is_alive() or taken < 5000:
        taken += announced.take() is not None
    writer.join()
    assert (taken, announced.lost) == (5000, 0)


def test_an_utterance_finds_the_call_it_belongs_to() -> None:
    announced, call = Announcements(), Call("m", 0.0, 0, Context(), single_request=True)
    token = CURRENT.set(call)
    announced.utterance_ended(report())
    CURRENT.reset(token)
    ended = announced.take()
    assert isinstance(ended, Ended)
    assert ended.call is call


def test_times_are_moved_to_the_epoch_by_one_offset() -> None:
    assert epoch(1.5, 1_000) == 1_500_001_000


def test_without_a_span_there_are_no_ids() -> None:
    assert current_ids() == {}
