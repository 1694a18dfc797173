"""What a config may not say: variants that are not implemented, and parts that do not belong together.

What must not live here: reading files.
"""

from __future__ import annotations

from dataclasses import fields

from rhapsode_server.errors import ModelUnusable
from rhapsode_server.models.qwen3_tts.config import Checkpoint, Generation
from rhapsode_server.models.qwen3_tts.json_fields import Fields


def check_decoder(decoder: Fields) -> None:
    """Raise errors.ModelUnusable for a stack without layers, or of a kind that is computed differently."""
    if decoder.integer("num_hidden_layers") < 1:
        raise ModelUnusable("num_hidden_layers must be 1 or more. Use an unmodified checkpoint.")
    rope = Fields(decoder.mapping("rope_scaling", {}), "rope_scaling")
    kinds = {
        "hidden_act": decoder.text("hidden_act", "silu") == "silu",
        "attention_bias": "attention_bias" not in decoder or not decoder.flag("attention_bias"),
        "use_sliding_window": "use_sliding_window" not in decoder or not decoder.flag("use_sliding_window"),
        "rope_scaling": rope.text("rope_type", rope.text("type", "default")) == "default",
    }
    for key, implemented in kinds.items():
        if not implemented:
            raise ModelUnusable(
                f"The checkpoint's {key} is a variant that is not implemented. Use a released checkpoint."
            )


def check_whole(checkpoint: Checkpoint) -> None:
    """Raise errors.ModelUnusable where talker, codec, token ids and settings contradict each other."""
    talker, codec, path = checkpoint.talker, checkpoint.codec, checkpoint.path
    if talker.codebooks != codec.codebooks:
        raise ModelUnusable(
            f"{path}: the talker has num_code_groups {talker.codebooks}, but its speech_tokenizer has "
            f"{codec.codebooks} codebooks. Copy the whole checkpoint from one place."
        )
    ids = checkpoint.codec_ids
    rows = [ids.pad, ids.bos, ids.eos, ids.think, ids.nothink, ids.think_bos, ids.think_eos]
    _inside(f"{path}: a codec id", [*rows, *ids.languages.values(), *ids.speakers.values()], talker.vocab)
    text = [getattr(checkpoint.text, field.name) for field in fields(checkpoint.text)]
    _inside(f"{path}: a text token id", text, talker.text_vocab)
    for settings in (checkpoint.talker_sampling, checkpoint.predictor_sampling):
        _check_settings(settings)
    if checkpoint.most_frames < 1:
        raise ModelUnusable("generation_config.json: max_new_tokens must be 2 or more.")


def _inside(what: str, ids: list[int], vocabulary: int) -> None:
    for number in ids:
        if not 0 <= number < vocabulary:
            raise ModelUnusable(f"{what}, {number}, lies outside its vocabulary of {vocabulary}.")


def _check_settings(settings: Generation) -> None:
    good = {
        "temperature": 0.0 <= settings.temperature < float("inf"),
        "top_k": settings.top_k >= 0,
        "top_p": 0.0 < settings.top_p <= 1.0,
        "repetition_penalty": 0.0 < settings.repetition_penalty < float("inf"),
    }
    for name, inside in good.items():
        if not inside:
            raise ModelUnusable(f"generation_config.json: {name} {getattr(settings, name)} is out of range.")
