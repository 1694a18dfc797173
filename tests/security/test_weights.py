"""Weights are numbers: nothing that is loaded may run, and what was changed on the way is refused."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from rhapsode_server import download
from rhapsode_server.errors import ConfigError, ModelUnusable
from rhapsode_server.models import registry
from rhapsode_server.models.ion import weights
from rhapsode_server.models.speecht5.voices import read_voices


class Bomb:
    """Makes a file when it is unpickled."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, (str(self.mark),)


@pytest.fixture
def mark(tmp_path: Path) -> Path:
    """Exists once a pickle has run."""
    return tmp_path / "it ran"


def test_the_bomb_works(tmp_path: Path, mark: Path) -> None:
    file = tmp_path / "bomb.npy"
    np.save(file, np.array([Bomb(mark)], dtype=object))
    file.write_bytes(file.read_bytes()[128:])  # without numpy's header it is a plain pickle
    subprocess.run((sys.executable, "-m", "pickle", str(file)), check=False, capture_output=True)
    assert mark.exists()


@pytest.mark.parametrize("family", ["ion", "speecht5", "qwen3_tts"])
@pytest.mark.parametrize(
    "names",
    [
        ("pytorch_model.bin", "model.pt", "weights.pkl"),
        ("model.safetensors", "acoustic.safetensors", "vocoder.safetensors"),
    ],
)
def test_a_pickle_is_refused_and_never_run(
    family: str, names: tuple[str, ...], tmp_path: Path, mark: Path
) -> None:
    folder = tmp_path / "checkpoint"
    folder.mkdir()
    (folder / "config.json").write_text(f'{{"model_type": "{family}"}}')
    for name in names:
        torch.save({"weight": Bomb(mark)}, folder / name)
    with pytest.raises((ModelUnusable, ConfigError)):
        registry.load(str(folder), family=family, device="cpu")
    assert not mark.exists()


def test_a_voice_that_is_a_pickle_is_refused_and_never_run(tmp_path: Path, mark: Path) -> None:
    folder = tmp_path / "voices"
    folder.mkdir()
    np.save(folder / "alto.npy", np.array([Bomb(mark)], dtype=object))
    with pytest.raises(ModelUnusable, match="without objects"):
        read_voices(folder, 512, "speecht5", 16_000, None)
    assert not mark.exists()


@pytest.mark.parametrize("name", [weights.ACOUSTIC, weights.VOCODER])
def test_one_changed_bit_is_refused(name: str, tmp_path: Path) -> None:
    folder = tmp_path / "ion"
    folder.mkdir()
    for file in (weights.ACOUSTIC, weights.VOCODER, weights.MANIFEST):
        shutil.copy(weights.folder_of("ion") / file, folder / file)
    data = bytearray((folder / name).read_bytes())
    data[len(data) // 2] ^= 1
    (folder / name).write_bytes(data)
    with pytest.raises(ModelUnusable, match="its digest is not the manifest's"):
        weights.read(str(folder), "cpu")


def test_a_download_takes_nothing_that_could_run_and_only_what_was_meant(tmp_path: Path) -> None:
    for name in (
        "model.py",
        "pytorch_model.bin",
        "a.pt",
        "a.pkl",
        "a.ckpt",
        "a.so",
        "run.sh",
        "a.npy",
        "a.h5",
    ):
        assert not any(Path(name).match(pattern) for pattern in download.HARMLESS), name
    (tmp_path / "model.safetensors").write_bytes(b"numbers")
    good = download.digest(tmp_path / "model.safetensors")
    download.check(tmp_path, {"model.safetensors": good})
    with pytest.raises(ConfigError, match="Do not use these weights"):
        download.check(tmp_path, {"model.safetensors": good[::-1]})
