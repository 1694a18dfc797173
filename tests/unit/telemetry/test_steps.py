"""Which steps become spans, and when they are given up waiting for."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from opentelemetry.trace import SpanContext
from rhapsode_server.telemetry import names
from rhapsode_server.telemetry.steps import MOST_OPEN_STEPS, MOST_REMEMBERED, Steps

from tests.unit.telemetry.made import Kept, step

TRACED = SpanContext(1, 2, is_remote=False)


def test_one_step_in_so_many_is_kept(kept: Kept) -> None:
    steps = Steps(kept.step_tracer, every=10)
    for number in range(1, 31):
        steps.announced(step(number, 7))
    steps.reported(7, TRACED)
    assert [(span.attributes or {})[names.STEP] for span in kept.spans()] == [10, 20, 30]


def test_a_step_that_served_nobody_who_is_traced_is_forgotten(kept: Kept) -> None:
    steps = Steps(kept.step_tracer, every=1)
    steps.announced(step(1, 7, 8))
    steps.reported(7, None)
    steps.reported(8, None)
    steps.flush()
    assert kept.spans() == []


def test_a_step_announced_after_its_request_ended_still_links_to_it(kept: Kept) -> None:
    steps = Steps(kept.step_tracer, every=1)
    steps.reported(7, TRACED)
    steps.announced(step(1, 7))
    (span,) = kept.spans()
    assert [link.context for link in span.links] == [TRACED]


def test_a_request_that_never_ends_keeps_only_so_many_steps(kept: Kept) -> None:
    steps = Steps(kept.step_tracer, every=1)
    for number in range(MOST_OPEN_STEPS + 5):
        steps.announced(step(number, 7, 8))
        if number == 0:
            steps.reported(8, TRACED)
    assert [(span.attributes or {})[names.STEP] for span in kept.spans()] == list(range(5))
    assert len(steps.serving(7)) == MOST_OPEN_STEPS


def test_memory_of_ended_sequences_is_bounded(kept: Kept) -> None:
    steps = Steps(kept.step_tracer, every=1)
    for number in range(MOST_REMEMBERED + 1):
        steps.reported(number, TRACED)
    steps.announced(step(1, 0))
    assert kept.spans() == []


def test_an_idle_step_is_no_span(kept: Kept) -> None:
    steps = Steps(kept.step_tracer, every=1)
    steps.announced(step(1))
    steps.flush()
    assert kept.spans() == []


@given(st.lists(st.one_of(st.integers(-6, -1), st.integers(1, 6)), max_size=40))
def test_whatever_the_order_every_link_is_made_once(order: list[int]) -> None:
    """A positive number announces a step of sequences 1..n, a negative one ends that sequence."""
    kept = Kept()
    steps = Steps(kept.step_tracer, every=1)
    expected = 0
    for index, what in enumerate(order):
        if what > 0:
            steps.announced(step(index, *range(1, what + 1)))
            expected += what
        else:
            steps.reported(-what, TRACED)
    for number in range(1, 7):
        steps.reported(number, TRACED)
    assert sum(len(span.links) for span in kept.spans()) == expected
    assert len(kept.spans()) == sum(what > 0 for what in order)
