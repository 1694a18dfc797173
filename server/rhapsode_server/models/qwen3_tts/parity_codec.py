"""Parity of the codec: whole, in windows, in the reference's chunks, and stage by stage.

What must not live here: manifests, the talker. Recorded are, for codes [T, codebooks] or [B, T, codebooks]:

    wav_full, wav_chunk16_ctx4              of all frames, decoded whole or in chunks with that left context
    wav_full_frames_A_B, wav_official_…     the sound of frames A to B, whole or in chunks of 300 with 25
    ragged/wav1                             the second row alone, cut to the manifest's length
    stage/NAME                              what a stage makes of the first frames, time first or last
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from rhapsode_server.core import Chunking, Window
from rhapsode_server.models.qwen3_tts.codec import Codec
from rhapsode_server.models.qwen3_tts.codec_weights import load_codec
from rhapsode_server.models.qwen3_tts.config_files import read_codec
from rhapsode_server.models.qwen3_tts.frontend import QwenPrompt
from rhapsode_server.models.qwen3_tts.parity_steps import Errors, largest
from rhapsode_server.models.qwen3_tts.vocoder import OFFICIAL_SEAMS, QwenVocoder, Seams
from rhapsode_server.models.qwen3_tts.vocoder_state import VocoderState

CHUNKING = Chunking(first=1, largest=8, growth=2)
_FRAMES = re.compile(r"(?P<scope>.*/)?wav_(?P<how>full|official)_frames_(?P<begin>\d+)_(?P<end>\d+)")
_CHUNKED = re.compile(r"(?P<scope>.*/)?wav_(?:(?P<full>full)|chunk(?P<every>\d+)_ctx(?P<context>\d+))")


def frames_to_sound(vocoder: QwenVocoder, codes: Tensor, prompt: QwenPrompt | None) -> tuple[Tensor, Tensor]:
    """Sound of codes [T, codebooks] in one window, and in many; after the prompt's clip where it has one."""
    everything = [len(codes)]
    growing = [min(2**index, CHUNKING.largest) for index in range(len(codes))]
    return _windows(vocoder, codes, everything, prompt), _windows(vocoder, codes, growing, prompt)


@torch.inference_mode()
def _windows(vocoder: QwenVocoder, codes: Tensor, sizes: list[int], prompt: QwenPrompt | None) -> Tensor:
    state, begin, sounds = vocoder.new_state(1), 0, []
    if prompt is not None:
        vocoder.prime(state, [0], [prompt])
    for size in sizes:
        end = min(begin + size, len(codes))
        window = Window(begin, begin, end, end, last=end == len(codes))
        sounds += vocoder.vocode(state, [0], [codes[begin:end]], [window])
        begin = end
    return torch.cat(sounds)


def check_codec(path: Path, golden: Mapping[str, Tensor], entry: Mapping[str, Any]) -> Errors:
    """All recorded quantities of one speech tokenizer. Nothing was recorded: nothing is loaded."""
    if not golden:
        return
    config, _ = read_codec(path)
    codec = load_codec(config, path, "cpu")
    for name, wanted in golden.items():
        yield from _sounds(codec, golden, name, wanted)
    ragged = entry.get("codec", {}).get("ragged", {}).get("lengths")
    if ragged and "ragged/wav1" in golden:
        whole = frames_to_sound(_vocoder(codec, None), golden["codes"][1, : ragged[1]], None)[0]
        yield "ragged/wav1", largest(whole, golden["ragged/wav1"])
    if any(name.startswith("stage/") for name in golden):
        yield from _stages(codec, golden)


def _sounds(codec: Codec, golden: Mapping[str, Tensor], name: str, wanted: Tensor) -> Errors:
    """The errors of one recorded waveform, whole and in windows."""
    cut = _FRAMES.fullmatch(name)
    found = cut or _CHUNKED.fullmatch(name)
    if found is None:
        return
    codes = golden[f"{found['scope'] or ''}codes"]
    rows = list(codes) if codes.dim() == 3 else [codes]
    per_frame = codec.samples_per_frame
    samples = slice(int(cut["begin"]) * per_frame, int(cut["end"]) * per_frame) if cut else slice(None)
    vocoder = _vocoder(codec, _seams(found, cut is not None))
    for how, part in (("", 0), (", in windows", 1)):
        got = torch.stack([frames_to_sound(vocoder, row, None)[part][samples] for row in rows])
        yield name + how, largest(got, wanted.view_as(got))


def _seams(found: re.Match[str], cut: bool) -> Seams | None:
    if cut:
        return OFFICIAL_SEAMS if found["how"] == "official" else None
    return None if found["full"] else Seams(int(found["every"]), int(found["context"]))


def _vocoder(codec: Codec, seams: Seams | None) -> QwenVocoder:
    return QwenVocoder(codec, chunking=CHUNKING, seams=seams)


def _stages(codec: Codec, golden: Mapping[str, Tensor]) -> Errors:
    """Recorded stages, each with as many frames as it was recorded for."""
    for name, make in _stage_makers(codec).items():
        wanted = golden.get(f"stage/{name}")
        if wanted is not None:
            codes = golden["codes"]
            made = make(codes[:1] if codes.dim() == 3 else codes[None])[0]
            yield f"stage/{name}", min(_as_recorded(layout, wanted) for layout in (made, made.T))


def _as_recorded(made: Tensor, wanted: Tensor) -> float:
    """Error of the part of `made` that was recorded."""
    part = made[: wanted.shape[0], : wanted.shape[1]]
    return largest(part, wanted)


@torch.inference_mode()
def _stage_makers(codec: Codec) -> dict[str, Callable[[Tensor], Tensor]]:
    """Stage -> codes [1, T, codebooks] to what it makes [1, T, channels] or [1, channels, T]."""
    start = torch.zeros(1, dtype=torch.int64)

    def through(stages: int) -> Callable[[Tensor], Tensor]:
        return lambda codes: list(_walk(codec, codes, start))[stages]

    names = ["quantized", "pre_conv", "pre_transformer"]
    names += [f"upsample{index}" for index in range(len(codec.upsample))]
    names += [f"decoder{index}" for index in range(len(codec.decoder))]
    return {name: through(index) for index, name in enumerate(names)}


@torch.inference_mode()
def _walk(codec: Codec, codes: Tensor, start: Tensor) -> Iterator[Tensor]:
    """Every stage's output in turn; the same calls as the codec's forward pass."""
    memory = VocoderState(codec, 1, 0).memory(slice(None))
    x = codec.quantized(codes)
    yield x
    x = codec.pre_conv(x.transpose(1, 2), memory.tails).transpose(1, 2)
    yield x
    x = codec.pre_transformer(x, start, memory.attention)
    yield x
    x = x.transpose(1, 2)
    for stage in codec.upsample:
        x = stage(x, memory.tails)
        yield x
    for layer in codec.decoder:
        x = layer(x, memory.tails) if hasattr(layer, "block") or hasattr(layer, "conv") else layer(x)
        yield x
