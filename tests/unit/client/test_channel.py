"""What a channel is opened with: files for TLS that can be used, times that a call can take."""

from __future__ import annotations

import math
import re
import subprocess
import sys
from pathlib import Path

import pytest
import rhapsode
import typer
from rhapsode import Tls, channel, probe
from rhapsode.cli import app
from typer.testing import CliRunner

from tests.unit.client.fake import Fake, utterance

ROOT = Path(__file__).resolve().parents[3]
CERTIFICATES = ROOT / "tests" / "security" / "certificates"
AUTHORITY = (CERTIFICATES / "old.crt").read_text()


@pytest.mark.parametrize(
    "content",
    [
        "",
        "hello",
        (CERTIFICATES / "alice.key").read_text(),
        AUTHORITY.replace("M", "?", 1),
        "\udcff\udc80\udc81",
    ],
    ids=["empty", "words", "a key", "damaged", "bytes"],
)
def test_a_file_without_certificates_is_named(tmp_path: Path, content: str) -> None:
    ca = tmp_path / "ca.pem"
    ca.write_bytes(content.encode("utf-8", "surrogateescape"))
    with pytest.raises(rhapsode.InvalidRequest) as refused:
        rhapsode.Client("localhost:1", tls=Tls(ca))
    assert str(refused.value) == f"{ca} has no certificate in PEM form. Give a file that has."
    assert refused.value.field == "ca"


def test_what_stands_around_certificates_may_be_anything(tmp_path: Path) -> None:
    ca = tmp_path / "ca.pem"
    ca.write_text(f"# TÜBİTAK Kök\n{AUTHORITY}\n# the end\n{AUTHORITY}", encoding="utf-8")
    assert channel.credentials(Tls(ca)) is not None
    assert channel.credentials(
        Tls(CERTIFICATES / "old.crt", CERTIFICATES / "alice.crt", CERTIFICATES / "alice.key")
    )


@pytest.mark.parametrize(
    ("certificate", "key", "said"),
    [
        ("alice.crt", "stranger.key", "cannot be used: both must be PEM"),
        ("alice.key", "alice.crt", "cannot be used: both must be PEM"),
        ("alice.crt", None, "alice.crt is a certificate without its key. Give both files."),
        (None, "alice.key", "alice.key is a key without its certificate. Give both files."),
    ],
)
def test_a_certificate_and_its_key_go_together(certificate: str | None, key: str | None, said: str) -> None:
    files = [None if name is None else CERTIFICATES / name for name in (certificate, key)]
    with pytest.raises(rhapsode.InvalidRequest) as refused:
        rhapsode.AsyncClient("localhost:1", tls=Tls(None, *files))
    assert said in str(refused.value)
    assert all(str(file) in str(refused.value) for file in files if file is not None)


def test_a_key_with_a_pass_phrase_asks_nobody_for_it(tmp_path: Path) -> None:
    key = tmp_path / "own.key"
    own = ("openssl", "pkey", "-in", str(CERTIFICATES / "alice.key"))
    subprocess.run([*own, "-aes128", "-passout", "pass:secret", "-out", str(key)], check=True)
    with pytest.raises(rhapsode.InvalidRequest, match="without a pass phrase"):
        channel.credentials(Tls(None, CERTIFICATES / "alice.crt", key))


def test_the_command_says_it_in_one_line(tmp_path: Path) -> None:
    """As a process, for what gRPC writes to standard error by itself."""
    ca = tmp_path / "ca.pem"
    ca.write_text("hello")
    command = (sys.executable, "-m", "rhapsode", "say", "Hello", "--out", "-", "--ca", str(ca))
    done = subprocess.run(command, cwd=ROOT / "client" / "python", capture_output=True, text=True, timeout=60)
    assert done.stderr == f"rhapsode: {ca} has no certificate in PEM form. Give a file that has.\n"
    assert (done.returncode, done.stdout) == (2, "")


def test_a_probe_that_shows_a_certificate_speaks_tls(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    key = str(tmp_path / "none.key")
    with pytest.raises(typer.Exit) as ended:
        probe.command(["--certificate", str(CERTIFICATES / "alice.crt"), "--private-key", key])
    assert ended.value.exit_code == 2
    assert f"{key}: No such file" in capsys.readouterr().err


# ---- times


@pytest.mark.parametrize("seconds", [0.0, -1.0, math.nan, -math.inf, 1e12])
def test_a_time_that_no_call_can_take_is_refused(target: str, fake: Fake, seconds: float) -> None:
    for make in (rhapsode.Client, rhapsode.AsyncClient):
        with pytest.raises(rhapsode.InvalidRequest, match=re.escape(f"take {seconds:g} seconds")) as refused:
            make(target, timeout=seconds)
        assert refused.value.field == "timeout"
    with rhapsode.Client(target) as client, pytest.raises(rhapsode.InvalidRequest):
        client.synthesize("Hello", timeout=seconds)
    assert fake.requests == []


@pytest.mark.parametrize("seconds", [None, math.inf, channel.LONGEST_TIMEOUT, 30.0, 30])
def test_long_times_and_none_are_kept(target: str, seconds: float | None) -> None:
    with rhapsode.Client(target, timeout=seconds) as client:
        assert client.synthesize("Hello").read()
        assert client.synthesize("Hello", timeout=seconds).read()
        assert client.voices() == []


@pytest.mark.parametrize("given", ["0", "-1", "nan", "1e12"])
def test_the_command_line_says_so_in_one_line(target: str, given: str) -> None:
    result = CliRunner().invoke(app, ["say", "Hello", "--out", "-", "--server", target, "--timeout", given])
    assert result.exit_code == 2
    assert result.stderr.startswith(f"rhapsode: No call can take {float(given):g} seconds.")
    assert len(result.stderr.splitlines()) == 1


def test_infinity_is_no_limit_on_the_command_line(target: str) -> None:
    result = CliRunner().invoke(
        app, ["say", "-q", "Hello", "--out", "-", "--server", target, "--timeout", "inf"]
    )
    assert result.exit_code == 0, result.output


@pytest.mark.parametrize(
    ("option", "given", "said"),
    [
        ("--timeout", "0", "No call can take 0 seconds"),
        ("--timeout", "nan", "No call can take nan seconds"),
        ("--timeout", "1e12", "No call can take 1e+12 seconds"),
        ("--max-first-audio", "nan", "not nan. Give 0 or more."),
        ("--max-first-audio", "-1", "not -1. Give 0 or more."),
    ],
)
def test_the_probe_has_bounds_too(
    fake: Fake, target: str, capsys: pytest.CaptureFixture[str], option: str, given: str, said: str
) -> None:
    fake.answer = utterance(b"\0\x40" * 24_000)
    with pytest.raises(typer.Exit) as ended:
        probe.command(["--server", target, f"{option}={given}"])
    assert ended.value.exit_code == 2
    assert said in capsys.readouterr().err
    assert fake.requests == []


@pytest.mark.parametrize("seconds", [math.nan, math.inf, 1e20])
def test_a_duration_that_cannot_be_sent_is_refused_by_name(target: str, seconds: float) -> None:
    with rhapsode.Client(target) as client:
        with pytest.raises(rhapsode.InvalidRequest, match="max_ttfa cannot be sent") as refused:
            client.synthesize("Hello", max_ttfa=seconds)
        assert refused.value.field == "max_ttfa"
        with pytest.raises(rhapsode.InvalidRequest, match="idle_timeout cannot be sent"):
            client.session(idle_timeout=seconds)
