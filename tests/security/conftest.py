"""What the security tests share: certificates, keys, and callers who show them or do not.

Each file here holds one line of the list of what must hold; the certificates' script says what they are.
"""

from __future__ import annotations

import itertools
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import grpc
import pytest
from rhapsode.tts.v1 import service_pb2_grpc, synthesis_pb2, voice_pb2

from tests.integration.conftest import House

CERTIFICATES = Path(__file__).parent / "certificates"
ALICE, ALICES_SECOND, BOB = "alice-key-0123456789", "alice-key-9876543210", "bob-key-0123456789"
METHOD = "/rhapsode.tts.v1.SpeechSynthesisService/"
DENIED, UNKNOWN = grpc.StatusCode.PERMISSION_DENIED, grpc.StatusCode.UNAUTHENTICATED


def pem(name: str) -> bytes:
    """A certificate or a key by its file's name."""
    return (CERTIFICATES / name).read_bytes()


def bearer(key: str) -> tuple[tuple[str, str], ...]:
    """Metadata with a key."""
    return (("authorization", f"Bearer {key}"),)


class Mounted:
    """A folder that Kubernetes has mounted a secret in: names -> ..data -> a folder for each version."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._versions = itertools.count()

    def put(self, **files: bytes | str) -> None:
        """Exchange all files at once, as the kubelet does."""
        version = self.folder / f"..version_{next(self._versions)}"
        version.mkdir(parents=True)
        for name, what in files.items():
            (version / name).write_bytes(what.encode() if isinstance(what, str) else what)
            link = self.folder / name
            if not link.is_symlink():
                link.symlink_to(Path("..data", name))
        fresh = self.folder / "..data_tmp"
        fresh.symlink_to(version.name)
        os.replace(fresh, self.folder / "..data")


@pytest.fixture
def mounted(tmp_path: Path) -> Mounted:
    """An empty one."""
    return Mounted(tmp_path / "mounted")


@pytest.fixture
def keys(tmp_path: Path) -> Path:
    """A file with two tenants' keys."""
    path = tmp_path / "api-keys"
    path.write_text(f"# who: what\n\nalice:{ALICE}\nalice : {ALICES_SECOND}\nbob:{BOB}\n")
    return path


class Caller:
    """Somebody on a channel, who sends this metadata with each call."""

    def __init__(self, channel: grpc.aio.Channel, metadata: Any = ()) -> None:
        self.channel = channel
        self.metadata = metadata
        self.stub: Any = service_pb2_grpc.SpeechSynthesisServiceStub(channel)  # type: ignore[no-untyped-call]

    async def speak(self, text: str = "Hello.", **fields: Any) -> list[Any]:
        """One call of Synthesize, read to its end."""
        request = synthesis_pb2.SynthesizeRequest(text=text, **fields)
        call = self.stub.Synthesize(request, metadata=self.metadata, timeout=30)
        return [message async for message in call]

    async def list(self) -> grpc.StatusCode:
        """How a call of ListVoices ends."""
        try:
            await self.stub.ListVoices(voice_pb2.ListVoicesRequest(), metadata=self.metadata, timeout=30)
        except grpc.aio.AioRpcError as error:
            return error.code()
        return grpc.StatusCode.OK


@asynccontextmanager
async def over_tls(
    running: House, root: str = "old", client: str = "", metadata: Any = ()
) -> AsyncIterator[Caller]:
    """A new connection that trusts `root` and shows the certificate `client`."""
    own = (pem(f"{client}.key"), pem(f"{client}.crt")) if client else (None, None)
    credentials = grpc.ssl_channel_credentials(pem(f"{root}.crt"), *own)
    options = (("grpc.use_local_subchannel_pool", 1), ("grpc.enable_retries", 0))
    async with grpc.aio.secure_channel(running.target, credentials, options) as channel:
        yield Caller(channel, metadata)
