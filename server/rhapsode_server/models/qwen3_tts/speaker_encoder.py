"""From a clip to one vector: the ECAPA-TDNN of the Base checkpoints (arXiv 2005.07143, without batch norm).

What must not live here: reading audio, what the vector is used for.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from rhapsode_server.layers.mel import magnitudes, slaney_filters
from rhapsode_server.models.qwen3_tts.config import SpeakerConfig
from rhapsode_server.models.qwen3_tts.weights import Tensors, fill

FFT = 1024
HOP = 256
SPECTRUM_FLOOR = 1e-9
MEL_FLOOR = 1e-5
VARIANCE_FLOOR = 1e-12


class SameConv(nn.Module):
    """Convolution that keeps the length, reflecting at both ends, then ReLU: [B, in, T] -> [B, out, T]."""

    def __init__(self, inputs: int, outputs: int, kernel: int = 1, dilation: int = 1) -> None:
        super().__init__()
        self.conv = nn.Conv1d(
            inputs, outputs, kernel, dilation=dilation, padding="same", padding_mode="reflect"
        )

    def forward(self, x: Tensor) -> Tensor:
        """Filter and rectify."""
        return F.relu(self.conv(x))


class Res2Net(nn.Module):
    """Channels in `scale` parts, each but the first filtered together with the result of the one before."""

    def __init__(self, channels: int, scale: int, kernel: int, dilation: int) -> None:
        super().__init__()
        part = channels // scale
        self.blocks = nn.ModuleList(SameConv(part, part, kernel, dilation) for _ in range(scale - 1))

    def forward(self, x: Tensor) -> Tensor:
        """[B, channels, T] -> the same shape."""
        first, *rest = x.chunk(len(self.blocks) + 1, dim=1)
        parts, before = [first], None
        for part, block in zip(rest, self.blocks, strict=True):
            before = block(part if before is None else part + before)
            parts.append(before)
        return torch.cat(parts, 1)


class Squeeze(nn.Module):
    """A weight per channel, from the means over time (arXiv 1709.01507)."""

    def __init__(self, channels: int, inner: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv1d(channels, inner, 1)
        self.conv2 = nn.Conv1d(inner, channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        """[B, channels, T] -> the same shape."""
        weights = torch.sigmoid(self.conv2(F.relu(self.conv1(x.mean(2, keepdim=True)))))
        return x * weights


class Block(nn.Module):
    """Pointwise, Res2Net, pointwise, squeeze; added to the input."""

    def __init__(self, config: SpeakerConfig, index: int) -> None:
        super().__init__()
        inputs, channels = config.channels[index - 1], config.channels[index]
        self.tdnn1 = SameConv(inputs, channels)
        self.res2net_block = Res2Net(channels, config.scale, config.kernels[index], config.dilations[index])
        self.tdnn2 = SameConv(channels, channels)
        self.se_block = Squeeze(channels, config.squeeze)

    def forward(self, x: Tensor) -> Tensor:
        """[B, channels, T] -> the same shape."""
        out: Tensor = x + self.se_block(self.tdnn2(self.res2net_block(self.tdnn1(x))))
        return out


class Pooling(nn.Module):
    """Mean and deviation over time, every channel with weights of its own that attention gives."""

    def __init__(self, channels: int, inner: int) -> None:
        super().__init__()
        self.tdnn = SameConv(3 * channels, inner)
        self.conv = nn.Conv1d(inner, channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        """[B, channels, T] -> [B, 2 * channels, 1]."""
        even = torch.full_like(x[:1, :1], 1.0 / x.shape[2])
        mean, deviation = self._statistics(x, even)
        context = torch.cat((x, mean.expand_as(x), deviation.expand_as(x)), 1)
        weights = self.conv(torch.tanh(self.tdnn(context))).softmax(2)
        return torch.cat(self._statistics(x, weights), 1)

    @staticmethod
    def _statistics(x: Tensor, weights: Tensor) -> tuple[Tensor, Tensor]:
        mean = (weights * x).sum(2, keepdim=True)
        variance = (weights * (x - mean).square()).sum(2, keepdim=True)
        return mean, variance.clamp(min=VARIANCE_FLOOR).sqrt()


class SpeakerEncoder(nn.Module):
    """Samples to x-vector."""

    def __init__(self, config: SpeakerConfig) -> None:
        super().__init__()
        self.config = config
        widths = config.channels
        first = SameConv(config.mels, widths[0], config.kernels[0], config.dilations[0])
        self.blocks = nn.ModuleList([first, *(Block(config, index) for index in range(1, len(widths) - 1))])
        self.mfa = SameConv(sum(widths[1:-1]), widths[-1], config.kernels[-1], config.dilations[-1])
        self.asp = Pooling(widths[-1], config.attention)
        self.fc = nn.Conv1d(2 * widths[-1], config.width, 1)

    def forward(self, mel: Tensor) -> Tensor:
        """Mel spectra [B, mels, T] -> vectors [B, width], not normalised."""
        x, heard = self.blocks[0](mel), []
        for block in self.blocks[1:]:
            x = block(x)
            heard.append(x)
        pooled: Tensor = self.fc(self.asp(self.mfa(torch.cat(heard, 1))))
        return pooled[:, :, 0]

    def mel(self, samples: Tensor) -> Tensor:
        """Log mel spectra [B, mels, T] of samples [B, N] at the encoder's rate."""
        config = self.config
        filters = slaney_filters(config.sample_rate, FFT, config.mels, 0.0, config.sample_rate / 2)
        spectrum = magnitudes(samples.float(), FFT, HOP, SPECTRUM_FLOOR)
        return (filters.to(spectrum.device) @ spectrum).clamp(min=MEL_FLOOR).log()


def load_speaker_encoder(config: SpeakerConfig, tensors: Tensors) -> SpeakerEncoder:
    """Read it from the main file of a Base checkpoint. Raises errors.ModelUnusable."""
    with torch.device("meta"):
        encoder = SpeakerEncoder(config)
    fill(encoder, tensors, {name: f"speaker_encoder.{name}" for name in encoder.state_dict()})
    return encoder
