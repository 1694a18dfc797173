"""The client for asyncio: the twin of client.py, which says what belongs in these two files."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterable, AsyncIterator, Iterable
from functools import cached_property
from os import PathLike
from typing import Any, Self, Unpack

import grpc
import grpc.aio

from rhapsode import channel, wire
from rhapsode.aio_context import AsyncSpeech
from rhapsode.aio_session import AsyncSession
from rhapsode.channel import Tls
from rhapsode.errors import Cancelled, StreamBroken, from_rpc
from rhapsode.files import AudioFile, for_file, whole
from rhapsode.options import SessionOptions, SpeechOptions
from rhapsode.reading import Progress
from rhapsode.session_wire import divided
from rhapsode.speech import AudioChunk, SpeechInfo, SpeechResult, Voice
from rhapsode.tts.v1 import service_pb2_grpc, voice_pb2
from rhapsode.voices import AsyncVoices


class AsyncClient(AsyncVoices):
    """A connection to a Rhapsode server for one event loop; the arguments are those of `Client`."""

    def __init__(
        self,
        target: str = channel.DEFAULT_TARGET,
        *,
        tls: Tls | bool = False,
        api_key: str | None = None,
        timeout: float | None = None,
    ) -> None:
        self.target = target
        self._key = channel.authorization(api_key)
        self._timeout = channel.time_limit(timeout)
        self._secrets = channel.credentials(tls)
        self._settings = channel.options(target, tls)

    @cached_property
    def _channel(self) -> Any:
        """Opened by the first call, because a channel belongs to the loop that it was opened in."""
        if self._secrets is None:
            return grpc.aio.insecure_channel(self.target, options=self._settings)
        return grpc.aio.secure_channel(self.target, self._secrets, options=self._settings)

    @cached_property
    def _stub(self) -> Any:
        return service_pb2_grpc.SpeechSynthesisServiceStub(self._channel)  # type: ignore[no-untyped-call]

    def synthesize(
        self, text: str, *, timeout: float | None = None, **options: Unpack[SpeechOptions]
    ) -> AsyncSpeechStream:
        """Begin to speak `text`; not a coroutine. See `Client.synthesize`."""
        request = wire.request(text, options)
        limit = self._timeout if timeout is None else channel.time_limit(timeout)
        call = self._stub.Synthesize(request, timeout=limit, metadata=channel.metadata(self._key))
        return AsyncSpeechStream(call, self.target)

    async def synthesize_to_file(
        self, text: str, path: str | PathLike[str], **options: Unpack[SpeechOptions]
    ) -> SpeechResult:
        """Speak `text` into a file, as fast as the sound can be made. See `Client.synthesize_to_file`."""
        return await self.synthesize(text, **for_file(path, options)).save(path)

    def session(self, **options: Unpack[SessionOptions]) -> AsyncSession:
        """A session, to be opened by `async with`; see `Client.session`."""
        sent = channel.metadata(self._key)
        return AsyncSession(lambda: self._stub.StreamSynthesize(metadata=sent), self.target, options)

    def speak(
        self, tokens: Iterable[str] | AsyncIterable[str], **options: Unpack[SpeechOptions]
    ) -> AsyncSpeech:
        """Speak a text while it is written; not a coroutine. See `Client.speak`."""
        for_session, for_context = divided(options)
        return AsyncSpeech(self.session(**for_session), tokens, for_context)

    async def voices(self, language: str = "") -> list[Voice]:
        """The voices of the server, only those that speak `language` where it is given."""
        request = voice_pb2.ListVoicesRequest(language=language)
        limit = self._timeout or channel.LIST_TIMEOUT
        sent = channel.metadata(self._key)
        try:
            answer = await self._stub.ListVoices(request, timeout=limit, metadata=sent)
        except grpc.RpcError as error:
            raise from_rpc(error, self.target) from error
        return [wire.voice(voice) for voice in answer.voices]

    async def close(self) -> None:
        """Close the connection; streams that are still open end with Cancelled."""
        if "_channel" in self.__dict__:
            await self._channel.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()


class AsyncSpeechStream(Progress):
    """The sound of one utterance, chunk by chunk as it is made.

        async with client.synthesize("Hello") as stream:
            async for chunk in stream:
                ...

    Leaving the `async with` early, or cancelling the task, cancels the call and frees the server at once.
    """

    def __init__(self, call: Any, target: str) -> None:
        super().__init__()
        self.target = target
        self._call = call
        self._ended = False

    async def started(self) -> SpeechInfo:
        """What the server said first; waits for it where it has not come yet."""
        while self._reading.info is None:
            message = await self._receive()
            if message is None:
                raise Cancelled("The call was cancelled before the server had said anything.")
            self._take(message)
        return self._reading.info

    def __aiter__(self) -> AsyncIterator[AudioChunk]:
        return self

    async def __anext__(self) -> AudioChunk:
        while (message := await self._receive()) is not None:
            chunk = self._take(message)
            if chunk is not None:
                return chunk
        raise StopAsyncIteration

    def cancel(self) -> None:
        """Stop at once; reading then ends quietly."""
        if not self._ended:
            self._cancelled = True
            self._call.cancel()

    async def read(self) -> bytes:
        """All the sound at once; a WAV file's header then says the right length."""
        data = b"".join([chunk.data async for chunk in self])
        return whole(data, self.info.encoding)

    async def save(self, path: str | PathLike[str]) -> SpeechResult:
        """Write the sound to a file; see `SpeechStream.save`. The small writes are done in the loop."""
        info = await self.started()
        async with self:
            with AudioFile(path, info.encoding, info.sample_rate) as file:
                async for chunk in self:
                    file.write(chunk.data)
                return self.result

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        self.cancel()

    async def _receive(self) -> Any | None:
        """The next message, None after the last or where we cancelled."""
        if self._ended:
            return None
        try:
            message = await self._call.read()
        except asyncio.CancelledError:
            self._ended = True
            if self._cancelled and not _being_cancelled():
                return None
            raise
        except grpc.RpcError as error:
            self._ended = True
            raise from_rpc(error, self.target, self.begun) from error
        if message is grpc.aio.EOF:
            self._ended = True
            self._reading.end()
            return None
        return message

    def _take(self, message: Any) -> AudioChunk | None:
        try:
            return self._reading.take(message)
        except StreamBroken:
            self.cancel()
            raise


def _being_cancelled() -> bool:
    """Whether somebody cancels the task that asks: gRPC raises the same for a call that we cancelled."""
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0
