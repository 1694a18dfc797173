"""Encrypted in transit: TLS 1.2 or later, certificates of clients, both exchanged without a restart."""

from __future__ import annotations

import asyncio
import logging
import socket
import ssl
from pathlib import Path

import grpc
import pytest
from rhapsode_server.errors import ConfigError
from rhapsode_server.rpc import tls

from tests.integration.conftest import house
from tests.security.conftest import ALICE, BOB, CERTIFICATES, DENIED, Mounted, bearer, over_tls, pem

OK, LOST = grpc.StatusCode.OK, grpc.StatusCode.UNAVAILABLE
SERVER = {
    "security.certificate": CERTIFICATES / "server.crt",
    "security.private_key": CERTIFICATES / "server.key",
}
MUTUAL = SERVER | {"security.client_ca": CERTIFICATES / "old.crt"}


async def test_speech_comes_over_tls_and_plaintext_is_not_answered() -> None:
    async with house(SERVER) as running:
        async with over_tls(running) as caller:
            assert (await caller.speak())[-1].done.usage.delivered_samples > 0
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await running.speak("hello")
        assert caught.value.code() is LOST


@pytest.mark.parametrize(
    ("certificate", "root", "code"),
    [("server", "old", OK), ("server", "other", LOST), ("expired-server", "old", LOST)],
)
async def test_clients_can_tell_whether_it_is_the_server(
    certificate: str, root: str, code: grpc.StatusCode
) -> None:
    files = {
        "security.certificate": CERTIFICATES / f"{certificate}.crt",
        "security.private_key": CERTIFICATES / f"{certificate}.key",
    }
    async with house(files) as running, over_tls(running, root) as caller:
        assert await caller.list() is code


@pytest.mark.parametrize(
    ("client", "code"),
    [
        ("alice", OK),
        ("spiffe", OK),
        ("", LOST),
        ("stranger", LOST),
        ("expired", LOST),
        ("nameless", DENIED),
    ],
)
async def test_clients_must_show_a_certificate_where_that_is_asked(
    client: str, code: grpc.StatusCode
) -> None:
    async with house(MUTUAL) as running, over_tls(running, client=client) as caller:
        assert await caller.list() is code


@pytest.mark.parametrize(
    ("client", "key", "code"),
    [
        ("alice", ALICE, OK),
        ("gateway", ALICE, OK),
        ("gateway", BOB, OK),
        ("alice", BOB, DENIED),
        ("alice", "wrong-key-0123456789", grpc.StatusCode.UNAUTHENTICATED),
    ],
)
async def test_a_tenants_certificate_does_not_go_with_anothers_key(
    client: str, key: str, code: grpc.StatusCode, keys: Path
) -> None:
    async with (
        house(MUTUAL | {"security.api_keys": keys}) as running,
        over_tls(running, client=client, metadata=bearer(key)) as caller,
    ):
        assert await caller.list() is code


def handshake(port: int, version: ssl.TLSVersion) -> str | None:
    """The protocol's version that was agreed on; raises what the server answered."""
    context = ssl.create_default_context(cadata=pem("old.crt").decode())
    context.minimum_version = context.maximum_version = version
    context.set_ciphers("DEFAULT:@SECLEVEL=0")  # or this machine's policy would refuse before the server can
    context.set_alpn_protocols(["h2"])
    with (
        socket.create_connection(("127.0.0.1", port)) as raw,
        context.wrap_socket(raw, server_hostname="localhost") as secure,
    ):
        return secure.version()


@pytest.mark.filterwarnings("ignore:ssl.TLSVersion:DeprecationWarning")
async def test_nothing_below_tls_1_2_is_spoken() -> None:
    async with house(SERVER) as running:
        for version, name in ((ssl.TLSVersion.TLSv1_2, "TLSv1.2"), (ssl.TLSVersion.TLSv1_3, "TLSv1.3")):
            assert await asyncio.to_thread(handshake, running.serving.port, version) == name
        hung_up = r"EOF occurred|PROTOCOL_VERSION"  # by the server, not refused by this side's own policy
        with pytest.raises(ssl.SSLError, match=hung_up):
            await asyncio.to_thread(handshake, running.serving.port, ssl.TLSVersion.TLSv1_1)


async def test_certificates_are_exchanged_without_a_restart(mounted: Mounted) -> None:
    mounted.put(**{"tls.crt": pem("server.crt"), "tls.key": pem("server.key"), "ca.crt": pem("old.crt")})
    files = {"certificate": "tls.crt", "private_key": "tls.key", "client_ca": "ca.crt"}
    settings = {f"security.{name}": mounted.folder / file for name, file in files.items()}
    async with house(settings) as running, over_tls(running, "old", "alice") as before:
        assert await before.list() is OK
        mounted.put(**{"tls.crt": pem("new.crt"), "tls.key": pem("new.key"), "ca.crt": pem("other.crt")})
        for root, client, code in (("other", "stranger", OK), ("old", "stranger", LOST)):
            async with over_tls(running, root, client) as caller:
                assert await caller.list() is code
        async with over_tls(running, "other", "alice") as caller:
            assert await caller.list() is LOST, "the authority of clients was exchanged too"
        assert await before.list() is OK, "connections go on"


async def test_a_broken_exchange_leaves_the_old_certificate_in_use(
    mounted: Mounted, caplog: pytest.LogCaptureFixture
) -> None:
    mounted.put(**{"tls.crt": pem("server.crt"), "tls.key": pem("server.key")})
    files = {"certificate": "tls.crt", "private_key": "tls.key"}
    settings = {f"security.{name}": mounted.folder / file for name, file in files.items()}
    async with house(settings) as running:
        mounted.put(**{"tls.crt": pem("new.crt"), "tls.key": pem("server.key")})
        for _ in range(2):
            async with over_tls(running, "old") as caller:
                assert await caller.list() is OK
        (line,) = [record for record in caplog.records if record.levelno == logging.ERROR]
        assert "belong together" in line.getMessage()
        assert "PRIVATE KEY" not in caplog.text
        mounted.put(**{"tls.crt": pem("new.crt"), "tls.key": pem("new.key")})
        async with over_tls(running, "other") as caller:
            assert await caller.list() is OK


@pytest.mark.parametrize(
    ("certificate", "key", "roots", "words"),
    [
        ("server.crt", "new.key", None, "belong together"),
        ("server.key", "server.key", None, "must be PEM"),
        ("server.crt", "missing.key", None, "security.private_key: cannot read"),
        ("server.crt", "server.key", "server.key", "no certificates in PEM"),
        ("server.crt", "server.key", "missing.crt", "security.client_ca: cannot read"),
    ],
)
def test_files_that_cannot_be_used_are_named(
    certificate: str, key: str, roots: str | None, words: str
) -> None:
    with pytest.raises(ConfigError, match=words):
        tls.credentials(
            CERTIFICATES / certificate, CERTIFICATES / key, CERTIFICATES / roots if roots else None
        )


@pytest.mark.parametrize("setting", ["certificate", "private_key", "client_ca"])
async def test_half_of_the_settings_is_refused_at_the_start(setting: str) -> None:
    with pytest.raises(ConfigError, match=r"security\.certificate and security\.private_key"):
        async with house({f"security.{setting}": CERTIFICATES / "server.crt"}):
            pass
