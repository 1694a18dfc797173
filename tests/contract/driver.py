"""Runs sequences through scheduler and runner step by step, without a thread: the engine's own parts."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from rhapsode_server.core import FinishReason, Window
from rhapsode_server.engine.graphs import Record
from rhapsode_server.engine.plan import Limits, Plan
from rhapsode_server.engine.runner import Runner
from rhapsode_server.engine.scheduler import Scheduler
from rhapsode_server.engine.sequence import Sequence, Stamps, Status
from rhapsode_server.engine.slots import Slots
from rhapsode_server.models.base import Addition, Primed, Prompt, SpeechModel

Wave = NDArray[np.float32]
BeforeStep = Callable[["Driver", int], None]


class Driver:
    """One engine without its thread; `waves` are the delivered samples of each sequence."""

    def __init__(
        self, model: SpeechModel, slots: int, limits: Limits | None = None, record: Record | None = None
    ) -> None:
        self.model = model
        seconds = model.vocoder.samples_per_frame / model.sample_rate
        self.slots = Slots(slots, model.positions)
        self.scheduler = Scheduler(self.slots, model.vocoder.chunking, seconds, limits or Limits())
        self.runner = Runner(model, slots, record=record)
        self.prompts: dict[Sequence, Prompt] = {}
        self.waves: dict[Sequence, list[Wave]] = {}
        self.windows: dict[Sequence, list[Window]] = {}
        self.now = 0.0

    def add(self, prompt: Prompt) -> Sequence:
        number = len(self.prompts) + 1
        seq = Sequence(
            number, prompt.positions, prompt.max_frames, Stamps(self.now), allowance=prompt.allowance
        )
        self.prompts[seq], self.waves[seq], self.windows[seq] = prompt, [], []
        self.scheduler.add(seq)
        return seq

    def feed(self, seq: Sequence, addition: Addition) -> None:
        """More text for a row that has been filled, between steps."""
        assert self.runner.feed(seq, addition)
        self.scheduler.feed(seq, addition.allowance, addition.max_frames, self.now)

    def step(self) -> Plan:
        self.now += 0.01
        plan = self.scheduler.plan(self.now)
        waves = self.runner.vocode(plan.vocode)
        for seq, window in plan.vocode:
            if seq in waves:
                self.waves[seq].append(waves[seq])
                self.windows[seq].append(window)
        self.runner.prefill([(seq, self.prompts[seq]) for seq in plan.prefill])
        outcome = self.runner.decode(plan)
        self.scheduler.advance(plan, outcome, self.now)
        self.scheduler.check()
        self.failures = self.runner.take_failures()
        return plan

    def run(self, before_step: BeforeStep = lambda driver, step: None, most: int = 20_000) -> None:
        for step in range(most):
            before_step(self, step)
            if self.scheduler.idle:
                return
            self.step()
        raise AssertionError(f"not finished after {most} steps")

    def wave(self, seq: Sequence) -> Wave:
        return np.concatenate([np.zeros(0, np.float32), *self.waves[seq]])


def speak(model: SpeechModel, prompts: list[Prompt], slots: int) -> list[Wave]:
    """All prompts at once over `slots` rows; every one must end with STOP."""
    driver = Driver(model, slots)
    sequences = [driver.add(prompt) for prompt in prompts]
    driver.run()
    assert all(seq.reason is FinishReason.STOP for seq in sequences)
    assert all(seq.status is Status.FINISHED for seq in sequences)
    assert driver.slots.free == slots
    return [driver.wave(seq) for seq in sequences]


def offline(model: SpeechModel, prompt: Prompt) -> Wave:
    """Every frame first, then one single window over all of them."""
    import torch

    acoustic, vocoder = model.acoustic, model.vocoder
    with torch.inference_mode():
        state, row = acoustic.new_state(1), torch.tensor([0])
        acoustic.prefill(state, [0], [prompt])
        frames: list[torch.Tensor] = []
        while len(frames) < prompt.max_frames:
            step = acoustic.decode(state, row)
            if bool(step.valid[0]):
                frames.append(step.frames[0].clone())
            if bool(step.stopped[0]):
                break
        sound = vocoder.new_state(1)
        vocoder.reset(sound, [0])
        if isinstance(vocoder, Primed):
            vocoder.prime(sound, [0], [prompt])
        whole = Window(0, 0, len(frames), len(frames), True)
        return vocoder.vocode(sound, [0], [torch.stack(frames)], [whole])[0].float().cpu().numpy()
