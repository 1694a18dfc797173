"""`rhapsode probe`: what passes for speech, what does not, and how it is told."""

from __future__ import annotations

import re
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import grpc
import pytest
import typer
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_health.v1.health import HealthServicer
from rhapsode import AsyncClient, Tls, probe
from rhapsode.failing import Usage
from rhapsode.tts.v1 import service_pb2_grpc

from tests.unit.client.fake import RATE, Fake, refuse, utterance

CERTIFICATES = Path(__file__).parents[2] / "security" / "certificates"
LOUD = b"\x00\x40" * (RATE // 2)
"""Half a second of sound, at half of full scale."""


def failed(*arguments: str) -> int:
    """The exit code of a probe that fails."""
    with pytest.raises(typer.Exit) as ended:
        probe.command(list(arguments))
    return ended.value.exit_code


def test_a_server_that_speaks(fake: Fake, target: str, capsys: pytest.CaptureFixture[str]) -> None:
    fake.answer = utterance(LOUD, LOUD)
    assert probe.command(["--server", target, "--voice", "ion", "Are you there?"]) == 0
    said = capsys.readouterr()
    assert re.fullmatch(rf"First sound after \d+ ms, 1\.00 s of sound, {2 * len(LOUD)} bytes\.\n", said.out)
    assert said.err == ""
    (asked,) = fake.requests
    assert (asked.text, asked.voice) == ("Are you there?", "ion")


@pytest.mark.parametrize(
    ("sound", "arguments", "says"),
    [
        (LOUD[: RATE // 5], (), "Only 0.10 s of sound came, which is no sentence."),
        (b"\x05\x00" * RATE, (), "Sound came, but it is silence."),
        (LOUD, ("--max-first-audio", "0"), "0 s were allowed."),
    ],
)
def test_sound_that_is_no_speech(
    fake: Fake,
    target: str,
    capsys: pytest.CaptureFixture[str],
    sound: bytes,
    arguments: tuple[str, ...],
    says: str,
) -> None:
    fake.answer = utterance(sound)
    assert failed("--server", target, *arguments) == 1
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err.startswith("rhapsode: ")
    assert says in said.err


def test_a_refusal_is_told_as_every_command_tells_it(
    fake: Fake, target: str, nowhere: str, capsys: pytest.CaptureFixture[str]
) -> None:
    fake.answer = lambda _, context: refuse(  # type: ignore[assignment, return-value]
        context, grpc.StatusCode.NOT_FOUND, "There is no voice 'x'.", reason="VOICE_NOT_FOUND"
    )
    assert failed("--server", target, "--voice", "x") == 2
    assert capsys.readouterr().err == "rhapsode: There is no voice 'x'.\n"
    assert failed("--server", nowhere) == 3
    assert nowhere in capsys.readouterr().err


def test_a_sentence_that_was_cut_short_is_a_broken_stream(
    fake: Fake, target: str, capsys: pytest.CaptureFixture[str]
) -> None:
    whole = utterance(LOUD)
    fake.answer = lambda *given: iter(list(whole(*given))[:-1])
    assert failed("--server", target) == 1
    assert "before the server said that it was done" in capsys.readouterr().err


def test_the_first_key_of_a_file_is_sent(fake: Fake, target: str, tmp_path: Path) -> None:
    fake.answer = utterance(LOUD)
    keys = tmp_path / "keys"
    keys.write_text("# tenant:none\n\nshop: s3cret \nother:later\n")
    assert probe.command(["--server", target, "--api-keys", str(keys)]) == 0
    assert fake.metadata[0]["authorization"] == "Bearer s3cret"
    with pytest.raises(Usage, match="no line tenant:key"):
        probe.first_key("# a:b\nnothing\nshop:\n")


@pytest.fixture
def healthy(fake: Fake) -> Iterator[tuple[str, Any]]:
    """The same server with its health beside it: its address, and what sets the health."""
    health = HealthServicer()
    server = grpc.server(ThreadPoolExecutor(2))
    service_pb2_grpc.add_SpeechSynthesisServiceServicer_to_server(fake, server)  # type: ignore[no-untyped-call]
    health_pb2_grpc.add_HealthServicer_to_server(health, server)
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    yield f"127.0.0.1:{port}", health.set
    server.stop(0).wait()


def test_health_is_asked_for_first(
    fake: Fake, healthy: tuple[str, Any], target: str, capsys: pytest.CaptureFixture[str]
) -> None:
    fake.answer = utterance(LOUD)
    address, say = healthy
    say("", health_pb2.HealthCheckResponse.NOT_SERVING)
    assert failed("--server", address, "--health") == 3
    assert capsys.readouterr().err == "rhapsode: The server says that it is not ready. See its log.\n"
    assert fake.requests == []
    say("", health_pb2.HealthCheckResponse.SERVING)
    assert probe.command(["--server", address, "--health"]) == 0
    assert failed("--server", target, "--health") == 1
    assert "rhapsode: " in capsys.readouterr().err, "it has no health service"


@pytest.fixture
def closed(fake: Fake) -> Iterator[str]:
    """The same server by TLS, at an address that its certificate, for localhost, does not hold."""
    files = ((CERTIFICATES / "server.key").read_bytes(), (CERTIFICATES / "server.crt").read_bytes())
    server = grpc.server(ThreadPoolExecutor(2))
    service_pb2_grpc.add_SpeechSynthesisServiceServicer_to_server(fake, server)  # type: ignore[no-untyped-call]
    port = server.add_secure_port("127.0.0.2:0", grpc.ssl_server_credentials([files]))
    server.start()
    yield f"127.0.0.2:{port}"
    server.stop(0).wait()


def test_whom_to_trust_and_by_which_name(fake: Fake, closed: str, tmp_path: Path) -> None:
    fake.answer = utterance(LOUD)
    ca, name = f"--ca={CERTIFICATES / 'old.crt'}", "--server-name=localhost"
    assert probe.command(["--server", closed, ca, name]) == 0
    assert probe.command(["--server", closed, f"--ca={CERTIFICATES / 'server.crt'}", name]) == 0
    assert failed("--server", closed, ca) == 3, "another name"
    assert failed("--server", closed, ca, "--server-name=tts.example.com") == 3, "another name"
    assert failed("--server", closed, "--tls", name) == 3, "no public authority"
    assert failed("--server", closed, f"--ca={tmp_path / 'ca.crt'}", name) == 2, "no such file"
    assert len(fake.requests) == 2


async def test_the_other_client_asks_for_that_name_too(fake: Fake, closed: str) -> None:
    fake.answer = utterance(LOUD)
    async with AsyncClient(closed, tls=Tls(ca=CERTIFICATES / "old.crt", server_name="localhost")) as client:
        assert await client.synthesize("Are you there?").read() == LOUD


def test_wrong_usage_and_help(capsys: pytest.CaptureFixture[str]) -> None:
    assert probe.command(["--loudness", "11"]) == 2
    assert probe.command(["--help"]) == 0
    assert "--max-first-audio" in capsys.readouterr().out


def test_the_loudest_sample_is_found_on_either_side_of_nought() -> None:
    assert probe.loudest(b"\x01\x00\x00\x80\xff\x7f") == 32768
    assert probe.loudest(b"") == 0
