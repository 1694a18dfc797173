"""Comparison with recorded outputs of the reference implementation, quantity by quantity.

    FOLDER/ckpt/NAME/                       a checkpoint (or a speech_tokenizer alone)
    FOLDER/golden/manifest.json             what was asked of each, and how
    FOLDER/golden/NAME.safetensors          what came out: REQUEST/QUANTITY
    FOLDER/golden/codec_NAME.safetensors    (or NAME.safetensors) of the codec alone

What must not live here: printing, tolerances of other families. A quantity that was not recorded is not
compared; nothing here depends on the sizes of what was. Everything is computed in float32 on the CPU.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file
from torch import Tensor

from rhapsode_server.core import Piece, SamplingParams, Voice
from rhapsode_server.errors import ModelUnusable
from rhapsode_server.models.base import SpeechModel, Utterance
from rhapsode_server.models.qwen3_tts import load
from rhapsode_server.models.qwen3_tts.acoustic import QwenAcoustic
from rhapsode_server.models.qwen3_tts.cloning import QwenCloner
from rhapsode_server.models.qwen3_tts.conditioning import Clip, Conditioning
from rhapsode_server.models.qwen3_tts.frontend import QwenFrontend, QwenPrompt
from rhapsode_server.models.qwen3_tts.guards import REFERENCE
from rhapsode_server.models.qwen3_tts.parity_codec import check_codec, frames_to_sound
from rhapsode_server.models.qwen3_tts.parity_steps import Errors, free_run, largest, sampled, teacher_forced
from rhapsode_server.models.qwen3_tts.vocoder import OFFICIAL_SEAMS, QwenVocoder

Finding = tuple[str, str, str, float, float]
"""Checkpoint, request, quantity, largest error, tolerance."""

LONGEST_PROMPT = 2048
EXACT = 0.0
NUMBERS = 5e-5
SOUND = 1e-5
COUNTED = (
    *("codes", "codes, batched", "cb0_tokens", "ended_by"),
    *("input_ids", "instruct_ids", "ref_ids", "ref_code"),
)
"""Quantities that are equal or not: the error is the number of places that differ."""


@dataclass(frozen=True, slots=True)
class Parts:
    """A loaded checkpoint with its parts as what they are."""

    model: SpeechModel
    frontend: QwenFrontend
    acoustic: QwenAcoustic
    vocoder: QwenVocoder
    cloner: QwenCloner | None


def check(folder: Path) -> Iterator[Finding]:
    """All findings of one folder. Raises errors.ModelUnusable for a folder of another form."""
    manifest = _manifest(folder / "golden" / "manifest.json")
    for name, entry in manifest.items():
        path = folder / "ckpt" / name
        golden = _tensors(folder / "golden" / f"{name}.safetensors")
        if "requests" in entry:
            yield from _check_model(path, name, entry, golden)
            codec = _tensors(folder / "golden" / f"codec_{name}.safetensors")
            yield from _findings(name, "codec", check_codec(path / "speech_tokenizer", codec, entry))
        else:
            yield from _findings(name, "codec", check_codec(path, golden, entry))


def _manifest(path: Path) -> Mapping[str, Any]:
    try:
        checkpoints = json.loads(path.read_text(encoding="utf-8"))["checkpoints"]
    except (OSError, ValueError, KeyError, TypeError):
        raise ModelUnusable(f"{path} is no manifest of recorded outputs: it lacks 'checkpoints'.") from None
    return checkpoints  # type: ignore[no-any-return]


def _tensors(path: Path) -> dict[str, Tensor]:
    return load_file(path) if path.exists() else {}


def _findings(checkpoint: str, request: str, errors: Errors) -> Iterator[Finding]:
    for quantity, error in errors:
        tolerance = EXACT if quantity in COUNTED else SOUND if "wav" in quantity else NUMBERS
        yield checkpoint, request, quantity, error, tolerance


def _check_model(path: Path, name: str, entry: Any, golden: dict[str, Tensor]) -> Iterator[Finding]:
    longest = max(int(asked["generation"]["max_new_tokens"]) for asked in entry["requests"].values())
    positions = longest + LONGEST_PROMPT
    model = load(str(path), guards=REFERENCE, seams=OFFICIAL_SEAMS, dtype="float32", positions=positions)
    parts = _parts(model)
    prompts: dict[str, QwenPrompt] = {}
    for request, asked in entry["requests"].items():
        heard = _scoped(golden, request)
        traits = _conditioning(parts, asked["request"], heard)
        prompts[request] = _prompt(parts, asked, traits)
        yield from _findings(name, request, _cloning_errors(parts, heard))
        yield from _findings(name, request, _request_errors(parts, asked, prompts[request], heard))
    batched = free_run(parts.acoustic, prompts)
    for request in entry["requests"]:
        wanted = _scoped(golden, request).get("codes")
        if wanted is not None:
            yield name, request, "codes, batched", largest(batched[request].codes, wanted), EXACT
    if "sampled" in entry and "sampled/codes" in golden:
        prompt = prompts.get(entry["sampled"]["request"])
        if prompt is not None:
            errors = sampled(
                parts.acoustic, prompt, entry["sampled"]["generation"], _scoped(golden, "sampled")
            )
            yield from _findings(name, "sampled", errors)


def _parts(model: SpeechModel) -> Parts:
    frontend, acoustic, vocoder, cloner = model.frontend, model.acoustic, model.vocoder, model.cloner
    if not (isinstance(frontend, QwenFrontend) and isinstance(acoustic, QwenAcoustic)):
        raise TypeError("not a model of this family")
    if not isinstance(vocoder, QwenVocoder) or not (cloner is None or isinstance(cloner, QwenCloner)):
        raise TypeError("not a model of this family")
    return Parts(model, frontend, acoustic, vocoder, cloner)


def _scoped(golden: dict[str, Tensor], request: str) -> dict[str, Tensor]:
    prefix = f"{request}/"
    return {key.removeprefix(prefix): tensor for key, tensor in golden.items() if key.startswith(prefix)}


def _conditioning(parts: Parts, request: Any, heard: dict[str, Tensor]) -> Conditioning:
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


def _prompt(parts: Parts, asked: Any, traits: Conditioning) -> QwenPrompt:
    """The prompt as the reference lays it out: text as it is, control tokens and all."""
    request, generation = asked["request"], asked["generation"]
    text = request["text"]
    utterance = Utterance(
        Piece(text, (), 0, len(text)),
        Voice("", "", (), 0, conditioning=traits),
        language=request.get("language") or "",
        instruction=request.get("instruct") or "",
        sampling=SamplingParams(
            temperature=0.0, repetition_penalty=float(generation.get("repetition_penalty", 1.05))
        ),
    )
    body = parts.frontend.tokenizer.template(text, again=True)[3:-5]
    speech = parts.frontend.speech(utterance, body)
    streaming = not request.get("non_streaming_mode", not parts.frontend.streaming)
    prompt = parts.frontend.assemble(speech, utterance, text, streaming=streaming)
    return prompt.bounded(int(generation["max_new_tokens"]) - 1)


def _cloning_errors(parts: Parts, heard: dict[str, Tensor]) -> Errors:
    samples = heard.get("ref_audio_24k")
    if parts.cloner is None or samples is None:
        return
    if "ref_mel" in heard:
        yield "ref_mel", largest(parts.cloner.mel(samples), heard["ref_mel"])
    if "speaker_embedding" in heard:
        yield "speaker_embedding", largest(parts.cloner.x_vector(samples), heard["speaker_embedding"])
    if "ref_code" in heard:
        yield "ref_code", largest(parts.cloner.codes(samples), heard["ref_code"])


def _request_errors(parts: Parts, asked: Any, prompt: QwenPrompt, heard: dict[str, Tensor]) -> Errors:
    yield from _id_errors(parts, asked["request"], heard)
    yield from teacher_forced(parts.acoustic, prompt, heard)
    if not asked["generation"].get("do_sample", False):
        yield from _run_errors(parts, asked, prompt, heard)
    if "wav" in heard and "codes" in heard:
        yield from _sound_errors(parts.vocoder, prompt, heard)


def _run_errors(parts: Parts, asked: Any, prompt: QwenPrompt, heard: dict[str, Tensor]) -> Errors:
    """A free, greedy run."""
    run = free_run(parts.acoustic, {"": prompt})[""]
    if "codes" in heard:
        yield "codes", largest(run.codes, heard["codes"])
    if "cb0_tokens" in heard:
        yield "cb0_tokens", largest(run.first_codes, heard["cb0_tokens"])
    if "ended_by" in asked:
        yield "ended_by", float(run.ended_by != asked["ended_by"])


def _sound_errors(vocoder: QwenVocoder, prompt: QwenPrompt, heard: dict[str, Tensor]) -> Errors:
    """Sound of the recorded codes, from the end: the reference's cut after a clip may be one sample early."""
    whole, pieces = frames_to_sound(vocoder, heard["codes"], prompt)
    yield "wav", largest(whole, heard["wav"][-len(whole) :])
    yield "wav, in windows", largest(pieces, heard["wav"][-len(pieces) :])
    if "wav_with_reference" in heard and prompt.clip is not None:
        codes = torch.cat((prompt.clip.codes, heard["codes"]))
        everything = frames_to_sound(vocoder, codes, None)[0]
        yield "wav_with_reference", largest(everything, heard["wav_with_reference"])


def _id_errors(parts: Parts, request: Any, heard: dict[str, Tensor]) -> Errors:
    tokenizer = parts.frontend.tokenizer
    if "input_ids" in heard:
        yield "input_ids", largest(_ids(tokenizer.template(request["text"], again=True)), heard["input_ids"])
    if "ref_ids" in heard:
        ours = tokenizer.template(request["ref_text"], again=False)
        yield "ref_ids", largest(_ids(ours), heard["ref_ids"])
    if "instruct_ids" in heard:
        yield "instruct_ids", largest(_ids(tokenizer.instruction(request["instruct"])), heard["instruct_ids"])


def _ids(ids: list[int]) -> Tensor:
    return torch.tensor(ids)
