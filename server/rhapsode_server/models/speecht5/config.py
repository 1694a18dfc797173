"""The numbers of a checkpoint: what its two config.json say, as far as speech is made of them.

What must not live here: tensors, paths. Defaults are those that the published configurations leave out,
from the documentation of `SpeechT5Config` and `SpeechT5HifiGanConfig` in transformers.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any, Self

from rhapsode_server.errors import ModelUnusable


@dataclass(frozen=True, slots=True)
class AcousticConfig:
    """config.json of a text-to-speech checkpoint (`model_type` "speecht5")."""

    vocab_size: int = 81
    hidden_size: int = 768
    encoder_layers: int = 12
    encoder_attention_heads: int = 12
    encoder_ffn_dim: int = 3072
    decoder_layers: int = 6
    decoder_attention_heads: int = 12
    decoder_ffn_dim: int = 3072
    hidden_act: str = "gelu"
    layer_norm_eps: float = 1e-5
    pad_token_id: int = 1
    eos_token_id: int = 2
    num_mel_bins: int = 80
    reduction_factor: int = 2
    speech_decoder_prenet_layers: int = 2
    speech_decoder_prenet_units: int = 256
    speech_decoder_prenet_dropout: float = 0.5
    speaker_embedding_dim: int = 512
    speech_decoder_postnet_layers: int = 5
    speech_decoder_postnet_units: int = 256
    speech_decoder_postnet_kernel: int = 5
    max_speech_positions: int = 4000
    max_text_positions: int = 450
    encoder_max_relative_position: int = 160
    guided_attention_loss_num_heads: int = 2

    @classmethod
    def read(cls, content: Mapping[str, Any], origin: str) -> Self:
        """Checked settings; raises ModelUnusable, naming `origin`, where one cannot be used."""
        config = cls(**_known(cls, content, origin, "speecht5"))
        for heads in (config.encoder_attention_heads, config.decoder_attention_heads):
            if config.hidden_size % heads:
                raise _unusable(
                    origin, f"{heads} attention heads do not divide hidden_size {config.hidden_size}"
                )
        if config.hidden_act not in ("gelu", "relu"):
            raise _unusable(origin, f"hidden_act {config.hidden_act!r} is neither gelu nor relu")
        if not 0.0 <= config.speech_decoder_prenet_dropout < 1.0:
            raise _unusable(origin, "speech_decoder_prenet_dropout is not a probability below 1")
        if config.speech_decoder_postnet_kernel % 2 == 0:
            raise _unusable(origin, "speech_decoder_postnet_kernel is even")
        return config


@dataclass(frozen=True, slots=True)
class VocoderConfig:
    """config.json of a HiFi-GAN checkpoint (`model_type` "hifigan")."""

    model_in_dim: int = 80
    sampling_rate: int = 16000
    upsample_initial_channel: int = 512
    upsample_rates: tuple[int, ...] = (4, 4, 4, 4)
    upsample_kernel_sizes: tuple[int, ...] = (8, 8, 8, 8)
    resblock_kernel_sizes: tuple[int, ...] = (3, 7, 11)
    resblock_dilation_sizes: tuple[tuple[int, ...], ...] = ((1, 3, 5), (1, 3, 5), (1, 3, 5))
    leaky_relu_slope: float = 0.1
    normalize_before: bool = True

    @classmethod
    def read(cls, content: Mapping[str, Any], origin: str) -> Self:
        """Checked settings; raises ModelUnusable, naming `origin`, where one cannot be used."""
        config = cls(**_known(cls, content, origin, "hifigan", "speecht5_hifigan"))
        pairs = list(zip(config.upsample_kernel_sizes, config.upsample_rates, strict=False))
        if not pairs or len(config.upsample_kernel_sizes) != len(config.upsample_rates):
            raise _unusable(origin, "upsample_rates and upsample_kernel_sizes differ in length or are empty")
        if any(kernel < rate or (kernel - rate) % 2 for kernel, rate in pairs):
            raise _unusable(origin, "an upsample kernel is not its rate plus an even number")
        if len(config.resblock_kernel_sizes) != len(config.resblock_dilation_sizes):
            raise _unusable(origin, "resblock_kernel_sizes and resblock_dilation_sizes differ in length")
        if not config.resblock_kernel_sizes or any(
            kernel % 2 == 0 for kernel in config.resblock_kernel_sizes
        ):
            raise _unusable(origin, "resblock_kernel_sizes must be odd numbers")
        return config


def _known(cls: type, content: Mapping[str, Any], origin: str, *types: str) -> dict[str, Any]:
    """The settings that `cls` has, of the types its defaults have."""
    if content.get("model_type") not in types:
        raise _unusable(origin, f"model_type is {content.get('model_type')!r} instead of {types[0]!r}")
    chosen = {}
    for field in fields(cls):
        if content.get(field.name) is not None:
            chosen[field.name] = _typed(field.default, content[field.name], f"{origin}: {field.name}")
    return chosen


def _typed(default: object, value: object, place: str) -> object:
    """`value` in the shape of `default`: positive whole numbers, numbers, words, nested tuples of numbers."""
    if isinstance(default, tuple) and isinstance(value, list):
        return tuple(_typed(default[0], item, place) for item in value)
    if isinstance(default, bool) or isinstance(value, bool):
        good = isinstance(default, bool) and isinstance(value, bool)
    elif isinstance(default, int):
        good = isinstance(value, int) and value >= 0
    elif isinstance(default, float):
        good = isinstance(value, int | float)
    else:
        good = isinstance(default, str) and isinstance(value, str)
    if not good:
        raise ModelUnusable(
            f"{place} has the unusable value {value!r}. Take the file of a published checkpoint."
        )
    return value


def _unusable(origin: str, why: str) -> ModelUnusable:
    return ModelUnusable(f"{origin} cannot be used: {why}. Take the file of a published checkpoint.")
