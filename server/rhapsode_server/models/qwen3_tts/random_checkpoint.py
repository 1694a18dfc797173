"""A checkpoint of random weights in the official layout: for benchmarks at full size, and for tests.

    python -m rhapsode_server.models.qwen3_tts.random_checkpoint FOLDER --geometry 0.6b --kind custom_voice

What must not live here: dimensions and names (geometry.py, inventory.py). It speaks noise, but with the cost,
the memory and the control flow of the real thing: it even ends, as often as `end_chance` says.
"""

from __future__ import annotations

import argparse
import json
import math
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from tokenizers import Tokenizer
from tokenizers.models import BPE
from tokenizers.pre_tokenizers import ByteLevel
from tokenizers.trainers import BpeTrainer
from torch import Tensor

from rhapsode_server.layers.kv_cache import Scratch
from rhapsode_server.models.qwen3_tts.config import KINDS, Kind, TalkerConfig
from rhapsode_server.models.qwen3_tts.config_files import read_checkpoint
from rhapsode_server.models.qwen3_tts.geometry import (
    GENERATION_JSON,
    GEOMETRIES,
    SPECIAL,
    TAGS,
    Geometry,
    codec_json,
    config_json,
)
from rhapsode_server.models.qwen3_tts.inventory import Entry, codec_tensors, main_tensors
from rhapsode_server.models.qwen3_tts.talker import load_talker

SAMPLE_TEXT = (
    "The assistant reads what the user sends, word by word, and the voice follows close behind. "
    "An assistant should not keep anyone waiting; a short answer is there before the question is cold. "
    "Numbers such as 3 and 14, names such as Vienna or Nanjing, and little words like and, or, but, if. "
    "The user asks, the assistant answers, and another user has been listening all the time."
)
"""What the merges of the text vocabulary are learnt from."""
ANCHOR = 4.0
"""The residual stream's channel 0 is this number at every position, so that the end's logit is constant."""
PEAKEDNESS = 3.0
"""Standard deviation of the other logits: a few codes at a time are likely, as with a trained model."""


def write_checkpoint(
    folder: Path,
    geometry: Geometry,
    kind: Kind,
    *,
    seed: int = 0,
    end_chance: float = 0.02,
    half: bool = False,
) -> None:
    """Write a complete checkpoint. `end_chance` is about the chance of each frame to be the last;
    `half` stores the language model in bfloat16, as the released files do."""
    (folder / "speech_tokenizer").mkdir(parents=True, exist_ok=True)
    words = _write_tokenizer(folder, geometry)
    _write_json(folder / "config.json", config_json(geometry, kind, words["assistant"]))
    _write_json(folder / "generation_config.json", GENERATION_JSON)
    _write_json(folder / "preprocessor_config.json", {"processor_class": "Qwen3TTSProcessor"})
    _write_json(folder / "speech_tokenizer" / "config.json", codec_json(geometry))
    generator = torch.Generator().manual_seed(seed)
    dtype = torch.bfloat16 if half else torch.float32
    tensors = _random(main_tensors(geometry, kind), generator, dtype)
    _anchor(tensors, geometry)
    _make_it_end(tensors, read_checkpoint(folder).talker, geometry, end_chance)
    save_file(tensors, folder / "model.safetensors")
    del tensors
    codec = _random(codec_tensors(geometry), generator, torch.float32)
    save_file(codec, folder / "speech_tokenizer" / "model.safetensors")


def _write_json(path: Path, value: Any) -> None:
    path.write_text(json.dumps(value, indent=2) + "\n", encoding="utf-8")


def _write_tokenizer(folder: Path, geometry: Geometry) -> dict[str, int]:
    """vocab.json, merges.txt and tokenizer_config.json; words that no text makes fill the vocabulary up."""
    tokenizer = Tokenizer(BPE())
    tokenizer.pre_tokenizer = ByteLevel(add_prefix_space=False)
    alphabet = sorted(ByteLevel.alphabet())
    trainer = BpeTrainer(vocab_size=geometry.words, initial_alphabet=alphabet, show_progress=False)
    tokenizer.train_from_iterator([SAMPLE_TEXT, *["assistant"] * 9, *["user"] * 9], trainer)
    model = json.loads(tokenizer.to_str())["model"]
    words: dict[str, int] = model["vocab"]
    words |= {f"<unused {number}>": number for number in range(len(words), geometry.words)}
    merges = [" ".join(pair) if isinstance(pair, list) else pair for pair in model["merges"]]
    _write_json(folder / "vocab.json", words)
    (folder / "merges.txt").write_text("\n".join(["#version: 0.2", *merges, ""]), encoding="utf-8")
    added = {
        str(geometry.words + index): {"content": content, "normalized": False, "special": True}
        for index, content in enumerate(SPECIAL)
    }
    _write_json(folder / "tokenizer_config.json", {"added_tokens_decoder": added})
    return words


def _random(entries: Iterator[Entry], generator: torch.Generator, dtype: torch.dtype) -> dict[str, Tensor]:
    return {name: _value(name, shape, generator, dtype) for name, shape in entries}


def _value(name: str, shape: tuple[int, ...], generator: torch.Generator, dtype: torch.dtype) -> Tensor:
    """Values that keep signals at about unit size through every layer."""
    if name.endswith(("norm.weight", "layernorm.weight", "cluster_usage", "initialized")):
        return torch.ones(shape, dtype=dtype)
    if name.endswith(("bias", "alpha", "beta")):
        return torch.zeros(shape, dtype=dtype)
    if name.endswith((".scale", "gamma")):
        return torch.full(shape, 0.1, dtype=dtype)
    width = 1.0 if "embed" in name else _gain(name) / math.sqrt(_fan_in(name, shape))
    return torch.empty(shape, dtype=dtype).normal_(0.0, width, generator=generator)


def _gain(name: str) -> float:
    """Snake amplifies and residual units add up: the wave decoder's convolutions make up for both."""
    if not name.startswith("decoder.decoder"):
        return 1.0
    return 0.3 if ".conv2." in name else 0.7


def _fan_in(name: str, shape: tuple[int, ...]) -> int:
    """Numbers that are summed into one output; a transposed convolution sums two taps of every input."""
    if "decoder.upsample" in name and ".0.conv." in name:
        return shape[0]
    if "decoder.decoder" in name and ".block.1.conv." in name:
        return 2 * shape[0]
    return math.prod(shape[1:])


def _anchor(tensors: dict[str, Tensor], geometry: Geometry) -> None:
    """Give channel 0 of the residual stream the same value at every position.

    It is written by the text row alone (every input row has exactly one) and by no layer.
    """
    for name, tensor in tensors.items():
        if name.startswith("talker.model.layers") and name.endswith(("o_proj.weight", "down_proj.weight")):
            tensor[0] = 0.0
        if "codec_embedding" in name:
            tensor[:, 0] = 0.0
    tensors["talker.text_projection.linear_fc2.weight"][0] = 0.0
    tensors["talker.text_projection.linear_fc2.bias"][0] = ANCHOR
    head = tensors["talker.codec_head.weight"]
    head *= PEAKEDNESS
    head[:, 0] = 0.0
    head[_end(geometry)] = 0.0


@torch.inference_mode()
def _make_it_end(tensors: dict[str, Tensor], config: TalkerConfig, geometry: Geometry, chance: float) -> None:
    """Set the end's logit so that it is drawn with about `chance`; only its row reads channel 0."""
    talker, embeddings = load_talker(config, _Made(tensors))
    rows = embeddings.frames(torch.arange(64)[:, None].expand(-1, config.codebooks) % config.codebook_size)
    rows = rows + embeddings.text(torch.arange(64))
    hidden = talker.decoder(rows[None], torch.arange(64)[None], Scratch(config.decoder.layers), causal=True)[
        0
    ]
    temperature, top_k = float(GENERATION_JSON["temperature"]), int(GENERATION_JSON["top_k"])
    others = talker.head(hidden)[:, : config.codebook_size].float() / temperature
    rest = others.topk(min(top_k, config.codebook_size)).values.logsumexp(1).mean()
    wanted = temperature * (rest + math.log(chance / (1.0 - chance)))
    tensors["talker.codec_head.weight"][_end(geometry), 0] = wanted / hidden[:, 0].float().mean()


def _end(geometry: Geometry) -> int:
    return geometry.codebook_size + TAGS["eos_token"]


class _Made:
    """Tensors that are not in a file yet, for weights.fill."""

    path = Path("(random)")

    def __init__(self, tensors: dict[str, Tensor]) -> None:
        self._tensors = tensors

    def take(self, name: str) -> Tensor:
        """The tensor called `name`."""
        return self._tensors[name]

    def stacked(self, *names: str) -> Tensor:
        """Several tensors, one below the other."""
        return torch.cat([self._tensors[name] for name in names])


def main(arguments: Sequence[str] | None = None) -> None:
    """The command."""
    parser = argparse.ArgumentParser(description="Write a Qwen3-TTS checkpoint of random weights.")
    parser.add_argument("folder", type=Path)
    parser.add_argument("--geometry", choices=list(GEOMETRIES), default="0.6b")
    parser.add_argument("--kind", choices=KINDS, default="custom_voice")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--end-chance", type=float, default=0.02)
    chosen = parser.parse_args(arguments)
    geometry = GEOMETRIES[chosen.geometry]
    half = chosen.geometry != "tiny"
    write_checkpoint(
        chosen.folder, geometry, chosen.kind, seed=chosen.seed, end_chance=chosen.end_chance, half=half
    )
    size = sum(path.stat().st_size for path in chosen.folder.rglob("*") if path.is_file())
    sys.stdout.write(f"{chosen.folder}: {chosen.geometry} {chosen.kind}, {size / 1e9:.2f} GB\n")


if __name__ == "__main__":
    main()
