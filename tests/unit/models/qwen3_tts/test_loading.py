"""Checkpoints that cannot be loaded say which file, and what to do; random ones load like released ones."""

from __future__ import annotations

import json
import math
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from rhapsode_server.errors import ConfigError, ModelUnusable
from rhapsode_server.models import qwen3_tts
from rhapsode_server.models.base import SpeechModel
from rhapsode_server.models.qwen3_tts import random_checkpoint
from rhapsode_server.models.qwen3_tts.config_files import read_checkpoint
from rhapsode_server.models.qwen3_tts.geometry import GEOMETRIES
from rhapsode_server.models.qwen3_tts.inventory import codec_tensors, main_tensors
from rhapsode_server.models.qwen3_tts.weights import locate
from rhapsode_server.models.registry import family_of
from safetensors.torch import load_file, save_file
from torch import Tensor


@pytest.fixture
def copy(preset_folder: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(preset_folder, tmp_path / "copy"))


def edit_json(path: Path, edit: Callable[[dict[str, Any]], object]) -> None:
    value = json.loads(path.read_text())
    edit(value)
    path.write_text(json.dumps(value))


def edit_tensors(path: Path, edit: Callable[[dict[str, Tensor]], object]) -> None:
    tensors = load_file(path)
    edit(tensors)
    save_file(tensors, path)


def test_the_registry_finds_the_family(preset_folder: Path) -> None:
    assert family_of(str(preset_folder)) == "qwen3_tts"
    assert family_of("Qwen/Qwen3-TTS-12Hz-0.6B-CustomVoice") == "qwen3_tts"


def test_what_a_loaded_model_says_of_itself(presets: SpeechModel) -> None:
    assert presets.family == "qwen3_tts"
    assert presets.sample_rate == 24_000
    assert presets.vocoder.samples_per_frame == 1920
    assert presets.acoustic.frame_rate == 12.5
    assert presets.details["dtype"] == "float32"
    assert int(presets.details["parameters"]) > 100_000
    assert presets.sampling == ("temperature", "top_k", "top_p", "repetition_penalty")


@pytest.mark.parametrize("name", ["config.json", "model.safetensors", "speech_tokenizer/model.safetensors"])
def test_a_missing_file(copy: Path, name: str) -> None:
    (copy / name).unlink()
    with pytest.raises(ModelUnusable, match=rf"{name} is missing\. .*Copy the whole checkpoint"):
        qwen3_tts.load(str(copy))


@pytest.mark.parametrize("content", ["", "{", "[]", '{"model_type": 3}'])
def test_a_config_that_is_none(copy: Path, content: str) -> None:
    (copy / "config.json").write_text(content)
    with pytest.raises(ModelUnusable, match=r"config\.json"):
        qwen3_tts.load(str(copy))


@pytest.mark.parametrize(
    ("key", "value", "said"),
    [
        ("model_type", "qwen3_omni", "'qwen3_omni'"),
        ("tokenizer_type", "qwen3_tts_tokenizer_25hz", "qwen3_tts_tokenizer_12hz"),
        ("tts_model_type", "singing", "voice_design, custom_voice, base"),
    ],
)
def test_a_checkpoint_of_another_kind(copy: Path, key: str, value: str, said: str) -> None:
    edit_json(copy / "config.json", lambda config: config.update({key: value}))
    with pytest.raises(ModelUnusable, match=said):
        qwen3_tts.load(str(copy))


@pytest.mark.parametrize("value", [None, "many", True, 1.5])
def test_a_number_that_is_none(copy: Path, value: object) -> None:
    edit_json(copy / "config.json", lambda config: config["talker_config"].update(num_hidden_layers=value))
    with pytest.raises(ModelUnusable, match="num_hidden_layers"):
        qwen3_tts.load(str(copy))


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("num_hidden_layers", 0),
        ("hidden_act", "gelu"),
        ("attention_bias", True),
        ("use_sliding_window", True),
        ("rope_scaling", {"rope_type": "yarn", "factor": 4.0}),
        ("num_code_groups", 3),
        ("codec_pad_id", 1_000_000),
    ],
)
def test_a_talker_of_another_make(copy: Path, key: str, value: object) -> None:
    edit_json(copy / "config.json", lambda config: config["talker_config"].update({key: value}))
    with pytest.raises(ModelUnusable, match="codec id" if key == "codec_pad_id" else key):
        read_checkpoint(copy)


@pytest.mark.parametrize(
    ("key", "value"),
    [("temperature", -1.0), ("top_p", 0.0), ("max_new_tokens", 1), ("repetition_penalty", 0)],
)
def test_settings_out_of_range(copy: Path, key: str, value: float) -> None:
    path = copy / "generation_config.json"
    path.write_text(json.dumps({key: value}))
    with pytest.raises(ModelUnusable, match=key):
        read_checkpoint(copy)


def test_weights_that_are_no_safetensors(copy: Path) -> None:
    (copy / "model.safetensors").write_bytes(b"\x80\x04pickled")
    with pytest.raises(ModelUnusable, match="is a pickle, which could run code"):
        qwen3_tts.load(str(copy))
    (copy / "model.safetensors").rename(copy / "pytorch_model.bin")
    with pytest.raises(ModelUnusable, match=r"only as a pickle \(pytorch_model\.bin\)"):
        qwen3_tts.load(str(copy))
    (copy / "model.safetensors").write_bytes(b"half")
    with pytest.raises(ModelUnusable, match="cannot be read as safetensors"):
        qwen3_tts.load(str(copy))


def test_a_cut_file_is_no_pickle_whatever_its_length_begins_with(copy: Path) -> None:
    for version in range(6):
        begun = (0x80 | version << 8).to_bytes(8, "little") + b'{"talker'
        (copy / "model.safetensors").write_bytes(begun)
        with pytest.raises(ModelUnusable, match="cannot be read as safetensors"):
            qwen3_tts.load(str(copy))


def test_weights_that_are_whole_numbers(copy: Path) -> None:
    name = "talker.model.norm.weight"
    edit_tensors(copy / "model.safetensors", lambda stored: stored.update({name: stored[name].long()}))
    with pytest.raises(ModelUnusable, match=r"talker\.model\.norm\.weight holds torch\.int64"):
        qwen3_tts.load(str(copy))


@pytest.mark.parametrize("added", [{"x": {"content": "<x>"}}, {"700": "<x>"}])
def test_control_tokens_without_a_number(copy: Path, added: dict[str, Any]) -> None:
    edit_json(copy / "tokenizer_config.json", lambda config: config["added_tokens_decoder"].update(added))
    with pytest.raises(ModelUnusable, match="added_tokens_decoder"):
        qwen3_tts.load(str(copy))


def test_a_missing_tensor(copy: Path) -> None:
    name = "talker.model.layers.1.mlp.up_proj.weight"
    edit_tensors(copy / "model.safetensors", lambda tensors: tensors.pop(name))
    with pytest.raises(ModelUnusable, match=name.replace(".", r"\.")):
        qwen3_tts.load(str(copy))


def test_a_tensor_of_another_shape(copy: Path) -> None:
    name = "talker.codec_head.weight"
    edit_tensors(copy / "model.safetensors", lambda t: t.update({name: t[name][:-1].contiguous()}))
    with pytest.raises(ModelUnusable, match=r"\[1055, 64\], but config.json implies \[1056, 64\]"):
        qwen3_tts.load(str(copy))


MAIN, CODEC = "model.safetensors", "speech_tokenizer/model.safetensors"


def shard(path: Path, parts: int = 3) -> dict[str, str]:
    """Part a file into shards with an index, as large checkpoints are published; returns the index's map."""
    tensors = load_file(path)
    names = [f"model-{number + 1:05}-of-{parts:05}.safetensors" for number in range(parts)]
    where = {name: names[at % parts] for at, name in enumerate(sorted(tensors))}
    for file in names:
        save_file({name: tensors[name] for name in where if where[name] == file}, path.with_name(file))
    path.unlink()
    write_index(path, where)
    return where


def write_index(path: Path, where: object) -> None:
    path.with_name("model.safetensors.index.json").write_text(
        json.dumps({"metadata": {}, "weight_map": where})
    )


def test_shards_are_one_checkpoint(copy: Path, presets: SpeechModel) -> None:
    shard(copy / MAIN)
    shard(copy / CODEC, parts=2)
    model = qwen3_tts.load(str(copy), positions=512)
    assert model.details["parameters"] == presets.details["parameters"]
    for part in ("acoustic", "vocoder"):
        read, whole = weights_of(getattr(model, part)), weights_of(getattr(presets, part))
        assert len(read) == len(whole) > 0
        assert all(map(torch.equal, read, whole))


def weights_of(part: Any) -> list[Tensor]:
    """Every parameter of the modules that this part of a model has."""
    modules = [value for value in vars(part).values() if isinstance(value, torch.nn.Module)]
    return [tensor for module in modules for tensor in module.state_dict().values()]


def test_a_file_goes_before_shards(copy: Path) -> None:
    write_index(copy / MAIN, {"a": "gone.safetensors"})
    assert qwen3_tts.load(str(copy), positions=128).family == "qwen3_tts"


@pytest.mark.parametrize("name", [MAIN, CODEC])
def test_a_shard_that_is_missing_or_cut(copy: Path, name: str) -> None:
    shard(copy / name)
    lost = (copy / name).with_name("model-00002-of-00003.safetensors")
    lost.write_bytes(lost.read_bytes()[:999])
    with pytest.raises(
        ModelUnusable, match=r"model-00002-of-00003\.safetensors cannot be read as safetensors"
    ):
        qwen3_tts.load(str(copy))
    lost.unlink()
    with pytest.raises(ModelUnusable, match=r"model-00002-of-00003\.safetensors is missing"):
        qwen3_tts.load(str(copy))


def test_shards_of_two_checkpoints(copy: Path) -> None:
    where = shard(copy / MAIN)
    moved = next(name for name in where if where[name].startswith("model-00001"))
    write_index(copy / MAIN, where | {moved: "model-00002-of-00003.safetensors"})
    with pytest.raises(
        ModelUnusable, match=rf"model-00002-of-00003\.safetensors has the tensor {moved}, but it has not"
    ):
        qwen3_tts.load(str(copy))
    write_index(copy / MAIN, {name: file for name, file in where.items() if name != moved})
    with pytest.raises(ModelUnusable, match=rf"index\.json lacks the tensor {moved}"):
        qwen3_tts.load(str(copy))


@pytest.mark.parametrize(
    "where",
    [
        {},
        [],
        None,
        {"a": 3},
        {"a": ""},
        {"a": "../secret.safetensors"},
        {"a": "/etc/secret.safetensors"},
        {"a": "below/secret.safetensors"},
        {"a": "..\\secret.safetensors"},
        {"a": "pytorch_model.bin"},
    ],
)
def test_an_index_that_names_no_files_beside_it(copy: Path, where: object) -> None:
    (copy / MAIN).unlink()
    (copy.parent / "secret.safetensors").write_bytes(b"")
    write_index(copy / MAIN, where)
    with pytest.raises(ModelUnusable, match=r"index\.json names no safetensors files beside it"):
        qwen3_tts.load(str(copy))


@pytest.mark.parametrize("content", [b"", b"{", b"\xff\xfe", b"[]"])
def test_an_index_that_is_none(copy: Path, content: bytes) -> None:
    (copy / MAIN).unlink()
    (copy / "model.safetensors.index.json").write_bytes(content)
    with pytest.raises(ModelUnusable, match=r"index\.json (cannot be read as JSON|names no safetensors)"):
        qwen3_tts.load(str(copy))


@pytest.mark.parametrize(
    ("file", "first", "beyond", "key"),
    [
        (MAIN, "talker.model.layers.1.", "talker.model.layers.2.", "num_hidden_layers of talker_config"),
        (
            MAIN,
            "talker.code_predictor.model.layers.1.",
            "talker.code_predictor.model.layers.12.",
            "num_hidden_layers of code_predictor_config",
        ),
        (MAIN, "talker.code_predictor.lm_head.1.", "talker.code_predictor.lm_head.3.", "num_code_groups"),
        (
            CODEC,
            "decoder.pre_transformer.layers.0.",
            "decoder.pre_transformer.layers.8.",
            "num_hidden_layers of decoder_config",
        ),
    ],
)
def test_layers_that_the_config_has_not_got(copy: Path, file: str, first: str, beyond: str, key: str) -> None:
    def deepen(tensors: dict[str, Tensor]) -> None:
        more = {
            name.replace(first, beyond): tensors[name].clone() for name in tensors if name.startswith(first)
        }
        assert more
        tensors |= more

    edit_tensors(copy / file, deepen)
    with pytest.raises(ModelUnusable, match=rf"safetensors has {beyond}.*, but {key}"):
        qwen3_tts.load(str(copy))


def test_encoder_layers_that_the_config_has_not_got(base_folder: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(base_folder, tmp_path / "copy"))
    stored, beyond = "encoder.encoder_transformer.layers.0.", "encoder.encoder_transformer.layers.9."
    edit_tensors(
        folder / CODEC, lambda t: t.update({f"{beyond}mlp.fc1.weight": t[f"{stored}mlp.fc1.weight"].clone()})
    )
    with pytest.raises(ModelUnusable, match="num_hidden_layers of encoder_config"):
        qwen3_tts.load(str(folder))


def test_a_folder_that_is_none() -> None:
    with pytest.raises(ModelUnusable, match="neither a folder nor a hub id"):
        locate("no/such/place")
    with pytest.raises(ModelUnusable, match="could not be downloaded"):
        locate("nobody/nothing")


def test_an_unknown_dtype(preset_folder: Path) -> None:
    with pytest.raises(ConfigError, match="float32, bfloat16"):
        qwen3_tts.load(str(preset_folder), dtype="float16")


def test_half_precision_keeps_the_codec_whole(preset_folder: Path) -> None:
    model = qwen3_tts.load(str(preset_folder), dtype="bfloat16", positions=128)
    assert model.details["dtype"] == "bfloat16"
    assert model.vocoder.codec.tables.dtype is torch.float32  # type: ignore[attr-defined]


def test_described_voices(tmp_path: Path) -> None:
    random_checkpoint.write_checkpoint(tmp_path / "model", GEOMETRIES["tiny"], "voice_design")
    voices = tmp_path / "voices"
    voices.mkdir()
    (voices / "Old_man.txt").write_text("An old man,\n tired but kind.\n", encoding="utf-8")
    model = qwen3_tts.load(str(tmp_path / "model"), voices=voices, positions=128)
    assert list(model.voices) == ["designed", "old_man"]
    assert model.voices["old_man"].description == "An old man, tired but kind."
    (voices / "empty.txt").write_text(" \n")
    with pytest.raises(ConfigError, match=r"empty\.txt"):
        qwen3_tts.load(str(tmp_path / "model"), voices=voices, positions=128)


@pytest.mark.parametrize(
    ("geometry", "kind", "tensors", "published"),
    [
        ("0.6b", "base", 478, 1_829_344_272),
        ("0.6b", "custom_voice", 402, 1_811_626_576),
        ("1.7b", "custom_voice", 404, 3_833_402_552),
    ],
)
def test_full_size_is_the_released_size(geometry: str, kind: str, tensors: int, published: int) -> None:
    """Two bytes for each parameter and a header of some 50 kB are the published file sizes."""
    entries = list(main_tensors(GEOMETRIES[geometry], kind))  # type: ignore[arg-type]
    weights = 2 * sum(math.prod(shape) for _, shape in entries)
    assert len({name for name, _ in entries}) == len(entries) == tensors
    assert 45_000 < published - weights < 65_000


def test_the_codec_has_the_released_size() -> None:
    entries = list(codec_tensors(GEOMETRIES["0.6b"]))
    assert len(entries) == 496
    assert sum(math.prod(shape) for _, shape in entries) == 170_557_441


def test_the_command_writes_what_load_reads(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    random_checkpoint.main([str(tmp_path), "--geometry", "tiny", "--kind", "base", "--seed", "3"])
    assert "tiny base" in capsys.readouterr().out
    checkpoint = read_checkpoint(tmp_path)
    assert (checkpoint.kind, checkpoint.talker.codebooks) == ("base", 4)
    model = qwen3_tts.load(str(tmp_path), positions=128)
    assert list(model.voices) == ["plain"]
    assert model.cloner is not None


def test_one_seed_one_checkpoint(tmp_path: Path, preset_folder: Path) -> None:
    random_checkpoint.write_checkpoint(tmp_path, GEOMETRIES["tiny"], "custom_voice", end_chance=0.1)
    for name in ("model.safetensors", "speech_tokenizer/model.safetensors", "vocab.json"):
        assert (tmp_path / name).read_bytes() == (preset_folder / name).read_bytes()
