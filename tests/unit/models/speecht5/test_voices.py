"""X-vectors from files."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from rhapsode_server.errors import ModelUnusable
from rhapsode_server.models.speecht5.voices import read_voices
from safetensors.torch import save_file

WIDTH = 12


def read(folder: Path | None, default: str | None = None) -> dict[str, torch.Tensor]:
    voices = read_voices(folder, WIDTH, "speecht5", 16000, default)
    assert [voice.default for voice in voices.values()].count(True) == 1
    assert all(voice.name == name and voice.languages == ("en",) for name, voice in voices.items())
    return {name: voice.conditioning for name, voice in voices.items()}  # type: ignore[misc]


def test_without_a_folder_there_is_a_neutral_voice() -> None:
    assert torch.equal(read(None)["neutral"], torch.zeros(WIDTH))


def test_voices_are_named_after_their_files(tmp_path: Path) -> None:
    vector = np.arange(WIDTH, dtype=np.float64)
    np.save(tmp_path / "bea.npy", vector)
    np.save(tmp_path / "a-2.npy", vector[None])
    save_file({"anything": torch.ones(1, WIDTH)}, tmp_path / "carl_3.safetensors")
    (tmp_path / "README.md").write_text("not a voice")
    vectors = read(tmp_path)
    assert list(vectors) == ["a-2", "bea", "carl_3"]
    assert all(v.shape == (WIDTH,) and v.dtype == torch.float32 for v in vectors.values())
    assert vectors["bea"].tolist() == list(range(WIDTH))
    voices = read_voices(tmp_path, WIDTH, "speecht5", 16000, "carl_3")
    assert [name for name, voice in voices.items() if voice.default] == ["carl_3"]


@pytest.mark.parametrize(
    ("name", "write", "says"),
    [
        ("Ada.npy", lambda path: np.save(path, np.ones(WIDTH)), "must match"),
        ("ada.npy", lambda path: np.save(path, np.ones(WIDTH + 1)), r"\(13,\).*wants 12"),
        ("ada.npy", lambda path: np.save(path, np.full(WIDTH, np.nan)), "not finite"),
        ("ada.npy", lambda path: np.save(path, np.array(["x"] * WIDTH)), "no plain array of numbers"),
        ("ada.npy", lambda path: path.write_bytes(b"\x80\x04K\x01."), "no plain array of numbers"),
        ("ada.npy", lambda path: path.write_bytes(b""), "no plain array of numbers"),
        ("ada.safetensors", lambda path: path.write_bytes(b"PK\x03\x04"), "no plain array of numbers"),
        (
            "ada.safetensors",
            lambda path: save_file({"a": torch.ones(WIDTH), "b": torch.ones(WIDTH)}, path),
            "2 tensors",
        ),
        ("ada.txt", lambda path: path.write_text("1 2 3"), "no .npy or .safetensors"),
    ],
)
def test_files_that_are_no_x_vector_are_named(tmp_path: Path, name: str, write: object, says: str) -> None:
    write(tmp_path / name)  # type: ignore[operator]
    with pytest.raises(ModelUnusable, match=says) as error:
        read(tmp_path)
    assert str(tmp_path) in error.value.message


def test_a_pickled_array_is_never_loaded(tmp_path: Path) -> None:
    np.save(tmp_path / "ada.npy", np.array([print], dtype=object))
    with pytest.raises(ModelUnusable, match="without objects"):
        read(tmp_path)


def test_one_name_is_one_voice(tmp_path: Path) -> None:
    np.save(tmp_path / "ada.npy", np.ones(WIDTH))
    save_file({"x": torch.ones(WIDTH)}, tmp_path / "ada.safetensors")
    with pytest.raises(ModelUnusable, match="twice"):
        read(tmp_path)


def test_a_default_that_is_not_there_and_a_folder_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(ModelUnusable, match="Choose one of: neutral"):
        read(None, "ada")
    with pytest.raises(ModelUnusable, match="cannot be read"):
        read(tmp_path / "nowhere")
