"""What the README shows works: its commands, its Python, and `make speak` from sentence to WAV file."""

from __future__ import annotations

import importlib.util
import os
import re
import shlex
import signal
import subprocess
import sys
import wave
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
import rhapsode

ROOT = Path(__file__).resolve().parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")
PROTOCOL = (ROOT / "docs" / "protocol.md").read_text(encoding="utf-8")
ADDRESS = "localhost:50051"
SENTENCE = "Good morning, this is one sentence."


def blocks(language: str, page: str = README) -> list[str]:
    """Fenced blocks of that language, in order."""
    return re.findall(rf"^```{language}\n(.*?)^```$", page, re.MULTILINE | re.DOTALL)


def shown_command(name: str) -> list[str]:
    """The arguments of the README's line that runs `.venv/bin/rhapsode NAME`."""
    lines = [line for block in blocks("sh") for line in block.splitlines()]
    [line] = [line for line in lines if line.startswith(f".venv/bin/rhapsode {name}")]
    return shlex.split(line)[1:]


def speech_of(path: Path) -> tuple[int, np.ndarray]:
    """Rate in Hz and samples [n] in -1..1 of a WAV file with one channel of 16 bits."""
    with wave.open(str(path)) as file:
        assert (file.getnchannels(), file.getsampwidth()) == (1, 2)
        samples = np.frombuffer(file.readframes(file.getnframes()), "<i2").astype(np.float32) / 2**15
        return file.getframerate(), samples


def assert_is_speech(path: Path, seconds: float) -> None:
    """Longer than `seconds`, loud enough to be heard, and not one steady noise."""
    rate, samples = speech_of(path)
    assert len(samples) > seconds * rate
    loudness = np.sqrt(np.mean(samples[: len(samples) // 800 * 800].reshape(-1, 800) ** 2, axis=1))
    assert loudness.max() > 0.01
    assert loudness.min() < loudness.max() / 10


def script(name: str) -> ModuleType:
    """scripts/NAME.py as a module."""
    spec = importlib.util.spec_from_file_location(name, ROOT / "scripts" / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def run(*command: str, cwd: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run to the end, without a terminal."""
    return subprocess.run(
        command,
        cwd=cwd,
        env={**os.environ, **environment},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The server that the README starts, on a port of its own; its address."""
    speak = script("speak")
    arguments = shown_command("serve")
    assert arguments == ["serve", "--model", "ion", "--port", "50051"]
    speak.__dict__["LOG"] = tmp_path_factory.mktemp("server") / "server.log"
    port = speak.free_port()
    with speak.running_server("ion", port) as process:
        speak.wait_ready(process, port)
        yield f"127.0.0.1:{port}"


def test_the_python_of_the_readme_runs(server: str, tmp_path: Path) -> None:
    whole, written = blocks("python")
    *chunks, last = said_by(whole, server, tmp_path)
    assert len(chunks) > 2, "the sound comes in chunks"
    said = [word for chunk in chunks for word in chunk.split()[3:]]
    assert " ".join(said) == "The first words are on their way to you"
    assert re.fullmatch(r"first sound after \d+ ms on the server", last)
    assert_is_speech(tmp_path / "file.wav", 0.8)
    chunks = said_by(written, server, tmp_path)
    said = [word for chunk in chunks for word in chunk.split()[1:]]
    assert " ".join(said) == "Seven red lanterns hang above the river and nobody knows why"


def test_the_sessions_of_the_protocol_page_run(server: str, tmp_path: Path) -> None:
    spoken, interrupted = blocks("python", PROTOCOL.partition("## A session")[2])
    *chunks, last = said_by(spoken, server, tmp_path)
    assert "'kettle'" in " ".join(chunks)
    assert last == "stop 58"
    heard, missed = said_by(interrupted, server, tmp_path)
    assert heard.startswith("heard: Seven red lanterns")
    assert missed.endswith("nobody knows why.")


def said_by(code: str, server: str, folder: Path) -> list[str]:
    """What a program of the documents prints, with its server's address put right."""
    assert code.count(ADDRESS) == 1
    ran = run(sys.executable, "-c", code.replace(ADDRESS, server), cwd=folder)
    assert ran.returncode == 0, ran.stderr
    return ran.stdout.splitlines()


def test_the_say_of_the_readme_runs(server: str, tmp_path: Path) -> None:
    arguments = [argument.replace(ADDRESS, server) for argument in shown_command("say")]
    assert server in arguments
    ran = run(str(script("speak").COMMAND), *arguments, cwd=tmp_path)
    assert ran.returncode == 0, ran.stderr
    assert_is_speech(tmp_path / "hello.wav", 0.5)


def test_make_speak_goes_from_a_sentence_to_a_file(tool: Callable[[str], str]) -> None:
    """The recipe itself; the environment it would build is the one that runs this test."""
    out = ROOT / "speech.wav"
    out.unlink(missing_ok=True)
    command = (tool("make"), "--no-print-directory", "--old-file", ".venv/.ready", "speak")
    ran = run(*command, f"TEXT={SENTENCE}", cwd=ROOT, CI="true")
    assert ran.returncode == 0, ran.stderr
    assert re.search(r"Ready after \d+\.\d s", ran.stderr)
    assert re.search(r"First sound after \d+ ms", ran.stderr)
    assert re.search(r"real-time factor \d+\.\d\d", ran.stderr)
    shown = re.findall(r"^([a-z]+) +(\d+\.\d) +(\d+\.\d) +\d+\.\d ", ran.stderr, re.MULTILINE)
    assert {stage for stage, _, _ in shown} == set(rhapsode.Stage) - {"unknown"}
    starts = [float(start) for _, start, _ in shown]
    assert starts == sorted(starts), "the timeline is not in time order"
    assert_is_speech(out, 1.0)


TRICKY = """It's $5 or $(shell touch made), $$ "quoted" `touch made` #1 ${HOME} \\ 100 %."""


@pytest.mark.parametrize("where", ["argument", "environment", "neither"])
def test_make_gives_the_text_as_it_was_written(
    tool: Callable[[str], str], tmp_path: Path, where: str
) -> None:
    """Our own Makefile, with one more target that tells what a recipe of it is given."""
    more = tmp_path / "told.mk"
    more.write_text('told: ; @printf %s "$$TEXT"\n')
    command = (tool("make"), "--no-print-directory", "-f", str(ROOT / "Makefile"), "-f", str(more), "told")
    given = (f"TEXT={TRICKY}",) if where == "argument" else ()
    environment = {"TEXT": TRICKY} if where == "environment" else {}
    ran = run(*command, *given, cwd=tmp_path, **environment)
    assert ran.returncode == 0, ran.stderr
    if where == "neither":
        assert ran.stdout.startswith("Hello! I am the voice")
    else:
        assert ran.stdout == TRICKY
    assert not (tmp_path / "made").exists()
    assert run(*command, "TEXT=", cwd=tmp_path).stdout == ""


def test_speak_without_a_text_says_only_what_to_do(server: str, tmp_path: Path) -> None:
    ran = run(sys.executable, str(ROOT / "scripts" / "speak.py"), "--", " ", cwd=tmp_path)
    assert ran.returncode == 2
    assert ran.stderr == 'There is nothing to say. Give a text: make speak TEXT="Hello!"\n'
    speak = script("speak")
    with pytest.raises(speak.SpeakFailed) as refused:
        speak.say(int(server.rpartition(":")[2]), "!!!", tmp_path / "a.wav")
    assert (str(refused.value), refused.value.code) == ("", 2)


def test_speak_that_is_interrupted_ends_its_server_and_says_so(tmp_path: Path) -> None:
    """Ctrl-C while the server starts."""
    command = [sys.executable, str(ROOT / "scripts" / "speak.py"), "--model", "toy"]
    with subprocess.Popen(command, cwd=tmp_path, stderr=subprocess.PIPE, text=True) as speaking:
        assert speaking.stderr is not None
        assert speaking.stderr.readline().startswith("Starting the server")
        [server] = Path(f"/proc/{speaking.pid}/task/{speaking.pid}/children").read_text().split()
        speaking.send_signal(signal.SIGINT)
        said = speaking.stderr.read()
    assert (speaking.returncode, said.split()[-1]) == (130, "Interrupted."), said
    assert "Traceback" not in said
    assert not Path("/proc", server).exists()


def test_speak_says_why_a_server_does_not_start(tmp_path: Path) -> None:
    ran = run(sys.executable, str(ROOT / "scripts" / "speak.py"), "--model", "no-such-model", cwd=tmp_path)
    assert ran.returncode == 1
    assert "The server ended with code" in ran.stderr
    assert "no-such-model" in ran.stderr
    assert "Traceback" not in ran.stderr
