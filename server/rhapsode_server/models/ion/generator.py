"""The neural network behind ion's vocoder: mel, voicing and pitch -> waveform, causal but for a short
look-ahead.

It is a source and a filter. The source is a band-limited pulse train at the pitch that the frames carry,
silent where they say there is no voice, and a fixed loop of noise; the filter is what a small causal ConvNeXt
stack makes of the frames: a magnitude and a phase for the pulses, a magnitude for the noise, twice per frame.
Both are joined by an inverse STFT with overlap-add. All look-ahead sits in the first convolution, so
everything after it is strictly causal and windows join exactly. Must not live here: slots, chunking, files. B
rows, n frames, 256 samples a frame.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, fields

import torch
import torch.nn.functional as F
from torch import Tensor, nn

PITCH_CENTRE, PITCH_SCALE = 5.0, 2.0
"""The frames' last value is (ln hertz - 5) * 2."""
SILENCE = -1.5
"""What was before the first frame, in every channel: the teacher's silences have a mel of about this."""


@dataclass(frozen=True, slots=True)
class VocoderConfig:
    """Sizes of the vocoder's network."""

    channels: int = 82
    """80 mel bands, voicing, scaled log pitch: the last one is the pitch."""
    width: int = 192
    layers: int = 4
    expansion: int = 2
    kernel: int = 7
    past: int = 4
    ahead: int = 4
    """Frames of look-ahead; the pulses need two of them."""
    hop: int = 256
    splits: int = 2
    """Inverse STFTs per frame."""
    fft: int = 512
    noise: int = 32_768
    """Samples in the loop of noise: 2 s."""
    rate: int = 16_000
    voiced_below: int = 3000
    unvoiced_above: int = 4500
    """Hertz. Between them the pulses fade: a spectral loss alone prefers a wrong tone to a right noise."""

    @property
    def step(self) -> int:
        """Samples between two inverse STFTs."""
        return self.hop // self.splits

    @property
    def bins(self) -> int:
        """Frequencies of one spectrum."""
        return self.fft // 2 + 1


@dataclass(slots=True)
class Memory:
    """What a row remembers between windows; the first dimension of every tensor is the row.

    frames [B, past, channels]: the last ones used. layers [B, layers, kernel - 1, width]. phase [B] float64
    in cycles, hertz [B] and voice [B] (0 to 1): where the pulses stand. pulses [B, fft]: made but not yet
    used up. sound [B, fft - step]: overlap. count [B] int64: frames done.
    """

    frames: Tensor
    layers: Tensor
    phase: Tensor
    hertz: Tensor
    voice: Tensor
    pulses: Tensor
    sound: Tensor
    count: Tensor

    def tensors(self) -> list[Tensor]:
        """Every tensor, in the order of the fields."""
        return [getattr(self, field.name) for field in fields(self)]


class Block(nn.Module):
    """ConvNeXt: causal depthwise convolution, norm, two linear layers, residual."""

    def __init__(self, config: VocoderConfig) -> None:
        super().__init__()
        self.taps = nn.Parameter(torch.randn(config.kernel, config.width) / config.kernel**0.5)
        self.norm = nn.LayerNorm(config.width)
        self.up = nn.Linear(config.width, config.width * config.expansion)
        self.down = nn.Linear(config.width * config.expansion, config.width)

    def forward(self, x: Tensor, tail: Tensor) -> tuple[Tensor, Tensor]:
        """x [B, n, width], tail [B, kernel - 1, width] -> the same shapes."""
        n, inputs = x.shape[1], torch.cat((tail, x), 1)
        mixed = inputs[:, :n] * self.taps[0]
        for tap in range(1, len(self.taps)):
            mixed = mixed + inputs[:, tap : tap + n] * self.taps[tap]
        hidden = F.gelu(self.up(self.norm(mixed)), approximate="tanh")
        return x + self.down(hidden), inputs[:, n:]


class Pulses(nn.Module):
    """Pitch -> band-limited pulse train of unit power, by the closed form of a sum of equal cosines."""

    def __init__(self, config: VocoderConfig) -> None:
        super().__init__()
        self.hop, self.rate = config.hop, config.rate

    def forward(self, hertz: Tensor, before: Tensor, phase: Tensor) -> tuple[Tensor, Tensor]:
        """hertz [B, n] at each frame's end, before [B], phase [B] -> pulses [B, n * hop], phase [B].

        The pitch runs in straight lines, so the phase is a parabola; float64 keeps it exact over minutes.
        """
        end = hertz.double()
        begin = torch.cat((before.double()[:, None], end[:, :-1]), 1)
        i = torch.arange(1, self.hop + 1, device=hertz.device, dtype=torch.float64)
        bend = i * (i + 1) / (2 * self.hop)
        within = (begin[..., None] * i + (end - begin)[..., None] * bend) / self.rate
        total = phase[:, None] + within[..., -1].cumsum(1)
        start = torch.cat((phase[:, None], total[:, :-1]), 1)
        cycles = start[..., None] + within
        angle = ((cycles - cycles.round()) * math.pi).float()
        harmonics = (0.49 * self.rate / torch.maximum(begin, end)).floor().float()[..., None]
        ratio = torch.sin((2 * harmonics + 1) * angle) / torch.sin(angle)
        ratio = torch.where(angle.abs() < 1e-6, 2 * harmonics + 1, ratio)
        pulses = (ratio - 1) * torch.rsqrt(2 * harmonics)
        return pulses.flatten(1), total[:, -1].remainder(1.0)


class Generator(nn.Module):
    """Frames -> waveform."""

    window: Tensor
    loop: Tensor
    fade: Tensor

    def __init__(self, config: VocoderConfig) -> None:
        super().__init__()
        self.config = config
        self.enter = nn.Linear((config.past + 1 + config.ahead) * config.channels, config.width)
        self.blocks = nn.ModuleList(Block(config) for _ in range(config.layers))
        self.norm = nn.LayerNorm(config.width)
        self.leave = nn.Linear(config.width, (2 * config.splits + 1) * config.bins)
        self.pulses = Pulses(config)
        nn.init.normal_(self.leave.weight, std=0.02)
        with torch.no_grad():
            self.leave.bias.fill_(-3.0)[: config.bins] = 0.0
        window = torch.hann_window(config.fft).sqrt()
        loop = torch.randn(config.noise, generator=torch.Generator().manual_seed(11))
        self.register_buffer("window", window, persistent=False)
        self.register_buffer("loop", loop)
        hertz = torch.linspace(0, config.rate / 2, config.bins)
        fade = (config.unvoiced_above - hertz) / (config.unvoiced_above - config.voiced_below)
        self.register_buffer("fade", fade.clamp(0.0, 1.0), persistent=False)

    def noise_spectra(self) -> Tensor:
        """Spectra of the noise loop at every step [noise / step, bins] complex, for `forward`."""
        around = torch.cat((self.loop, self.loop[: self.config.fft - self.config.step]))
        spectra: Tensor = torch.fft.rfft(around.unfold(0, self.config.fft, self.config.step) * self.window)
        return spectra

    def memory(self, rows: int, device: torch.device | None = None) -> Memory:
        """Rows as they are before a first window: silence."""
        c = self.config
        frames = torch.full((rows, c.past, c.channels), SILENCE, device=device)
        layers = torch.zeros(rows, c.layers, c.kernel - 1, c.width, device=device)
        phase = torch.zeros(rows, dtype=torch.float64, device=device)
        hertz = torch.full((rows,), math.exp(PITCH_CENTRE), device=device)
        pulses, sound = (torch.zeros(rows, size, device=device) for size in (c.fft, c.fft - c.step))
        voice = torch.zeros(rows, device=device)
        count = torch.zeros(rows, dtype=torch.long, device=device)
        return Memory(frames, layers, phase, hertz, voice, pulses, sound, count)

    def forward(self, shown: Tensor, memory: Memory, spectra: Tensor) -> tuple[Tensor, Memory]:
        """shown [B, n + ahead, channels] -> waveform [B, n * hop], memory after n frames."""
        n, c = shown.shape[1] - self.config.ahead, self.config
        filters, frames, layers = self._filters(shown, memory)
        soon = shown[:, c.fft // c.hop :][:, :n]
        hertz = torch.exp(soon[..., -1].double() / PITCH_SCALE + PITCH_CENTRE).float()
        voice = (soon[..., -2] + 0.5).clamp(0.0, 1.0)
        fresh, phase = self.pulses(hertz, memory.hertz, memory.phase)
        pulses = torch.cat((memory.pulses, fresh * ramp(memory.voice, voice, c.hop)), 1)
        cut = pulses.unfold(1, c.fft, c.step)[:, : n * c.splits] * self.window
        source = torch.fft.rfft(cut) * self.fade
        steps = memory.count[:, None] * c.splits + torch.arange(n * c.splits, device=shown.device)
        pieces = torch.fft.irfft(self._spectrum(filters, source, spectra[steps % len(spectra)])) * (
            self.window * 0.5
        )
        sound = overlap_add(pieces, c.step)
        overlap = sound.shape[1] - n * c.hop
        sound = torch.cat((sound[:, :overlap] + memory.sound, sound[:, overlap:]), 1)
        after = Memory(
            frames,
            layers,
            phase,
            hertz[:, -1],
            voice[:, -1],
            pulses[:, n * c.hop :],
            sound[:, n * c.hop :],
            memory.count + n,
        )
        return sound[:, : n * c.hop], after

    def _filters(self, shown: Tensor, memory: Memory) -> tuple[Tensor, Tensor, Tensor]:
        """[B, n, (2 * splits + 1) * bins]: phase, then magnitudes; and what the convolutions remember."""
        n, c = shown.shape[1] - self.config.ahead, self.config
        inputs = torch.cat((memory.frames, shown), 1)
        x = self.enter(inputs.unfold(1, c.past + 1 + c.ahead, 1).flatten(2))
        tails = []
        for index, block in enumerate(self.blocks):
            x, tail = block(x, memory.layers[:, index])
            tails.append(tail)
        return self.leave(self.norm(x)), inputs[:, n : n + c.past], torch.stack(tails, 1)

    def _spectrum(self, filters: Tensor, source: Tensor, noise: Tensor) -> Tensor:
        """Source and noise through their filters, [B, n * splits, bins] complex."""
        c = self.config
        rows, n = filters.shape[:2]
        shape = (rows, n, c.splits, c.bins)
        phase, gains = filters[..., None, : c.bins], filters[..., c.bins :].clamp(-12.0, 4.0).exp()
        voiced, hiss = gains.view(rows, n, 2, c.splits, c.bins).unbind(2)
        turn = torch.complex(torch.cos(phase), torch.sin(phase))
        total = source.view(shape) * turn * voiced + noise.view(shape) * hiss
        return total.view(rows, n * c.splits, c.bins)


def ramp(before: Tensor, ends: Tensor, hop: int) -> Tensor:
    """Straight lines [B, n * hop] from `before` [B] to each of `ends` [B, n] in turn."""
    begins = torch.cat((before[:, None], ends[:, :-1]), 1)[..., None]
    share = torch.arange(1, hop + 1, device=ends.device) / hop
    return (begins + (ends[..., None] - begins) * share).flatten(1)


def overlap_add(pieces: Tensor, step: int) -> Tensor:
    """pieces [B, m, size], laid `step` apart and summed: [B, (m - 1) * step + size]. `step` divides size."""
    rows, count, size = pieces.shape
    parts = size // step
    total = pieces.new_zeros(rows, count + parts - 1, step)
    cut = pieces.view(rows, count, parts, step)
    for part in range(parts):
        total[:, part : part + count] += cut[:, :, part]
    return total.flatten(1)
