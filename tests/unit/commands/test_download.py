"""Fetching a checkpoint: from a hub on this machine, at a commit, without files that could run code."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import pytest
from rhapsode_server import download
from rhapsode_server.errors import ConfigError

COMMIT = "30fcde30f19b87502b8435427b5f5068e401d5f6"


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """Stands in for the hub's library: keeps what it was asked and writes one file of weights."""
    asked: dict[str, Any] = {}

    def snapshot_download(repository: str, **options: Any) -> None:
        asked.update(options, repository=repository)
        options["local_dir"].mkdir(parents=True, exist_ok=True)
        (options["local_dir"] / "model.safetensors").write_bytes(b"numbers")

    monkeypatch.setattr("huggingface_hub.snapshot_download", snapshot_download)
    return asked


def arguments(folder: Path, *more: str, revision: str = COMMIT) -> list[str]:
    """A command line."""
    return ["owner/name", f"--revision={revision}", f"--to={folder}", *more]


def test_it_fetches_one_commit_and_only_harmless_files(hub: dict[str, Any], tmp_path: Path) -> None:
    (tmp_path / "token").write_text("secret\n")
    right = hashlib.sha256(b"numbers").hexdigest()
    token = f"--token-file={tmp_path / 'token'}"
    assert download.command(arguments(tmp_path / "to", token, f"--sha256=model.safetensors={right}")) == 0
    assert (hub["repository"], hub["revision"], hub["token"]) == ("owner/name", COMMIT, "secret")
    assert not [
        pattern for pattern in hub["allow_patterns"] if pattern.endswith((".bin", ".py", ".pt", ".pkl", ".*"))
    ]


@pytest.mark.parametrize(
    ("more", "revision", "sentence"),
    [
        ((), "main", "is no commit"),
        ((f"--sha256=model.safetensors={'0' * 64}",), COMMIT, "is not the file whose digest was given"),
        ((f"--sha256=other.safetensors={'0' * 64}",), COMMIT, "has a digest but is not there"),
        (("--sha256=model.safetensors=12",), COMMIT, "needs FILE=DIGEST"),
        ((f"--sha256=../x={'0' * 64}",), COMMIT, "needs FILE=DIGEST"),
        (("--token-file=/nowhere/token",), COMMIT, "Cannot read the token file"),
    ],
)
def test_what_is_not_as_asked_is_one_line(
    hub: dict[str, Any],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    more: tuple[str, ...],
    revision: str,
    sentence: str,
) -> None:
    assert download.command(arguments(tmp_path / "to", *more, revision=revision)) == 1
    said = capsys.readouterr().err
    assert sentence in said
    assert said.count("\n") == 1


def test_no_hub_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def away(*_: Any, **__: Any) -> None:
        raise OSError("no route")

    monkeypatch.setattr("huggingface_hub.snapshot_download", away)
    with pytest.raises(ConfigError, match=r"Cannot download owner/name at .*: no route"):
        download.fetch("owner/name", COMMIT, tmp_path, None)


def test_a_checkpoint_without_safetensors_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("huggingface_hub.snapshot_download", lambda *_, **__: None)
    with pytest.raises(ConfigError, match="has no safetensors"):
        download.fetch("owner/name", COMMIT, tmp_path, None)
