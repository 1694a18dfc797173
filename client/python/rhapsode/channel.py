"""How a channel to the server is opened: address, TLS, retries, keepalive, and what goes with each call.

What must not live here: calls. Retrying is gRPC's own, by the service config below.
"""

from __future__ import annotations

import json
import math
import ssl
import sys
from dataclasses import dataclass, field
from importlib.metadata import PackageNotFoundError, version
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import grpc

from rhapsode.errors import Facts, InvalidRequest, Unauthenticated

DEFAULT_TARGET = "localhost:50051"
SERVICE = "rhapsode.tts.v1.SpeechSynthesisService"
LIST_TIMEOUT = 10.0
"""Seconds that short calls may take where the caller names no timeout."""
LONGEST_TIMEOUT = 31_536_000.0
"""A year, in seconds. More is a slip of the pen, and gRPC's clock ends some time."""

Metadata = tuple[tuple[str, str], ...]

# Only what has not begun to answer is tried again (gRFC A6), and never twice at once: hedging would
# double the work of a server that is already full. The server's `grpc-retry-pushback-ms` goes before
# these waits. CANCELLED is no answer of ours: it is what gRPC's servers give a call that arrives while they
# say goodbye. A call that its own caller cancels is over at once and never tried again.
RETRY = {
    "maxAttempts": 3,
    "initialBackoff": "0.2s",
    "maxBackoff": "2s",
    "backoffMultiplier": 2,
    "retryableStatusCodes": ["UNAVAILABLE", "RESOURCE_EXHAUSTED", "CANCELLED"],
}
SERVICE_CONFIG = {
    "loadBalancingConfig": [{"round_robin": {}}],
    "methodConfig": [
        {
            "name": [{"service": SERVICE, "method": method} for method in ("Synthesize", "ListVoices")],
            "retryPolicy": RETRY,
        }
    ],
}
KEEPALIVE = (
    # One ping a minute, also between calls, so that a quiet connection is neither dropped on the way
    # nor believed alive when it is not. gRPC's guide asks not to go much below a minute.
    ("grpc.keepalive_time_ms", 60_000),
    ("grpc.keepalive_timeout_ms", 20_000),
    ("grpc.keepalive_permit_without_calls", 1),
    ("grpc.http2.max_pings_without_data", 0),
)


@dataclass(frozen=True, slots=True)
class Tls:
    """Files for TLS, PEM each: whom to trust (None: the usual authorities), and who we are (for mTLS).

    `server_name` is the name that the server's certificate must hold where it is not the target's own, as
    when a server is called by an address that is none of its names.
    """

    ca: Path | str | None = None
    certificate: Path | str | None = None
    key: Path | str | None = None
    server_name: str | None = field(default=None, kw_only=True)


def is_here(target: str) -> bool:
    """Whether a target is this very machine: no proxy leads there, whatever the environment says."""
    host = target.rpartition(":")[0].strip("[]") if ":" in target else target
    if host.lower() == "localhost":
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False


def options(target: str, tls: Tls | bool = False) -> list[tuple[str, Any]]:
    """Settings of a channel to `target`."""
    name = tls.server_name if isinstance(tls, Tls) else None
    return [
        *([("grpc.enable_http_proxy", 0)] if is_here(target) else []),
        *([("grpc.ssl_target_name_override", name)] if name else []),
        ("grpc.service_config", json.dumps(SERVICE_CONFIG)),
        ("grpc.enable_retries", 1),
        ("grpc.primary_user_agent", f"rhapsode-python/{client_version()}"),
        *KEEPALIVE,
        # A server that comes back is found within seconds; gRPC itself would wait for up to two minutes.
        ("grpc.max_reconnect_backoff_ms", 5_000),
    ]


def blocking(target: str, secrets: Any | None, settings: list[tuple[str, Any]]) -> Any:
    """A channel for ordinary, blocking calls, with what `credentials` and `options` give."""
    if secrets is None:
        return grpc.insecure_channel(target, options=settings)
    return grpc.secure_channel(target, secrets, options=settings)


def client_version() -> str:
    """Version of the installed package; "0" when it runs from a source tree."""
    try:
        return version("rhapsode")
    except PackageNotFoundError:
        return "0"


def time_limit(seconds: float | None) -> float | None:
    """The same, None where it is infinite. Raises InvalidRequest for what is no time that a call can take."""
    if seconds is None or seconds == math.inf:
        return None
    if 0 < seconds <= LONGEST_TIMEOUT:  # false for what is no number
        return seconds
    said = (
        f"No call can take {seconds:g} seconds. Give a timeout above 0 and at most {LONGEST_TIMEOUT:.0f},"
        " which is a year, or leave it out."
    )
    raise InvalidRequest(said, facts=Facts(field="timeout"))


def credentials(tls: Tls | bool) -> Any | None:
    """gRPC's credentials for these files, None for a plain connection.

    Raises OSError where a file cannot be read and InvalidRequest where TLS cannot use what is in it. gRPC
    would write lines of its own to standard error, and say at the first call that no server answers.
    """
    if tls is False:
        return None
    files = Tls() if tls is True else tls
    ca, key, certificate = (_content(path) for path in (files.ca, files.key, files.certificate))
    if ca is not None:
        _check_authorities(ca, files.ca)
    _check_identity(files.certificate, files.key)
    return grpc.ssl_channel_credentials(ca, key, certificate)


def _check_authorities(content: bytes, ca: Path | str | None) -> None:
    try:
        # What stands between certificates may be in any language; they themselves are ASCII.
        _trial().load_verify_locations(cadata=content.decode("ascii", errors="ignore"))
    except (ssl.SSLError, ValueError):
        raise _unfit("ca", f"{ca} has no certificate in PEM form. Give a file that has.") from None


def _check_identity(certificate: Path | str | None, key: Path | str | None) -> None:
    if certificate is None and key is None:
        return
    if certificate is None or key is None:
        lone, lacking = ("certificate", "key") if key is None else ("key", "certificate")
        raise _unfit(lacking, f"{certificate or key} is a {lone} without its {lacking}. Give both files.")
    if not (Path(certificate).is_file() and Path(key).is_file()):
        return  # a pipe, which gives what is in it only once
    try:
        _trial().load_cert_chain(certificate, key, password=_no_phrase)
    except (ssl.SSLError, ValueError):  # ValueError: there is a pass phrase, and ours is empty
        raise _unfit(
            "certificate",
            f"{certificate} and {key} cannot be used: both must be PEM, the key without a pass phrase, and"
            " belong together. Give such a pair.",
        ) from None


def _trial() -> ssl.SSLContext:
    """Something to try files on that takes keys of every strength: how strong is the server's to judge."""
    trial = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    trial.set_ciphers("ALL:@SECLEVEL=0")
    return trial


def _no_phrase() -> str:
    """OpenSSL would otherwise ask the terminal."""
    return ""


def _unfit(field: str, message: str) -> InvalidRequest:
    return InvalidRequest(message, facts=Facts(field=field))


def _content(path: Path | str | None) -> bytes | None:
    return None if path is None else Path(path).read_bytes()


def authorization(api_key: str | None) -> Metadata:
    """The key as metadata, without the blanks and line ends that come with files and shells.

    Raises Unauthenticated for a key that cannot be sent; gRPC would say only that something is invalid.
    """
    key = (api_key or "").strip()
    if not (key.isascii() and key.isprintable()):
        raise Unauthenticated("The API key has characters that no key has. See where it was copied from.")
    return (("authorization", f"Bearer {key}"),) if key else ()


def metadata(authorization: Metadata) -> Metadata:
    """What goes with a call: the key, and the caller's trace where there is one."""
    return authorization + _trace()


def _trace() -> Metadata:
    """W3C trace context of the running span; () in a program that does not trace.

    OpenTelemetry is looked at only where the program itself has imported it: it is no requirement, and
    a program that has not imported it has no span to pass on.
    """
    if "opentelemetry.trace" not in sys.modules:
        return ()
    from opentelemetry import propagate

    carrier: dict[str, str] = {}
    propagate.inject(carrier)
    return tuple((key.lower(), value) for key, value in carrier.items())
