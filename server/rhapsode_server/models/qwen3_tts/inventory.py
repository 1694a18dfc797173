"""Names and shapes of every tensor of a checkpoint, as the released files have them.

What must not live here: values (random_checkpoint.py), modules.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise

from rhapsode_server.models.qwen3_tts.config import Kind
from rhapsode_server.models.qwen3_tts.geometry import Geometry

Entry = tuple[str, tuple[int, ...]]


def main_tensors(geometry: Geometry, kind: Kind) -> Iterator[Entry]:
    """model.safetensors: talker, code predictor and, for Base, the speaker encoder."""
    g, vocab = geometry, geometry.codebook_size + 1024
    yield "talker.model.text_embedding.weight", (g.text_vocab, g.text_hidden)
    yield "talker.model.codec_embedding.weight", (vocab, g.hidden)
    yield from _linear("talker.text_projection.linear_fc1", g.text_hidden, g.text_hidden)
    yield from _linear("talker.text_projection.linear_fc2", g.hidden, g.text_hidden)
    yield "talker.codec_head.weight", (vocab, g.hidden)
    yield from _decoder(geometry, "talker.model.", g.layers, g.hidden, g.intermediate)
    yield from _predictor(geometry)
    if kind == "base":
        yield from _speaker(geometry)


def codec_tensors(geometry: Geometry) -> Iterator[Entry]:
    """speech_tokenizer/model.safetensors: the decoder and the encoder."""
    g = geometry
    yield from _quantizer(geometry)
    yield from _conv("decoder.pre_conv", g.c_latent, g.c_dim, 3)
    inner = "decoder.pre_transformer."
    yield from _linear(f"{inner}input_proj", g.c_hidden, g.c_latent)
    yield from _linear(f"{inner}output_proj", g.c_latent, g.c_hidden)
    yield from _codec_layers(geometry, inner)
    for stage in range(2):
        yield from _upsampling(f"decoder.upsample.{stage}", g.c_latent)
    yield from _wave_decoder(geometry)
    yield from _encoder(geometry)


def _linear(name: str, outputs: int, inputs: int) -> Iterator[Entry]:
    yield f"{name}.weight", (outputs, inputs)
    yield f"{name}.bias", (outputs,)


def _conv(name: str, outputs: int, inputs: int, kernel: int) -> Iterator[Entry]:
    yield f"{name}.conv.weight", (outputs, inputs, kernel)
    yield f"{name}.conv.bias", (outputs,)


def _decoder(g: Geometry, prefix: str, layers: int, hidden: int, intermediate: int) -> Iterator[Entry]:
    yield f"{prefix}norm.weight", (hidden,)
    for layer in range(layers):
        yield from _block(f"{prefix}layers.{layer}.", hidden, intermediate, g.heads, g.kv_heads, g.head_dim)
        for norm in ("q_norm", "k_norm"):
            yield f"{prefix}layers.{layer}.self_attn.{norm}.weight", (g.head_dim,)


def _block(
    name: str, hidden: int, intermediate: int, heads: int, kv_heads: int, head_dim: int
) -> Iterator[Entry]:
    yield f"{name}input_layernorm.weight", (hidden,)
    yield f"{name}post_attention_layernorm.weight", (hidden,)
    for part, count in (("q", heads), ("k", kv_heads), ("v", kv_heads)):
        yield f"{name}self_attn.{part}_proj.weight", (count * head_dim, hidden)
    yield f"{name}self_attn.o_proj.weight", (hidden, heads * head_dim)
    yield f"{name}mlp.gate_proj.weight", (intermediate, hidden)
    yield f"{name}mlp.up_proj.weight", (intermediate, hidden)
    yield f"{name}mlp.down_proj.weight", (hidden, intermediate)


def _predictor(g: Geometry) -> Iterator[Entry]:
    stored = "talker.code_predictor."
    yield from _decoder(g, f"{stored}model.", g.p_layers, g.p_hidden, g.p_intermediate)
    for book in range(g.codebooks - 1):
        yield f"{stored}model.codec_embedding.{book}.weight", (g.codebook_size, g.hidden)
        yield f"{stored}lm_head.{book}.weight", (g.codebook_size, g.p_hidden)
    if g.p_hidden != g.hidden:
        yield from _linear(f"{stored}small_to_mtp_projection", g.p_hidden, g.hidden)


def _speaker(g: Geometry) -> Iterator[Entry]:
    widths, kernels, part = g.s_channels, (5, 3, 3, 3, 1), g.s_channels[1] // 8
    wide = sum(widths[1:-1])
    yield from _conv("speaker_encoder.blocks.0", widths[0], 128, kernels[0])
    for index in range(1, len(widths) - 1):
        block = f"speaker_encoder.blocks.{index}"
        yield from _conv(f"{block}.tdnn1", widths[index], widths[index - 1], 1)
        for branch in range(7):
            yield from _conv(f"{block}.res2net_block.blocks.{branch}", part, part, kernels[index])
        yield from _conv(f"{block}.tdnn2", widths[index], widths[index], 1)
        yield from _squeeze(f"{block}.se_block", widths[index], g.s_squeeze)
    yield from _conv("speaker_encoder.mfa", widths[-1], wide, kernels[-1])
    yield from _conv("speaker_encoder.asp.tdnn", g.s_attention, 3 * widths[-1], 1)
    yield from _plain_conv("speaker_encoder.asp.conv", widths[-1], g.s_attention)
    yield from _plain_conv("speaker_encoder.fc", g.hidden, 2 * widths[-1])


def _squeeze(name: str, channels: int, inner: int) -> Iterator[Entry]:
    yield from _plain_conv(f"{name}.conv1", inner, channels)
    yield from _plain_conv(f"{name}.conv2", channels, inner)


def _plain_conv(name: str, outputs: int, inputs: int) -> Iterator[Entry]:
    yield f"{name}.weight", (outputs, inputs, 1)
    yield f"{name}.bias", (outputs,)


def _quantizer(g: Geometry) -> Iterator[Entry]:
    for group, count in (("rvq_first", 1), ("rvq_rest", g.codebooks - 1)):
        stored = f"decoder.quantizer.{group}"
        yield f"{stored}.input_proj.weight", (g.c_dim // 2, g.c_dim, 1)
        yield f"{stored}.output_proj.weight", (g.c_dim, g.c_dim // 2, 1)
        for index in range(count):
            book = f"{stored}.vq.layers.{index}._codebook"
            yield f"{book}.cluster_usage", (g.codebook_size,)
            yield f"{book}.embedding_sum", (g.codebook_size, g.c_dim // 2)


def _codec_layers(g: Geometry, prefix: str) -> Iterator[Entry]:
    yield f"{prefix}norm.weight", (g.c_hidden,)
    for layer in range(g.c_layers):
        name = f"{prefix}layers.{layer}."
        yield from _block(name, g.c_hidden, g.c_intermediate, g.c_heads, g.c_heads, g.c_head_dim)
        yield from _scales(name, g.c_hidden)


def _scales(name: str, width: int) -> Iterator[Entry]:
    yield f"{name}self_attn_layer_scale.scale", (width,)
    yield f"{name}mlp_layer_scale.scale", (width,)


def _upsampling(name: str, width: int) -> Iterator[Entry]:
    yield from _conv(f"{name}.0", width, width, 2)
    yield from _conv(f"{name}.1.dwconv", width, 1, 7)
    yield f"{name}.1.norm.weight", (width,)
    yield f"{name}.1.norm.bias", (width,)
    yield from _linear(f"{name}.1.pwconv1", 4 * width, width)
    yield from _linear(f"{name}.1.pwconv2", width, 4 * width)
    yield f"{name}.1.gamma", (width,)


def _snake(name: str, channels: int) -> Iterator[Entry]:
    yield f"{name}.alpha", (channels,)
    yield f"{name}.beta", (channels,)


def _wave_decoder(g: Geometry) -> Iterator[Entry]:
    widths = [g.c_channels // 2**step for step in range(5)]
    yield from _conv("decoder.decoder.0", widths[0], g.c_latent, 7)
    for index, ((wide, narrow), rate) in enumerate(zip(pairwise(widths), (8, 5, 4, 3), strict=True), start=1):
        block = f"decoder.decoder.{index}.block"
        yield from _snake(f"{block}.0", wide)
        yield f"{block}.1.conv.weight", (wide, narrow, 2 * rate)
        yield f"{block}.1.conv.bias", (narrow,)
        for unit in range(2, 5):
            for half, kernel in ((1, 7), (2, 1)):
                yield from _snake(f"{block}.{unit}.act{half}", narrow)
                yield from _conv(f"{block}.{unit}.conv{half}", narrow, narrow, kernel)
    yield from _snake("decoder.decoder.5", widths[-1])
    yield from _conv("decoder.decoder.6", 1, widths[-1], 7)


def _encoder(g: Geometry) -> Iterator[Entry]:
    yield from _seanet(g)
    for layer in range(g.e_layers):
        name, width = f"encoder.encoder_transformer.layers.{layer}.", g.e_hidden
        for norm in ("input_layernorm", "post_attention_layernorm"):
            yield f"{name}{norm}.weight", (width,)
            yield f"{name}{norm}.bias", (width,)
        for part in "qkvo":
            yield f"{name}self_attn.{part}_proj.weight", (width, width)
        yield f"{name}mlp.fc1.weight", (g.e_intermediate, width)
        yield f"{name}mlp.fc2.weight", (width, g.e_intermediate)
        yield from _scales(name, width)
    yield "encoder.downsample.conv.weight", (g.e_hidden, g.e_hidden, 4)
    for group, count in (("semantic", 1), ("acoustic", g.e_codebooks - 1)):
        yield from _encoder_books(g, f"encoder.quantizer.{group}_residual_vector_quantizer", count)


def _seanet(g: Geometry) -> Iterator[Entry]:
    layers, width = "encoder.encoder.layers", g.e_filters
    yield from _conv(f"{layers}.0", width, 1, 7)
    for step, ratio in enumerate((4, 5, 6, 8)):
        yield from _conv(f"{layers}.{3 * step + 1}.block.1", width // 2, width, 3)
        yield from _conv(f"{layers}.{3 * step + 1}.block.3", width, width // 2, 1)
        yield from _conv(f"{layers}.{3 * step + 3}", 2 * width, width, 2 * ratio)
        width *= 2
    yield from _conv(f"{layers}.14", g.e_hidden, width, 3)


def _encoder_books(g: Geometry, stored: str, count: int) -> Iterator[Entry]:
    yield f"{stored}.input_proj.weight", (g.e_dim, g.e_hidden, 1)
    yield f"{stored}.output_proj.weight", (g.e_hidden, g.e_dim, 1)
    for index in range(count):
        book = f"{stored}.layers.{index}.codebook"
        yield f"{book}.cluster_usage", (g.codebook_size,)
        yield f"{book}.embed_sum", (g.codebook_size, g.e_dim)
        yield f"{book}.initialized", (1,)
