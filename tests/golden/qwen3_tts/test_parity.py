"""Outputs of the reference implementation on tiny checkpoints, and the command that compares with them."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
import torch
from rhapsode_server import parity
from rhapsode_server.core import Chunking, Window
from rhapsode_server.models.qwen3_tts.codec_weights import load_codec
from rhapsode_server.models.qwen3_tts.config_files import read_codec
from rhapsode_server.models.qwen3_tts.parity import Finding, check
from rhapsode_server.models.qwen3_tts.vocoder import QwenVocoder
from safetensors.torch import load_file, save_file

HERE = Path(__file__).parent


@pytest.fixture(scope="module")
def findings() -> list[Finding]:
    return list(check(HERE))


def test_nothing_is_beyond_its_tolerance(findings: list[Finding]) -> None:
    beyond = [finding for finding in findings if finding[3] > finding[4]]
    assert not beyond


@pytest.mark.parametrize(
    ("quantity", "tolerance"),
    [
        ("codes", 0.0),
        ("codes, batched", 0.0),
        ("ref_code", 0.0),
        ("input_ids", 0.0),
        ("talker_logits", 5e-5),
        ("cp_logits", 5e-5),
        ("talker_scores", 5e-5),
        ("speaker_embedding", 5e-5),
        ("prefill_embeds", 5e-5),
        ("wav", 1e-5),
        ("wav, in windows", 1e-5),
        ("wav_official_frames_299_303", 1e-5),
        ("wav_full_frames_299_303, in windows", 1e-5),
    ],
)
def test_what_matters_is_compared(findings: list[Finding], quantity: str, tolerance: float) -> None:
    assert tolerance in {finding[4] for finding in findings if finding[2] == quantity}


def sound_of(codes: torch.Tensor, size: int, dtype: torch.dtype) -> torch.Tensor:
    """The sound of recorded codes in windows of `size` frames, all computed in `dtype`."""
    path = HERE / "ckpt" / "codec_realwin_q4"
    config, _ = read_codec(path)
    vocoder = QwenVocoder(load_codec(config, path, "cpu").to(dtype), chunking=Chunking(1, 8), seams=None)
    state, sounds = vocoder.new_state(1), []
    for begin in range(0, len(codes), size):
        end = min(begin + size, len(codes))
        window = Window(begin, begin, end, end, last=end == len(codes))
        sounds += vocoder.vocode(state, [0], [codes[begin:end]], [window])
    return torch.cat(sounds)


def test_frame_by_frame_is_as_near_to_the_truth_as_all_at_once() -> None:
    """Over 330 loud frames float32 itself is 2e-6 off, at once or in frames; streaming adds nothing to it."""
    codes = load_file(HERE / "golden" / "codec_realwin_q4.safetensors")["codes"]
    with torch.inference_mode():
        truth = sound_of(codes, len(codes), torch.float64)
        for size in (1, len(codes)):
            assert (sound_of(codes, size, torch.float32) - truth).abs().max() <= 4e-6


@pytest.fixture
def codec_alone(tmp_path: Path) -> Path:
    """A folder with one speech tokenizer and its recorded sound, free to be spoilt."""
    name = "codec_realwin_q4"
    shutil.copytree(HERE / "ckpt" / name, tmp_path / "ckpt" / "other_name")
    (tmp_path / "golden").mkdir()
    shutil.copy(HERE / "golden" / f"{name}.safetensors", tmp_path / "golden" / "other_name.safetensors")
    manifest = '{"checkpoints": {"other_name": {"kind": "speech_tokenizer only"}}}'
    (tmp_path / "golden" / "manifest.json").write_text(manifest, encoding="utf-8")
    return tmp_path


def test_the_command_takes_any_folder(codec_alone: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert parity.main([str(codec_alone)]) == 0
    printed = capsys.readouterr().out
    assert "wav_official_frames_299_303, in windows" in printed
    assert "4 quantities compared, 0 beyond tolerance" in printed


def test_the_command_fails_where_a_sample_differs(
    codec_alone: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = codec_alone / "golden" / "other_name.safetensors"
    golden = load_file(path)
    golden["wav_full_frames_299_303"][7] += 2e-5
    save_file(golden, path)
    assert parity.main([str(codec_alone)]) == 1
    assert "2 beyond tolerance" in capsys.readouterr().out


def test_nothing_compared_is_no_success(codec_alone: Path) -> None:
    (codec_alone / "golden" / "other_name.safetensors").unlink()
    assert parity.main([str(codec_alone)]) == 1


def test_a_folder_of_another_form_is_refused_with_a_sentence(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert parity.main([str(tmp_path), "--family", "qwen3_tts"]) == 2
    assert "manifest" in capsys.readouterr().err
    assert parity.main([str(tmp_path), "--family", "toy"]) == 2
    assert "toy" in capsys.readouterr().err
