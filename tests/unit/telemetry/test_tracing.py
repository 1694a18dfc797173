"""Spans of utterances: every stage, under the call's trace, with counts and never the text."""

from __future__ import annotations

from dataclasses import replace

import pytest
from opentelemetry.context import Context
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF
from opentelemetry.trace import StatusCode, set_span_in_context
from rhapsode_server.core import FinishReason
from rhapsode_server.telemetry import names
from rhapsode_server.telemetry.announcements import Ended
from rhapsode_server.telemetry.call import Call
from rhapsode_server.telemetry.steps import Steps
from rhapsode_server.telemetry.tracing import MOST_PIECES, Utterances

from tests.unit.telemetry.made import CANARY, Kept, piece, report, step, unheard

OFFSET = 1_000_000_000_000
ENGINE_STAGES = (
    *(names.SPAN_NORMALIZE, names.SPAN_QUEUE, names.SPAN_PREFILL, names.SPAN_DECODE, names.SPAN_VOCODE),
)


def call(kept: Kept) -> Call:
    """A call that arrived 5 ms before its utterance began."""
    server = kept.tracer.start_span("server")
    context = set_span_in_context(server, Context())
    return Call("m", 99.985, OFFSET, context, single_request=True, messages=4)


def utterances(kept: Kept) -> tuple[Utterances, Steps]:
    steps = Steps(kept.step_tracer, every=1)
    return Utterances(kept.tracer, steps), steps


def test_every_stage_is_a_span_with_the_times_that_were_stamped(kept: Kept) -> None:
    builder, _ = utterances(kept)
    builder.ended(Ended(report(), call(kept)))
    seconds = {
        span.name: tuple(round((at - OFFSET) / 1e9, 3) for at in (span.start_time or 0, span.end_time or 0))
        for span in kept.spans()
    }
    assert seconds == {
        "text_to_speech toy": (99.99, 100.4),
        names.SPAN_RECEIVE: (99.985, 99.99),
        names.SPAN_NORMALIZE: (99.995, 100.0),
        names.SPAN_QUEUE: (100.0, 100.01),
        names.SPAN_PREFILL: (100.01, 100.03),
        names.SPAN_DECODE: (100.03, 100.34),
        names.SPAN_VOCODE: (100.04, 100.36),
        names.SPAN_ENCODE: (100.06, 100.4),
        names.SPAN_WRITE: (100.06, 100.4),
    }
    assert {name for name in seconds if name != "text_to_speech toy"} == set(names.STAGES)


def test_stages_lie_below_the_utterance_and_that_below_the_call(kept: Kept) -> None:
    builder, _ = utterances(kept)
    above = call(kept)
    builder.ended(Ended(report(), above))
    whole = kept.span("text_to_speech toy")
    assert whole.parent is not None
    for stage in kept.spans():
        assert stage.context.trace_id == whole.parent.trace_id
        under = whole.parent if stage.name in (names.SPAN_RECEIVE, whole.name) else whole.context
        assert stage.parent is not None
        assert stage.parent.span_id == under.span_id


def test_what_an_utterance_took_is_told_in_numbers(kept: Kept) -> None:
    builder, _ = utterances(kept)
    builder.ended(Ended(report(), call(kept)))
    attributes = dict(kept.span("text_to_speech toy").attributes or {})
    assert attributes[names.CHARACTERS] == len(CANARY)
    assert attributes[names.AUDIO_SECONDS] == 1.0
    assert attributes[names.REAL_TIME_FACTOR] == pytest.approx(0.3)
    assert attributes[names.FIRST_CHUNK] == 0.07
    decode = dict(kept.span(names.SPAN_DECODE).attributes or {})
    batch = [decode[name] for name in (names.BATCH_MIN, names.BATCH_MEAN, names.BATCH_MAX)]
    assert batch == [2, 4.0, 6]
    (event,) = kept.span("text_to_speech toy").events
    assert (event.name, event.timestamp) == (names.EVENT_FIRST_AUDIO, round(100.06e9) + OFFSET)


def test_nothing_that_was_said_is_told(kept: Kept) -> None:
    builder, _ = utterances(kept)
    builder.ended(Ended(report(failure="GENERATION_FAILED"), call(kept)))
    assert len(kept.spans()) > 5
    for span in kept.spans():
        assert not any(word in span.to_json() for word in CANARY.split("-"))


def test_a_failure_is_the_spans_status_and_a_word(kept: Kept) -> None:
    builder, _ = utterances(kept)
    builder.ended(Ended(report(failure="GENERATION_FAILED", reason=FinishReason.ERROR), call(kept)))
    span = kept.span("text_to_speech toy")
    assert span.status.status_code is StatusCode.ERROR
    assert not span.status.description
    assert (span.attributes or {})[names.ERROR_TYPE] == "GENERATION_FAILED"


@pytest.mark.parametrize(
    ("reason", "status"),
    [
        (FinishReason.STOP, StatusCode.UNSET),
        (FinishReason.CANCELLED, StatusCode.UNSET),
        (FinishReason.RUNAWAY, StatusCode.ERROR),
        (FinishReason.DEADLINE, StatusCode.ERROR),
    ],
)
def test_a_caller_who_leaves_is_no_error(kept: Kept, reason: FinishReason, status: StatusCode) -> None:
    builder, _ = utterances(kept)
    builder.ended(Ended(report(reason=reason), None))
    assert kept.span("text_to_speech toy").status.status_code is status


def test_an_utterance_given_up_while_waiting_has_only_the_stages_it_saw(kept: Kept) -> None:
    builder, _ = utterances(kept)
    builder.ended(Ended(unheard(), None))
    stages = {span.name for span in kept.spans()} - {"text_to_speech toy"}
    assert stages == {names.SPAN_NORMALIZE, names.SPAN_QUEUE}


def test_a_stream_of_requests_has_no_receiving_of_its_own(kept: Kept) -> None:
    builder, _ = utterances(kept)
    builder.ended(Ended(report(), replace(call(kept), single_request=False)))
    assert not kept.spans(names.SPAN_RECEIVE)


def test_a_book_does_not_hold_the_event_loop_up(kept: Kept) -> None:
    builder, _ = utterances(kept)
    builder.ended(Ended(report(*(piece(n) for n in range(200))), None))
    for stage in ENGINE_STAGES:
        assert len(kept.spans(stage)) == MOST_PIECES
    assert (kept.span("text_to_speech toy").attributes or {})[names.PIECES] == 200


def test_what_is_not_sampled_is_not_built() -> None:
    kept = Kept(ALWAYS_OFF)
    builder, steps = utterances(kept)
    steps.announced(step(1, 1))
    builder.ended(Ended(report(), None))
    assert kept.spans() == []


def test_requests_and_steps_link_to_each_other(kept: Kept) -> None:
    builder, steps = utterances(kept)
    steps.announced(step(1, 1, 2))
    steps.announced(step(2, 2))
    builder.ended(Ended(report(piece(1)), None))
    assert not kept.spans(names.SPAN_STEP)
    builder.ended(Ended(report(piece(2)), None))
    wholes = [span.context.span_id for span in kept.spans("text_to_speech toy")]
    by_step = {(span.attributes or {})[names.STEP]: span for span in kept.spans(names.SPAN_STEP)}
    assert {key: [link.context.span_id for link in span.links] for key, span in by_step.items()} == {
        1: wholes,
        2: wholes[1:],
    }
    back = [[link.context.span_id for link in span.links] for span in kept.spans(names.SPAN_DECODE)]
    ids = {key: span.context.span_id for key, span in by_step.items()}
    assert back == [[ids[1]], [ids[1], ids[2]]]


def test_a_step_is_the_root_of_a_trace_of_its_own(kept: Kept) -> None:
    builder, steps = utterances(kept)
    steps.announced(step(1, 1))
    builder.ended(Ended(report(piece(1)), call(kept)))
    span = kept.span(names.SPAN_STEP)
    assert span.parent is None
    assert span.end_time is not None
    assert span.start_time is not None
    assert span.end_time - span.start_time == pytest.approx(10_000_000, abs=10)
