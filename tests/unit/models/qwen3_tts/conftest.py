"""One small random checkpoint of each kind for the whole session, written by the family's own command."""

from __future__ import annotations

from pathlib import Path

import pytest
from rhapsode_server.core import Piece, Voice
from rhapsode_server.models import qwen3_tts
from rhapsode_server.models.base import SpeechModel, Utterance
from rhapsode_server.models.qwen3_tts.config import Kind
from rhapsode_server.models.qwen3_tts.geometry import GEOMETRIES
from rhapsode_server.models.qwen3_tts.random_checkpoint import write_checkpoint


def _write(factory: pytest.TempPathFactory, kind: Kind) -> Path:
    folder = factory.mktemp(kind)
    write_checkpoint(folder, GEOMETRIES["tiny"], kind, end_chance=0.1)
    return folder


@pytest.fixture(scope="session")
def preset_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return _write(tmp_path_factory, "custom_voice")


@pytest.fixture(scope="session")
def base_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return _write(tmp_path_factory, "base")


@pytest.fixture(scope="session")
def presets(preset_folder: Path) -> SpeechModel:
    return qwen3_tts.load(str(preset_folder), positions=512)


@pytest.fixture(scope="session")
def designed(tmp_path_factory: pytest.TempPathFactory) -> SpeechModel:
    return qwen3_tts.load(str(_write(tmp_path_factory, "voice_design")), positions=512)


@pytest.fixture(scope="session")
def base(base_folder: Path) -> SpeechModel:
    return qwen3_tts.load(str(base_folder), positions=512)


def say(text: str, voice: Voice, **more: object) -> Utterance:
    """An utterance of `text`."""
    return Utterance(Piece(text, (), 0, len(text)), voice, **more)  # type: ignore[arg-type]
