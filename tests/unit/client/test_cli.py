"""The command line: where text comes from, where sound goes, what it says and how it fails."""

from __future__ import annotations

import os
import pty
import signal
import subprocess
import sys
import wave
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import grpc
import pytest
from rhapsode import player
from rhapsode.cli import app
from rhapsode.files import wav_header
from rhapsode.tts.v1 import audio_pb2, synthesis_pb2, voice_pb2
from typer.testing import CliRunner, Result

from tests.unit.client.card import Card
from tests.unit.client.fake import RATE, Fake, audio, done, refuse, started, utterance

ROOT = Path(__file__).resolve().parents[3]
FIND_DEVICE = player.find_device
SOUND = b"\x01\x00" * 100 + b"\x02\x00" * 50


@pytest.fixture(autouse=True)
def no_sound_device(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is played by accident, on whatever machine the tests run."""

    def find_device() -> Any:
        raise player.NoSoundDevice("Nothing is played: this machine has no sound device.")

    monkeypatch.setattr(player, "find_device", find_device)
    monkeypatch.setattr("rhapsode.say.find_device", find_device)


def run(target: str, *arguments: str, stdin: str | bytes | None = None, **env: str) -> Result:
    """Run the command against the fake server."""
    return CliRunner(env={"RHAPSODE_SERVER": target, "COLUMNS": "100", **env}).invoke(
        app, arguments, input=stdin
    )


def last_line(result: Result) -> str:
    """The one line that says what went wrong."""
    lines = result.stderr.strip().splitlines()
    assert lines[-1].startswith("rhapsode: "), result.output
    assert "Traceback" not in result.output
    return lines[-1]


def test_say_writes_a_wav_and_shows_the_numbers(fake: Fake, target: str, tmp_path: Path) -> None:
    header = wav_header(RATE)
    messages = [started(audio_pb2.AUDIO_ENCODING_WAV), audio(header + SOUND, 0, 0, 150), done(samples=150)]
    fake.answer = lambda *_: iter(messages)
    out = tmp_path / "speech.wav"
    options = ("--voice", "ion", "--seed", "3", "--speed", "1.5", "--rate", "16000")
    result = run(target, "say", "Hello", "world", "--out", str(out), *options)
    assert result.exit_code == 0, result.output
    with wave.open(str(out), "rb") as file:
        assert file.readframes(file.getnframes()) == SOUND
    (sent,) = fake.requests
    assert (sent.text, sent.voice, sent.seed, sent.speed) == ("Hello world", "ion", 3, 1.5)
    assert sent.audio_format == audio_pb2.AudioFormat(
        encoding=audio_pb2.AUDIO_ENCODING_WAV, sample_rate_hz=16000
    )
    assert "First sound after" in result.stderr
    assert "real-time factor" in result.stderr
    lines = [line.split()[:-1] for line in result.stderr.splitlines()]
    assert ["stage", "from", "ms", "to", "ms", "busy"] in lines
    at = lines.index(["receive", "0.0", "1.0", "1.0"])
    assert lines[at + 1 : at + 6] == [
        ["normalize", "1.0", "5.0", "4.0"],
        ["decode", "15.0", "115.0", "100.0"],
        ["pieces", "2-3", "20.0", "180.0", "44.0"],
        ["send", "41.0", "200.0", "3.0"],
        ["unknown", "190.0", "200.0", "1.0"],
    ]
    assert f"Wrote {out}" in result.stderr.replace("\n", "")
    assert result.stdout == ""


@pytest.mark.parametrize(
    ("name", "encoding"),
    [
        ("a.wav", audio_pb2.AUDIO_ENCODING_WAV),
        ("a.ogg", audio_pb2.AUDIO_ENCODING_OGG_OPUS),
        ("a.OPUS", audio_pb2.AUDIO_ENCODING_OGG_OPUS),
        ("a.pcm", audio_pb2.AUDIO_ENCODING_PCM_S16LE),
        ("a.ulaw", audio_pb2.AUDIO_ENCODING_MULAW),
        ("a.alaw", audio_pb2.AUDIO_ENCODING_ALAW),
    ],
)
def test_the_name_says_the_format(
    fake: Fake, target: str, tmp_path: Path, name: str, encoding: audio_pb2.AudioEncoding
) -> None:
    fake.answer = utterance(SOUND, encoding=encoding)
    assert run(target, "say", "-q", "Hello", "--out", str(tmp_path / name)).exit_code == 0
    assert fake.requests[0].audio_format.encoding == encoding
    assert (tmp_path / name).read_bytes() == SOUND


def test_format_wins_where_the_name_says_nothing(fake: Fake, target: str, tmp_path: Path) -> None:
    fake.answer = utterance(SOUND, encoding=audio_pb2.AUDIO_ENCODING_MULAW)
    out = tmp_path / "call.bin"
    assert run(target, "say", "Hello", "--format", "ulaw", "--out", str(out)).exit_code == 0
    assert fake.requests[0].audio_format.encoding == audio_pb2.AUDIO_ENCODING_MULAW
    assert fake.requests[0].pace == synthesis_pb2.PACE_FASTEST


def test_text_from_standard_input_and_sound_to_standard_output(fake: Fake, target: str) -> None:
    result = run(target, "say", "--out", "-", stdin="\ufeffGrüße, 世界 🎻\n".encode())
    assert result.exit_code == 0, result.output
    assert fake.requests[0].text == "Grüße, 世界 🎻"
    assert result.stdout_bytes == SOUND


def test_text_from_a_file(fake: Fake, target: str, tmp_path: Path) -> None:
    (tmp_path / "text.txt").write_text("Zwölf.\nDreizehn.\n", encoding="utf-8")
    assert run(target, "say", "--file", str(tmp_path / "text.txt"), "--out", "-").exit_code == 0
    assert fake.requests[0].text == "Zwölf.\nDreizehn."


def test_without_a_device_it_says_so_and_measures(target: str) -> None:
    result = run(target, "say", "Hello")
    assert result.exit_code == 0
    assert "no sound device. Use --out FILE" in result.stderr
    assert "First sound after" in result.stderr


def test_with_a_device_it_is_played(
    fake: Fake, target: str, monkeypatch: pytest.MonkeyPatch, cards: list[Card]
) -> None:
    monkeypatch.setattr(player, "find_device", FIND_DEVICE)
    monkeypatch.setattr("rhapsode.say.find_device", FIND_DEVICE)
    result = run(target, "say", "Hello")
    assert result.exit_code == 0, result.output
    assert "First sound after" in result.stderr
    assert fake.requests[0].pace == synthesis_pb2.PACE_UNSPECIFIED
    assert cards[0].settings["samplerate"] == RATE
    assert cards[0].heard.lstrip(b"\0")[: len(SOUND) - 1] == SOUND[:-1]


@pytest.mark.parametrize(
    ("arguments", "stdin", "said"),
    [
        (["say", "a", "--file", "b"], None, "given twice"),
        (["say", "--out", "-"], "", "text is empty"),
        (["say", " \n"], None, "text is empty"),
        (["say", "--out", "-"], b"Gr\xfc\xdfe", "not UTF-8 (byte 2)"),
        (["say", "a", "--out", "x.mp3"], None, "does not say which format"),
        (["say", "a", "--out", "x.ogg", "--format", "wav"], None, "do not go together"),
        (["say", "a", "--out", "x.wav", "--format", "mp3"], None, "There is no format 'mp3'"),
        (["say", "a", "--format", "opus"], None, "Only pcm can be played"),
    ],
)
def test_wrong_usage_is_one_line(
    fake: Fake, target: str, arguments: list[str], stdin: str | bytes | None, said: str
) -> None:
    result = run(target, *arguments, stdin=stdin)
    assert said in last_line(result)
    assert result.exit_code == 2
    assert fake.requests == []


def test_a_file_that_is_not_there(target: str, tmp_path: Path) -> None:
    result = run(target, "say", "--file", str(tmp_path / "none.txt"))
    assert last_line(result) == (
        f"rhapsode: {tmp_path}/none.txt: No such file or directory."
        " See whether the name is right and its folder is there."
    )
    assert result.exit_code == 2


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("none/a.wav", "No such file or directory. See whether the name is right and its folder is there."),
        (
            "file/a.wav",
            "Not a directory. A part of that path is a file where a folder should be. See whether",
        ),
        ("folder.wav", "Is a directory. Name a file in it."),
        (f"{'n' * 255}.wav", "File name too long. Choose a shorter name."),
    ],
)
def test_a_place_that_cannot_be_written(target: str, tmp_path: Path, name: str, said: str) -> None:
    (tmp_path / "file").write_text("")
    (tmp_path / "folder.wav").mkdir()
    result = run(target, "say", "Hello", "--out", str(tmp_path / name))
    assert last_line(result).startswith(f"rhapsode: {tmp_path / name}: {said}")
    assert result.exit_code == 2
    assert sorted(os.listdir(tmp_path)) == ["file", "folder.wav"]


def test_a_disk_that_is_full(target: str, tmp_path: Path) -> None:
    out = tmp_path / "a.pcm"
    out.with_name("a.pcm.part").symlink_to("/dev/full")
    result = run(target, "say", "Hello", "--out", str(out))
    assert last_line(result) == (
        f"rhapsode: {out}: No space left on device. Free some space, or choose another place."
    )
    assert result.exit_code == 1
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize(
    ("status", "code"),
    [
        (grpc.StatusCode.INVALID_ARGUMENT, 2),
        (grpc.StatusCode.NOT_FOUND, 2),
        (grpc.StatusCode.UNAVAILABLE, 3),
        (grpc.StatusCode.RESOURCE_EXHAUSTED, 4),
        (grpc.StatusCode.INTERNAL, 1),
    ],
)
def test_the_servers_sentence_is_shown(
    fake: Fake, target: str, status: grpc.StatusCode, code: int, tmp_path: Path
) -> None:
    def answer(_request: Any, context: Any) -> Iterator[synthesis_pb2.SynthesizeResponse]:
        refuse(context, status, "This is why. Do that.", reason="WHY", retry_after=0.001)
        yield from ()

    fake.answer = answer
    result = run(target, "say", "Hello", "--out", str(tmp_path / "a.wav"))
    assert last_line(result) == "rhapsode: This is why. Do that."
    assert result.exit_code == code
    assert os.listdir(tmp_path) == []


def test_no_server_is_one_line(nowhere: str) -> None:
    result = run(nowhere, "say", "Hello", "--out", "-")
    assert nowhere in last_line(result)
    assert result.exit_code == 3


def test_a_text_that_was_cut_short_is_no_success(fake: Fake, target: str, tmp_path: Path) -> None:
    cut = done(synthesis_pb2.FINISH_REASON_LENGTH, samples=1)
    fake.answer = lambda *_: iter([started(), audio(b"\0\0", 0, 0), cut])
    result = run(target, "say", "Hello", "--out", str(tmp_path / "a.wav"))
    assert "Not the whole text was spoken: the server stopped with length." in last_line(result)
    assert result.exit_code == 5
    assert (tmp_path / "a.wav").exists()


def test_voices(fake: Fake, target: str) -> None:
    fake.voices = [
        voice_pb2.Voice(
            name="ion", model="ion-tiny", languages=["en"], sample_rate_hz=24000, is_default=True
        ),
        voice_pb2.Voice(name="rhea", model="m", languages=["de", "fr"], description="Calm [and] low."),
    ]
    result = run(target, "voices")
    assert result.exit_code == 0
    _, first, second = result.stdout.splitlines()
    assert first.split() == ["*", "ion", "ion-tiny", "en", "24000"]
    assert second.split() == ["rhea", "m", "de,", "fr", "0", "Calm", "[and]", "low."]
    assert "rhea" not in run(target, "voices", "--language", "en").stdout


def test_the_key_comes_from_the_environment_and_is_not_shown(fake: Fake, target: str) -> None:
    assert run(target, "voices", RHAPSODE_API_KEY="s3cret").exit_code == 0
    assert fake.metadata[0]["authorization"] == "Bearer s3cret"
    assert "s3cret" not in run(target, "--help", RHAPSODE_API_KEY="s3cret").output


HEEDING = """
import runpy, signal
signal.signal(signal.SIGINT, signal.default_int_handler)
runpy.run_module("rhapsode", run_name="__main__", alter_sys=True)
"""
"""A shell that runs the tests in the background lets what they start ignore Ctrl-C. The command heeds it by
itself: code between fork and exec can hang in a process in which gRPC has threads."""


def start(target: str, *arguments: str, **options: Any) -> subprocess.Popen[bytes]:
    """The command as a process of its own."""
    places = {"PYTHONPATH": str(ROOT / "client" / "python"), "RHAPSODE_SERVER": target}
    command = [sys.executable, "-c", HEEDING, "say", "Hello", *arguments]
    return subprocess.Popen(command, env=os.environ | places, stderr=subprocess.PIPE, **options)


def test_interrupting_cancels_the_call(fake: Fake, target: str, tmp_path: Path) -> None:
    fake.answer = fake.endless
    with start(target, "--out", str(tmp_path / "a.wav")) as process:
        assert fake.first_sent.wait(30)
        process.send_signal(signal.SIGINT)
        _, said = process.communicate(timeout=30)
    assert said.decode().strip() == "rhapsode: Interrupted."
    assert process.returncode == 130
    assert fake.gone.wait(5)
    assert os.listdir(tmp_path) == []


def test_a_reader_that_has_enough_ends_it_as_it_ends_any_program(fake: Fake, target: str) -> None:
    def answer(*_: Any) -> Iterator[synthesis_pb2.SynthesizeResponse]:
        yield started()
        for seq in range(10_000):
            if fake.gone.is_set():
                return
            yield audio(bytes(20_000), seq * 10_000, seq)
        yield done(samples=10_000 * 10_000)

    fake.answer = answer
    with start(target, "--out", "-", stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert len(process.stdout.read(1000)) == 1000
        process.stdout.close()
        assert process.wait(30) == 128 + signal.SIGPIPE
        assert process.stderr is not None
        assert process.stderr.read() == b""
    assert fake.gone.wait(5)


def test_sound_is_not_for_a_terminal(fake: Fake, target: str) -> None:
    ours, theirs = pty.openpty()
    with start(target, "--out", "-", stdout=theirs) as process:
        _, said = process.communicate(timeout=30)
    os.close(theirs)
    os.close(ours)
    assert process.returncode == 2
    assert b"Sound is not for the terminal" in said
    assert fake.requests == []
