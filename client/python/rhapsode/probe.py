"""`rhapsode probe`: does a server speak? One sentence, judged by first sound, length and loudness.

For `helm test` and monitors: one line and an exit code (0 it speaks, 1 it does not as it should, the others
as for `rhapsode say`). What must not live here: playing or keeping the sound.
"""

from __future__ import annotations

import argparse
import array
import os
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import grpc

from rhapsode import channel
from rhapsode.channel import DEFAULT_TARGET, Tls
from rhapsode.client import Client
from rhapsode.errors import from_rpc
from rhapsode.failing import UNREACHABLE, Usage, Wrong, told
from rhapsode.speech import Encoding

SENTENCE = "This is a test of the voice."
SHORTEST_SECONDS = 0.2
"""Of sound; the shortest sentence takes longer to say."""
HEALTH = "/grpc.health.v1.Health/Check"
READY = b"\x08\x01"
"""A HealthCheckResponse whose status is SERVING."""
QUIETEST = 100
"""Peak of 16-bit samples below which something plays but nobody speaks: -50 dB."""


@dataclass(frozen=True, slots=True)
class Heard:
    """What came: seconds until the first sound, seconds of sound, bytes, the loudest sample."""

    first: float
    seconds: float
    size: int
    peak: int


def command(argv: list[str]) -> int:
    """Speak a sentence and judge it; returns the exit code, or ends as every command of ours does."""
    try:
        given = _arguments().parse_args(argv)
    except SystemExit as answered:  # argparse has shown its help, or what is wrong
        return answered.code if isinstance(answered.code, int) else 2
    with told():
        _check(given.max_first_audio)
        heard = _listen(given)
        _judge(heard, given.max_first_audio)
        sys.stdout.write(
            f"First sound after {1000 * heard.first:.0f} ms,"
            f" {heard.seconds:.2f} s of sound, {heard.size} bytes.\n"
        )
    return 0


def first_key(text: str) -> str:
    """The key of the first line `tenant:key` of a file of keys; raises Usage where there is none."""
    for line in text.splitlines():
        tenant, colon, key = line.strip().partition(":")
        if colon and key.strip() and not tenant.startswith("#"):
            return key.strip()
    raise Usage("The file of API keys has no line tenant:key. Add one for the probe, such as probe:SECRET.")


def _arguments() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser("rhapsode probe", description="Does a server speak?", allow_abbrev=False)
    parser.add_argument("text", nargs="?", default=SENTENCE, help="what to say")
    parser.add_argument("--server", default=DEFAULT_TARGET, metavar="HOST:PORT")
    parser.add_argument("--voice", default="")
    parser.add_argument("--max-first-audio", type=float, default=5.0, metavar="SECONDS")
    parser.add_argument(
        "--timeout", type=float, default=60.0, metavar="SECONDS", help="what it may take in all"
    )
    parser.add_argument("--health", action="store_true", help="first ask grpc.health.v1 whether it is ready")
    parser.add_argument(
        "--tls", action="store_true", help="trust the public authorities, where there is no --ca"
    )
    parser.add_argument("--ca", type=Path, metavar="FILE", help="trust these certificates; implies TLS")
    parser.add_argument("--certificate", type=Path, metavar="FILE", help="who we are, for mTLS")
    parser.add_argument("--private-key", type=Path, metavar="FILE", help="the certificate's key")
    parser.add_argument(
        "--server-name", metavar="NAME", help="the certificate's name, if it is not HOST; implies TLS"
    )
    parser.add_argument("--api-keys", type=Path, metavar="FILE", help="lines tenant:key; the first is used")
    return parser


def _check(max_first_audio: float) -> None:
    if not max_first_audio >= 0:  # NaN is neither: every sound would come in time
        raise Usage(f"--max-first-audio is a number of seconds, not {max_first_audio:g}. Give 0 or more.")


def _listen(given: argparse.Namespace) -> Heard:
    files = (given.ca, given.certificate, given.private_key)
    tls = Tls(*files, server_name=given.server_name) if any(files) or given.server_name else given.tls
    key = first_key(given.api_keys.read_text()) if given.api_keys else os.environ.get("RHAPSODE_API_KEY")
    if given.health:
        _ask_health(given.server, tls, key, given.timeout)
    began = time.monotonic()
    first, samples, size, peak = 0.0, 0, 0, 0
    with Client(given.server, tls=tls, api_key=key, timeout=given.timeout) as client:
        stream = client.synthesize(given.text, voice=given.voice, format=Encoding.PCM_S16LE)
        for chunk in stream:
            first = first or time.monotonic() - began
            samples, size = samples + chunk.sample_count, size + len(chunk.data)
            peak = max(peak, loudest(chunk.data))
        return Heard(first, samples / stream.info.sample_rate, size, peak)


def _ask_health(target: str, tls: Tls | bool, key: str | None, timeout: float) -> None:
    """Raise Wrong where the server does not say that it is ready; what it says in bytes needs no stub."""
    sent = channel.metadata(channel.authorization(key))
    with channel.blocking(target, channel.credentials(tls), channel.options(target, tls)) as opened:
        try:
            answer = opened.unary_unary(HEALTH)(b"", timeout=channel.time_limit(timeout), metadata=sent)
        except grpc.RpcError as error:
            raise from_rpc(error, target) from None
    if answer != READY:
        raise Wrong("The server says that it is not ready. See its log.", UNREACHABLE)


def loudest(data: bytes) -> int:
    """The largest magnitude of 16-bit little-endian samples."""
    samples = array.array("h", data)
    if sys.byteorder == "big":
        samples.byteswap()
    return max(map(abs, samples), default=0)


def _judge(heard: Heard, max_first_audio: float) -> None:
    if heard.seconds < SHORTEST_SECONDS:
        raise Wrong(f"Only {heard.seconds:.2f} s of sound came, which is no sentence.")
    if heard.peak < QUIETEST:
        raise Wrong("Sound came, but it is silence.")
    if heard.first > max_first_audio:
        raise Wrong(f"The first sound came after {heard.first:.2f} s; {max_first_audio:g} s were allowed.")
