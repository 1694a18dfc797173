"""Parity of talker, predictor and samplers: forced along recorded codes, and running freely.

What must not live here: manifests, sound.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from rhapsode_server.layers.kv_cache import Scratch
from rhapsode_server.layers.sampling import warp
from rhapsode_server.models.qwen3_tts.acoustic import QwenAcoustic
from rhapsode_server.models.qwen3_tts.frontend import QwenPrompt

Errors = Iterator[tuple[str, float]]
"""Quantity and largest error."""


@dataclass(frozen=True, slots=True)
class Run:
    """A free run: frames [T, codebooks], the T + 1 codes drawn for codebook 0, and why it ended."""

    codes: Tensor
    first_codes: Tensor
    ended_by: str


@dataclass(frozen=True, slots=True)
class Trace:
    """Every intermediate of a run along given codes."""

    steps: Tensor
    hidden: Tensor
    logits: Tensor
    predictor_logits: Tensor


def largest(got: Tensor, wanted: Tensor) -> float:
    """Largest absolute difference, for whole numbers the number of differences; inf for another shape.

    Where one side is infinite the other must be so too, with the same sign; NaN equals nothing.
    """
    if got.shape != wanted.shape:
        return float("inf")
    if not wanted.is_floating_point():
        return float((got != wanted).sum())
    odd = ~(torch.isfinite(got) & torch.isfinite(wanted))
    if not bool((got[odd] == wanted[odd]).all()):
        return float("inf")
    return float(torch.where(odd, 0.0, (got - wanted).abs()).max()) if got.numel() else 0.0


@torch.inference_mode()
def free_run(acoustic: QwenAcoustic, prompts: Mapping[str, QwenPrompt]) -> dict[str, Run]:
    """Decode all prompts together, each to its end or one step past its most frames.

    That last step's code is drawn by the reference too, but never becomes a frame.
    """
    names = list(prompts)
    state = acoustic.new_state(len(names))
    acoustic.prefill(state, list(range(len(names))), list(prompts.values()))
    made: list[list[Tensor]] = [[] for _ in names]
    ended: set[int] = set()
    active = list(range(len(names)))
    while active:
        step = acoustic.decode(state, torch.tensor(active))
        for row, slot in enumerate(active):
            made[slot].append(step.frames[row].clone())
        ended |= {slot for row, slot in enumerate(active) if bool(step.stopped[row])}
        active = [s for s in active if s not in ended and len(made[s]) <= prompts[names[s]].max_frames]
    return {name: _run(made[slot], slot in ended) for slot, name in enumerate(names)}


def _run(made: list[Tensor], ended: bool) -> Run:
    steps = torch.stack(made)
    return Run(steps[:-1], steps[:, 0], "eos" if ended else "max_new_tokens")


def teacher_forced(acoustic: QwenAcoustic, prompt: QwenPrompt, heard: Mapping[str, Tensor]) -> Errors:
    """Every recorded intermediate of a run along its own codes."""
    table = acoustic.embeddings
    pad = torch.tensor([acoustic.checkpoint.text.tts_pad])
    got = {"prefill_embeds": prompt.rows, "tts_pad_embed": table.text(pad)[0]}
    got["trailing_text_hidden"] = table.text(torch.tensor(prompt.trailing) if prompt.trailing else pad)
    if "codes" in heard:
        trace = follow(acoustic, prompt, heard["codes"])
        inputs = (trace.hidden[:-1], table.codec(heard["codes"][:, 0]))
        got |= {"step_embeds": trace.steps, "talker_hidden": trace.hidden, "talker_logits": trace.logits}
        got |= {"cp_inputs": torch.stack(inputs, 1), "cp_logits": trace.predictor_logits}
    if {"codes", "cb0_tokens", "talker_scores_first5"} <= heard.keys():
        first, penalty = len(heard["talker_scores_first5"]), prompt.talker.repetition_penalty
        raw = scores(acoustic, prompt, trace.logits, heard["cb0_tokens"], penalty)
        got["talker_scores_first5"] = raw[:first]
    for name, value in got.items():
        if name in heard:
            yield name, largest(value, heard[name])


def sampled(
    acoustic: QwenAcoustic, prompt: QwenPrompt, generation: Mapping[str, Any], heard: Mapping[str, Tensor]
) -> Errors:
    """What both samplers draw from, along codes that the reference drew, and that they could be drawn."""
    trace = follow(acoustic, prompt, heard["codes"])
    if "talker_logits" in heard:
        yield "talker_logits", largest(trace.logits, heard["talker_logits"])
    if "cb0_tokens" in heard:
        drawn, penalty = heard["cb0_tokens"], float(generation.get("repetition_penalty", 1.05))
        warped = _warped(scores(acoustic, prompt, trace.logits, drawn, penalty), generation, "")
        yield "cb0_tokens", largest(heard["codes"][:, 0], drawn[:-1]) + _never_drawn(warped, drawn)
        if "talker_scores" in heard:
            yield "talker_scores", largest(warped, heard["talker_scores"])
    if "cp_logits_frame0" in heard:
        yield "cp_logits_frame0", largest(trace.predictor_logits[0], heard["cp_logits_frame0"])
    warped = _warped(trace.predictor_logits[0], generation, "subtalker_")
    if "cp_scores_frame0" in heard:
        yield "cp_scores_frame0", largest(warped, heard["cp_scores_frame0"])
    if "cp_tokens_frame0" in heard:
        drawn = heard["cp_tokens_frame0"]
        yield "cp_tokens_frame0", largest(heard["codes"][0, 1:], drawn) + _never_drawn(warped, drawn)


def _never_drawn(warped: Tensor, drawn: Tensor) -> float:
    """How many of the codes `drawn` [N] have no chance by the scores `warped` [N, vocab]."""
    return float((~torch.isfinite(warped.gather(1, drawn[:, None]))).sum())


@torch.inference_mode()
def follow(acoustic: QwenAcoustic, prompt: QwenPrompt, codes: Tensor) -> Trace:
    """Run the talker over prompt and `codes` [T, codebooks] in one pass, the predictor over all frames."""
    table, trailing = acoustic.embeddings, list(prompt.trailing)
    pads = [acoustic.checkpoint.text.tts_pad] * max(0, len(codes) - len(trailing))
    text = torch.tensor((trailing + pads)[: len(codes)])
    steps = table.frames(codes) + table.text(text)
    rows = torch.cat((prompt.rows, steps))[None]
    decoder = acoustic.talker.decoder
    positions = torch.arange(rows.shape[1])[None]
    hidden = decoder(rows, positions, Scratch(decoder.config.layers), causal=True)[0, len(prompt.rows) - 1 :]
    logits: list[Tensor] = []

    def follow_codes(book: int, made: Tensor) -> Tensor:
        logits.append(made)
        return codes[:, book]

    acoustic.predictor(hidden[:-1], codes[:, 0], table, follow_codes)
    return Trace(steps, hidden, acoustic.talker.head(hidden), torch.stack(logits, 1))


def scores(
    acoustic: QwenAcoustic, prompt: QwenPrompt, logits: Tensor, drawn: Tensor, penalty: float
) -> Tensor:
    """Logits [N, vocab] after `penalty` and masks, where `drawn` [N] came out one after the other."""
    seen = torch.zeros_like(logits, dtype=torch.bool)
    for step in range(1, len(logits)):
        seen[step] = seen[step - 1]
        seen[step, drawn[step - 1]] = True
    early = torch.arange(len(logits)) < prompt.fewest
    return acoustic.scores(logits, seen, torch.full((len(logits),), penalty), early)


def _warped(raw: Tensor, generation: Mapping[str, Any], prefix: str) -> Tensor:
    rows = len(raw)
    temperature = torch.full((rows,), float(generation[f"{prefix}temperature"]))
    top_k = torch.full((rows,), int(generation[f"{prefix}top_k"] or 0))
    top_p = torch.full((rows,), float(generation[f"{prefix}top_p"]))
    return warp(raw, temperature, top_k, top_p)
