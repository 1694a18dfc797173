"""Random SpeechT5 checkpoints in the layout in which the published one lies on disk.

What must not live here: anything that the server needs. The weights are drawn so that the model behaves
like a trained one where it matters to a server: it speaks audibly, hears its own past, its dropout and its
speaker, and stops by itself after a while that depends on the draw.
"""

from __future__ import annotations

import io
import json
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from torch import Tensor

Names = tuple[str, ...]
Shapes = Iterator[tuple[str, tuple[int, ...]]]

LETTERS = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.,;:!?'\"()- "
TINY: dict[str, Any] = {
    "hidden_size": 32, "encoder_layers": 2, "encoder_attention_heads": 2, "encoder_ffn_dim": 48,
    "decoder_layers": 2, "decoder_attention_heads": 4, "decoder_ffn_dim": 40, "num_mel_bins": 20,
    "speech_decoder_prenet_units": 24, "speech_decoder_postnet_units": 16, "speaker_embedding_dim": 12,
    "max_speech_positions": 1200, "max_text_positions": 120, "encoder_max_relative_position": 10,
}  # fmt: skip
TINY_VOCODER: dict[str, Any] = {
    "model_in_dim": 20, "upsample_initial_channel": 16, "upsample_rates": [4, 5],
    "upsample_kernel_sizes": [8, 11], "resblock_kernel_sizes": [3, 7],
    "resblock_dilation_sizes": [[1, 3], [1, 2]],
}  # fmt: skip
ACOUSTIC: dict[str, Any] = {
    "architectures": ["SpeechT5ForTextToSpeech"], "model_type": "speecht5", "vocab_size": 81,
    "hidden_size": 768, "encoder_layers": 12, "encoder_attention_heads": 12, "encoder_ffn_dim": 3072,
    "decoder_layers": 6, "decoder_attention_heads": 12, "decoder_ffn_dim": 3072, "hidden_act": "gelu",
    "num_mel_bins": 80, "reduction_factor": 2, "speech_decoder_prenet_layers": 2,
    "speech_decoder_prenet_units": 256, "speech_decoder_prenet_dropout": 0.5,
    "speaker_embedding_dim": 512, "speech_decoder_postnet_layers": 5,
    "speech_decoder_postnet_units": 256, "speech_decoder_postnet_kernel": 5,
    "max_speech_positions": 1876, "max_text_positions": 600, "encoder_max_relative_position": 160,
}  # fmt: skip
VOCODER: dict[str, Any] = {
    "architectures": ["SpeechT5HifiGan"], "model_type": "hifigan", "model_in_dim": 80,
    "sampling_rate": 16000, "upsample_initial_channel": 512, "upsample_rates": [4, 4, 4, 4],
    "upsample_kernel_sizes": [8, 8, 8, 8], "resblock_kernel_sizes": [3, 7, 11],
    "resblock_dilation_sizes": [[1, 3, 5], [1, 3, 5], [1, 3, 5]], "leaky_relu_slope": 0.1,
    "normalize_before": True,
}  # fmt: skip
"""The sizes of the published checkpoints."""

STOP_BIAS, STOP_GAIN = -3.0, 2.5
"""Of the stop head: an utterance ends when a logit strays more than two deviations up."""


def tiny_checkpoint(folder: Path, seed: int = 0) -> Path:
    """A model of 60 thousand parameters, in seconds; returns `folder`, which has its vocoder inside."""
    return write_checkpoint(folder, seed, TINY, TINY_VOCODER)


def full_checkpoint(folder: Path, seed: int = 0) -> Path:
    """Random weights in the published sizes (144 + 13 million parameters)."""
    return write_checkpoint(folder, seed, {}, {})


def write_checkpoint(folder: Path, seed: int, acoustic: dict[str, Any], vocoder: dict[str, Any]) -> Path:
    """Both parts and the vocabulary; the vocoder lies in a folder of its own inside."""
    folder.mkdir(parents=True, exist_ok=True)
    write_vocabulary(folder / "spm_char.model")
    generator = torch.Generator().manual_seed(seed)
    _write(folder, ACOUSTIC | acoustic, acoustic_shapes(ACOUSTIC | acoustic), generator)
    _write(folder / "vocoder", VOCODER | vocoder, vocoder_shapes(VOCODER | vocoder), generator)
    return folder


def _write(folder: Path, config: dict[str, Any], shapes: Shapes, generator: torch.Generator) -> None:
    folder.mkdir(exist_ok=True)
    (folder / "config.json").write_text(json.dumps(config, indent=2))
    tensors = {name: _drawn(name, shape, generator) for name, shape in shapes}
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})


def acoustic_shapes(c: dict[str, Any]) -> Shapes:
    """Names and shapes of SpeechT5ForTextToSpeech."""
    width, mels, units = c["hidden_size"], c["num_mel_bins"], c["speech_decoder_prenet_units"]
    encoder, decoder = "speecht5.encoder.", "speecht5.decoder."
    yield encoder + "prenet.embed_tokens.weight", (c["vocab_size"], width)
    yield encoder + "prenet.encode_positions.alpha", ()
    yield from _norm(encoder + "wrapped_encoder.layer_norm", width)
    heads = width // c["encoder_attention_heads"]
    yield (
        encoder + "wrapped_encoder.embed_positions.pe_k.weight",
        (2 * c["encoder_max_relative_position"], heads),
    )
    for i in range(c["encoder_layers"]):
        layer = f"{encoder}wrapped_encoder.layers.{i}."
        yield from _block(layer, width, c["encoder_ffn_dim"], ("attention",), ("layer_norm",))
    sizes = [mels, *[units] * c["speech_decoder_prenet_layers"]]
    for i, inputs in enumerate(sizes[:-1]):
        yield from _affine(f"{decoder}prenet.layers.{i}", inputs, units)
    yield from _affine(decoder + "prenet.final_layer", units, width)
    yield decoder + "prenet.encode_positions.alpha", ()
    yield from _affine(decoder + "prenet.speaker_embeds_layer", width + c["speaker_embedding_dim"], width)
    for i in range(c["decoder_layers"]):
        layer, names = f"{decoder}wrapped_decoder.layers.{i}.", ("self_attn", "encoder_attn")
        norms = tuple(f"{name}_layer_norm" for name in names)
        yield from _block(layer, width, c["decoder_ffn_dim"], names, norms)
    yield from _affine("speech_decoder_postnet.feat_out", width, mels * c["reduction_factor"])
    yield from _affine("speech_decoder_postnet.prob_out", width, c["reduction_factor"])
    yield from _postnet(c)


def _postnet(c: dict[str, Any]) -> Shapes:
    mels, units, count = (
        c["num_mel_bins"],
        c["speech_decoder_postnet_units"],
        c["speech_decoder_postnet_layers"],
    )
    widths = [mels, *[units] * (count - 1), mels]
    for i in range(count):
        layer = f"speech_decoder_postnet.layers.{i}."
        yield layer + "conv.weight", (widths[i + 1], widths[i], c["speech_decoder_postnet_kernel"])
        for name in ("weight", "bias", "running_mean", "running_var"):
            yield f"{layer}batch_norm.{name}", (widths[i + 1],)


def _block(layer: str, width: int, inner: int, attentions: Names, norms: Names) -> Shapes:
    for attention in attentions:
        for name in ("k_proj", "v_proj", "q_proj", "out_proj"):
            yield from _affine(f"{layer}{attention}.{name}", width, width)
    for norm in (*norms, "final_layer_norm"):
        yield from _norm(layer + norm, width)
    yield from _affine(layer + "feed_forward.intermediate_dense", width, inner)
    yield from _affine(layer + "feed_forward.output_dense", inner, width)


def _affine(name: str, inputs: int, outputs: int) -> Shapes:
    yield from ((f"{name}.weight", (outputs, inputs)), (f"{name}.bias", (outputs,)))


def _norm(name: str, width: int) -> Shapes:
    yield from ((f"{name}.weight", (width,)), (f"{name}.bias", (width,)))


def vocoder_shapes(c: dict[str, Any]) -> Shapes:
    """Names and shapes of SpeechT5HifiGan, weight normalisation removed."""
    width, kernels = c["upsample_initial_channel"], c["resblock_kernel_sizes"]
    yield from _conv("conv_pre", (width, c["model_in_dim"], 7), width)
    for i, size in enumerate(c["upsample_kernel_sizes"]):
        width //= 2
        yield from _conv(f"upsampler.{i}", (2 * width, width, size), width)
        for j, (kernel, dilations) in enumerate(zip(kernels, c["resblock_dilation_sizes"], strict=True)):
            for name in (f"convs{part}.{k}" for part in (1, 2) for k in range(len(dilations))):
                block = f"resblocks.{i * len(kernels) + j}.{name}"
                yield from _conv(block, (width, width, kernel), width)
    yield from _conv("conv_post", (1, width, 7), 1)
    yield from (("mean", (c["model_in_dim"],)), ("scale", (c["model_in_dim"],)))


def _conv(name: str, shape: tuple[int, ...], outputs: int) -> Shapes:
    yield from ((f"{name}.weight", shape), (f"{name}.bias", (outputs,)))


def write_vocabulary(path: Path) -> None:
    """One piece for each character, after <s>, <pad>, </s> and <unk>, as in the published vocabulary."""
    from sentencepiece import SentencePieceTrainer

    model = io.BytesIO()
    SentencePieceTrainer.train(
        sentence_iterator=iter([" ".join(LETTERS), LETTERS]),
        model_writer=model,
        model_type="char",
        vocab_size=len(set(LETTERS)) + 4,
        character_coverage=1.0,
        bos_id=0,
        pad_id=1,
        eos_id=2,
        unk_id=3,
        hard_vocab_limit=False,
        minloglevel=2,
    )
    path.write_bytes(model.getvalue())


def write_voice(path: Path, width: int, seed: int) -> Path:
    """An x-vector of random numbers, as a .npy file."""
    import numpy as np

    path.parent.mkdir(parents=True, exist_ok=True)
    np.save(path, np.random.default_rng(seed).standard_normal(width, dtype=np.float32))
    return path


def _drawn(name: str, shape: tuple[int, ...], generator: torch.Generator) -> Tensor:
    """A value for the parameter or buffer of that name, of about unit gain."""
    noise = torch.randn(shape, generator=generator)
    if name.endswith(("running_var", "scale")):
        return 1.0 + 0.2 * noise.abs()
    if name.endswith("decoder.prenet.encode_positions.alpha"):
        return torch.tensor(2.0)
    if name.endswith("alpha") or (name.endswith("weight") and len(shape) == 1):
        return 1.0 + 0.1 * noise
    if name.endswith("prob_out.bias"):
        return torch.full(shape, STOP_BIAS)
    if len(shape) < 2:
        return 0.1 * noise
    return noise * _gain(name) / math.sqrt(_fan_in(name, shape))


def _gain(name: str) -> float:
    """Branches are weaker than what they are added to, so that a frame's own input is not averaged away."""
    gains = {
        "prob_out": STOP_GAIN, "embed_tokens": 1.0, "pe_k": 1.0, "resblocks": 0.5, "out_proj": 0.5,
        "output_dense": 0.5, "prenet.layers": 1.0, "prenet.final": 0.7, "decoder.prenet": 2.0,
    }  # fmt: skip
    return next((gain for part, gain in gains.items() if part in name), 1.4)


def _fan_in(name: str, shape: tuple[int, ...]) -> float:
    """How many inputs one output sums up."""
    if "embed_tokens" in name or "pe_k" in name:
        return float(shape[1])
    return shape[0] * 2.0 if "upsampler" in name else float(math.prod(shape[1:]))
