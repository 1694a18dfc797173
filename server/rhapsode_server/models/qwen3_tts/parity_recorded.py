"""What was recorded, what should have been, and what nobody compared.

What must not live here: any arithmetic of the model.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import Tensor

from rhapsode_server.models.qwen3_tts.parity_steps import Errors

OF_REQUESTS = ("input_ids", "prefill_embeds", "codes", "cb0_tokens", "talker_logits", "cp_logits", "wav")
"""What every request must have where the manifest does not list the shapes."""
OF_SAMPLED = ("codes", "cb0_tokens", "talker_logits", "talker_scores", "cp_logits_frame0", "cp_scores_frame0")
OF_CODECS = ("codes",)
_INPUTS = ("ref_audio_24k", "codes")
"""Recordings that others are computed from."""


def misses(heard: dict[str, Tensor], shapes: Mapping[str, Any] | None, needed: tuple[str, ...]) -> Errors:
    """An infinite error for each recording that is absent or has another shape than the manifest says.

    Misshaped ones are taken out of `heard`: nothing can be compared with them.
    """
    for quantity in needed if shapes is None else shapes:
        wanted = None if shapes is None else list(shapes[quantity])
        found = heard.get(quantity)
        if found is None or (wanted is not None and list(found.shape) != wanted):
            heard.pop(quantity, None)
            yield quantity, float("inf")


def leftovers(heard: Mapping[str, Tensor], compared: set[str]) -> list[str]:
    """Recordings that no comparison was made with."""
    known = {quantity.split(",")[0] for quantity in compared}
    inputs = {name for name in heard if name.split("/")[-1] in _INPUTS} if compared else set()
    return sorted(set(heard) - known - inputs)
