"""From a checkpoint's JSON files to its config.

What must not live here: tensors, defaults taken from a class: the released files say everything, and the
reference's own class defaults do not fit them (head counts, depths, ids).
"""

from __future__ import annotations

from pathlib import Path

from rhapsode_server.errors import ModelUnusable
from rhapsode_server.layers.decoder import DecoderConfig
from rhapsode_server.models.qwen3_tts.config import (
    CODES_12HZ,
    KINDS,
    Checkpoint,
    CodecConfig,
    CodecIds,
    Generation,
    SpeakerConfig,
    SpeechEncoderConfig,
    TalkerConfig,
    TextIds,
)
from rhapsode_server.models.qwen3_tts.config_checks import check_decoder, check_whole
from rhapsode_server.models.qwen3_tts.json_fields import Fields, read_json


def read_checkpoint(path: Path) -> Checkpoint:
    """Everything but the weights. Raises errors.ModelUnusable."""
    top = Fields(read_json(path / "config.json"), str(path / "config.json"))
    _expect(top, "model_type", "qwen3_tts")
    _expect(top, "tokenizer_type", CODES_12HZ)
    kind = top.text("tts_model_type")
    if kind not in KINDS:
        raise ModelUnusable(f"{path / 'config.json'}: tts_model_type {kind!r} is none of {', '.join(KINDS)}.")
    talker = top.child("talker_config")
    codec, encoder = read_codec(path / "speech_tokenizer")
    talker_sampling, predictor_sampling, most = _generation(path / "generation_config.json")
    checkpoint = Checkpoint(
        path=path,
        kind=kind,
        size=top.text("tts_model_size"),
        text=_text_ids(top),
        codec_ids=_codec_ids(talker),
        talker=_talker(talker),
        codec=codec,
        speaker=_speaker(top, talker.integer("hidden_size")) if kind == "base" else None,
        speech_encoder=encoder if kind == "base" else None,
        talker_sampling=talker_sampling,
        predictor_sampling=predictor_sampling,
        most_frames=most - 1,
    )
    check_whole(checkpoint)
    return checkpoint


def read_codec(path: Path) -> tuple[CodecConfig, SpeechEncoderConfig]:
    """The speech tokenizer's two halves. Raises errors.ModelUnusable."""
    top = Fields(read_json(path / "config.json"), str(path / "config.json"))
    _expect(top, "model_type", CODES_12HZ)
    encoder = _speech_encoder(top.child("encoder_config"), top.integer("encoder_valid_num_quantizers"))
    return _codec(top, top.child("decoder_config")), encoder


def _expect(fields: Fields, key: str, wanted: str) -> None:
    found = fields.text(key)
    if found != wanted:
        raise ModelUnusable(f"The checkpoint's {key} is {found!r}; this family loads {wanted!r} only.")


def _text_ids(top: Fields) -> TextIds:
    return TextIds(
        im_start=top.integer("im_start_token_id"),
        im_end=top.integer("im_end_token_id"),
        assistant=top.integer("assistant_token_id"),
        tts_pad=top.integer("tts_pad_token_id"),
        tts_bos=top.integer("tts_bos_token_id"),
        tts_eos=top.integer("tts_eos_token_id"),
    )


def _codec_ids(talker: Fields) -> CodecIds:
    dialects = talker.mapping("spk_is_dialect", {})
    return CodecIds(
        pad=talker.integer("codec_pad_id"),
        bos=talker.integer("codec_bos_id"),
        eos=talker.integer("codec_eos_token_id"),
        think=talker.integer("codec_think_id"),
        nothink=talker.integer("codec_nothink_id"),
        think_bos=talker.integer("codec_think_bos_id"),
        think_eos=talker.integer("codec_think_eos_id"),
        languages={name.lower(): int(row) for name, row in talker.mapping("codec_language_id").items()},
        speakers={name.lower(): int(row) for name, row in talker.mapping("spk_id", {}).items()},
        dialects={name.lower(): str(dialect) for name, dialect in dialects.items() if dialect},
    )


def _decoder(fields: Fields, *, qk_norm: bool, layer_scale: bool = False) -> DecoderConfig:
    check_decoder(fields)
    return DecoderConfig(
        layers=fields.integer("num_hidden_layers"),
        hidden=fields.integer("hidden_size"),
        intermediate=fields.integer("intermediate_size"),
        heads=fields.integer("num_attention_heads"),
        kv_heads=fields.integer("num_key_value_heads"),
        head_dim=fields.integer("head_dim"),
        rope_theta=fields.number("rope_theta"),
        eps=fields.number("rms_norm_eps"),
        qk_norm=qk_norm,
        layer_scale=layer_scale,
    )


def _talker(talker: Fields) -> TalkerConfig:
    predictor = talker.child("code_predictor_config")
    return TalkerConfig(
        decoder=_decoder(talker, qk_norm=True),
        predictor=_decoder(predictor, qk_norm=True),
        vocab=talker.integer("vocab_size"),
        text_vocab=talker.integer("text_vocab_size"),
        text_hidden=talker.integer("text_hidden_size"),
        codebooks=talker.integer("num_code_groups"),
        codebook_size=predictor.integer("vocab_size"),
    )


def _codec(top: Fields, decoder: Fields) -> CodecConfig:
    return CodecConfig(
        decoder=_decoder(decoder, qk_norm=False, layer_scale=True),
        window=decoder.integer("sliding_window"),
        codebooks=decoder.integer("num_quantizers"),
        codebook_size=decoder.integer("codebook_size"),
        codebook_dim=decoder.integer("codebook_dim"),
        latent=decoder.integer("latent_dim"),
        channels=decoder.integer("decoder_dim"),
        upsampling=decoder.integers("upsampling_ratios"),
        rates=decoder.integers("upsample_rates"),
        sample_rate=top.integer("output_sample_rate"),
        samples_per_frame=top.integer("decode_upsample_rate"),
    )


def _speaker(top: Fields, hidden: int) -> SpeakerConfig:
    fields = top.child("speaker_encoder_config")
    config = SpeakerConfig(
        width=fields.integer("enc_dim"),
        channels=fields.integers("enc_channels", (512, 512, 512, 512, 1536)),
        kernels=fields.integers("enc_kernel_sizes", (5, 3, 3, 3, 1)),
        dilations=fields.integers("enc_dilations", (1, 2, 3, 4, 1)),
        scale=fields.integer("enc_res2net_scale", 8),
        squeeze=fields.integer("enc_se_channels", 128),
        attention=fields.integer("enc_attention_channels", 128),
        mels=fields.integer("mel_dim", 128),
        sample_rate=fields.integer("sample_rate", 24_000),
    )
    if config.width != hidden:
        raise ModelUnusable(
            f"The speaker encoder is {config.width} wide and the talker {hidden}. Use an unmodified one."
        )
    return config


def _speech_encoder(fields: Fields, used: int) -> SpeechEncoderConfig:
    ratios = fields.integers("upsampling_ratios")
    steps = 1
    for ratio in ratios:
        steps *= ratio
    rate = fields.integer("sampling_rate", 24_000) / steps
    return SpeechEncoderConfig(
        filters=fields.integer("num_filters"),
        kernel=fields.integer("kernel_size"),
        last_kernel=fields.integer("last_kernel_size"),
        residual_kernel=fields.integer("residual_kernel_size"),
        residual_layers=fields.integer("num_residual_layers"),
        dilation_growth=fields.integer("dilation_growth_rate"),
        compress=fields.integer("compress"),
        ratios=tuple(reversed(ratios)),
        hidden=fields.integer("hidden_size"),
        intermediate=fields.integer("intermediate_size"),
        layers=fields.integer("num_hidden_layers"),
        heads=fields.integer("num_attention_heads"),
        head_dim=fields.integer("head_dim"),
        rope_theta=fields.number("rope_theta"),
        eps=fields.number("norm_eps"),
        downsample=round(rate / fields.number("_frame_rate", 12.5)),
        codebooks=used,
        codebook_dim=fields.integer("codebook_dim"),
        codebook_size=fields.integer("codebook_size"),
    )


def _generation(path: Path) -> tuple[Generation, Generation, int]:
    """Settings of the talker and the predictor, and the most tokens; hard defaults are the wrapper's."""
    fields = Fields(read_json(path) if path.exists() else {}, str(path))
    talker = Generation(
        temperature=fields.number("temperature", 0.9) if fields.flag("do_sample", True) else 0.0,
        top_k=fields.integer("top_k", 50),
        top_p=fields.number("top_p", 1.0),
        repetition_penalty=fields.number("repetition_penalty", 1.05),
    )
    predictor = Generation(
        temperature=fields.number("subtalker_temperature", 0.9)
        if fields.flag("subtalker_dosample", True)
        else 0.0,
        top_k=fields.integer("subtalker_top_k", 50),
        top_p=fields.number("subtalker_top_p", 1.0),
    )
    return talker, predictor, fields.integer("max_new_tokens", 2048)
