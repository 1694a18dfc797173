"""Mel frames -> waveform: postnet and HiFi-GAN as one streamed stack.

What must not live here: how layers are streamed (layers/lookahead.py), the decoder, files.

All of it looks ahead: the published sizes need 8601 samples (0.54 s) after a sample before that is
settled. That delay is what exactness costs; arithmetic it costs none, because every layer keeps its own
past and nothing is computed twice.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from rhapsode_server.core import Chunking, Window
from rhapsode_server.layers.lookahead import Conv, Delay, Flow, Residual, Room, Sum, Upsample
from rhapsode_server.models.speecht5.config import AcousticConfig, VocoderConfig
from rhapsode_server.models.speecht5.weights import Weights

FIRST, LARGEST = 4, 16
"""Frames of the first and of the largest window: 0.13 s and 0.51 s at the published frame rate."""

AT_ONCE = 160
"""Most new frames in one pass. More rows gain nothing and leave the caches: at 800 frames a core made 75
GFLOP/s instead of 98 (Zen 4)."""

LAST_SLOPE = 0.01
"""Slope of the leaky ReLU before HiFi-GAN's last layer: PyTorch's default, unlike that of all others."""


class Postnet:
    """Five convolutions that refine the mel spectrum, added to it (section 2.2 of arXiv 1712.05884)."""

    def __init__(self, room: Room, weights: Weights, config: AcousticConfig) -> None:
        mels, units = config.num_mel_bins, config.speech_decoder_postnet_units
        count, kernel = config.speech_decoder_postnet_layers, config.speech_decoder_postnet_kernel
        widths = [mels, *[units] * (count - 1), mels] if count else [mels]
        self._layers = [
            Conv(room, *_fold_norm(weights.below(f"layers.{i}"), widths[i + 1], widths[i], kernel))
            for i in range(count)
        ]
        self.delay = sum(layer.delay for layer in self._layers)
        self._skip = Delay(room, self.delay, mels)

    def __call__(self, flow: Flow, mel: Tensor) -> Tensor:
        """[B, T, mels] -> [B, T', mels]."""
        x = mel
        for layer in self._layers[:-1]:
            x = torch.tanh_(layer(flow, x))
        for layer in self._layers[-1:]:
            x = layer(flow, x)
        return x + self._skip(flow, mel) if self._layers else mel


def _fold_norm(weights: Weights, outputs: int, inputs: int, kernel: int) -> tuple[Tensor, Tensor]:
    """A convolution and the batch normalisation after it (eps 1e-5, PyTorch's default) as one convolution."""
    norm = weights.below("batch_norm")
    factor = norm.exact("weight", outputs) * torch.rsqrt(norm.exact("running_var", outputs) + 1e-5)
    weight = weights.exact("conv.weight", outputs, inputs, kernel) * factor[:, None, None]
    bias = norm.exact("bias", outputs) - norm.exact("running_mean", outputs) * factor
    return weight.to(weights.dtype), bias.to(weights.dtype)


class HifiGan:
    """The generator of arXiv 2010.05646: upsampling, each followed by a sum of residual chains.

    The mean over the chains is folded into the layer after it. That is exact, because the leaky ReLU
    between them keeps factors: f(x / 3) = f(x) / 3.
    """

    def __init__(self, room: Room, weights: Weights, config: VocoderConfig) -> None:
        self._mean, self._scale = (weights.tensor(name, config.model_in_dim) for name in ("mean", "scale"))
        self._normalize = config.normalize_before
        width, share = config.upsample_initial_channel, 1.0 / len(config.resblock_kernel_sizes)
        self._pre = Conv(room, *weights.conv("conv_pre", width, config.model_in_dim, 7, outputs=width))
        self._stages: list[tuple[Upsample, Sum]] = []
        self.delay = self._pre.delay  # in positions of the current rate, from mel slices up to samples
        for stage, (rate, kernel) in enumerate(_rates(config)):
            shape, name = (width, width // 2, kernel), f"upsampler.{stage}"
            width //= 2
            part = weights.conv(name, *shape, outputs=width, share=share if stage else 1.0)
            up = Upsample(room, *part, rate, config.leaky_relu_slope)
            fusion = Sum(room, _chains(room, weights, config, stage, width), width)
            self._stages.append((up, fusion))
            self.delay = self.delay * rate + up.delay + fusion.delay
        post = weights.conv("conv_post", 1, width, 7, outputs=1, share=share)
        self._post = Conv(room, *post, slope=LAST_SLOPE)
        self.delay += self._post.delay

    def __call__(self, flow: Flow, mel: Tensor) -> Tensor:
        """[B, T, mels] -> samples [B, T', 1] in -1..1."""
        x = self._pre(flow, (mel - self._mean) / self._scale if self._normalize else mel)
        for up, fusion in self._stages:
            x = fusion(flow, up(flow, x))
        return torch.tanh_(self._post(flow, x))


def _rates(config: VocoderConfig) -> list[tuple[int, int]]:
    return list(zip(config.upsample_rates, config.upsample_kernel_sizes, strict=True))


def _chains(
    room: Room, weights: Weights, config: VocoderConfig, stage: int, width: int
) -> list[list[Residual]]:
    """The residual chains of one rate, one for each kernel size."""
    shapes = list(zip(config.resblock_kernel_sizes, config.resblock_dilation_sizes, strict=True))
    slope, first = config.leaky_relu_slope, stage * len(shapes)

    def conv(chain: int, name: str, kernel: int, dilation: int) -> Conv:
        part = weights.below(f"resblocks.{first + chain}").conv(name, width, width, kernel, outputs=width)
        return Conv(room, *part, dilation, slope)

    return [
        [
            Residual(room, [conv(chain, f"convs1.{i}", k, d), conv(chain, f"convs2.{i}", k, 1)], width)
            for i, d in enumerate(dilations)
        ]
        for chain, (k, dilations) in enumerate(shapes)
    ]


@dataclass(slots=True)
class VocoderState:
    """rows [slots, floats]: what the layers remember. `rest`: sound made ahead of its window, by slot."""

    rows: Tensor
    rest: dict[int, Tensor] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class _Part:
    """One request's share of a call: the frames that are new, and where it stands in the utterance."""

    index: int
    slot: int
    fresh: Tensor
    first: bool
    ended: bool


def _grouped(parts: list[_Part]) -> list[list[_Part]]:
    """Parts that one pass can take together, no more than are good for the caches."""
    alike: dict[tuple[bool, bool, int], list[_Part]] = {}
    for part in parts:
        alike.setdefault((part.first, part.ended, len(part.fresh)), []).append(part)
    groups = []
    for (_, _, frames), group in alike.items():
        most = max(1, AT_ONCE // max(1, frames))
        groups += [group[start : start + most] for start in range(0, len(group), most)]
    return groups


class SpeechT5Vocoder:
    """Stateful: of the frames shown after a window, none is shown to the layers twice."""

    def __init__(
        self, weights: Weights, config: AcousticConfig, vocoder: Weights, vocoder_config: VocoderConfig
    ) -> None:
        room = Room()
        self._postnet = Postnet(room, weights.below("speech_decoder_postnet"), config)
        self._gan = HifiGan(room, vocoder, vocoder_config)
        hop = 1
        for rate in vocoder_config.upsample_rates:
            hop *= rate
        self.sample_rate = vocoder_config.sampling_rate
        self.samples_per_frame = hop * config.reduction_factor
        lookahead = self._postnet.delay * hop + self._gan.delay
        right = -(-lookahead // self.samples_per_frame)
        self._slack = Delay(room, right * self.samples_per_frame - lookahead, 1)
        self.chunking = Chunking(first=FIRST, largest=LARGEST, left=0, right=right)
        self._size = room.size
        self._device, self._dtype = vocoder.device, vocoder.dtype

    @property
    def most_shown(self) -> int:
        """Frames shown in the largest window, look-ahead included."""
        return self.chunking.largest + self.chunking.right

    def new_state(self, slots: int) -> VocoderState:
        """Rows for `slots` requests."""
        return VocoderState(torch.zeros(slots, self._size, dtype=self._dtype, device=self._device))

    def reset(self, state: VocoderState, slots: list[int]) -> None:
        """Drop the sound made ahead; what the layers remember is overwritten by a first window."""
        for slot in slots:
            state.rest.pop(slot, None)

    def vocode(
        self, state: VocoderState, slots: list[int], frames: Sequence[Tensor], windows: Sequence[Window]
    ) -> list[Tensor]:
        """Sound of each window's wanted frames, float32 [wanted * samples_per_frame].

        Rows at the same edge with equally many new frames are computed together. State changes at the
        end, so a call that raises changes nothing.
        """
        sound = [state.rest.get(slot) for slot in slots]
        groups = _grouped(self._parts(state, slots, frames, windows))
        done = [(group, self._run(state, group)) for group in groups]
        for group, (rows, waves) in done:
            if not group[0].ended:
                state.rows[[part.slot for part in group]] = rows
            for part, wave in zip(group, waves, strict=True):
                sound[part.index] = wave
        return [self._cut(state, *each) for each in zip(slots, windows, sound, strict=True)]

    def _parts(
        self, state: VocoderState, slots: list[int], frames: Sequence[Tensor], windows: Sequence[Window]
    ) -> list[_Part]:
        """The requests that need computing. A window short of look-ahead stands at the utterance's end."""
        right = self.chunking.right
        parts = []
        for index, (slot, shown, window) in enumerate(zip(slots, frames, windows, strict=True)):
            if slot in state.rest or window.begin == window.stop:
                continue
            first = window.begin == 0
            ended = window.last or window.stop - window.end < right
            parts.append(_Part(index, slot, shown if first else shown[right:], first, ended))
        return parts

    def _run(self, state: VocoderState, group: list[_Part]) -> tuple[Tensor, Tensor]:
        """New rows [B, floats] and sound [B, samples] of requests at one edge."""
        mel = torch.stack([part.fresh for part in group]).to(self._dtype).flatten(1, 2)
        first, ended = group[0].first, group[0].ended
        rows = state.rows[[part.slot for part in group]]
        flow = Flow(rows, first, ended)
        samples = self._slack(flow, self._gan(flow, self._postnet(flow, mel)))
        return rows, samples.squeeze(2).float()

    def _cut(self, state: VocoderState, slot: int, window: Window, sound: Tensor | None) -> Tensor:
        """The wanted samples; what was made beyond them waits for the next window."""
        wanted = window.wanted * self.samples_per_frame
        if sound is None:
            return torch.zeros(0)
        state.rest.pop(slot, None)
        if len(sound) > wanted:
            state.rest[slot] = sound[wanted:]
        return sound[:wanted]
