"""From settings to a model that is warm: the part of the start that takes long.

What lives here: how the interpreter, torch and the device are set for serving, the checkpoint, the words that
nobody hears. What must not: ports, health, the order of start and end (main.py).
"""

from __future__ import annotations

import gc
import logging
import sys
import time

import torch

from rhapsode_server.core import Request
from rhapsode_server.errors import InvalidRequest, ModelUnusable
from rhapsode_server.models import registry
from rhapsode_server.models.base import SpeechModel
from rhapsode_server.settings import ModelSettings
from rhapsode_server.synthesizer import Synthesizer

log = logging.getLogger(__name__)

SWITCH_SECONDS = 0.0005
"""How long one thread may hold the interpreter while another waits. With the default of 5 ms the event loop
waits for the engine's thread so long that one chunk in a hundred is 60 ms late; with this one, 25 ms."""
WARM_UP = ("One, two, three.", "Good morning.", "This is how I sound.")


def load_model(wanted: ModelSettings) -> SpeechModel:
    """The checkpoint, on the device, with the interpreter and torch set for serving. Raises ModelUnusable."""
    sys.setswitchinterval(SWITCH_SECONDS)
    torch.set_num_threads(wanted.threads or registry.usable_cores())
    device = registry.device_for(wanted.device)
    log.info("loading %s on %s", wanted.source, device)
    began = time.monotonic()
    options = {"voices": wanted.voices, **wanted.options}
    try:
        model = registry.load(wanted.source, family=wanted.family, device=device, **options)
    except torch.OutOfMemoryError:
        raise ModelUnusable(
            f"The memory of {device} does not hold {wanted.source!r}. Choose a smaller model, another"
            " model.device, or end what else uses this one."
        ) from None
    facts = " ".join(f"{name}={fact}" for name, fact in model.details.items())
    took = time.monotonic() - began
    log.info("loaded %s in %.1f s, %d threads: %s", model.name, took, threads_for(wanted, model), facts)
    return model


def threads_for(wanted: ModelSettings, model: SpeechModel) -> int:
    """How many threads share a matrix product of the engine's."""
    return wanted.threads or model.threads or registry.usable_cores()


def alone() -> None:
    """Let this thread do its matrix products by itself: call it first on every thread beside the engine's.

    OpenMP gives each thread that computes a team of its own, and lets no team wait actively once all teams
    together have more threads than the machine has cores. A second team alive, even an idle one, made the
    engine 1.6 times slower (SpeechT5 at 20 rows, two cores).
    """
    torch.set_num_threads(1)


async def warm_up(synthesizer: Synthesizer) -> None:
    """Speak a little through the whole path, so that the first caller does not pay for what is lazy."""
    for number, text in enumerate(WARM_UP):
        try:
            async for _ in synthesizer.synthesize(Request(f"warm-up-{number}", text, voice="")):
                pass
        except InvalidRequest as error:  # a voice that does not speak English serves its own callers well
            log.warning("warm-up text refused: %s", error.message)
    log.info("warm: first sound after %.0f ms", 1000 * (synthesizer.estimated_first_audio() or 0.0))
    _set_aside()


def _set_aside() -> None:
    """Keep the garbage collector away from what stays: torch, the model, the tables of the text.

    That is 200,000 objects and more, and each full collection walked over all of them: 50 to 100 ms in which
    nobody was served. Objects made from now on are collected as ever.
    """
    gc.collect()
    gc.freeze()
