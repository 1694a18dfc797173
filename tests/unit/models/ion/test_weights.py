"""Reading and writing: what fits is read back, what does not is refused with a sentence that helps."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from rhapsode_server.errors import ModelUnusable
from rhapsode_server.models.ion.generator import Generator
from rhapsode_server.models.ion.network import AcousticNetwork
from rhapsode_server.models.ion.weights import ACOUSTIC, MANIFEST, VOCODER, folder_of, read, write

MOST_BYTES = 25 * 1024 * 1024


@pytest.fixture
def folder(tmp_path: Path, network: AcousticNetwork, generator: Generator) -> Path:
    write(tmp_path, network, generator)
    return tmp_path


def test_what_is_written_is_read_back(folder: Path, network: AcousticNetwork, generator: Generator) -> None:
    checkpoint = read(str(folder), "cpu")
    assert checkpoint.acoustic.config == network.config
    assert checkpoint.vocoder.config == generator.config
    pairs = ((checkpoint.acoustic, network), (checkpoint.vocoder, generator))
    for got, want in pairs:
        for name, value in want.state_dict().items():
            assert torch.equal(got.state_dict()[name], value.half().float())
        assert not any(parameter.requires_grad for parameter in got.parameters())
    assert len(checkpoint.digest) == 16


@pytest.mark.parametrize("name", [ACOUSTIC, VOCODER, MANIFEST])
def test_a_missing_file_is_named(folder: Path, name: str) -> None:
    (folder / name).unlink()
    with pytest.raises(ModelUnusable, match=name):
        read(str(folder), "cpu")


@pytest.mark.parametrize("name", [ACOUSTIC, VOCODER])
def test_a_damaged_file_is_named(folder: Path, name: str) -> None:
    data = bytearray((folder / name).read_bytes())
    data[-1] ^= 1
    (folder / name).write_bytes(data)
    with pytest.raises(ModelUnusable, match=f"{name} is damaged"):
        read(str(folder), "cpu")


@pytest.mark.parametrize("content", ["", "[]", "{}", '{"sha256": {}}', '{"sha256": 1}'])
def test_a_manifest_without_digests_is_refused(folder: Path, content: str) -> None:
    (folder / MANIFEST).write_text(content)
    with pytest.raises(ModelUnusable, match="digests"):
        read(str(folder), "cpu")


def test_a_pickle_is_never_read(tmp_path: Path) -> None:
    (tmp_path / "acoustic.ckpt").write_bytes(b"\x80\x04.")
    with pytest.raises(ModelUnusable, match="pickle"):
        read(str(tmp_path), "cpu")


def replace_file(folder: Path, name: str, data: bytes) -> None:
    """Another content, its digest in the manifest."""
    import hashlib

    (folder / name).write_bytes(data)
    manifest = json.loads((folder / MANIFEST).read_text())
    manifest["sha256"][name] = hashlib.sha256(data).hexdigest()
    (folder / MANIFEST).write_text(json.dumps(manifest))


def test_a_file_of_another_kind_is_refused(folder: Path) -> None:
    replace_file(folder, ACOUSTIC, b"\x80\x04 not safetensors")
    with pytest.raises(ModelUnusable, match="not a safetensors file"):
        read(str(folder), "cpu")


def test_the_other_networks_file_is_refused(folder: Path) -> None:
    replace_file(folder, ACOUSTIC, (folder / VOCODER).read_bytes())
    with pytest.raises(ModelUnusable, match=ACOUSTIC):
        read(str(folder), "cpu")


def test_tensors_of_other_shapes_are_refused(folder: Path) -> None:
    data = (folder / VOCODER).read_bytes()
    assert b'"layers\\": 2' in data
    replace_file(folder, VOCODER, data.replace(b'"layers\\": 2', b'"layers\\": 1'))
    with pytest.raises(ModelUnusable, match="other tensors"):
        read(str(folder), "cpu")


def test_the_package_carries_at_most_25_megabytes() -> None:
    assert 0 < sum(path.stat().st_size for path in folder_of("ion").glob("*.safetensors")) <= MOST_BYTES
