"""Outputs of the reference implementation on tiny checkpoints, and the command that compares with them."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from rhapsode_server import parity
from rhapsode_server.core import Chunking, Window
from rhapsode_server.models.qwen3_tts.codec_weights import load_codec
from rhapsode_server.models.qwen3_tts.conditioning import Conditioning
from rhapsode_server.models.qwen3_tts.config_files import read_codec
from rhapsode_server.models.qwen3_tts.parity import Finding, check
from rhapsode_server.models.qwen3_tts.parity_prompts import loaded, parts_of, prompt_of
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


CHECKPOINT, REQUEST = "cv_0b6_q4", "r1_ryan_en_streaming_short"
Spoil = Callable[[dict[str, Any], dict[str, torch.Tensor]], object]


@pytest.fixture
def spoilt(tmp_path: Path) -> Callable[[Spoil], list[Finding]]:
    """Findings of one checkpoint after its manifest entry and its recordings were changed."""

    def findings(spoil: Spoil) -> list[Finding]:
        manifest = json.loads((HERE / "golden" / "manifest.json").read_text(encoding="utf-8"))
        entry = manifest["checkpoints"][CHECKPOINT]
        golden = load_file(HERE / "golden" / f"{CHECKPOINT}.safetensors")
        spoil(entry, golden)
        (tmp_path / "ckpt").mkdir()
        (tmp_path / "ckpt" / CHECKPOINT).symlink_to(HERE / "ckpt" / CHECKPOINT)
        (tmp_path / "golden").mkdir()
        (tmp_path / "golden" / "manifest.json").write_text(json.dumps({"checkpoints": {CHECKPOINT: entry}}))
        save_file(golden, tmp_path / "golden" / f"{CHECKPOINT}.safetensors")
        return list(check(tmp_path))

    return findings


def absent(key: str) -> Spoil:
    return lambda entry, golden: golden.pop(key)


def put(key: str, change: Callable[[torch.Tensor], torch.Tensor]) -> Spoil:
    return lambda entry, golden: golden.update({key: change(golden[key])})


def less_shapes(entry: dict[str, Any], golden: dict[str, torch.Tensor]) -> None:
    del entry["requests"][REQUEST]["shapes"], golden[f"{REQUEST}/wav"]


@pytest.mark.parametrize(
    ("spoil", "where", "quantity"),
    [
        (absent(f"{REQUEST}/wav"), REQUEST, "wav"),
        (absent(f"{REQUEST}/codes"), REQUEST, "codes"),
        (absent(f"{REQUEST}/cb0_tokens"), REQUEST, "cb0_tokens"),
        (absent("sampled/talker_scores"), "sampled", "talker_scores"),
        (less_shapes, REQUEST, "wav"),
        (lambda entry, golden: golden.clear(), REQUEST, "codes"),
        (lambda entry, golden: entry.update(requests={}), "requests", "any at all"),
        (lambda entry, golden: entry.update(codec={}), "codec", "recordings of any of them"),
        (lambda entry, golden: entry["sampled"].update(request="nobody"), "sampled", "prompt of 'nobody'"),
        (put(f"{REQUEST}/wav", lambda wav: torch.cat((torch.ones(100), wav))), REQUEST, "wav"),
        (put("sampled/talker_scores", torch.abs), "sampled", "talker_scores"),
        (put("sampled/cp_tokens_frame0", torch.zeros_like), "sampled", "cp_tokens_frame0"),
        (put("sampled/cb0_tokens", lambda drawn: drawn.roll(1)), "sampled", "cb0_tokens"),
        (
            lambda entry, golden: entry["sampled"]["generation"].update(repetition_penalty=1.3),
            "sampled",
            "talker_scores",
        ),
    ],
)
def test_what_is_missing_or_wrong_is_beyond(
    spoilt: Callable[[Spoil], list[Finding]], spoil: Spoil, where: str, quantity: str
) -> None:
    beyond = {finding[1:3] for finding in spoilt(spoil) if not finding[3] <= finding[4]}
    assert (where, quantity) in beyond


def test_what_nobody_knows_is_told_but_no_failure(
    spoilt: Callable[[Spoil], list[Finding]], capsys: pytest.CaptureFixture[str]
) -> None:
    found = spoilt(lambda entry, golden: golden.update({f"{REQUEST}/mystery": torch.zeros(3)}))
    assert parity.report(found) == 0
    *lines, last = capsys.readouterr().out.splitlines()
    told = [line for line in lines if "mystery" in line]
    assert len(told) == 1
    assert told[0].endswith("not compared")
    assert last.endswith(
        f", 0 beyond tolerance, {sum(line.endswith('not compared') for line in lines)} not compared"
    )


def test_a_request_that_cannot_be_read_leaves_the_others_compared(
    spoilt: Callable[[Spoil], list[Finding]],
) -> None:
    found = spoilt(lambda entry, golden: entry["requests"][REQUEST]["request"].update(language="Klingon"))
    broken = [finding for finding in found if "broken off" in finding[2]]
    assert [finding[1] for finding in broken] == [REQUEST]
    assert [finding for finding in found if finding[1] != REQUEST and finding[2] == "codes"]


def test_the_server_has_limits_on_instructions_and_the_reference_none() -> None:
    """Nothing is stripped, refused for its length or neutralised."""
    name = "base_1b7_q16"
    entry = json.loads((HERE / "golden" / "manifest.json").read_text(encoding="utf-8"))["checkpoints"][name]
    asked = next(iter(entry["requests"].values()))
    asked["request"]["instruct"] = " <|im_start|>" + "slowly " * 300
    parts = parts_of(loaded(HERE / "ckpt" / name, [asked]))
    without = dict(asked, request=dict(asked["request"], instruct=None))
    ids = parts.frontend.tokenizer.instruction_template(asked["request"]["instruct"])
    prompts = [prompt_of(parts, each, Conditioning()) for each in (asked, without)]
    assert len(prompts[0].rows) - len(prompts[1].rows) == len(ids)
    assert ids.count(parts.frontend.checkpoint.text.im_start) == 2
