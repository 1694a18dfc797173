"""From a name, a folder or a hub id to a family, without importing any other."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from rhapsode_server.errors import ConfigError, ModelUnusable
from rhapsode_server.models import registry


@pytest.mark.parametrize(
    ("source", "family"),
    [
        ("toy", "toy"),
        ("ion", "ion"),
        ("speecht5", "speecht5"),
        ("microsoft/speecht5_tts", "speecht5"),
        ("Qwen/Qwen3-TTS-12Hz-0.6B-CustomVoice", "qwen3_tts"),
        ("/srv/models/ion", "ion"),
    ],
)
def test_a_family_is_told_by_the_name(source: str, family: str) -> None:
    assert registry.family_of(source) == family


def test_a_family_is_told_by_the_config(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "qwen3_tts"}))
    assert registry.family_of(str(tmp_path)) == "qwen3_tts"


@pytest.mark.parametrize("written", ["", "[]", "{", '{"model_type": 7}'])
def test_a_config_that_says_nothing_is_no_crash(tmp_path: Path, written: str) -> None:
    folder = tmp_path / "speech"
    folder.mkdir()
    (folder / "config.json").write_text(written)
    with pytest.raises(ModelUnusable, match=r"model\.family"):
        registry.family_of(str(folder))


@pytest.mark.parametrize(
    ("source", "says"),
    [
        ("/no/such/speecht5", "There is no folder '/no/such/speecht5'. Give the folder"),
        ("./ion", "There is no folder './ion'"),
        ("~/nobody-has-this/qwen3_tts", "There is no folder"),
        ("a/b/c", "There is no folder"),
        ("nowhere", "there is no folder of that name, and a hub id is OWNER/NAME. Name one of ion"),
        ("some/voice", r"can be told from 'some/voice'. Name one of ion, .*model\.family"),
    ],
)
def test_a_folder_that_is_not_there(source: str, says: str) -> None:
    with pytest.raises(ModelUnusable, match=says):
        registry.load(source)


@pytest.mark.parametrize("family", ["", "speecht5", "qwen3_tts", "ion"])
def test_a_folder_that_is_empty_or_a_file(tmp_path: Path, family: str) -> None:
    with pytest.raises(ModelUnusable, match=r"is empty. Copy the whole checkpoint into it"):
        registry.load(str(tmp_path), family=family)
    (tmp_path / "model.safetensors").write_bytes(b"")
    with pytest.raises(ModelUnusable, match=r"is a file. Give the folder that the checkpoint is in"):
        registry.load(str(tmp_path / "model.safetensors"), family=family)


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (None, r"it has no config\.json; copy the whole checkpoint, not only its weights"),
        ("{}", r"its config\.json names no model_type"),
        ('{"model_type": "qw', r"its config\.json is not JSON, perhaps half of a download"),
        ('{"model_type": "bert"}', r"its config\.json is of a 'bert'"),
    ],
)
def test_what_a_folder_lacks_is_said(tmp_path: Path, content: str | None, says: str) -> None:
    folder = tmp_path / "speech"
    folder.mkdir()
    (folder / "model.safetensors").write_bytes(b"")
    if content:
        (folder / "config.json").write_text(content)
    with pytest.raises(ModelUnusable, match=says):
        registry.load(str(folder))


@pytest.mark.parametrize("family", ["speecht5", "qwen3_tts", "ion"])
def test_every_family_names_the_file_that_is_missing(tmp_path: Path, family: str) -> None:
    (tmp_path / "README.md").write_text("")
    with pytest.raises(ModelUnusable, match=r"config\.json is missing|lacks config\.json"):
        registry.load(str(tmp_path), family=family)


def test_only_the_family_that_is_asked_for_is_imported() -> None:
    code = (
        "import sys; from rhapsode_server.models import registry; registry.load('toy');"
        "print(*sorted(m for m in sys.modules if m.startswith('rhapsode_server.models.')));"
        "print('transformers' in sys.modules)"
    )
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ran.stdout.endswith("\nFalse\n")
    for family in set(registry.FAMILIES) - {"toy"}:
        assert family not in ran.stdout


def test_what_does_not_exist_is_said() -> None:
    with pytest.raises(ModelUnusable, match="There are: ion"):
        registry.load("x", family="nonesuch")
    with pytest.raises(ConfigError, match="It has: faults, step_seconds"):
        registry.load("toy", volume=11)
    with pytest.raises(ConfigError, match="voices"):
        registry.load("toy", voices=Path("somewhere"))


def test_options_reach_the_family_and_nothing_is_left_out() -> None:
    model = registry.load("toy", step_seconds=0.25, voices=None)
    assert model.details == {"source": "toy", "device": "cpu"}
    assert model.acoustic.step_seconds == 0.25  # type: ignore[attr-defined]
    assert registry.load("elsewhere/toy").details["source"] == "elsewhere/toy"


def test_a_device_is_taken_as_it_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    assert registry.device_for("cpu") == "cpu"
    assert registry.device_for("auto") in ("cpu", "cuda")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    assert [registry.device_for(name) for name in ("auto", "cuda", "cuda:1")] == ["cuda", "cuda", "cuda:1"]
    with pytest.raises(ConfigError, match=r"'cuda:2'.* There are: cpu, cuda, cuda:0, cuda:1"):
        registry.device_for("cuda:2")


@pytest.mark.parametrize("device", ["cuda", "cuda:0", "mps"])
def test_a_device_that_is_not_there_is_named_with_those_that_are(
    monkeypatch: pytest.MonkeyPatch, device: str
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)
    with pytest.raises(ConfigError, match=rf"^model\.device cannot be '{device}'.* There are: cpu\. "):
        registry.device_for(device)


@pytest.mark.parametrize(
    ("written", "cores"),
    [("max 100000", 8), ("200000 100000", 2), ("50000 100000", 1), ("1600000 100000", 8), ("nonsense", 8)],
)
def test_a_containers_quota_counts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, written: str, cores: int
) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(8)), raising=False)
    quota = tmp_path / "cpu.max"
    quota.write_text(written)
    assert registry.usable_cores(quota) == cores
    assert registry.usable_cores(tmp_path / "nowhere") == 8
