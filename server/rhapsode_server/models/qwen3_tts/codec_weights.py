"""How the codec's tensors are stored, and what is computed once when they are read.

What must not live here: the forward pass.
"""

from __future__ import annotations

import re
from pathlib import Path

import torch
from torch import Tensor
from torch.nn import functional as F

from rhapsode_server.models.qwen3_tts.codec import Codec
from rhapsode_server.models.qwen3_tts.config import CodecConfig
from rhapsode_server.models.qwen3_tts.weights import Source, Store, Tensors, decoder_sources, fill

USAGE_FLOOR = 1e-5
SNAKE_FLOOR = 1e-9


def load_codec(config: CodecConfig, path: Path, device: str) -> Codec:
    """Read the decoder from a speech_tokenizer folder; always float32. Raises errors.ModelUnusable."""
    tensors = Tensors(path / "model.safetensors", dtype=torch.float32, device=device)
    depth, books = config.decoder.layers, config.codebooks - 1
    tensors.check_depth("decoder.pre_transformer.layers.", depth, "num_hidden_layers of decoder_config")
    tensors.check_depth("decoder.quantizer.rvq_rest.vq.layers.", books, "num_quantizers less the first")
    with torch.device("meta"):
        codec = Codec(config)
    sources: dict[str, Source] = {name: _source(name) for name in codec.state_dict()}
    inner = "pre_transformer.decoder."
    sources |= decoder_sources(inner, "decoder.pre_transformer.", config.decoder.layers, None)
    fill(codec, tensors, sources | {"tables": _tables(config)})
    return codec


def _source(name: str) -> Source:
    """Parameters keep their names, except those of Snake, which are stored as logarithms."""
    stored = f"decoder.{name}"
    if name.endswith(".frequency"):
        alpha = re.sub("frequency$", "alpha", stored)
        return lambda tensors: tensors.take(alpha).exp()
    if name.endswith(".inverse"):
        beta = re.sub("inverse$", "beta", stored)
        return lambda tensors: 1.0 / (tensors.take(beta).exp() + SNAKE_FLOOR)
    return stored


def _tables(config: CodecConfig) -> Source:
    """One table of final vectors [codebooks * size, dim]: each is projected here, not after the sum."""

    def build(tensors: Store) -> Tensor:
        groups = [("rvq_first", 1), ("rvq_rest", config.codebooks - 1)]
        return torch.cat([_table(tensors, group, index) for group, count in groups for index in range(count)])

    return build


def _table(tensors: Store, group: str, index: int) -> Tensor:
    """Centroids are running sums over running counts; each group has a projection of its own."""
    stored = f"decoder.quantizer.{group}"
    book = f"{stored}.vq.layers.{index}._codebook"
    usage = tensors.take(f"{book}.cluster_usage").clamp(min=USAGE_FLOOR)
    centroids = tensors.take(f"{book}.embedding_sum") / usage[:, None]
    return F.linear(centroids, tensors.take(f"{stored}.output_proj.weight")[:, :, 0])
