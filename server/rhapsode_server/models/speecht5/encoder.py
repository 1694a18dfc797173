"""The text encoder: characters -> hidden states, once per prompt.

What must not live here: batching (a prompt is encoded by itself, so that its neighbours cannot change
it by padding), the decoder.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional as F

from rhapsode_server.models.speecht5.config import AcousticConfig
from rhapsode_server.models.speecht5.weights import Weights


class Norm:
    """Layer normalisation with its weights."""

    def __init__(self, weights: Weights, width: int, eps: float) -> None:
        self._weight = weights.tensor("weight", width)
        self._bias = weights.tensor("bias", width)
        self._eps = eps

    def __call__(self, x: Tensor) -> Tensor:
        """[..., width] -> the same shape."""
        return F.layer_norm(x, self._weight.shape, self._weight, self._bias, self._eps)


class FeedForward:
    """Two affine layers with an activation between them."""

    def __init__(self, weights: Weights, config: AcousticConfig, inner: int) -> None:
        activation = "relu" if config.hidden_act == "relu" else "gelu"
        self._in = weights.linear("intermediate_dense", config.hidden_size, inner, activation)  # type: ignore[arg-type]
        self._out = weights.linear("output_dense", inner, config.hidden_size)

    def __call__(self, x: Tensor) -> Tensor:
        """[..., hidden] -> the same shape."""
        return self._out(self._in(x))


def sinusoids(positions: int, width: int, scale: Tensor) -> Tensor:
    """Table [positions, width] of sines (even columns) and cosines (odd), times a learned scale.

    Sections 3.5 of arXiv 1706.03762 and 3.2 of arXiv 1809.08895.
    """
    rates = torch.exp(torch.arange(0, width, 2).float() * -(math.log(10000.0) / width))
    angles = torch.arange(positions).unsqueeze(1).float() * rates
    table = torch.stack((angles.sin(), angles.cos()), 2).flatten(1)
    return scale * table.to(scale)


class _Layer:
    def __init__(self, weights: Weights, config: AcousticConfig) -> None:
        width = config.hidden_size
        attention = weights.below("attention")
        self._heads = config.encoder_attention_heads
        self._query, self._key, self._value, self._out = (
            attention.linear(f"{name}_proj", width, width) for name in ("q", "k", "v", "out")
        )
        self._feed_forward = FeedForward(weights.below("feed_forward"), config, config.encoder_ffn_dim)
        self._norm = Norm(weights.below("layer_norm"), width, config.layer_norm_eps)
        self._last_norm = Norm(weights.below("final_layer_norm"), width, config.layer_norm_eps)

    def __call__(self, x: Tensor, distances: Tensor) -> Tensor:
        """x [T, hidden], distances [2T - 1, head_dim] -> [T, hidden]."""
        x = self._norm(x + self._attend(x, distances))
        return self._last_norm(x + self._feed_forward(x))

    def _attend(self, x: Tensor, distances: Tensor) -> Tensor:
        query, keys, values = (
            layer(x).view(len(x), self._heads, -1).transpose(0, 1)
            for layer in (self._query, self._key, self._value)
        )
        bias = _relative(query @ distances.T) / math.sqrt(query.shape[2])
        heard = F.scaled_dot_product_attention(query[None], keys[None], values[None], attn_mask=bias[None])
        return self._out(heard[0].transpose(0, 1).flatten(1))


def _relative(scores: Tensor) -> Tensor:
    """[H, T, 2T - 1] over distances T-1, T-2, ..., 1-T -> [H, T, T] over (query, key) positions.

    Row i begins at the distance i - 0, which is column T-1-i: one column earlier for each row, so the
    rows lie one element closer together than those of `scores`.
    """
    heads, steps, width = scores.shape
    scores = scores.contiguous()
    strides = (steps * width, width - 1, 1)
    return scores.as_strided((heads, steps, steps), strides, scores.storage_offset() + steps - 1).contiguous()


class Encoder:
    """Character embeddings, scaled positions, and layers with relative positions (arXiv 1803.02155)."""

    def __init__(self, weights: Weights, config: AcousticConfig) -> None:
        width, reach = config.hidden_size, config.encoder_max_relative_position
        prenet, wrapped = weights.below("prenet"), weights.below("wrapped_encoder")
        self._embedding = prenet.tensor("embed_tokens.weight", config.vocab_size, width)
        self._positions = sinusoids(config.max_text_positions, width, prenet.tensor("encode_positions.alpha"))
        self._norm = Norm(wrapped.below("layer_norm"), width, config.layer_norm_eps)
        self._reach = reach
        self._distances = wrapped.tensor(
            "embed_positions.pe_k.weight", 2 * reach, width // config.encoder_attention_heads
        )
        self._layers = [_Layer(wrapped.below(f"layers.{i}"), config) for i in range(config.encoder_layers)]

    def __call__(self, tokens: Tensor) -> Tensor:
        """tokens [T] int64 -> hidden states [T, hidden]."""
        steps = len(tokens)
        x = self._norm(self._embedding[tokens] + self._positions[:steps])
        apart = torch.arange(steps - 1, -steps, -1, device=tokens.device)
        distances = self._distances[apart.clamp(-self._reach, self._reach - 1) + self._reach]
        for layer in self._layers:
            x = layer(x, distances)
        return x
