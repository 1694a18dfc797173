"""What the arithmetic alone costs: decode steps and vocoding of full batches, with nothing around them.

No way of serving can be faster than its floor on the same machine; how near the engine comes to it is the
measure of the engine.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Sequence

import torch
from rhapsode_server.core import Window
from rhapsode_server.models.base import Prompt, SpeechModel

REPEATS = 5


@torch.inference_mode()
def floor(model: SpeechModel, prompts: Sequence[Prompt], whole_frames: int = 48) -> dict[str, float]:
    """Seconds per step and per second of audio for a batch of all `prompts`, and the best throughput.

    `vocoder_per_audio_second` is measured on long windows without context, in batches of at most 8: the
    plain arithmetic of the vocoder.
    """
    rows = len(prompts)
    step, frame = _step_seconds(model, prompts)
    batch = min(8, rows)
    vocode = _vocode_seconds(model, frame, batch, whole_frames)
    frame_seconds = model.vocoder.samples_per_frame / model.sample_rate
    per_audio = step / (rows * frame_seconds) + vocode / (batch * whole_frames * frame_seconds)
    return {
        "rows": float(rows),
        "step_seconds": step,
        "decode_per_audio_second": step / (rows * frame_seconds),
        "vocoder_per_audio_second": vocode / (batch * whole_frames * frame_seconds),
        "most_audio_per_second": 1 / per_audio,
    }


def _step_seconds(model: SpeechModel, prompts: Sequence[Prompt]) -> tuple[float, torch.Tensor]:
    """Median time of one decode step over all rows in the middle of their sentences, and a frame."""
    state = model.acoustic.new_state(len(prompts))
    slots = list(range(len(prompts)))
    model.acoustic.prefill(state, slots, prompts)
    rows, steps = torch.tensor(slots), min(prompt.max_frames for prompt in prompts) // 2
    frame = model.acoustic.decode(state, rows).frames[0]
    times = [_timed(lambda: model.acoustic.decode(state, rows)) for _ in range(max(1, min(steps, 12)))]
    return statistics.median(times), frame


def _vocode_seconds(model: SpeechModel, frame: torch.Tensor, batch: int, length: int) -> float:
    vocoder, slots = model.vocoder, list(range(batch))
    frames = [frame.expand(length, *frame.shape).contiguous() for _ in slots]
    windows = [Window(0, 0, length, length, True) for _ in slots]
    times = []
    for _ in range(REPEATS):
        state = vocoder.new_state(batch)
        vocoder.reset(state, slots)
        times.append(_timed(lambda state=state: vocoder.vocode(state, slots, frames, windows)))  # type: ignore[misc]
    return statistics.median(times[1:])


def _timed(call: Callable[[], object]) -> float:
    began = time.perf_counter()
    call()
    return time.perf_counter() - began
