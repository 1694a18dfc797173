"""The neural network behind ion's acoustic model: tokens -> durations and pitch -> mel, block by block.

Lives here: modules and the one path that training and streaming share. Must not live here: slots,
prompts, text, files. Shapes: B rows, N tokens, T mel frames, P positions (`stack` frames each).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from rhapsode_server.models.ion.phones import PLACES, SYMBOLS

FORBIDDEN = -1e9
"""Added to an attention score that must not count; finite, so that a row without keys stays a number."""


@dataclass(frozen=True, slots=True)
class AcousticConfig:
    """Sizes of the acoustic network."""

    speakers: int = 3
    mels: int = 80
    width: int = 192
    encoder_layers: int = 4
    decoder_width: int = 256
    decoder_layers: int = 3
    expansion: int = 3
    heads: int = 4
    reach: int = 24
    """Positions that attention may look back (decoder) or to either side (encoder: bias is flat beyond)."""
    stack: int = 4
    """Mel frames made by one position of the decoder."""
    pitch_points: int = 4
    """Log-pitch values per token."""

    @property
    def channels(self) -> int:
        """Values of one frame: mel, voicing, log pitch."""
        return self.mels + 2


@dataclass(slots=True)
class Tail:
    """What one decoder layer remembers: keys, values [B, reach, width], inputs of its convolution [B, 2,
    width].
    """

    keys: Tensor
    values: Tensor
    inputs: Tensor

    def tensors(self) -> tuple[Tensor, Tensor, Tensor]:
        """All three; the first dimension is the row."""
        return self.keys, self.values, self.inputs

    def take(self, rows: Tensor) -> Tail:
        """A copy of these rows."""
        return Tail(*(tensor[rows] for tensor in self.tensors()))

    def put(self, rows: Tensor, other: Tail) -> None:
        """Write `other` into these rows."""
        for mine, new in zip(self.tensors(), other.tensors(), strict=True):
            mine[rows] = new


class FeedForward(nn.Module):
    """Depthwise convolution of 3, then two linear layers."""

    def __init__(self, width: int, expansion: int) -> None:
        super().__init__()
        self.taps = nn.Parameter(torch.randn(3, width) * 0.3)
        self.up = nn.Linear(width, width * expansion)
        self.down = nn.Linear(width * expansion, width)

    def forward(self, x: Tensor) -> Tensor:
        """[B, n + 2, width] -> [B, n, width]."""
        n = x.shape[1] - 2
        mixed = sum(x[:, tap : tap + n] * self.taps[tap] for tap in range(3))
        out: Tensor = self.down(F.gelu(self.up(mixed), approximate="tanh"))
        return out


class Attention(nn.Module):
    """Multi-head attention with a learned bias for each distance."""

    def __init__(self, width: int, heads: int, distances: int) -> None:
        super().__init__()
        self.heads = heads
        self.project = nn.Linear(width, 3 * width)
        self.out = nn.Linear(width, width)
        self.bias = nn.Parameter(torch.zeros(heads, distances))

    def attend(self, query: Tensor, key: Tensor, value: Tensor, bias: Tensor) -> Tensor:
        """query [B, n, width], key and value [B, m, width], bias broadcast to [B, heads, n, m]."""
        q, k, v = (x.view(*x.shape[:2], self.heads, -1).transpose(1, 2) for x in (query, key, value))
        mixed = F.scaled_dot_product_attention(q, k, v, attn_mask=bias.to(q.dtype))
        out: Tensor = self.out(mixed.transpose(1, 2).flatten(2))
        return out


class EncoderLayer(nn.Module):
    """Attention to both sides, then feed-forward."""

    def __init__(self, config: AcousticConfig) -> None:
        super().__init__()
        self.reach = config.reach
        self.norms = nn.ModuleList(nn.LayerNorm(config.width) for _ in range(2))
        self.attention = Attention(config.width, config.heads, 2 * config.reach + 1)
        self.feed = FeedForward(config.width, config.expansion)

    def forward(self, x: Tensor, present: Tensor) -> Tensor:
        """x [B, N, width], present [B, N] bool -> [B, N, width]."""
        place = torch.arange(x.shape[1], device=x.device)
        distance = (place[None, :] - place[:, None]).clamp(-self.reach, self.reach) + self.reach
        hidden = torch.where(present, 0.0, FORBIDDEN)[:, None, None, :]
        query, key, value = self.attention.project(self.norms[0](x)).chunk(3, -1)
        x = x + self.attention.attend(query, key, value, self.attention.bias[:, distance] + hidden)
        padded = F.pad(self.norms[1](x) * present[..., None], (0, 0, 1, 1))
        out: Tensor = x + self.feed(padded)
        return out


class DecoderLayer(nn.Module):
    """Causal attention over the last `reach` positions, then causal feed-forward."""

    def __init__(self, config: AcousticConfig) -> None:
        super().__init__()
        self.reach, self.width = config.reach, config.decoder_width
        self.norms = nn.ModuleList(nn.LayerNorm(self.width) for _ in range(2))
        self.attention = Attention(self.width, config.heads, config.reach + 1)
        self.feed = FeedForward(self.width, config.expansion)

    def tail(self, rows: int, device: torch.device) -> Tail:
        """An empty memory."""
        keys, values = torch.zeros(2, rows, self.reach, self.width, device=device)
        return Tail(keys, values, torch.zeros(rows, 2, self.width, device=device))

    def forward(self, x: Tensor, tail: Tail, seen: Tensor) -> tuple[Tensor, Tail]:
        """x [B, n, width], seen [B] positions before these -> the same shape, and the memory after them."""
        n = x.shape[1]
        query, key, value = self.attention.project(self.norms[0](x)).chunk(3, -1)
        key, value = torch.cat((tail.keys, key), 1), torch.cat((tail.values, value), 1)
        x = x + self.attention.attend(query, key, value, self._bias(n, seen))
        inputs = torch.cat((tail.inputs, self.norms[1](x)), 1)
        return x + self.feed(inputs), Tail(key[:, n:], value[:, n:], inputs[:, n:])

    def _bias(self, n: int, seen: Tensor) -> Tensor:
        """[B, heads, n, reach + n]: the distance's bias; FORBIDDEN for the future, the far past and empty
        rows.
        """
        keys = torch.arange(self.reach + n, device=seen.device)
        distance = self.reach + torch.arange(n, device=seen.device)[:, None] - keys
        allowed = (distance >= 0) & (distance <= self.reach)
        near = self.attention.bias[:, distance.clamp(0, self.reach)]
        filled = keys >= self.reach - seen[:, None]
        return near.masked_fill(~allowed, FORBIDDEN) + torch.where(filled, 0.0, FORBIDDEN)[:, None, None, :]


@dataclass(frozen=True, slots=True)
class Prosody:
    """What is known of a whole utterance before its first frame.

    vectors [B, N, width]; frames [B, N] durations in mel frames, not rounded; pitch [B, N, points], scaled.
    """

    vectors: Tensor
    frames: Tensor
    pitch: Tensor


class AcousticNetwork(nn.Module):
    """Encoder, duration and pitch heads, causal decoder."""

    def __init__(self, config: AcousticConfig) -> None:
        super().__init__()
        self.config = config
        sizes = (len(SYMBOLS), 2, len(PLACES), 2)
        self.embeddings = nn.ModuleList(nn.Embedding(size, config.width) for size in sizes)
        self.speaker = nn.Embedding(config.speakers, config.width)
        self.encoder = nn.ModuleList(EncoderLayer(config) for _ in range(config.encoder_layers))
        self.encoded = nn.LayerNorm(config.width)
        outputs = 1 + config.pitch_points
        self.prosody = nn.Sequential(nn.Linear(config.width, 256), nn.GELU(), nn.Linear(256, outputs))
        self.enter = nn.Linear(config.stack * (config.width + 5), config.decoder_width)
        self.decoder = nn.ModuleList(DecoderLayer(config) for _ in range(config.decoder_layers))
        self.decoded = nn.LayerNorm(config.decoder_width)
        self.leave = nn.Linear(config.decoder_width, config.stack * (config.mels + 1))

    def encode(self, tokens: Tensor, speaker: Tensor, present: Tensor) -> Prosody:
        """tokens [B, N, 4], speaker [B], present [B, N] bool (False: padding)."""
        x = sum(embed(tokens[..., i]) for i, embed in enumerate(self.embeddings))
        x = x + self.speaker(speaker)[:, None]
        for layer in self.encoder:
            x = layer(x, present)
        vectors = self.encoded(x)
        said = self.prosody(vectors).float()
        return Prosody(vectors, said[..., 0].clamp(-2.0, 5.0).exp(), said[..., 1:])

    def tails(self, rows: int, device: torch.device) -> list[Tail]:
        """Empty memories of the decoder's layers."""
        return [layer.tail(rows, device) for layer in self.decoder]  # type: ignore[operator]

    def decode(self, aligned: Tensor, tails: list[Tail], seen: Tensor) -> tuple[Tensor, list[Tail]]:
        """aligned [B, P * stack, width + 5] (`align`) -> mel and voicing [B, P * stack, mels + 1]."""
        rows, frames, size = aligned.shape
        x = self.enter(aligned.reshape(rows, -1, self.config.stack * size))
        after = []
        for layer, tail in zip(self.decoder, tails, strict=True):
            x, tail = layer(x, tail, seen)
            after.append(tail)
        return self.leave(self.decoded(x)).reshape(rows, frames, -1), after


@dataclass(frozen=True, slots=True)
class Alignment:
    """Which token each frame belongs to. ends [R, N]: frame after each token's last one; pitch [R, N *
    points].
    """

    ends: Tensor
    pitch: Tensor

    def at(self, rows: Tensor, frames: Tensor) -> tuple[Tensor, Tensor]:
        """For the frames numbered `frames` [B, T] of the rows `rows` [B]: token [B, T], features [B, T, 5].

        Features: share of the token passed and left, frames passed, log duration, scaled log pitch (the last
        one).
        """
        ends = self.ends[rows]
        token = torch.searchsorted(ends, frames, right=True).clamp(max=ends.shape[1] - 1)
        end = ends.gather(1, token)
        begin = torch.where(token > 0, ends.gather(1, (token - 1).clamp(min=0)), 0)
        span, passed = (end - begin).clamp(min=1).float(), (frames - begin).float()
        share = ((passed + 0.5) / span).clamp(max=1.0)
        pitch = self._pitch(rows, token, share)
        return token, torch.stack((share, 1 - share, passed / 16, span.log() / 2, pitch), -1)

    def _pitch(self, rows: Tensor, token: Tensor, share: Tensor) -> Tensor:
        """Straight lines between the points, which stand in the middle of equal parts of each token."""
        last = self.pitch.shape[1] - 1
        points = self.pitch.shape[1] // self.ends.shape[1]
        place = ((token + share) * points - 0.5).clamp(0, last)
        left = place.floor().long()
        weight = place - left
        near, far = self.pitch[rows[:, None], left], self.pitch[rows[:, None], (left + 1).clamp(max=last)]
        return near * (1 - weight) + far * weight


def align(vectors: Tensor, alignment: Alignment, rows: Tensor, frames: Tensor) -> tuple[Tensor, Tensor]:
    """Decoder input [B, T, width + 5] and scaled log pitch [B, T]; vectors [R, N, width], the rest as in
    `at`.
    """
    token, features = alignment.at(rows, frames)
    chosen = vectors[rows[:, None], token]
    return torch.cat((chosen, features.to(chosen.dtype)), -1), features[..., -1]


def parameters_of(module: nn.Module) -> int:
    """Number of weights."""
    return sum(math.prod(p.shape) for p in module.parameters())
