"""The pre-norm decoder block of the Llama and Qwen line: grouped-query attention, rotary positions, SwiGLU.

What must not live here: embeddings, heads, a checkpoint's names, a cache (kv_cache.py). Query, key and value
share one matrix, as do gate and up: fewer and larger products, fewer launches.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from rhapsode_server.layers.kv_cache import Memory


@dataclass(frozen=True, slots=True)
class DecoderConfig:
    """Dimensions of a stack of equal blocks. `layer_scale`: a learned factor on each branch."""

    layers: int
    hidden: int
    intermediate: int
    heads: int
    kv_heads: int
    head_dim: int
    rope_theta: float
    eps: float
    qk_norm: bool = False
    qkv_bias: bool = False
    layer_scale: bool = False


class RMSNorm(nn.Module):
    """x / rms(x) * weight, computed in float32 (arXiv 1910.07467)."""

    def __init__(self, width: int, eps: float) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(width))
        self.eps = eps

    def forward(self, x: Tensor) -> Tensor:
        """[..., width] -> the same shape."""
        return F.rms_norm(x, self.weight.shape, self.weight, self.eps)


class Rope(nn.Module):
    """Rotary position embedding with rotated halves (arXiv 2104.09864, in the layout of GPT-NeoX).

    Angles are float32 whatever the model's dtype: in bfloat16 neighbouring positions would coincide.
    """

    def __init__(self, head_dim: int, theta: float) -> None:
        super().__init__()
        self._head_dim = head_dim
        self._theta = theta
        self._frequencies: dict[torch.device, Tensor] = {}
        self._tables: dict[tuple[int, torch.device, torch.dtype], tuple[Tensor, Tensor]] = {}

    def forward(self, positions: Tensor, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
        """positions [B, T] -> cos and signed sin, [B, 1, T, head_dim] each, for `rotate`."""
        angles = positions[:, None, :, None].float() * self._on(positions.device)
        cos, sin = angles.cos(), angles.sin()
        return torch.cat((cos, cos), -1).to(dtype), torch.cat((-sin, sin), -1).to(dtype)

    def table(self, length: int, device: torch.device, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
        """cos and signed sin of positions 0..length - 1, [1, 1, length, head_dim] each; computed once."""
        key = (length, device, dtype)
        if key not in self._tables:
            self._tables[key] = self(torch.arange(length, device=device)[None], dtype)
        return self._tables[key]

    def _on(self, device: torch.device) -> Tensor:
        """Frequencies [head_dim / 2], computed on the CPU so that every device turns by the same angles."""
        if device not in self._frequencies:
            exponent = torch.arange(0, self._head_dim, 2, device="cpu").float() / self._head_dim
            self._frequencies[device] = (1.0 / self._theta**exponent).to(device)
        return self._frequencies[device]


def rotate(x: Tensor, rope: tuple[Tensor, Tensor]) -> Tensor:
    """Turn [B, heads, T, head_dim] by the angles of `rope`."""
    cos, signed_sin = rope
    return x * cos + x.roll(x.shape[-1] // 2, -1) * signed_sin


def attend(query: Tensor, keys: Tensor, values: Tensor, mask: Tensor | None, *, causal: bool) -> Tensor:
    """Softmax attention with grouped heads: query [B, H, T, D], keys and values [B, KV, S, D].

    mask [B or 1, 1, T, S] bool (True: may look), or None for everything. Where there is no causal mask to
    leave to the kernel, the queries of a group are laid along T, so that keys are not repeated.
    """
    batch, heads, steps, width = query.shape
    groups = heads // keys.shape[1]
    if causal:
        return F.scaled_dot_product_attention(query, keys, values, is_causal=True, enable_gqa=groups > 1)
    if groups > 1:
        query = query.reshape(batch, keys.shape[1], groups * steps, width)
        mask = mask.repeat(1, 1, groups, 1) if mask is not None and steps > 1 else mask
    mixed = F.scaled_dot_product_attention(query, keys, values, attn_mask=mask)
    return mixed.reshape(batch, heads, steps, width)


class Attention(nn.Module):
    """Grouped-query attention over a `Memory`."""

    def __init__(self, config: DecoderConfig) -> None:
        super().__init__()
        self.config = config
        rows = (config.heads + 2 * config.kv_heads) * config.head_dim
        self.qkv = nn.Linear(config.hidden, rows, bias=config.qkv_bias)
        self.out = nn.Linear(config.heads * config.head_dim, config.hidden, bias=False)
        if config.qk_norm:
            self.qk_norm = nn.Parameter(torch.ones(config.heads + config.kv_heads, 1, config.head_dim))

    def forward(
        self,
        x: Tensor,
        rope: tuple[Tensor, Tensor],
        memory: Memory,
        layer: int,
        mask: Tensor | None,
        *,
        causal: bool,
    ) -> Tensor:
        """[B, T, hidden] -> the same shape; `mask` and `causal` as in `attend`."""
        config = self.config
        batch, steps, _ = x.shape
        mixed = self.qkv(x).view(batch, steps, -1, config.head_dim).transpose(1, 2)
        turned = self._turned(mixed[:, : config.heads + config.kv_heads], rope)
        query, keys = turned[:, : config.heads], turned[:, config.heads :]
        keys, values = memory.extend(layer, keys, mixed[:, config.heads + config.kv_heads :])
        heard = attend(query, keys, values, mask, causal=causal)
        return self.out(heard.transpose(1, 2).reshape(batch, steps, -1))  # type: ignore[no-any-return]

    def _turned(self, x: Tensor, rope: tuple[Tensor, Tensor]) -> Tensor:
        """Normalise queries and keys head by head where the model does, then rotate both at once."""
        if self.config.qk_norm:
            x = F.rms_norm(x, (self.config.head_dim,), None, self.config.eps) * self.qk_norm
        return rotate(x, rope)


class SwiGLU(nn.Module):
    """down(silu(gate(x)) * up(x)) (arXiv 2002.05202)."""

    def __init__(self, hidden: int, intermediate: int) -> None:
        super().__init__()
        self.gate_up = nn.Linear(hidden, 2 * intermediate, bias=False)
        self.down = nn.Linear(intermediate, hidden, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """[..., hidden] -> the same shape."""
        gate, up = self.gate_up(x).chunk(2, -1)
        return self.down(F.silu(gate) * up)  # type: ignore[no-any-return]


class Block(nn.Module):
    """Attention and SwiGLU, each after a norm and added to its input."""

    def __init__(self, config: DecoderConfig) -> None:
        super().__init__()
        self.attention_norm = RMSNorm(config.hidden, config.eps)
        self.attention = Attention(config)
        self.mlp_norm = RMSNorm(config.hidden, config.eps)
        self.mlp = SwiGLU(config.hidden, config.intermediate)
        self.attention_scale = nn.Parameter(torch.ones(config.hidden)) if config.layer_scale else None
        self.mlp_scale = nn.Parameter(torch.ones(config.hidden)) if config.layer_scale else None

    def forward(
        self,
        x: Tensor,
        rope: tuple[Tensor, Tensor],
        memory: Memory,
        layer: int,
        mask: Tensor | None,
        *,
        causal: bool,
    ) -> Tensor:
        """[B, T, hidden] -> the same shape."""
        heard = self.attention(self.attention_norm(x), rope, memory, layer, mask, causal=causal)
        x = x + (heard if self.attention_scale is None else heard * self.attention_scale)
        thought = self.mlp(self.mlp_norm(x))
        scaled: Tensor = thought if self.mlp_scale is None else thought * self.mlp_scale
        return x + scaled


class Decoder(nn.Module):
    """A stack of blocks and the final norm."""

    def __init__(self, config: DecoderConfig) -> None:
        super().__init__()
        self.config = config
        self.layers = nn.ModuleList(Block(config) for _ in range(config.layers))
        self.norm = RMSNorm(config.hidden, config.eps)
        self.rope = Rope(config.head_dim, config.rope_theta)

    def forward(
        self,
        x: Tensor,
        positions: Tensor,
        memory: Memory,
        mask: Tensor | None = None,
        *,
        causal: bool = False,
    ) -> Tensor:
        """x [B, T, hidden] at `positions` [B, T] -> normalised hidden states [B, T, hidden]."""
        return self.turned(x, self.rope(positions, x.dtype), memory, mask, causal=causal)

    def turned(
        self,
        x: Tensor,
        rope: tuple[Tensor, Tensor],
        memory: Memory,
        mask: Tensor | None = None,
        *,
        causal: bool = False,
    ) -> Tensor:
        """The same where cos and signed sin [B or 1, 1, T, head_dim] of the positions are known."""
        for index, layer in enumerate(self.layers):
            x = layer(x, rope, memory, index, mask, causal=causal)
        return self.norm(x)  # type: ignore[no-any-return]
