"""Voices of one's own: from a recording, with its speaker's consent, or from a description.

What lives here: the calls of VoiceService, for both clients. What must not: speech. Uploads go through
gRPC's blocking client in asyncio programs too: its asyncio twin tells now and then of an internal error
instead of the server's sentence where the server refuses a recording that is still being sent.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from os import PathLike
from pathlib import Path
from typing import Any, TypedDict, Unpack

import grpc

from rhapsode import channel, wire
from rhapsode.channel import Metadata
from rhapsode.errors import InvalidRequest, from_rpc
from rhapsode.options import known
from rhapsode.speech import Voice
from rhapsode.tts.v1 import voice_service_pb2, voice_service_pb2_grpc

STEP = 64 * 1024
"""Bytes of a recording in one message."""
LARGEST = 256 * 1024 * 1024
"""Bytes beyond which nothing is a recording of some seconds; servers take far fewer."""
CREATE_TIMEOUT = 180.0
"""Seconds that making a voice may take where the caller names no timeout."""

Recording = bytes | str | PathLike[str]
"""A file's content, or its path: WAV, FLAC, Ogg or MP3."""


class CloneOptions(TypedDict, total=False):
    """What may be said of a recording.

    `transcript` is all that is said in it: the voice comes out closer with it. `language` is the one that the
    voice is to speak, all where it is not given; `description` a sentence for people.
    """

    transcript: str | None
    language: str | None
    description: str | None


class Voices:
    """What `Client` can do with voices."""

    target: str
    _channel: Any
    _key: Metadata
    _timeout: float | None

    def create_voice(
        self, recording: Recording, name: str = "", *, consent: bool, **options: Unpack[CloneOptions]
    ) -> Voice:
        """Make a voice of a recording; with an empty name the server draws one.

        `consent` says that the speaker has agreed to it; the server refuses a recording without.
        The server forgets the voice when it ends or needs the room: then create it again.

        Raises InvalidRequest, VoiceExists, Overloaded, Unsupported where the server's model does not
        clone, and OSError where the file cannot be read.
        """
        messages = upload(content(recording), name, consent, options)
        limit = self._timeout or CREATE_TIMEOUT
        try:
            answer = self._making.CreateVoice(messages, timeout=limit, metadata=self._sent)
        except grpc.RpcError as error:
            raise from_rpc(error, self.target) from error
        return wire.voice(answer.voice)

    def design_voice(self, description: str, name: str = "", *, language: str = "") -> Voice:
        """Make a voice of a description, such as "an elderly man, warm and unhurried".

        Raises InvalidRequest, VoiceExists, Unsupported where the server's model does not design.
        """
        return wire.voice(
            self._ask("DesignVoice", description=description, name=name, language=language).voice
        )

    def get_voice(self, name: str) -> Voice:
        """One voice; raises VoiceNotFound where it is not, or no longer, there."""
        return wire.voice(self._ask("GetVoice", name=name).voice)

    def delete_voice(self, name: str) -> None:
        """Let the server forget a created voice. Raises VoiceNotFound, InvalidRequest for the model's own."""
        self._ask("DeleteVoice", name=name)

    def _ask(self, method: str, **fields: str) -> Any:
        limit = self._timeout or channel.LIST_TIMEOUT
        try:
            return getattr(self._making, method)(asked(method, fields), timeout=limit, metadata=self._sent)
        except grpc.RpcError as error:
            raise from_rpc(error, self.target) from error

    @property
    def _making(self) -> Any:
        return voice_service_pb2_grpc.VoiceServiceStub(self._channel)  # type: ignore[no-untyped-call]

    @property
    def _sent(self) -> Metadata:
        return channel.metadata(self._key)


class AsyncVoices:
    """What `AsyncClient` can do with voices; see `Voices`."""

    target: str
    _channel: Any
    _key: Metadata
    _timeout: float | None
    _secrets: Any
    _settings: list[tuple[str, Any]]

    async def create_voice(
        self, recording: Recording, name: str = "", *, consent: bool, **options: Unpack[CloneOptions]
    ) -> Voice:
        """See `Client.create_voice`. Cancelling the task ends the upload, and nothing is left of it."""
        messages = upload(content(recording), name, consent, options)
        limit = self._timeout or CREATE_TIMEOUT
        with channel.blocking(self.target, self._secrets, self._settings) as own:
            stub: Any = voice_service_pb2_grpc.VoiceServiceStub(own)  # type: ignore[no-untyped-call]
            sent = channel.metadata(self._key)
            call = stub.CreateVoice.future(messages, timeout=limit, metadata=sent)
            try:
                await ended(call)
                answer = call.result()
            except grpc.RpcError as error:
                raise from_rpc(error, self.target) from error
            finally:
                call.cancel()
        return wire.voice(answer.voice)

    async def design_voice(self, description: str, name: str = "", *, language: str = "") -> Voice:
        """See `Client.design_voice`."""
        answer = await self._ask("DesignVoice", description=description, name=name, language=language)
        return wire.voice(answer.voice)

    async def get_voice(self, name: str) -> Voice:
        """See `Client.get_voice`."""
        return wire.voice((await self._ask("GetVoice", name=name)).voice)

    async def delete_voice(self, name: str) -> None:
        """See `Client.delete_voice`."""
        await self._ask("DeleteVoice", name=name)

    async def _ask(self, method: str, **fields: str) -> Any:
        limit = self._timeout or channel.LIST_TIMEOUT
        stub: Any = voice_service_pb2_grpc.VoiceServiceStub(self._channel)  # type: ignore[no-untyped-call]
        sent = channel.metadata(self._key)
        try:
            return await getattr(stub, method)(asked(method, fields), timeout=limit, metadata=sent)
        except grpc.RpcError as error:
            raise from_rpc(error, self.target) from error


# ---- messages


def asked(method: str, fields: dict[str, str]) -> Any:
    """The request of one of the short calls. Raises InvalidRequest for what cannot be sent."""
    message = getattr(voice_service_pb2, f"{method}Request")()
    for name, value in fields.items():
        wire.put(message, name, value)
    return message


def content(recording: Recording) -> bytes:
    """The file. Raises OSError, and InvalidRequest for one that can be no recording of a voice."""
    if isinstance(recording, bytes):
        return recording
    path = Path(recording)
    if path.stat().st_size > LARGEST:
        raise InvalidRequest("This file is too large to be a recording of some seconds. Send a part of it.")
    return path.read_bytes()


def upload(
    data: bytes, name: str, consent: bool, options: CloneOptions
) -> Iterator[voice_service_pb2.CreateVoiceRequest]:
    """The messages of an upload. Raises InvalidRequest, at once, for what cannot be sent."""
    given = known(options, CloneOptions)
    config = voice_service_pb2.CloneConfig(consent=consent, audio_bytes=len(data))
    for field, value in {"name": name, **given}.items():
        wire.put(config, field, value)
    return _parts(config, data)


def _parts(
    config: voice_service_pb2.CloneConfig, data: bytes
) -> Iterator[voice_service_pb2.CreateVoiceRequest]:
    yield voice_service_pb2.CreateVoiceRequest(config=config)
    for start in range(0, len(data), STEP):
        yield voice_service_pb2.CreateVoiceRequest(audio=data[start : start + STEP])


async def ended(call: Any) -> None:
    """Until a call of the blocking client has ended."""
    loop = asyncio.get_running_loop()
    done = asyncio.Event()
    call.add_done_callback(lambda _: _tell(loop, done))
    await done.wait()


def _tell(loop: asyncio.AbstractEventLoop, done: asyncio.Event) -> None:
    """From gRPC's thread; nobody waits any more where the loop has ended."""
    if not loop.is_closed():
        loop.call_soon_threadsafe(done.set)
