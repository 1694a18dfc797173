"""Comparison with recorded outputs of the reference implementation, quantity by quantity.

    FOLDER/ckpt/NAME/                       a checkpoint (or a speech_tokenizer alone)
    FOLDER/golden/manifest.json             what was asked of each, and how
    FOLDER/golden/NAME.safetensors          what came out: REQUEST/QUANTITY
    FOLDER/golden/codec_NAME.safetensors    (or NAME.safetensors) of the codec alone

What must not live here: printing, tolerances of other families.
A quantity that was not recorded is a finding where the manifest lists it or every request has it; nothing
here depends on the sizes of what was. Everything is computed in float32 on the CPU.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from itertools import chain
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from rhapsode_server.errors import ModelUnusable, RhapsodeError
from rhapsode_server.models.qwen3_tts.frontend import QwenPrompt
from rhapsode_server.models.qwen3_tts.parity_codec import check_codec, frames_to_sound
from rhapsode_server.models.qwen3_tts.parity_prompts import (
    Parts,
    conditioning_of,
    is_greedy,
    loaded,
    parts_of,
    prompt_of,
)
from rhapsode_server.models.qwen3_tts.parity_recorded import (
    OF_CODECS,
    OF_REQUESTS,
    OF_SAMPLED,
    leftovers,
    misses,
)
from rhapsode_server.models.qwen3_tts.parity_steps import Errors, free_run, largest, sampled, teacher_forced
from rhapsode_server.models.qwen3_tts.vocoder import QwenVocoder

Finding = tuple[str, str, str, float, float]
"""Checkpoint, request, quantity, largest error, tolerance; UNCOMPARED is told, but is no comparison."""

UNCOMPARED = float("inf")
EXACT = 0.0
NUMBERS = 5e-5
SOUND = 1e-5
COUNTED = (
    *("codes", "codes, batched", "cb0_tokens", "cp_tokens_frame0", "ended_by"),
    *("input_ids", "instruct_ids", "ref_ids", "ref_code"),
)
"""Quantities that are equal or not: the error is the number of places that differ."""


def check(folder: Path) -> Iterator[Finding]:
    """All findings of one folder. Raises errors.ModelUnusable for a folder of another form.

    What cannot be compared is a finding with an infinite error, and the others are still compared.
    """
    manifest = _manifest(folder / "golden" / "manifest.json")
    for name, entry in manifest.items():
        yield from _guarded(name, "checkpoint", _check_entry(folder, name, entry))
    beside = [name for name, entry in manifest.items() if "requests" in entry and "codec" in entry]
    if beside and not any(_of_codec(folder, name).exists() for name in beside):
        yield ", ".join(beside), "codec", "recordings of any of them", float("inf"), EXACT


def _of_codec(folder: Path, name: str) -> Path:
    """Recordings of a model's codec alone; a folder need not have those of every model."""
    return folder / "golden" / f"codec_{name}.safetensors"


def _check_entry(folder: Path, name: str, entry: Any) -> Iterator[Finding]:
    path = folder / "ckpt" / name
    golden = _tensors(folder / "golden" / f"{name}.safetensors")
    if "requests" not in entry:
        yield from _guarded(name, "codec", _check_codec(path, name, entry, golden))
        return
    yield from _check_model(path, name, entry, golden)
    file = _of_codec(folder, name)
    if file.exists():
        codec = _check_codec(path / "speech_tokenizer", name, entry, _tensors(file))
        yield from _guarded(name, "codec", codec)
    elif "codec" in entry:
        yield name, "codec", f"{file.name} (not there)", 0.0, UNCOMPARED


def _check_codec(path: Path, name: str, entry: Any, golden: dict[str, Tensor]) -> Iterator[Finding]:
    missing = misses(golden, entry.get("codec", {}).get("shapes"), OF_CODECS)
    yield from _findings(name, "codec", missing)
    yield from _noted(name, "codec", golden, check_codec(path, golden, entry))


def _guarded(name: str, request: str, findings: Iterator[Finding]) -> Iterator[Finding]:
    """The findings, and one more where comparing breaks off."""
    try:
        yield from findings
    except (RhapsodeError, RuntimeError, LookupError, ValueError, TypeError, AttributeError) as error:
        why = error.message if isinstance(error, RhapsodeError) else f"{type(error).__name__}: {error}"
        yield name, request, f"broken off: {why}", float("inf"), EXACT


def _noted(name: str, request: str, heard: dict[str, Tensor], errors: Errors) -> Iterator[Finding]:
    """The findings of `errors`, and what was recorded but is in none of them."""
    compared = set()
    for finding in _findings(name, request, errors):
        compared.add(finding[2])
        yield finding
    for quantity in leftovers(heard, compared):
        yield name, request, quantity, 0.0, UNCOMPARED


def _manifest(path: Path) -> Mapping[str, Any]:
    try:
        checkpoints = json.loads(path.read_text(encoding="utf-8"))["checkpoints"]
    except (OSError, ValueError, KeyError, TypeError):
        raise ModelUnusable(f"{path} is no manifest of recorded outputs: it lacks 'checkpoints'.") from None
    return checkpoints  # type: ignore[no-any-return]


def _tensors(path: Path) -> dict[str, Tensor]:
    try:
        return load_file(path) if path.exists() else {}
    except (OSError, SafetensorError):
        raise ModelUnusable(f"{path} cannot be read as safetensors. Copy it again.") from None


def _findings(checkpoint: str, request: str, errors: Errors) -> Iterator[Finding]:
    for quantity, error in errors:
        tolerance = EXACT if quantity in COUNTED else SOUND if "wav" in quantity else NUMBERS
        yield checkpoint, request, quantity, error, tolerance


def _check_model(path: Path, name: str, entry: Any, golden: dict[str, Tensor]) -> Iterator[Finding]:
    requests = entry["requests"]
    if not requests:
        yield name, "requests", "any at all", float("inf"), EXACT
        return
    parts = parts_of(loaded(path, requests.values()))
    prompts: dict[str, QwenPrompt] = {}
    for request, asked in requests.items():
        heard = _scoped(golden, request)
        yield from _findings(name, request, misses(heard, asked.get("shapes"), OF_REQUESTS))
        yield from _guarded(name, request, _check_request(parts, (name, request), asked, heard, prompts))
    greedy = {request: prompt for request, prompt in prompts.items() if is_greedy(requests[request])}
    yield from _guarded(name, "batch", _check_batch(parts, name, greedy, golden))
    if "sampled" in entry:
        yield from _guarded(name, "sampled", _check_sampled(parts, name, entry["sampled"], prompts, golden))
    known = (*(f"{request}/" for request in requests), "sampled/")
    for key in sorted(golden):
        if not key.startswith(known):
            yield name, "", key, 0.0, UNCOMPARED


def _check_request(
    parts: Parts, where: tuple[str, str], asked: Any, heard: dict[str, Tensor], prompts: dict[str, QwenPrompt]
) -> Iterator[Finding]:
    """One request alone; its prompt goes into `prompts`."""
    prompt = prompt_of(parts, asked, conditioning_of(parts, asked["request"], heard))
    prompts[where[1]] = prompt
    errors = chain(_cloning_errors(parts, heard), _request_errors(parts, asked, prompt, heard))
    yield from _noted(*where, heard, errors)


def _check_batch(
    parts: Parts, name: str, prompts: dict[str, QwenPrompt], golden: dict[str, Tensor]
) -> Iterator[Finding]:
    """All greedy requests in one batch."""
    batched = free_run(parts.acoustic, prompts) if prompts else {}
    for request, run in batched.items():
        wanted = golden.get(f"{request}/codes")
        if wanted is not None:
            yield name, request, "codes, batched", largest(run.codes, wanted), EXACT


def _check_sampled(
    parts: Parts, name: str, asked: Any, prompts: dict[str, QwenPrompt], golden: dict[str, Tensor]
) -> Iterator[Finding]:
    heard = _scoped(golden, "sampled")
    yield from _findings(name, "sampled", misses(heard, asked.get("shapes"), OF_SAMPLED))
    prompt = prompts.get(asked["request"])
    if prompt is None:
        yield name, "sampled", f"prompt of {asked['request']!r}", float("inf"), EXACT
    elif "codes" in heard:
        yield from _noted(name, "sampled", heard, sampled(parts.acoustic, prompt, asked["generation"], heard))


def _scoped(golden: dict[str, Tensor], request: str) -> dict[str, Tensor]:
    prefix = f"{request}/"
    return {key.removeprefix(prefix): tensor for key, tensor in golden.items() if key.startswith(prefix)}


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
    if is_greedy(asked):
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
    """Sound of the recorded codes; the reference's cut after a clip may be one sample early."""
    whole, pieces = frames_to_sound(vocoder, heard["codes"], prompt)
    wanted = heard["wav"]
    if prompt.clip is not None and len(wanted) == len(whole) + 1:
        wanted = wanted[1:]
    yield "wav", largest(whole, wanted)
    yield "wav, in windows", largest(pieces, wanted)
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
        yield (
            "instruct_ids",
            largest(_ids(tokenizer.instruction_template(request["instruct"])), heard["instruct_ids"]),
        )


def _ids(ids: list[int]) -> Tensor:
    return torch.tensor(ids)
