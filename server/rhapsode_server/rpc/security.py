"""What the settings of security and quotas come to: TLS credentials for the port, a guard for its calls.

What must not live here: how any of it works (tls.py, keys.py, guard.py, quotas.py).
"""

from __future__ import annotations

import logging
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import grpc

from rhapsode_server.errors import ConfigError
from rhapsode_server.rpc import keys, tls
from rhapsode_server.rpc.guard import Guard
from rhapsode_server.rpc.quotas import SESSIONS_EACH, Accounts, Shares
from rhapsode_server.rpc.watched import Watched

log = logging.getLogger(__name__)


class SecurityWanted(Protocol):
    """The settings [security]."""

    @property
    def certificate(self) -> Path | None:
        """PEM."""

    @property
    def private_key(self) -> Path | None:
        """PEM."""

    @property
    def client_ca(self) -> Path | None:
        """PEM."""

    @property
    def api_keys(self) -> Path | None:
        """A `tenant:key` a line."""

    @property
    def open_health(self) -> bool:
        """Health checks need no key."""


class QuotasWanted(Protocol):
    """The settings [quotas]."""

    @property
    def concurrent_streams(self) -> int | None:
        """Utterances at a time."""

    @property
    def concurrent_sessions(self) -> int | None:
        """Open at a time."""

    @property
    def characters_per_minute(self) -> int | None:
        """Of text."""

    @property
    def audio_seconds_per_minute(self) -> float | None:
        """Of sound."""


@dataclass(frozen=True, slots=True)
class Security:
    """`credentials` are None where the port speaks plaintext; the guards go within the edge."""

    credentials: grpc.ServerCredentials | None = None
    guards: tuple[Guard, ...] = ()

    @classmethod
    def of(cls, wanted: SecurityWanted, quotas: QuotasWanted) -> Security:
        """Read the files. Raises ConfigError, which names the setting and what to do."""
        _check(wanted, quotas)
        return cls(_credentials(wanted), _guards(wanted, quotas))


def _check(wanted: SecurityWanted, quotas: QuotasWanted) -> None:
    if (wanted.certificate is None) != (wanted.private_key is None):
        raise ConfigError("security.certificate and security.private_key go together. Set both, or neither.")
    if wanted.client_ca is not None and wanted.certificate is None:
        raise ConfigError("security.client_ca needs TLS. Set security.certificate and security.private_key.")
    if _shares(quotas) != Shares() and wanted.client_ca is None and wanted.api_keys is None:
        raise ConfigError("Quotas need to know who calls. Set security.api_keys or security.client_ca.")
    if wanted.api_keys is not None and wanted.certificate is None:
        log.warning("API keys without TLS: fine where a proxy or a mesh encrypts, and nowhere else")


def _credentials(wanted: SecurityWanted) -> grpc.ServerCredentials | None:
    if wanted.certificate is None or wanted.private_key is None:
        return None
    return tls.credentials(wanted.certificate, wanted.private_key, wanted.client_ca)


def _guards(wanted: SecurityWanted, quotas: QuotasWanted) -> tuple[Guard, ...]:
    path, certified = wanted.api_keys, wanted.client_ca is not None
    if path is None and not certified:
        return ()
    present = None if path is None else Watched([path], lambda: keys.read(path)).value
    accounts = Accounts(_shares(quotas), time.monotonic)
    return (Guard(present, accounts, certified=certified, open_health=wanted.open_health),)


def _shares(quotas: QuotasWanted) -> Shares:
    streams, sessions = quotas.concurrent_streams, quotas.concurrent_sessions
    if sessions is None and streams is not None:
        sessions = SESSIONS_EACH * streams
    return Shares(streams, sessions, quotas.characters_per_minute, quotas.audio_seconds_per_minute)
