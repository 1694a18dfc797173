"""API keys: a file with a `tenant:key` a line, and whose a key is.

Keys are kept as digests and compared with all of them, in constant time. No message ever has a line's text,
for a line without its colon may be nothing but a key. What must not live here: gRPC.
"""

from __future__ import annotations

import hashlib
import hmac
import re
from collections.abc import Iterator
from pathlib import Path

from rhapsode_server.errors import ConfigError
from rhapsode_server.rpc.watched import content

TENANT = re.compile(r"[A-Za-z0-9][A-Za-z0-9._@-]{0,63}")
KEY = re.compile(r"[!-~]{16,512}")
"""What a key may be: a header can carry it, and nobody guesses it."""


class Keys:
    """The keys of one version of the file."""

    def __init__(self, holders: dict[bytes, str]) -> None:
        """`holders`: the digest of each key and whose it is."""
        self._holders = tuple(holders.items())
        self.tenants = frozenset(holders.values())

    def holder(self, key: str) -> str | None:
        """Whose key it is; None where it is nobody's. Takes as long for a wrong key as for a right one."""
        presented, found = digest(key), None
        for known, tenant in self._holders:
            if hmac.compare_digest(known, presented):
                found = tenant
        return found


def digest(key: str) -> bytes:
    """SHA-256: all of one length, so that comparing them tells nothing about the key's."""
    return hashlib.sha256(key.encode("utf-8", "surrogatepass")).digest()


def read(path: Path) -> Keys:
    """The keys of a file. Raises ConfigError, which names the line and what it should be like."""
    try:
        text = content(path, "security.api_keys").decode("utf-8-sig")
    except UnicodeDecodeError:
        raise ConfigError(f"security.api_keys: {path} is not text in UTF-8.") from None
    return parse(text, str(path))


def parse(text: str, name: str) -> Keys:
    """As `read`, of the file's text."""
    holders: dict[bytes, str] = {}
    for number, tenant, key in _lines(text):
        wrong = _wrong(tenant, key)
        known = holders.setdefault(digest(key), tenant)
        if known != tenant:
            wrong = "has the same key as another tenant"
        if wrong:
            raise ConfigError(f"security.api_keys: line {number} of {name} {wrong}.")
    if not holders:
        raise ConfigError(f"security.api_keys: {name} has no key. Write a tenant:key on each line.")
    return Keys(holders)


def _lines(text: str) -> Iterator[tuple[int, str, str]]:
    """Number, tenant and key; blank lines and those that begin with # are left out."""
    for number, line in enumerate(text.split("\n"), 1):
        tenant, _, key = line.strip().partition(":")
        if line.strip() and not line.lstrip().startswith("#"):
            yield number, tenant.strip(), key.strip()


def _wrong(tenant: str, key: str) -> str:
    if not key:
        return "is not of the form tenant:key"
    if not TENANT.fullmatch(tenant):
        return "has a tenant that is not 1 to 64 letters, digits, '.', '_', '@' or '-'"
    if not KEY.fullmatch(key):
        return "has a key that is not 16 to 512 visible ASCII characters without blanks"
    return ""
