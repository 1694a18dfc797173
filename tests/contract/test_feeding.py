"""Text as it arrives: however it is cut and whenever it comes, it sounds as if given at once."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from rhapsode_server.core import FinishReason, Piece
from rhapsode_server.engine.sequence import Sequence, Status
from rhapsode_server.models.base import (
    Addition,
    Feedable,
    FeedingFrontend,
    Prompt,
    SpeechModel,
    TextFeed,
    Utterance,
)

from ..support import fed_toy
from .driver import Driver, Wave
from .families import SENTENCES, qwen3_tts
from .test_promises import assert_same

TEXTS = (*SENTENCES[:3], "Wait: 3,50 for the l'eau? No... 世界 has it, and so do we.")


@pytest.fixture(scope="module", params=["toy", "custom_voice", "base"])
def model(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> SpeechModel:
    """Models that can be fed; of the cloned voices the default one, which continues a clip."""
    if request.param == "toy":
        return fed_toy.load()
    return qwen3_tts(request.param)(tmp_path_factory.mktemp(request.param))


class Feeding:
    """One text on its way into the driver's rows, a fragment at a time."""

    def __init__(self, driver: Driver, parts: list[str], seed: int) -> None:
        frontend = driver.model.frontend
        assert isinstance(frontend, FeedingFrontend)
        assert isinstance(driver.model.acoustic, Feedable)
        voice = next(voice for voice in driver.model.voices.values() if voice.default)
        self.driver = driver
        self.parts = parts
        self.feed: TextFeed = frontend.open(Utterance(Piece("", (), 0, 0), voice, seed=seed))
        self.seq: Sequence | None = None
        self.kept: list[Addition] = []
        self.ended = False

    def go_on(self) -> None:
        """The next fragment, or the end."""
        if self.parts:
            self._hand_on(self.feed.feed(self.parts.pop(0)))
        elif not self.ended:
            self.ended = True
            self._hand_on(self.feed.finish())

    def _hand_on(self, item: Prompt | Addition | None) -> None:
        if isinstance(item, Prompt):
            self.seq = self.driver.add(item)
        elif item is not None:
            self.kept.append(item)
        self.deliver()

    def deliver(self) -> None:
        """As the worker does it: nothing before the row has been filled."""
        while self.kept and self.seq and self.seq.status is not Status.WAITING:
            self.driver.feed(self.seq, self.kept.pop(0))

    @property
    def wave(self) -> Wave:
        assert self.seq is not None
        assert self.seq.reason is FinishReason.STOP
        return self.driver.wave(self.seq)


AT_ONCE: dict[tuple[str, str, int], Wave] = {}


def at_once(model: SpeechModel, text: str, seed: int) -> Wave:
    key = (f"{model.name} {id(model)}", text, seed)
    if key not in AT_ONCE:
        AT_ONCE[key] = spoken_at_once(model, text, seed)
    return AT_ONCE[key]


def spoken_at_once(model: SpeechModel, text: str, seed: int) -> Wave:
    driver = Driver(model, 1)
    feeding = Feeding(driver, [text], seed)
    feeding.go_on()
    feeding.go_on()
    driver.run(lambda driver, step: feeding.deliver())
    return feeding.wave


def fragments(text: str, cuts: list[int]) -> list[str]:
    edges = sorted({0, len(text), *(cut % (len(text) + 1) for cut in cuts)})
    return [text[a:b] for a, b in pairwise(edges)]


CUTS = st.lists(st.integers(0, 200), max_size=12)
TIMES = st.lists(st.integers(0, 12), min_size=1, max_size=8)
"""How many steps pass before each fragment."""


@settings(
    max_examples=10,
    deadline=None,
    phases=[Phase.explicit, Phase.generate],  # shrinking would take minutes
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(data=st.data())
def test_it_sounds_as_if_all_text_had_been_there(model: SpeechModel, data: st.DataObject) -> None:
    driver = Driver(model, data.draw(st.integers(1, 3)))
    feedings = []
    for seed, text in enumerate(data.draw(st.lists(st.sampled_from(TEXTS), min_size=1, max_size=3))):
        parts, gaps = fragments(text, data.draw(CUTS)), data.draw(TIMES)
        feedings.append((text, seed, gaps, Feeding(driver, parts, seed)))
    waits = [gaps[0] for _, _, gaps, _ in feedings]
    for step in range(5000):
        for number, (_, _, gaps, feeding) in enumerate(feedings):
            feeding.deliver()
            waits[number] -= 1
            if waits[number] < 0:
                waits[number] = gaps[step % len(gaps)]
                feeding.go_on()
        if all(feeding.ended for *_, feeding in feedings) and driver.scheduler.idle:
            break
        driver.step()
    for text, seed, _, feeding in feedings:
        assert_same(feeding.wave, at_once(model, text, seed), 1e-5)  # a batched vocoder rounds differently


def test_a_starving_row_waits_without_work_and_then_goes_on(model: SpeechModel) -> None:
    text, driver = TEXTS[3], Driver(model, 2)
    feeding = Feeding(driver, [text[:24], text[24:]], 5)
    while feeding.seq is None:
        feeding.go_on()
    while not driver.step().empty:
        continue
    if not feeding.ended:  # a clip waits for more text than this one has
        assert feeding.seq.starving
        assert feeding.seq.made == feeding.seq.allowance
        assert driver.scheduler.plan(driver.now + 60).empty, "nothing to do, however late it is"
        assert driver.scheduler.plan(driver.now + 60).wake_at is None, "only a command can change that"
    feeding.go_on()
    feeding.go_on()
    driver.run(lambda driver, step: feeding.deliver())
    assert np.array_equal(feeding.wave, at_once(model, text, 5))


def test_cancelled_while_starving_the_slot_is_free_at_once(model: SpeechModel) -> None:
    driver = Driver(model, 1)
    feeding = Feeding(driver, [TEXTS[3][:40]], 1)
    feeding.go_on()
    if feeding.seq is None:  # a clip waits for more text than this
        return
    while not driver.step().empty:
        continue
    assert feeding.seq.starving
    assert driver.slots.free == 0
    driver.scheduler.cancel(feeding.seq)
    assert driver.slots.free == 1
    other = Feeding(driver, [TEXTS[1]], 2)
    other.go_on()
    other.go_on()
    driver.run(lambda driver, step: other.deliver())
    assert np.array_equal(other.wave, at_once(model, TEXTS[1], 2)), "nothing is left of the other"
