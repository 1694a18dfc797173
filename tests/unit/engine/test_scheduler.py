"""The scheduler is arithmetic: random lives of many sequences, and each rule of urgency by itself."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule
from rhapsode_server.core import Chunking, FinishReason, Priority
from rhapsode_server.engine.plan import Limits, Outcome, Plan
from rhapsode_server.engine.scheduler import Scheduler
from rhapsode_server.engine.sequence import Sequence, Stamps, Status
from rhapsode_server.engine.slots import Slots

FRAME = 0.1
CHUNKING = Chunking(first=2, largest=8, left=3, right=1)


def scheduler(slots: int = 4, limits: Limits | None = None, chunking: Chunking = CHUNKING) -> Scheduler:
    return Scheduler(Slots(slots, 100), chunking, FRAME, limits or Limits())


class Ids:
    """Numbers for sequences, in order."""

    def __init__(self) -> None:
        self.last = 0

    def sequence(self, max_frames: int = 50, **more: object) -> Sequence:
        self.last += 1
        return Sequence(self.last, 10, max_frames, Stamps(0.0), **more)  # type: ignore[arg-type]


def frame_each(plan: Plan, stop: set[Sequence] = frozenset()) -> Outcome:  # type: ignore[assignment]
    rows = len(plan.decode)
    return Outcome((True,) * rows, tuple(seq in stop for seq in plan.decode), (False,) * rows)


def step(it: Scheduler, now: float, stop: set[Sequence] = frozenset()) -> Plan:  # type: ignore[assignment]
    plan = it.plan(now)
    it.advance(plan, frame_each(plan, stop), now)
    it.check()
    return plan


class Lives(RuleBasedStateMachine):
    """Sequences are added, cancelled, fail and finish at random; the books always balance."""

    def __init__(self) -> None:
        super().__init__()
        self.ids, self.now = Ids(), 0.0
        self.it = scheduler(3, Limits(prefill=2, vocode_frames=9, comfort=0.3))
        self.all: list[Sequence] = []
        self.heard: dict[Sequence, list[int]] = {}
        self.seen: dict[Sequence, list[Status]] = {}

    @rule(
        frames=st.integers(1, 30),
        priority=st.sampled_from(Priority),
        limit=st.sampled_from([None, 0.5]),
        allowance=st.sampled_from([None, None, 0, 1, 5]),
    )
    def add(self, frames: int, priority: Priority, limit: float | None, allowance: int | None) -> None:
        before = self.all[-1] if self.all and self.all[-1].status is not Status.FINISHED else None
        seq = self.ids.sequence(
            frames,
            priority=priority,
            ahead_limit=limit,
            before=before,
            continues=before is not None,
            allowance=allowance,
        )
        self.all.append(seq)
        self.heard[seq], self.seen[seq] = [], [seq.status]
        self.it.add(seq)

    @precondition(lambda self: self.all)
    @rule(pick=st.integers(0, 99))
    def cancel(self, pick: int) -> None:
        seq = self.all[pick % len(self.all)]
        was_over = seq.status is Status.FINISHED
        assert self.it.cancel(seq) is not was_over
        assert seq.slot is None

    @precondition(lambda self: self.all)
    @rule(pick=st.integers(0, 99), more=st.sampled_from([None, 1, 4]), fewer=st.integers(0, 5))
    def feed(self, pick: int, more: int | None, fewer: int) -> None:
        seq = self.all[pick % len(self.all)]
        if seq.allowance is not None and seq.status is not Status.WAITING:
            allowance = None if more is None else seq.allowance + more
            self.it.feed(seq, allowance, max(1, seq.max_frames - fewer), self.now)

    @precondition(lambda self: self.it.running)
    @rule(pick=st.integers(0, 99), played=st.floats(0, 3), paused=st.booleans())
    def report(self, pick: int, played: float, paused: bool) -> None:
        self.it.report(self.it.running[pick % len(self.it.running)], self.now, played, paused)

    @rule(
        dice=st.lists(st.sampled_from(["frame", "skip", "stop", "runaway", "fail"]), min_size=3, max_size=3)
    )
    def step(self, dice: list[str]) -> None:
        self.now += 0.05
        plan = self.it.plan(self.now)
        for seq in plan.decode:
            assert seq.allowance is None or seq.made < seq.allowance, "a starving row is never decoded"
        for seq, window in plan.vocode:
            self.heard[seq] += range(window.begin, window.end)
        fate = dict(zip(plan.decode, dice, strict=False))
        failed = frozenset(seq for seq in plan.decode if fate[seq] == "fail")
        outcome = Outcome(
            tuple(fate[seq] in ("frame", "stop") for seq in plan.decode),
            tuple(fate[seq] == "stop" for seq in plan.decode),
            tuple(fate[seq] == "runaway" for seq in plan.decode),
            failed,
        )
        for seq in self.it.advance(plan, outcome, self.now):
            assert seq.status is Status.FINISHED

    @invariant()
    def the_books_balance(self) -> None:
        self.it.check()
        for seq in self.all:
            assert self.heard[seq] == list(range(len(self.heard[seq]))), "sound in order, once"
            assert 0 <= seq.sent <= seq.made
            assert seq.made <= seq.max_frames or seq.reason is FinishReason.LENGTH
            assert seq.allowance is None or seq.made <= seq.allowance
            if self.seen[seq][-1] is not seq.status:
                self.seen[seq].append(seq.status)
            order = [list(Status).index(status) for status in self.seen[seq]]
            assert order == sorted(order), "a status never goes back"
            if seq.reason in (FinishReason.STOP, FinishReason.LENGTH) and seq.status is Status.FINISHED:
                assert len(self.heard[seq]) == seq.made

    def teardown(self) -> None:
        for seq in self.it.running:
            self.it.report(seq, self.now, 0.0, paused=False)
        for seq in self.all:
            if seq.status is Status.WAITING:
                seq.allowance = None
            self.it.feed(seq, None, seq.max_frames, self.now)
        for _ in range(10_000):
            if self.it.idle:
                break
            plan = self.it.plan(self.now)
            assert not plan.empty or plan.wake_at is not None, "something waits for ever"
            self.now = max(self.now + 0.05, plan.wake_at or 0.0)
            self.it.advance(plan, frame_each(plan), self.now)
        assert self.it.idle
        assert self.it.slots.used == 0
        assert all(seq.reason for seq in self.all)


Lives.TestCase.settings = settings(max_examples=150, stateful_step_count=40, deadline=None)
TestLives = Lives.TestCase


def test_the_oldest_silent_sequence_goes_first_then_who_runs_dry_first() -> None:
    it, ids = scheduler(limits=Limits(comfort=99)), Ids()
    early, late = ids.sequence(), ids.sequence()
    it.add(early)
    for now in (0.0, 0.1, 0.2, 0.3):
        step(it, now)
    it.add(late)
    order = []
    for now in (0.4, 0.5, 0.6, 0.7, 0.8, 0.9):
        order += [seq for seq, _ in step(it, now).vocode]
    first_late = order.index(late)
    assert first_late < len(order) - 1
    plan_with_both = [seq for seq in order[first_late:] if seq is early]
    assert plan_with_both, "the early one is served again once the late one has sounded"


def test_one_step_holds_no_more_frames_than_it_may_but_always_one_window() -> None:
    it, ids = scheduler(limits=Limits(vocode_frames=1)), Ids()
    for _ in range(3):
        it.add(ids.sequence())
    counts = [len(step(it, now / 10).vocode) for now in range(6)]
    assert max(counts) == 1


def test_comfortable_streams_stand_back_while_somebody_waits_for_a_first_sound() -> None:
    it, ids = scheduler(limits=Limits(comfort=0.5)), Ids()
    rich = ids.sequence()
    it.add(rich)
    now = 0.0
    while rich.sent * FRAME < 1.0:
        step(it, now)
    poor = ids.sequence()
    it.add(poor)
    plan = it.plan(now)
    assert plan.decode == (poor,)
    assert [seq for seq, _ in plan.vocode] == []
    it.advance(plan, frame_each(plan), now)
    while not poor.chunks:
        assert rich not in step(it, now).decode
    assert rich in it.plan(now).decode


def test_a_stream_far_ahead_of_its_playback_sleeps_until_it_is_not() -> None:
    it, ids = scheduler(), Ids()
    seq = ids.sequence(ahead_limit=0.5)
    it.add(seq)
    plan = it.plan(0.0)
    while not plan.empty:
        it.advance(plan, frame_each(plan), 0.0)
        plan = it.plan(0.0)
    assert plan.wake_at is not None
    assert seq.sent * FRAME - plan.wake_at <= 0.5 + 1e-9
    assert seq.made < 50
    assert not it.plan(plan.wake_at + 1e-6).empty


def test_a_report_that_little_was_played_makes_a_stream_less_urgent() -> None:
    it, ids = scheduler(), Ids()
    seq = ids.sequence(ahead_limit=0.5)
    it.add(seq)
    while not seq.chunks:
        step(it, 0.0)
    it.report(seq, 10.0, played=0.0, paused=False)
    plan = it.plan(10.0)
    while not plan.empty:
        it.advance(plan, frame_each(plan), 10.0)
        plan = it.plan(10.0)
    assert seq.sent * FRAME <= 0.5 + CHUNKING.largest * FRAME


def test_a_paused_stream_is_not_worked_on() -> None:
    it, ids = scheduler(), Ids()
    seq = ids.sequence()
    it.add(seq)
    step(it, 0.0)
    it.report(seq, 0.0, 0.0, paused=True)
    plan = it.plan(100.0)
    assert plan.empty
    assert plan.wake_at is None
    it.report(seq, 0.0, 0.0, paused=False)
    assert not it.plan(100.0).empty


def starved(it: Scheduler, seq: Sequence, now: float = 0.0) -> None:
    """Step until nothing can be done for `seq` before more text comes."""
    it.add(seq)
    plan = it.plan(now)
    while not plan.empty:
        it.advance(plan, frame_each(plan), now)
        plan = it.plan(now)
    assert seq.starving


def test_a_starving_row_costs_no_work_until_it_is_fed() -> None:
    it, ids = scheduler(), Ids()
    seq = ids.sequence(allowance=7)
    starved(it, seq)
    assert (seq.made, seq.status) == (7, Status.DECODING)
    later = it.plan(100.0)
    assert later.empty
    assert later.wake_at is None, "there is nothing that time could change"
    it.feed(seq, 8, 50, 100.0)
    assert it.plan(100.0).decode == (seq,)


def test_a_starving_row_lets_others_go_ahead() -> None:
    """It waits for no sound of the engine's, so nobody stands back for it, and nobody is kept out for it."""
    it, ids = scheduler(8, Limits(comfort=0.5, prefill=4)), Ids()
    mute = ids.sequence(allowance=0)
    starved(it, mute)
    rich = ids.sequence()
    it.add(rich)
    while rich.sent * FRAME < 1.0:
        assert not step(it, 0.0).empty
    assert rich in it.plan(0.0).decode
    thin = ids.sequence(allowance=3)
    starved(it, thin, 0.0)
    for _ in range(3):
        it.add(ids.sequence())
    assert thin.playing_since == 0.0
    assert thin.sent * FRAME < 0.1 + Limits().press
    assert len(it.plan(0.1).prefill) == 3, "though its listener is about to run dry"


def test_the_time_that_a_listener_waited_for_text_is_not_made_up_for() -> None:
    it, ids = scheduler(), Ids()
    seq = ids.sequence(allowance=3, ahead_limit=0.5)
    starved(it, seq)
    assert seq.sent == 2
    it.feed(seq, None, 50, 60.0)
    plan = it.plan(60.0)
    while not plan.empty:
        it.advance(plan, frame_each(plan), 60.0)
        plan = it.plan(60.0)
    assert seq.sent * FRAME <= 0.5 + (CHUNKING.largest + 2) * FRAME, "no minute of sound is hurried ahead"


def test_a_row_ends_with_length_whether_its_text_is_complete_or_not() -> None:
    it, ids = scheduler(), Ids()
    full, cut = ids.sequence(max_frames=5, allowance=9), ids.sequence(allowance=4)
    it.add(full)
    starved(it, cut)
    assert (full.reason, full.made, full.status) == (FinishReason.LENGTH, 5, Status.FINISHED)
    it.feed(full, None, 50, 0.0)
    assert full.reason is FinishReason.LENGTH, "text that comes after the end is nobody's"
    it.feed(cut, None, 4, 0.0)
    step(it, 0.0)
    assert (cut.reason, cut.made, cut.sent) == (FinishReason.LENGTH, 4, 4)


def test_cancelled_while_starving_the_slot_is_free() -> None:
    it, ids = scheduler(slots=1), Ids()
    seq = ids.sequence(allowance=1)
    starved(it, seq)
    assert it.cancel(seq)
    assert it.slots.free == 1
    it.check()


def test_a_server_that_goes_waits_for_no_listener() -> None:
    """Neither the limit ahead of playback nor a pause may hold sound back that will be cut off."""
    it, ids = scheduler(), Ids()
    far, paused = ids.sequence(ahead_limit=0.5), ids.sequence()
    for seq in (far, paused):
        it.add(seq)
    plan = it.plan(0.0)
    while not plan.empty:
        it.report(paused, 0.0, 0.0, paused=True)
        it.advance(plan, frame_each(plan), 0.0)
        plan = it.plan(0.0)
    assert far.made < 50 > paused.made
    it.stop_pacing()
    while not it.idle:
        assert not step(it, 0.0).empty
    assert (far.sent, paused.sent) == (50, 50)


def test_a_continuation_overtakes_strangers_in_the_queue() -> None:
    it, ids = scheduler(slots=1), Ids()
    first, stranger = ids.sequence(), ids.sequence(priority=Priority.HIGH)
    follower = ids.sequence(before=first, continues=True)
    it.add(first)
    step(it, 0.0)
    it.add(stranger)
    it.add(follower)
    it.cancel(first)
    assert step(it, 0.1).prefill == (follower,)


def test_a_continuation_never_overtakes_what_it_continues() -> None:
    it, ids = scheduler(slots=1), Ids()
    first = ids.sequence()
    follower = ids.sequence(before=first, continues=True)
    it.add(follower)
    it.add(first)
    assert it.plan(0.0).prefill == (first,)


def test_the_last_free_slot_is_not_for_what_is_made_beside_what_it_continues() -> None:
    """Two callers of two pieces each took four slots, and who came next waited though they were two."""
    it, ids = scheduler(slots=4), Ids()
    firsts = [ids.sequence(), ids.sequence()]
    followers = [ids.sequence(before=first, continues=True) for first in firsts]
    for seq in (*firsts, *followers):
        it.add(seq)
    assert step(it, 0.0).prefill == (*firsts, followers[0])
    assert it.beside == 1
    newcomer = ids.sequence()
    it.add(newcomer)
    assert step(it, 0.1).prefill == (newcomer,)


def test_what_continues_an_end_may_take_the_last_slot() -> None:
    it, ids = scheduler(slots=2), Ids()
    first = ids.sequence()
    follower = ids.sequence(before=first, continues=True)
    it.add(first)
    it.add(follower)
    assert step(it, 0.0).prefill == (first,)
    step(it, 0.1, stop={first})
    assert first.status is Status.DRAINING
    assert step(it, 0.2).prefill == (follower,)


def test_a_continuation_is_as_urgent_as_the_end_of_what_it_continues() -> None:
    it, ids = scheduler(limits=Limits(comfort=0.0)), Ids()
    first = ids.sequence()
    follower = ids.sequence(before=first, continues=True)
    it.add(first)
    while not first.chunks:
        step(it, 0.0)
    it.add(follower)
    stranger = ids.sequence()
    it.add(stranger)
    plan = step(it, 0.0)
    assert stranger in plan.decode
    assert follower not in plan.decode, "its listener still has the sound of the first"


@given(st.integers(1, 20), st.integers(1, 20))
def test_priority_then_age(slots: int, waiting: int) -> None:
    it, ids = scheduler(slots, Limits(prefill=slots)), Ids()
    all_ = [ids.sequence(priority=list(Priority)[n % 3]) for n in range(waiting)]
    for seq in all_:
        it.add(seq)
    admitted = it.plan(0.0).prefill
    assert list(admitted) == sorted(all_, key=lambda seq: (seq.priority.value, seq.number))[:slots]


def test_stop_wins_over_length() -> None:
    it, ids = scheduler(), Ids()
    seq = ids.sequence(max_frames=1)
    it.add(seq)
    step(it, 0.0, {seq})
    assert seq.reason is FinishReason.STOP


def test_few_newcomers_are_let_in_while_somebody_is_about_to_run_dry() -> None:
    it, ids = scheduler(slots=9, limits=Limits(prefill=8, press=0.15)), Ids()
    seq = ids.sequence()
    it.add(seq)
    while not seq.chunks:
        step(it, 0.0)
    for _ in range(5):
        it.add(ids.sequence())
    dry_at = seq.sent * FRAME
    calm = it.plan(dry_at - 0.18)
    assert len(calm.prefill) == 5
    for one in calm.prefill:
        it.cancel(one)
    for _ in range(5):
        it.add(ids.sequence())
    assert len(it.plan(dry_at - 0.1).prefill) == 2


def test_who_has_waited_beyond_his_deadline_is_never_given_a_slot() -> None:
    it, ids = scheduler(1), Ids()
    holder, late, patient = ids.sequence(), ids.sequence(deadline=1.0), ids.sequence(deadline=9.0)
    for seq in (holder, late, patient):
        it.add(seq)
    assert it.plan(0.5).expired == ()
    it.cancel(holder)
    plan = it.plan(1.0)
    assert plan.expired == (late,)
    assert (late.status, late.reason) == (Status.FINISHED, FinishReason.DEADLINE)
    assert plan.prefill == (patient,)
    it.cancel(patient)
    assert it.idle
    it.check()


def test_a_deadline_does_not_end_what_has_a_slot() -> None:
    it, ids = scheduler(1), Ids()
    seq = ids.sequence(deadline=1.0)
    it.add(seq)
    step(it, 0.0)
    assert it.plan(2.0).expired == ()
    assert seq.status is Status.DECODING


def test_no_chunk_is_made_while_the_one_before_is_on_its_way() -> None:
    it, seq = scheduler(), Ids().sequence()
    it.add(seq)
    while not seq.chunks:
        step(it, 0.0)
    seq.delivered = 1
    for _ in range(40):
        assert not step(it, 0.0).vocode
    assert seq.held
    assert seq.made - seq.sent == CHUNKING.largest + CHUNKING.right, "a window may stand ready"
    assert step(it, 0.0).empty, "and then it waits"
    seq.taken = 1
    assert step(it, 0.0).vocode


def test_a_reader_is_not_waited_for_for_ever() -> None:
    """Somebody who takes nothing must not hold a slot: the piece is made to its end, at its pace."""
    it, seq = scheduler(limits=Limits(patience=2.0)), Ids().sequence(max_frames=40)
    it.add(seq)
    while not seq.chunks:
        step(it, 0.0)
    seq.delivered = 1
    while not (plan := step(it, 0.5)).empty:
        assert not plan.vocode
    assert plan.wake_at == 2.5, "since it was first held"
    now = 2.5
    while seq.status is not Status.FINISHED:
        step(it, now)
        now += 0.1
    assert seq.reason is FinishReason.LENGTH


def test_a_reader_who_comes_in_time_is_waited_for_again() -> None:
    it, seq = scheduler(limits=Limits(patience=2.0)), Ids().sequence(max_frames=40)
    it.add(seq)
    for number in range(1, 4):
        while seq.chunks < number:
            step(it, float(number))
        seq.delivered, seq.taken = number, number - 1
        assert not step(it, number + 0.9).vocode
        seq.taken = number
    assert seq.listens


def test_what_continues_a_sound_sounds_when_that_is_on_its_way() -> None:
    it, ids = scheduler(), Ids()
    first = ids.sequence(max_frames=4)
    later = ids.sequence(before=first, continues=True)
    it.add(first)
    it.add(later)
    while first.status is not Status.FINISHED:
        assert all(seq is first for seq, _ in step(it, 0.0).vocode)
        first.delivered = first.chunks
        first.taken = max(0, first.delivered - 1) if first.sent == 4 else first.delivered
    assert not step(it, 0.0).vocode
    assert later.made
    first.taken = first.delivered
    assert [seq for seq, _ in step(it, 0.0).vocode] == [later]


def test_a_listener_who_has_not_come_to_a_sound_yet_is_not_dry_when_it_ends() -> None:
    """Five seconds of what came before are left to be played."""
    it, seq = scheduler(), Ids().sequence(ahead_limit=5.0)
    it.add(seq)
    while not seq.chunks:
        step(it, 100.0)
    it.report(seq, 100.0, -5.0, paused=False)
    assert it.plan(100.0).empty
    assert it.plan(100.0).wake_at == 100.0 + seq.sent * FRAME
    it.report(seq, 100.0, None, paused=False)
    assert it.plan(100.0).empty, "nothing new is known"
    it.report(seq, 100.0, 0.0, paused=False)
    assert not it.plan(100.0).empty
