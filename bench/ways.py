"""The ways of serving that are compared, all on the same weights and the same prompts.

`engine` is ours. The others are how people serve such models today, built on the same acoustic model and
vocoder, so that what differs is the way and not the arithmetic: one request after another, a thread pool
over instances of the model, and fixed micro-batches that end when their longest member ends.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor

import torch
from rhapsode_server.core import Window
from rhapsode_server.engine.engine import Engine
from rhapsode_server.engine.stream import AudioStream
from rhapsode_server.engine.worker import EngineSettings
from rhapsode_server.models.base import Prompt, SpeechModel

from bench.figures import Heard

Way = Callable[[SpeechModel, Sequence[Prompt]], list[Heard]]


def engine(model: SpeechModel, prompts: Sequence[Prompt], slots: int = 0) -> list[Heard]:
    """All prompts are submitted at the same moment to one engine."""
    return asyncio.run(_engine(model, prompts, slots or max(model.slots, len(prompts))))


async def _engine(model: SpeechModel, prompts: Sequence[Prompt], slots: int) -> list[Heard]:
    running = Engine(model, EngineSettings(slots=slots, max_waiting=len(prompts)))
    running.start()
    try:
        await _listen(running.submit(prompts[0]), time.perf_counter(), model.sample_rate)  # warm
        began = time.perf_counter()
        streams = [running.submit(prompt) for prompt in prompts]
        heard = [_listen(stream, began, model.sample_rate) for stream in streams]
        return list(await asyncio.gather(*heard))
    finally:
        await asyncio.to_thread(running.stop)


async def _listen(stream: AudioStream, began: float, rate: int) -> Heard:
    """Play the chunks on an imaginary device that starts with the first and stops where it runs dry."""
    first = dry_at = silence = audio = 0.0
    gaps = 0
    async for chunk in stream:
        now = time.perf_counter() - began
        if not audio:
            first = dry_at = now
        if now > dry_at:
            gaps, silence, dry_at = gaps + 1, silence + now - dry_at, now
        dry_at += len(chunk.samples) / rate
        audio += len(chunk.samples) / rate
    return Heard(first, time.perf_counter() - began, audio, gaps, silence)


def one_after_another(model: SpeechModel, prompts: Sequence[Prompt]) -> list[Heard]:
    """A lock around the model: each request has it to itself and is sent when it is whole."""
    began = time.perf_counter()
    return [_whole(model, [prompt], began)[0] for prompt in prompts]


def thread_pool(model: SpeechModel, prompts: Sequence[Prompt], workers: int = 2) -> list[Heard]:
    """`workers` threads with a state each, sharing the weights: more memory, the same arithmetic."""
    began = time.perf_counter()
    with ThreadPoolExecutor(workers) as pool:
        return [heard for (heard,) in pool.map(lambda prompt: _whole(model, [prompt], began), prompts)]


def micro_batches(model: SpeechModel, prompts: Sequence[Prompt], size: int = 8) -> list[Heard]:
    """Groups of `size` go through together and are sent when the longest of them has ended."""
    began = time.perf_counter()
    groups = [prompts[start : start + size] for start in range(0, len(prompts), size)]
    return [heard for group in groups for heard in _whole(model, group, began)]


@torch.inference_mode()
def _whole(model: SpeechModel, prompts: Sequence[Prompt], began: float) -> list[Heard]:
    """Every frame of all prompts first, then their whole sound."""
    frames = all_frames(model, prompts)
    slots = list(range(len(prompts)))
    state = model.vocoder.new_state(len(prompts))
    model.vocoder.reset(state, slots)
    windows = [Window(0, 0, len(made), len(made), True) for made in frames]
    waves = model.vocoder.vocode(state, slots, frames, windows)
    now = time.perf_counter() - began
    return [Heard(now, now, len(wave) / model.sample_rate) for wave in waves]


@torch.inference_mode()
def all_frames(model: SpeechModel, prompts: Sequence[Prompt]) -> list[torch.Tensor]:
    """Decode until every prompt has stopped or is full: a fixed batch, nobody joins it."""
    state = model.acoustic.new_state(len(prompts))
    slots = list(range(len(prompts)))
    model.acoustic.prefill(state, slots, prompts)
    made: list[list[torch.Tensor]] = [[] for _ in prompts]
    open_ = set(slots)
    while open_:
        rows = sorted(open_)
        step = model.acoustic.decode(state, torch.tensor(rows))
        for row, frame, valid, stopped in zip(rows, step.frames, step.valid, step.stopped, strict=True):
            if bool(valid):
                made[row].append(frame)
            if bool(stopped) or len(made[row]) >= prompts[row].max_frames:
                open_.discard(row)
    return [torch.stack(frames) for frames in made]
