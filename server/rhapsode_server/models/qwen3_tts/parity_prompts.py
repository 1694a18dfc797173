"""A loaded checkpoint's parts, and the reference's prompt of a recorded request.

What must not live here: comparisons.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from torch import Tensor

from rhapsode_server.core import Piece, SamplingParams, Voice
from rhapsode_server.models.base import SpeechModel, Utterance
from rhapsode_server.models.qwen3_tts import load
from rhapsode_server.models.qwen3_tts.acoustic import QwenAcoustic
from rhapsode_server.models.qwen3_tts.cloning import QwenCloner
from rhapsode_server.models.qwen3_tts.conditioning import Clip, Conditioning
from rhapsode_server.models.qwen3_tts.frontend import QwenFrontend, QwenPrompt
from rhapsode_server.models.qwen3_tts.guards import REFERENCE
from rhapsode_server.models.qwen3_tts.vocoder import OFFICIAL_SEAMS, QwenVocoder

LONGEST_CLIP = 2048


@dataclass(frozen=True, slots=True)
class Parts:
    """A loaded checkpoint with its parts as what they are."""

    model: SpeechModel
    frontend: QwenFrontend
    acoustic: QwenAcoustic
    vocoder: QwenVocoder
    cloner: QwenCloner | None


def loaded(path: Path, requests: Iterable[Any]) -> SpeechModel:
    """The model with room for the longest request: a text has no more tokens than its JSON has letters."""
    longest = max(int(asked["generation"]["max_new_tokens"]) + len(json.dumps(asked)) for asked in requests)
    positions = longest + LONGEST_CLIP
    return load(str(path), guards=REFERENCE, seams=OFFICIAL_SEAMS, dtype="float32", positions=positions)


def parts_of(model: SpeechModel) -> Parts:
    """The parts of a model of this family. Raises TypeError for another."""
    frontend, acoustic, vocoder, cloner = model.frontend, model.acoustic, model.vocoder, model.cloner
    if not (isinstance(frontend, QwenFrontend) and isinstance(acoustic, QwenAcoustic)):
        raise TypeError("not a model of this family")
    if not isinstance(vocoder, QwenVocoder) or not (cloner is None or isinstance(cloner, QwenCloner)):
        raise TypeError("not a model of this family")
    return Parts(model, frontend, acoustic, vocoder, cloner)


def is_greedy(asked: Any) -> bool:
    """Whether neither sampler of a recorded request draws."""
    generation = asked["generation"]
    return not (generation.get("do_sample", False) or generation.get("subtalker_dosample", False))


def conditioning_of(parts: Parts, request: Any, heard: dict[str, Tensor]) -> Conditioning:
    """The voice of a request: a preset, a clip as it was recorded, or nobody."""
    if request.get("speaker"):
        return Conditioning(speaker=str(request["speaker"]).lower())
    vector = heard.get("speaker_embedding")
    if vector is None:
        return Conditioning()
    codes = heard.get("ref_code")
    if codes is None or request.get("x_vector_only_mode"):
        return Conditioning(x_vector=vector)
    ids = parts.frontend.tokenizer.template(request["ref_text"], again=False)[3:-2]
    return Conditioning(x_vector=vector, clip=Clip(codes, tuple(ids), parts.vocoder.primed(codes)))


def prompt_of(parts: Parts, asked: Any, traits: Conditioning) -> QwenPrompt:
    """The prompt as the reference lays it out: text as it is, control tokens and all."""
    request, generation = asked["request"], asked["generation"]
    text = request["text"]
    utterance = Utterance(
        Piece(text, (), 0, len(text)),
        Voice("", "", (), 0, conditioning=traits),
        language=request.get("language") or "",
        sampling=SamplingParams(
            temperature=0.0, repetition_penalty=float(generation.get("repetition_penalty", 1.05))
        ),
    )
    body = parts.frontend.tokenizer.template(text, again=True)[3:-5]
    speech = parts.frontend.speech(utterance, body)
    if request.get("instruct") and not parts.frontend.checkpoint.drops_instructions:
        ids = parts.frontend.tokenizer.instruction_template(request["instruct"])
        speech = replace(speech, instruction=ids)
    streaming = not request.get("non_streaming_mode", not parts.frontend.streaming)
    prompt = parts.frontend.assemble(speech, utterance, text, streaming=streaming)
    return prompt.bounded(int(generation["max_new_tokens"]) - 1)
