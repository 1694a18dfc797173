"""Checkpoints that cannot be loaded, and what the one who tries is told; formats that can."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from rhapsode_server.core import Window
from rhapsode_server.errors import ModelUnusable
from rhapsode_server.models import speecht5
from rhapsode_server.models.base import SpeechModel
from rhapsode_server.models.speecht5 import weights as weights_module
from rhapsode_server.models.speecht5.convert import main
from safetensors.torch import load_file, save_file

from .conftest import Prepare, speak

Spoil = Callable[[Path], object]


@pytest.fixture
def folder(checkpoint: Path, tmp_path: Path) -> Path:
    """A copy that may be spoiled."""
    return Path(shutil.copytree(checkpoint, tmp_path / "copy"))


def edit(path: Path, **values: object) -> None:
    path.write_text(json.dumps({**json.loads(path.read_text()), **values}))


def to_pickle(folder: Path, without: str = "") -> None:
    if without:
        shutil.rmtree(folder / without)
    torch.save(load_file(folder / "model.safetensors"), folder / "pytorch_model.bin")
    (folder / "model.safetensors").unlink()


def empty(folder: Path) -> None:
    shutil.rmtree(folder)
    folder.mkdir()


def without(folder: Path, name: str) -> None:
    tensors = load_file(folder / "model.safetensors")
    del tensors[name]
    save_file(tensors, folder / "model.safetensors")


def disguise(folder: Path) -> None:
    to_pickle(folder)
    (folder / "pytorch_model.bin").rename(folder / "model.safetensors")


def escape(folder: Path) -> None:
    """An index that points out of the folder."""
    (folder / "model.safetensors").unlink()
    (folder / "model.safetensors.index.json").write_text('{"weight_map": {"a": "../../secret"}}')


BROKEN: dict[str, tuple[Spoil, str]] = {
    "no config": (lambda f: (f / "config.json").unlink(), r"config\.json is missing. Copy the whole"),
    "config is no JSON": (lambda f: (f / "config.json").write_text("{"), "cannot be read as JSON"),
    "config is a list": (lambda f: (f / "config.json").write_text("[]"), "holds no JSON object"),
    "another model": (lambda f: edit(f / "config.json", model_type="bert"), "model_type is 'bert'"),
    "heads": (lambda f: edit(f / "config.json", decoder_attention_heads=5), "do not divide"),
    "a word for a number": (lambda f: edit(f / "config.json", hidden_size="32"), "unusable value '32'"),
    "activation": (lambda f: edit(f / "config.json", hidden_act="swish"), "neither gelu nor relu"),
    "dropout": (lambda f: edit(f / "config.json", speech_decoder_prenet_dropout=1.0), "probability"),
    "even postnet": (lambda f: edit(f / "config.json", speech_decoder_postnet_kernel=4), "is even"),
    "no weights": (lambda f: (f / "model.safetensors").unlink(), r"missing. .* HUB_ID FOLDER"),
    "only a pickle": (to_pickle, r"only as a pickle .*could run code.* Convert it once: python -m"),
    "a pickle by another name": (disguise, r"is a pickle, not a safetensors file. Rename it"),
    "half a download": (
        lambda f: (f / "model.safetensors").write_bytes((f / "model.safetensors").read_bytes()[:999]),
        "not a whole safetensors file. Download it again",
    ),
    "a tensor is missing": (lambda f: without(f, "speech_decoder_postnet.prob_out.bias"), "prob_out.bias"),
    "shapes": (
        lambda f: edit(f / "config.json", decoder_ffn_dim=41),
        r"\(40, 32\), config.json wants \(41, 32\)",
    ),
    "no vocabulary": (lambda f: (f / "spm_char.model").unlink(), r"spm_char\.model is missing"),
    "a pickle, and no vocoder": (
        lambda f: to_pickle(f, without="vocoder"),
        "only as a pickle",
    ),
    "empty": (
        empty,
        r"config\.json is missing",
    ),
    "no vocoder": (lambda f: shutil.rmtree(f / "vocoder"), "Put one there, or name it"),
    "vocoder without weights": (lambda f: (f / "vocoder" / "model.safetensors").unlink(), "missing"),
    "vocoder: rates": (lambda f: edit(f / "vocoder" / "config.json", upsample_rates=[4]), "differ in length"),
    "vocoder: kernels": (
        lambda f: edit(f / "vocoder" / "config.json", upsample_kernel_sizes=[7, 11]),
        "even number",
    ),
    "vocoder: dilations": (
        lambda f: edit(f / "vocoder" / "config.json", resblock_dilation_sizes=[[1]]),
        "differ in length",
    ),
    "vocoder: residuals": (
        lambda f: edit(f / "vocoder" / "config.json", resblock_kernel_sizes=[3, 4]),
        "odd numbers",
    ),
    "vocoder: mels": (lambda f: edit(f / "vocoder" / "config.json", model_in_dim=21), "21 mel bins"),
    "index": (escape, "names no safetensors files beside it"),
}


@pytest.mark.parametrize("how", BROKEN)
def test_what_cannot_be_loaded_is_named_with_what_to_do(folder: Path, how: str) -> None:
    spoil, says = BROKEN[how]
    spoil(folder)
    with pytest.raises(ModelUnusable, match=says) as error:
        speecht5.load(str(folder))
    assert error.value.status == "FAILED_PRECONDITION"
    assert error.value.reason == "MODEL_UNUSABLE"
    assert str(folder) in error.value.message


@pytest.mark.parametrize("source", ["nowhere", "./a/b", "/no/such", "a/b/c"])
def test_a_folder_that_is_not_there(source: str) -> None:
    with pytest.raises(ModelUnusable, match="There is no folder"):
        speecht5.load(source)


def test_a_hub_that_cannot_be_reached(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path))
    with pytest.raises(ModelUnusable, match=r"cannot be had.*give its folder"):
        speecht5.load("no-such-owner/no-such-model-here")


def test_options_that_cannot_be(checkpoint: Path) -> None:
    with pytest.raises(ModelUnusable, match="There is no dtype 'int8'"):
        speecht5.load(str(checkpoint), dtype="int8")


def same_speech(model: SpeechModel, other: SpeechModel, prepare: Prepare) -> bool:
    prompt = prepare("One moment please.")
    return bool((speak(model, prompt) - speak(other, prompt)).abs().max() <= 1e-6)


def test_a_hub_id_brings_its_vocoder(
    folder: Path, model: SpeechModel, prepare: Prepare, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    vocoder = Path((folder / "vocoder").rename(tmp_path / "gan"))
    asked = []

    def download(source: str, revision: str | None, wanted: list[str], into: Path | None = None) -> Path:
        asked.append((source, revision))
        assert not any(name.endswith(".bin") for name in wanted)
        return folder if source.endswith("tts") else vocoder

    monkeypatch.setattr(weights_module, "download", download)
    loaded = speecht5.load("microsoft/speecht5_tts", revision="refs/pr/9", min_length_ratio=2.0)
    assert asked == [("microsoft/speecht5_tts", "refs/pr/9"), ("microsoft/speecht5_hifigan", None)]
    assert same_speech(model, loaded, prepare)


def test_shards_are_one_checkpoint(folder: Path, model: SpeechModel, prepare: Prepare) -> None:
    tensors = load_file(folder / "model.safetensors")
    names = sorted(tensors)
    parts = {"one.safetensors": names[::2], "two.safetensors": names[1::2]}
    for file, held in parts.items():
        save_file({name: tensors[name] for name in held}, folder / file)
    (folder / "model.safetensors").unlink()
    weight_map = {name: file for file, held in parts.items() for name in held}
    (folder / "model.safetensors.index.json").write_text(json.dumps({"weight_map": weight_map}))
    assert same_speech(model, speecht5.load(str(folder), min_length_ratio=2.0), prepare)
    (folder / "two.safetensors").unlink()
    with pytest.raises(ModelUnusable, match=r"two\.safetensors is missing"):
        speecht5.load(str(folder))


@pytest.mark.parametrize(
    ("magnitude", "direction"),
    [
        ("weight_g", "weight_v"),
        ("parametrizations.weight.original0", "parametrizations.weight.original1"),
    ],
)
def test_weight_normalisation_is_multiplied_out(
    folder: Path, model: SpeechModel, magnitude: str, direction: str
) -> None:
    path = folder / "vocoder" / "model.safetensors"
    plain = load_file(path)
    split = {}
    for name, tensor in plain.items():
        if not name.endswith(".weight"):
            split[name] = tensor
            continue
        stem = name.removesuffix("weight")
        split[stem + direction] = 3 * tensor
        split[stem + magnitude] = tensor.flatten(1).norm(dim=1).view(-1, 1, 1)
    save_file(split, path)
    loaded = speecht5.load(str(folder))
    frames = torch.randn(9, 2, 20, generator=torch.Generator().manual_seed(0))
    window = Window(0, 0, len(frames), len(frames), True)
    waves = [m.vocoder.vocode(m.vocoder.new_state(1), [0], [frames], [window])[0] for m in (model, loaded)]
    torch.testing.assert_close(waves[0], waves[1], atol=1e-5, rtol=0)


def test_a_pickle_is_converted_when_asked(
    folder: Path, model: SpeechModel, prepare: Prepare, capsys: pytest.CaptureFixture[str]
) -> None:
    to_pickle(folder)
    assert main([str(folder)]) == 0
    assert capsys.readouterr().out.strip() == str(folder / "model.safetensors")
    assert same_speech(model, speecht5.load(str(folder), min_length_ratio=2.0), prepare)
    assert main([str(folder)]) == 2
    assert "is there already" in capsys.readouterr().err


class Trap:
    """Would create a file while it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[object, tuple[str, str]]:
        return open, (str(self.path), "w")


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (lambda f: Trap(f / "trapped"), "more than tensors"),
        (lambda f: {}, "not a table of tensors"),
        (lambda f: {"a": 1}, "'a' is not a tensor"),
    ],
)
def test_a_pickle_that_is_more_than_tensors_runs_nothing(
    tmp_path: Path, content: Callable[[Path], object], says: str, capsys: pytest.CaptureFixture[str]
) -> None:
    torch.save(content(tmp_path), tmp_path / "pytorch_model.bin")
    assert main([str(tmp_path)]) == 2
    error = capsys.readouterr().err
    assert str(tmp_path / "pytorch_model.bin") in error
    assert says in error
    assert not (tmp_path / "trapped").exists()
    assert not (tmp_path / "model.safetensors").exists()


def test_nothing_to_convert(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([str(tmp_path)]) == 2
    assert "pytorch_model.bin is missing" in capsys.readouterr().err
