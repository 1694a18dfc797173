"""The JSON side of random checkpoints: dimensions of the released sizes, and of one that tests can afford.

What must not live here: tensors. Everything is written in the official layout, so that what loads a random
checkpoint loads a released one.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from rhapsode_server.models.qwen3_tts.config import CODES_12HZ, Kind

TAGS = {
    "pad": 100,
    "bos": 101,
    "eos_token": 102,
    "think": 106,
    "nothink": 107,
    "think_bos": 108,
    "think_eos": 109,
}
LANGUAGES = {
    "english": 2, "german": 5, "spanish": 6, "chinese": 7, "japanese": 10, "french": 13, "korean": 16,
    "russian": 21, "italian": 22, "portuguese": 23,
}  # fmt: skip
DIALECTS = {"sichuan_dialect": 14, "beijing_dialect": 26}
SPEAKERS = {
    "serena": 1018, "vivian": 1017, "uncle_fu": 962, "ryan": 1013, "aiden": 813, "ono_anna": 825,
    "sohee": 816, "eric": 827, "dylan": 830,
}  # fmt: skip
SPEAKER_DIALECTS = {"eric": "sichuan_dialect", "dylan": "beijing_dialect"}
"""Ids of control tokens, languages and speakers count from the end of the codes in the codec vocabulary."""

SPECIAL = (
    *("<|endoftext|>", "<|im_start|>", "<|im_end|>", "<|object_ref_start|>", "<|object_ref_end|>"),
    *("<|box_start|>", "<|box_end|>", "<|quad_start|>", "<|quad_end|>", "<|vision_start|>", "<|vision_end|>"),
    *("<|vision_pad|>", "<|image_pad|>", "<|video_pad|>", "<tool_call>", "</tool_call>", "<|fim_prefix|>"),
    *("<|fim_middle|>", "<|fim_suffix|>", "<|fim_pad|>", "<|repo_name|>", "<|file_sep|>", "<tool_response>"),
    *("</tool_response>", "<think>", "</think>", "<|audio_start|>", "<|audio_end|>", "<tts_pad>"),
    *("<tts_text_bos>", "<tts_text_eod>", "<tts_text_bos_single>", "<|audio_pad|>"),
)
"""Control tokens of the text vocabulary; they follow the last ordinary token in this order."""


@dataclass(frozen=True, slots=True)
class Geometry:
    """Sizes of one checkpoint: of the talker, the code predictor (`p_`), the codec (`c_`), the encoders."""

    size: str
    words: int
    text_vocab: int
    text_hidden: int
    layers: int
    hidden: int
    intermediate: int
    heads: int
    kv_heads: int
    head_dim: int
    p_layers: int
    p_hidden: int
    p_intermediate: int
    codebooks: int
    codebook_size: int
    c_layers: int
    c_hidden: int
    c_intermediate: int
    c_heads: int
    c_head_dim: int
    c_latent: int
    c_dim: int
    c_channels: int
    c_window: int
    e_filters: int
    e_hidden: int
    e_intermediate: int
    e_layers: int
    e_heads: int
    e_dim: int
    e_codebooks: int
    s_channels: tuple[int, ...]
    s_squeeze: int
    s_attention: int


_CODEC = {
    "codebooks": 16, "codebook_size": 2048, "c_layers": 8, "c_hidden": 512, "c_intermediate": 1024,
    "c_heads": 16, "c_head_dim": 64, "c_latent": 1024, "c_dim": 512, "c_channels": 1536, "c_window": 72,
    "e_filters": 64, "e_hidden": 512, "e_intermediate": 2048, "e_layers": 8, "e_heads": 8, "e_dim": 256,
    "e_codebooks": 32, "s_channels": (512, 512, 512, 512, 1536), "s_squeeze": 128, "s_attention": 128,
}  # fmt: skip
_LANGUAGE_MODEL = {
    "words": 151_643, "text_vocab": 151_936, "text_hidden": 2048, "layers": 28, "heads": 16, "kv_heads": 8,
    "head_dim": 128, "p_layers": 5, "p_hidden": 1024, "p_intermediate": 3072,
}  # fmt: skip
GEOMETRIES: Mapping[str, Geometry] = {
    "0.6b": Geometry(size="0b6", hidden=1024, intermediate=3072, **_LANGUAGE_MODEL, **_CODEC),  # type: ignore[arg-type]
    "1.7b": Geometry(size="1b7", hidden=2048, intermediate=6144, **_LANGUAGE_MODEL, **_CODEC),  # type: ignore[arg-type]
    "tiny": Geometry(
        size="1b7", words=640, text_vocab=704, text_hidden=64, layers=2, hidden=64, intermediate=96, heads=4,
        kv_heads=2, head_dim=16, p_layers=2, p_hidden=48, p_intermediate=64, codebooks=4, codebook_size=32,
        c_layers=2, c_hidden=16, c_intermediate=32, c_heads=2, c_head_dim=8, c_latent=16, c_dim=16,
        c_channels=32, c_window=6, e_filters=4, e_hidden=32, e_intermediate=48, e_layers=2, e_heads=4,
        e_dim=8, e_codebooks=8, s_channels=(16, 16, 16, 16, 48), s_squeeze=8, s_attention=8,
    ),
}  # fmt: skip


def config_json(geometry: Geometry, kind: Kind, assistant: int) -> dict[str, Any]:
    """The top config.json; `assistant` is the id of that word in the text vocabulary."""
    first = geometry.words
    config = {
        "architectures": ["Qwen3TTSForConditionalGeneration"],
        "assistant_token_id": assistant,
        "im_start_token_id": first + SPECIAL.index("<|im_start|>"),
        "im_end_token_id": first + SPECIAL.index("<|im_end|>"),
        "tts_pad_token_id": first + SPECIAL.index("<tts_pad>"),
        "tts_bos_token_id": first + SPECIAL.index("<tts_text_bos>"),
        "tts_eos_token_id": first + SPECIAL.index("<tts_text_eod>"),
        "model_type": "qwen3_tts",
        "tokenizer_type": CODES_12HZ,
        "tts_model_size": geometry.size,
        "tts_model_type": kind,
        "talker_config": _talker(geometry, kind),
    }
    if kind == "base":
        config["speaker_encoder_config"] = {
            "enc_dim": geometry.hidden,
            "sample_rate": 24_000,
            "enc_channels": list(geometry.s_channels),
            "enc_attention_channels": geometry.s_attention,
            "enc_se_channels": geometry.s_squeeze,
        }
    return config


def codec_json(geometry: Geometry) -> dict[str, Any]:
    """The speech tokenizer's config.json."""
    return {
        "architectures": ["Qwen3TTSTokenizerV2Model"],
        "model_type": CODES_12HZ,
        "encoder_valid_num_quantizers": geometry.codebooks,
        "input_sample_rate": 24_000,
        "output_sample_rate": 24_000,
        "decode_upsample_rate": 1920,
        "encode_downsample_rate": 1920,
        "decoder_config": _codec_decoder(geometry),
        "encoder_config": _codec_encoder(geometry),
    }


GENERATION_JSON = {
    "do_sample": True,
    "repetition_penalty": 1.05,
    "temperature": 0.9,
    "top_p": 1.0,
    "top_k": 50,
    "subtalker_dosample": True,
    "subtalker_temperature": 0.9,
    "subtalker_top_p": 1.0,
    "subtalker_top_k": 50,
    "max_new_tokens": 8192,
}


def _talker(geometry: Geometry, kind: Kind) -> dict[str, Any]:
    codes, preset = geometry.codebook_size, kind == "custom_voice"
    languages = LANGUAGES | DIALECTS if preset else LANGUAGES
    speakers = SPEAKERS if preset else {}
    return {
        **{f"codec_{name}_id": codes + offset for name, offset in TAGS.items()},
        "codec_language_id": {name: codes + offset for name, offset in languages.items()},
        "spk_id": {name: codes + offset for name, offset in speakers.items()},
        "spk_is_dialect": {name: SPEAKER_DIALECTS.get(name, False) for name in speakers},
        "code_predictor_config": {
            **_stack(geometry, geometry.p_layers, geometry.p_hidden, geometry.p_intermediate),
            "vocab_size": codes,
            "num_code_groups": geometry.codebooks,
        },
        **_stack(geometry, geometry.layers, geometry.hidden, geometry.intermediate),
        "vocab_size": codes + 1024,
        "num_code_groups": geometry.codebooks,
        "text_hidden_size": geometry.text_hidden,
        "text_vocab_size": geometry.text_vocab,
    }


def _stack(geometry: Geometry, layers: int, hidden: int, intermediate: int) -> dict[str, Any]:
    return {
        "num_hidden_layers": layers,
        "hidden_size": hidden,
        "intermediate_size": intermediate,
        "num_attention_heads": geometry.heads,
        "num_key_value_heads": geometry.kv_heads,
        "head_dim": geometry.head_dim,
        "rms_norm_eps": 1e-6,
        "rope_theta": 1_000_000,
    }


def _codec_decoder(geometry: Geometry) -> dict[str, Any]:
    return {
        "num_hidden_layers": geometry.c_layers,
        "hidden_size": geometry.c_hidden,
        "intermediate_size": geometry.c_intermediate,
        "num_attention_heads": geometry.c_heads,
        "num_key_value_heads": geometry.c_heads,
        "head_dim": geometry.c_head_dim,
        "rms_norm_eps": 1e-5,
        "rope_theta": 10_000,
        "sliding_window": geometry.c_window,
        "num_quantizers": geometry.codebooks,
        "codebook_size": geometry.codebook_size,
        "codebook_dim": geometry.c_dim,
        "latent_dim": geometry.c_latent,
        "decoder_dim": geometry.c_channels,
        "upsampling_ratios": [2, 2],
        "upsample_rates": [8, 5, 4, 3],
    }


def _codec_encoder(geometry: Geometry) -> dict[str, Any]:
    return {
        "_frame_rate": 12.5,
        "sampling_rate": 24_000,
        "num_filters": geometry.e_filters,
        "kernel_size": 7,
        "last_kernel_size": 3,
        "residual_kernel_size": 3,
        "num_residual_layers": 1,
        "dilation_growth_rate": 2,
        "compress": 2,
        "upsampling_ratios": [8, 6, 5, 4],
        "hidden_size": geometry.e_hidden,
        "intermediate_size": geometry.e_intermediate,
        "num_hidden_layers": geometry.e_layers,
        "num_attention_heads": geometry.e_heads,
        "num_key_value_heads": geometry.e_heads,
        "head_dim": geometry.e_hidden // geometry.e_heads,
        "rope_theta": 10_000.0,
        "norm_eps": 1e-5,
        "num_quantizers": geometry.e_codebooks,
        "codebook_dim": geometry.e_dim,
        "codebook_size": geometry.codebook_size,
        "vector_quantization_hidden_dimension": geometry.e_dim,
        "sliding_window": 250,
    }
