"""From a clip to codes: the encoder half of the speech tokenizer, which is Mimi's (arXiv 2410.00037, 3.3).

What must not live here: the decoder, batches: clips of different length change each other's last frame, so
they are encoded one by one. Attention is causal without a window, which is what the codes of the released
models were made with (transformers 4.57.3 does not apply the window that the config mentions; 5.x does).
"""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from rhapsode_server.layers.decoder import Rope, rotate
from rhapsode_server.models.qwen3_tts.config import SpeechEncoderConfig
from rhapsode_server.models.qwen3_tts.weights import Source, Store, Tensors, fill, stack

USAGE_FLOOR = 1e-5


class StridedConv(nn.Module):
    """Causal convolution: [B, in, N] -> [B, out, ceil(N / stride)]; `mode` is how the ends are continued."""

    def __init__(
        self,
        inputs: int,
        outputs: int,
        kernel: int,
        *,
        stride: int = 1,
        dilation: int = 1,
        bias: bool = True,
        mode: str = "constant",
    ) -> None:
        super().__init__()
        self.conv = nn.Conv1d(inputs, outputs, kernel, stride=stride, dilation=dilation, bias=bias)
        self._left = (kernel - 1) * dilation + 1 - stride
        self._stride = stride
        self._mode = mode

    def forward(self, x: Tensor) -> Tensor:
        """Filter `x`."""
        right = -x.shape[2] % self._stride
        out: Tensor = self.conv(F.pad(x, (self._left, right), mode=self._mode))
        return out


class ResidualUnit(nn.Module):
    """Two activated convolutions through a narrower middle, added to the input."""

    def __init__(self, config: SpeechEncoderConfig, channels: int, dilation: int) -> None:
        super().__init__()
        inner = channels // config.compress
        wide = StridedConv(channels, inner, config.residual_kernel, dilation=dilation)
        self.block = nn.ModuleList([nn.ELU(), wide, nn.ELU(), StridedConv(inner, channels, 1)])

    def forward(self, x: Tensor) -> Tensor:
        """[B, channels, N] -> the same shape."""
        out = x
        for layer in self.block:
            out = layer(out)
        return x + out


class Layer(nn.Module):
    """Pre-norm transformer layer with a learned factor on each branch."""

    def __init__(self, config: SpeechEncoderConfig) -> None:
        super().__init__()
        width = config.hidden
        self.heads = config.heads
        self.input_layernorm = nn.LayerNorm(width, eps=config.eps)
        self.qkv = nn.Linear(width, 3 * config.heads * config.head_dim, bias=False)
        self.out = nn.Linear(config.heads * config.head_dim, width, bias=False)
        self.post_attention_layernorm = nn.LayerNorm(width, eps=config.eps)
        self.fc1 = nn.Linear(width, config.intermediate, bias=False)
        self.fc2 = nn.Linear(config.intermediate, width, bias=False)
        self.attention_scale = nn.Parameter(torch.ones(width))
        self.mlp_scale = nn.Parameter(torch.ones(width))

    def forward(self, x: Tensor, rope: tuple[Tensor, Tensor]) -> Tensor:
        """[B, T, hidden] -> the same shape."""
        x = x + self.attention_scale * self._attend(self.input_layernorm(x), rope)
        thought = self.fc2(F.gelu(self.fc1(self.post_attention_layernorm(x))))
        out: Tensor = x + self.mlp_scale * thought
        return out

    def _attend(self, x: Tensor, rope: tuple[Tensor, Tensor]) -> Tensor:
        batch, steps, _ = x.shape
        mixed = self.qkv(x).view(batch, steps, 3, self.heads, -1).permute(2, 0, 3, 1, 4)
        query, key = rotate(mixed[0], rope), rotate(mixed[1], rope)
        heard = F.scaled_dot_product_attention(query, key, mixed[2], is_causal=True)
        out: Tensor = self.out(heard.transpose(1, 2).reshape(batch, steps, -1))
        return out


class ResidualQuantizer(nn.Module):
    """Nearest centroid, then the nearest to what is left, and so on."""

    def __init__(self, config: SpeechEncoderConfig, books: int) -> None:
        super().__init__()
        self.input_proj = nn.Parameter(torch.empty(config.codebook_dim, config.hidden, 1))
        self.centroids = nn.Parameter(torch.empty(books, config.codebook_size, config.codebook_dim))

    def forward(self, x: Tensor) -> Tensor:
        """x [B, T, hidden] -> codes [B, T, books]."""
        rest, codes = F.linear(x, self.input_proj[:, :, 0]), []
        for book in self.centroids:
            codes.append(torch.cdist(rest, book[None]).argmin(2))
            rest = rest - F.embedding(codes[-1], book)
        return torch.stack(codes, 2)


class SpeechEncoder(nn.Module):
    """Samples to codes."""

    def __init__(self, config: SpeechEncoderConfig) -> None:
        super().__init__()
        self.config = config
        self.layers = nn.ModuleList(_convolutions(config))
        self.transformer = nn.ModuleList(Layer(config) for _ in range(config.layers))
        self.rope = Rope(config.head_dim, config.rope_theta)
        width, steps = config.hidden, config.downsample
        self.downsample = StridedConv(width, width, 2 * steps, stride=steps, bias=False, mode="replicate")
        self.semantic = ResidualQuantizer(config, 1)
        self.acoustic = ResidualQuantizer(config, config.codebooks - 1)

    @torch.inference_mode()
    def forward(self, samples: Tensor) -> Tensor:
        """One clip [N] at 24 kHz -> codes [ceil(N / samples per frame), codebooks]."""
        x = samples[None, None]
        for layer in self.layers:
            x = layer(x)
        x = x.transpose(1, 2)
        rope = self.rope(torch.arange(x.shape[1], device=x.device)[None], x.dtype)
        for layer in self.transformer:
            x = layer(x, rope)
        x = self.downsample(x.transpose(1, 2)).transpose(1, 2)
        return torch.cat((self.semantic(x), self.acoustic(x)), 2)[0]


def _convolutions(config: SpeechEncoderConfig) -> list[nn.Module]:
    """SEANet: per ratio its residual units and a convolution that halves the rate and doubles the width."""
    width = config.filters
    layers: list[nn.Module] = [StridedConv(1, width, config.kernel)]
    for ratio in config.ratios:
        dilations = (config.dilation_growth**unit for unit in range(config.residual_layers))
        layers += [ResidualUnit(config, width, dilation) for dilation in dilations]
        layers += [nn.ELU(), StridedConv(width, 2 * width, 2 * ratio, stride=ratio)]
        width *= 2
    return [*layers, nn.ELU(), StridedConv(width, config.hidden, config.last_kernel)]


def load_speech_encoder(config: SpeechEncoderConfig, path: Path, device: str) -> SpeechEncoder:
    """Read it from a speech_tokenizer folder; always float32. Raises errors.ModelUnusable."""
    tensors = Tensors(path / "model.safetensors", dtype=torch.float32, device=device)
    inner = "encoder.encoder_transformer.layers."
    tensors.check_depth(inner, config.layers, "num_hidden_layers of encoder_config")
    with torch.device("meta"):
        encoder = SpeechEncoder(config)
    sources = {name: _source(name, config) for name in encoder.state_dict()}
    fill(encoder, tensors, sources)
    return encoder


def _source(name: str, config: SpeechEncoderConfig) -> Source:
    part, _, rest = name.partition(".")
    if part == "layers":
        return f"encoder.encoder.{name}"
    if part == "transformer":
        return _layer_source(*rest.split(".", 1))
    if part == "downsample":
        return f"encoder.{name}"
    stored = f"encoder.quantizer.{part}_residual_vector_quantizer"
    if rest == "input_proj":
        return f"{stored}.input_proj.weight"
    return _centroids(stored, 1 if part == "semantic" else config.codebooks - 1)


def _layer_source(index: str, rest: str) -> Source:
    stored = f"encoder.encoder_transformer.layers.{index}."
    if rest == "qkv.weight":
        return stack(*(f"{stored}self_attn.{part}_proj.weight" for part in "qkv"))
    renamed = {
        "out.weight": "self_attn.o_proj.weight",
        "fc1.weight": "mlp.fc1.weight",
        "fc2.weight": "mlp.fc2.weight",
        "attention_scale": "self_attn_layer_scale.scale",
        "mlp_scale": "mlp_layer_scale.scale",
    }
    return stored + renamed.get(rest, rest)


def _centroids(stored: str, books: int) -> Source:
    """Running sums over running counts, as the decoder's tables."""

    def build(tensors: Store) -> Tensor:
        return torch.stack([_book(tensors, f"{stored}.layers.{index}.codebook") for index in range(books)])

    return build


def _book(tensors: Store, stored: str) -> Tensor:
    usage = tensors.take(f"{stored}.cluster_usage").clamp(min=USAGE_FLOOR)
    return tensors.take(f"{stored}.embed_sum") / usage[:, None]
