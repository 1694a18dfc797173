"""The server's side of TLS: a certificate, perhaps the authority of the clients'; both may change any time.

gRPC speaks TLS 1.2 and 1.3 only and asks here before each handshake. Connections that exist go on with
what they began with, until `server.max_connection_age`. What must not live here: who may do what.
"""

from __future__ import annotations

import ssl
from pathlib import Path

import grpc

from rhapsode_server.errors import ConfigError
from rhapsode_server.rpc.watched import Watched, content


def credentials(
    certificate: Path, private_key: Path, client_ca: Path | None = None
) -> grpc.ServerCredentials:
    """What `add_secure_port` takes. With `client_ca` every client must show a certificate that it signed.

    Raises ConfigError where the files cannot be used now; afterwards a broken file leaves the old in use.
    """
    files = [certificate, private_key, *([client_ca] if client_ca else [])]
    watched = Watched(files, lambda: configuration(certificate, private_key, client_ca))
    return grpc.dynamic_ssl_server_credentials(watched.value(), _Fetch(watched), client_ca is not None)


class _Fetch:
    """Tells gRPC what to use from now on, or None where nothing has changed."""

    def __init__(self, watched: Watched[grpc.ServerCertificateConfiguration]) -> None:
        self._watched = watched
        self._known = watched.value()

    def __call__(self) -> grpc.ServerCertificateConfiguration | None:
        newest = self._watched.value()
        changed, self._known = newest is not self._known, newest
        return newest if changed else None


def configuration(
    certificate: Path, private_key: Path, client_ca: Path | None
) -> grpc.ServerCertificateConfiguration:
    """The files' content, after a trial; raises ConfigError, for gRPC would only fail later, in silence."""
    chain, key = content(certificate, "security.certificate"), content(private_key, "security.private_key")
    roots = content(client_ca, "security.client_ca") if client_ca else None
    trial = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    try:
        trial.load_cert_chain(certificate, private_key, password=_no_phrase)
    except (ssl.SSLError, OSError, ValueError):
        raise ConfigError(
            f"{certificate} and {private_key} cannot be used: both must be PEM, the key without a pass"
            " phrase, and belong together. Set security.certificate and security.private_key to such a pair."
        ) from None
    if roots is not None:
        _try_roots(trial, roots, client_ca)
    return grpc.ssl_server_certificate_configuration([(key, chain)], root_certificates=roots)


def _no_phrase() -> str:
    """OpenSSL would otherwise ask the terminal."""
    return ""


def _try_roots(trial: ssl.SSLContext, roots: bytes, client_ca: Path | None) -> None:
    try:
        trial.load_verify_locations(cadata=roots.decode("ascii"))
    except (ssl.SSLError, ValueError):
        raise ConfigError(
            f"security.client_ca: {client_ca} holds no certificates in PEM. Set it to a file that does."
        ) from None
