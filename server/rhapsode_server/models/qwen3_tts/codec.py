"""The decoder of the 12 Hz speech tokenizer: codes to waveform, strictly causal, fed piece by piece.

What must not live here: slots, windows, chunk seams (vocoder.py). There is one forward pass; the whole
utterance at once is the same call with nothing remembered.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from rhapsode_server.layers.decoder import Decoder
from rhapsode_server.layers.kv_cache import SlidingTail
from rhapsode_server.layers.snake import Snake
from rhapsode_server.layers.streaming_conv import CausalConv, CausalTransposedConv, Tails, name_streaming
from rhapsode_server.models.qwen3_tts.config import CodecConfig

DILATIONS = (1, 3, 9)


@dataclass(slots=True)
class CodecMemory:
    """What one call goes on from, and what it leaves: inputs of convolutions, and keys and values."""

    tails: Tails
    attention: SlidingTail


class ConvNeXt(nn.Module):
    """Depthwise causal convolution, then a pointwise network, added to the input (arXiv 2201.03545)."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.dwconv = CausalConv(channels, channels, 7, groups=channels)
        self.norm = nn.LayerNorm(channels, eps=1e-6)
        self.pwconv1 = nn.Linear(channels, 4 * channels)
        self.pwconv2 = nn.Linear(4 * channels, channels)
        self.gamma = nn.Parameter(torch.ones(channels))

    def forward(self, x: Tensor, tails: Tails) -> Tensor:
        """[B, channels, T] -> the same shape."""
        mixed = self.norm(self.dwconv(x, tails).transpose(1, 2))
        mixed = self.gamma * self.pwconv2(F.gelu(self.pwconv1(mixed)))
        out: Tensor = x + mixed.transpose(1, 2)
        return out


class UpsamplingStage(nn.ModuleList):
    """Transposed convolution by `rate`, then a ConvNeXt block."""

    def __init__(self, channels: int, rate: int) -> None:
        super().__init__([CausalTransposedConv(channels, channels, rate, rate), ConvNeXt(channels)])

    def forward(self, x: Tensor, tails: Tails) -> Tensor:
        """[B, channels, T] -> [B, channels, T * rate]."""
        for layer in self:
            x = layer(x, tails)
        return x


class ResidualUnit(nn.Module):
    """Two activated convolutions, the first dilated, added to the input."""

    def __init__(self, channels: int, dilation: int) -> None:
        super().__init__()
        self.act1 = Snake(channels)
        self.conv1 = CausalConv(channels, channels, 7, dilation=dilation)
        self.act2 = Snake(channels)
        self.conv2 = CausalConv(channels, channels, 1)

    def forward(self, x: Tensor, tails: Tails) -> Tensor:
        """[B, channels, T] -> the same shape."""
        out: Tensor = self.conv2(self.act2(self.conv1(self.act1(x), tails)), tails)
        return x + out


class UpsamplingBlock(nn.Module):
    """Activation, transposed convolution by `rate`, three residual units."""

    def __init__(self, inputs: int, outputs: int, rate: int) -> None:
        super().__init__()
        units = (ResidualUnit(outputs, dilation) for dilation in DILATIONS)
        upsampling = CausalTransposedConv(inputs, outputs, 2 * rate, rate)
        self.block = nn.ModuleList([Snake(inputs), upsampling, *units])

    def forward(self, x: Tensor, tails: Tails) -> Tensor:
        """[B, inputs, T] -> [B, outputs, T * rate]."""
        x = self.block[0](x)
        for layer in self.block[1:]:
            x = layer(x, tails)
        return x


class PreTransformer(nn.Module):
    """A decoder whose attention sees the position itself and the `window - 1` before it."""

    def __init__(self, config: CodecConfig) -> None:
        super().__init__()
        self.window = config.window
        self.input_proj = nn.Linear(config.latent, config.decoder.hidden)
        self.decoder = Decoder(config.decoder)
        self.output_proj = nn.Linear(config.decoder.hidden, config.latent)

    def forward(self, x: Tensor, start: Tensor, attention: SlidingTail) -> Tensor:
        """x [B, T, latent] at positions start [B], start + 1, … -> the same shape."""
        steps, back = x.shape[1], self.window - 1
        ahead = torch.arange(steps, device=x.device)
        age = back + ahead[:, None] - torch.arange(back + steps, device=x.device)
        exists = (start[:, None] - back + torch.arange(back + steps, device=x.device)) >= 0
        mask = ((age >= 0) & (age < self.window))[None, None] & exists[:, None, None]
        hidden = self.decoder(self.input_proj(x), start[:, None] + ahead, attention, mask)
        out: Tensor = self.output_proj(hidden)
        return out


class Codec(nn.Module):
    """codes -> waveform."""

    def __init__(self, config: CodecConfig) -> None:
        super().__init__()
        self.config = config
        self.tables = nn.Parameter(torch.empty(config.codebooks * config.codebook_size, config.codebook_dim))
        self.pre_conv = CausalConv(config.codebook_dim, config.latent, 3)
        self.pre_transformer = PreTransformer(config)
        self.upsample = nn.ModuleList(UpsamplingStage(config.latent, rate) for rate in config.upsampling)
        self.decoder = nn.ModuleList(self._wave_decoder(config))
        self.tail_shapes = name_streaming(self)

    @staticmethod
    def _wave_decoder(config: CodecConfig) -> list[nn.Module]:
        widths = [config.channels // 2**step for step in range(len(config.rates) + 1)]
        steps = zip(pairwise(widths), config.rates, strict=True)
        blocks = (UpsamplingBlock(wide, narrow, rate) for (wide, narrow), rate in steps)
        first = CausalConv(config.latent, widths[0], 7)
        return [first, *blocks, Snake(widths[-1]), CausalConv(widths[-1], 1, 7)]

    @property
    def samples_per_frame(self) -> int:
        """Samples that one frame becomes."""
        return math.prod((*self.config.upsampling, *self.config.rates))

    def forward(self, codes: Tensor, start: Tensor, memory: CodecMemory) -> Tensor:
        """codes [B, T, codebooks], the first at position start [B] -> waveform [B, T * samples_per_frame].

        `memory` is what the frames before left behind; afterwards it holds what these leave.
        """
        x = self.pre_conv(self.quantized(codes).transpose(1, 2), memory.tails).transpose(1, 2)
        x = self.pre_transformer(x, start, memory.attention).transpose(1, 2)
        for stage in self.upsample:
            x = stage(x, memory.tails)
        for layer in self.decoder:
            x = layer(x) if isinstance(layer, Snake) else layer(x, memory.tails)
        sound: Tensor = x[:, 0].clamp(-1.0, 1.0)
        return sound

    def quantized(self, codes: Tensor) -> Tensor:
        """Sum of the codes' vectors: [B, T, codebook_dim]. Codes below 0 (padding) count as 0."""
        first = torch.arange(self.config.codebooks, device=codes.device) * self.config.codebook_size
        return F.embedding(codes.clamp(0, self.config.codebook_size - 1) + first, self.tables).sum(-2)
