"""The dimensions and ids of one checkpoint.

What must not live here: reading files (config_files.py), tensors.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from rhapsode_server.layers.decoder import DecoderConfig

Kind = Literal["voice_design", "custom_voice", "base"]
KINDS: tuple[Kind, ...] = ("voice_design", "custom_voice", "base")
CODES_12HZ = "qwen3_tts_tokenizer_12hz"
SUPPRESSED_TAIL = 1024
"""The last ids of the codec vocabulary are control tokens; of these only the end may ever be drawn."""


@dataclass(frozen=True, slots=True)
class TextIds:
    """Control tokens of the text vocabulary."""

    im_start: int
    im_end: int
    assistant: int
    tts_pad: int
    tts_bos: int
    tts_eos: int


@dataclass(frozen=True, slots=True)
class CodecIds:
    """Control tokens of the codec vocabulary; languages and speakers by lower-cased name."""

    pad: int
    bos: int
    eos: int
    think: int
    nothink: int
    think_bos: int
    think_eos: int
    languages: Mapping[str, int]
    speakers: Mapping[str, int]
    dialects: Mapping[str, str]
    """Preset speakers who speak a dialect, and its name among `languages`."""


@dataclass(frozen=True, slots=True)
class TalkerConfig:
    """The talker and its code predictor. `codebooks` codes make a frame, the first is the talker's."""

    decoder: DecoderConfig
    predictor: DecoderConfig
    vocab: int
    text_vocab: int
    text_hidden: int
    codebooks: int
    codebook_size: int


@dataclass(frozen=True, slots=True)
class CodecConfig:
    """The decoder half of the speech tokenizer."""

    decoder: DecoderConfig
    window: int
    codebooks: int
    codebook_size: int
    codebook_dim: int
    latent: int
    channels: int
    upsampling: tuple[int, ...]
    rates: tuple[int, ...]
    sample_rate: int
    samples_per_frame: int


@dataclass(frozen=True, slots=True)
class SpeakerConfig:
    """The ECAPA-TDNN of the Base checkpoints; only `width` and the rate stand in released files."""

    width: int
    channels: tuple[int, ...]
    kernels: tuple[int, ...]
    dilations: tuple[int, ...]
    scale: int
    squeeze: int
    attention: int
    mels: int
    sample_rate: int


@dataclass(frozen=True, slots=True)
class SpeechEncoderConfig:
    """The encoder half of the speech tokenizer (Mimi's)."""

    filters: int
    kernel: int
    last_kernel: int
    residual_kernel: int
    residual_layers: int
    dilation_growth: int
    compress: int
    ratios: tuple[int, ...]
    hidden: int
    intermediate: int
    layers: int
    heads: int
    head_dim: int
    rope_theta: float
    eps: float
    downsample: int
    codebooks: int
    codebook_dim: int
    codebook_size: int


@dataclass(frozen=True, slots=True)
class Generation:
    """How one of the two samplers draws; `temperature` 0 takes the best. `top_k` 0 and `top_p` 1 are off."""

    temperature: float
    top_k: int
    top_p: float
    repetition_penalty: float = 1.0


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """All that the JSON files of one checkpoint say."""

    path: Path
    kind: Kind
    size: str
    text: TextIds
    codec_ids: CodecIds
    talker: TalkerConfig
    codec: CodecConfig
    speaker: SpeakerConfig | None
    speech_encoder: SpeechEncoderConfig | None
    talker_sampling: Generation
    predictor_sampling: Generation
    most_frames: int

    @property
    def drops_instructions(self) -> bool:
        """The 0.6B preset voices were released without instruction following: it is left out, silently
        in the reference."""
        return self.kind == "custom_voice" and self.size == "0b6"
