"""The client for ordinary, blocking programs. aio.py has its twin for asyncio.

What lives here: making calls and handing out what comes. What must not: the rules of the stream
(reading.py), translation (wire.py), how a channel is set up (channel.py).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from os import PathLike
from types import TracebackType
from typing import Any, Self, Unpack

import grpc

from rhapsode import channel, wire
from rhapsode.channel import Tls
from rhapsode.context import Speech
from rhapsode.errors import Cancelled, StreamBroken, from_rpc
from rhapsode.files import AudioFile, for_file, whole
from rhapsode.options import SessionOptions, SpeechOptions
from rhapsode.reading import Progress
from rhapsode.session import Session
from rhapsode.session_wire import divided
from rhapsode.speech import AudioChunk, SpeechInfo, SpeechResult, Voice
from rhapsode.tts.v1 import service_pb2_grpc, voice_pb2
from rhapsode.voices import Voices


class Client(Voices):
    """A connection to a Rhapsode server. Safe to share between threads; keep one and reuse it.

    `target` is `host:port` or any gRPC name, `tls` True for a server with a public certificate or a
    `Tls` with files, `timeout` the seconds that any one call may take in all (None: no limit).
    """

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
        self._channel = channel.blocking(target, channel.credentials(tls), channel.options(target, tls))
        self._stub: Any = service_pb2_grpc.SpeechSynthesisServiceStub(self._channel)  # type: ignore[no-untyped-call]

    def synthesize(
        self, text: str, *, timeout: float | None = None, **options: Unpack[SpeechOptions]
    ) -> SpeechStream:
        """Begin to speak `text`; the sound comes from the stream that is returned, while it is made.

        Returns at once. Errors of the server are raised while the stream is read; InvalidRequest here
        for what cannot even be sent.
        """
        request = wire.request(text, options)
        limit = self._timeout if timeout is None else channel.time_limit(timeout)
        call = self._stub.Synthesize(request, timeout=limit, metadata=channel.metadata(self._key))
        return SpeechStream(call, self.target)

    def synthesize_to_file(
        self, text: str, path: str | PathLike[str], **options: Unpack[SpeechOptions]
    ) -> SpeechResult:
        """Speak `text` into a file, as fast as the sound can be made; the name says the format.

        Takes the options of `synthesize`; raises what reading the stream raises, and what `save` does.
        """
        return self.synthesize(text, **for_file(path, options)).save(path)

    def session(self, **options: Unpack[SessionOptions]) -> Session:
        """Open a session: one warm stream for many utterances whose text is written as they are spoken.

        Returns at once; it lasts until it is closed, whatever the client's `timeout`.
        """
        sent = channel.metadata(self._key)
        return Session(
            lambda commands: self._stub.StreamSynthesize(commands, metadata=sent), self.target, options
        )

    def speak(self, tokens: Iterable[str], **options: Unpack[SpeechOptions]) -> Speech:
        """Speak a text while it is written: `tokens` are its fragments, cut anywhere, as a language model's.

        They are taken in a thread of their own; what the iterable raises is raised while the sound is read.
        For more than one utterance, open a `session` and keep it.
        """
        for_session, for_context = divided(options)
        session = self.session(**for_session)
        return Speech(session, session.speak(tokens, **for_context))

    def voices(self, language: str = "") -> list[Voice]:
        """The voices of the server, only those that speak `language` where it is given."""
        request = voice_pb2.ListVoicesRequest(language=language)
        limit = self._timeout or channel.LIST_TIMEOUT
        try:
            answer = self._stub.ListVoices(request, timeout=limit, metadata=channel.metadata(self._key))
        except grpc.RpcError as error:
            raise from_rpc(error, self.target) from error
        return [wire.voice(voice) for voice in answer.voices]

    def close(self) -> None:
        """Close the connection; streams that are still open end with Cancelled."""
        self._channel.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class SpeechStream(Progress):
    """The sound of one utterance, chunk by chunk as it is made.

        with client.synthesize("Hello") as stream:
            for chunk in stream:
                ...

    Leaving the `with` early cancels the call, which frees the server at once.
    """

    def __init__(self, call: Any, target: str) -> None:
        super().__init__()
        self._call = call
        self.target = target
        self._ended = False

    @property
    def info(self) -> SpeechInfo:
        """What the server said first; waits for it where it has not come yet."""
        while self._reading.info is None:
            message = self._receive()
            if message is None:
                raise Cancelled("The call was cancelled before the server had said anything.")
            self._take(message)
        return self._reading.info

    def __iter__(self) -> Iterator[AudioChunk]:
        return self

    def __next__(self) -> AudioChunk:
        while (message := self._receive()) is not None:
            chunk = self._take(message)
            if chunk is not None:
                return chunk
        raise StopIteration

    def cancel(self) -> None:
        """Stop at once, from any thread; reading then ends quietly."""
        if not self._ended:
            self._cancelled = True
            self._call.cancel()

    def read(self) -> bytes:
        """All the sound at once; a WAV file's header then says the right length."""
        data = b"".join(chunk.data for chunk in self)
        return whole(data, self.info.encoding)

    def save(self, path: str | PathLike[str]) -> SpeechResult:
        """Write the sound to a file, which appears under its name only when it is whole.

        It comes as the request asked, usually at the pace of a listener; `synthesize_to_file` is faster.
        A `.wav` of bare samples gets its header; a name that promises another encoding is a ValueError.
        """
        with self, AudioFile(path, self.info.encoding, self.info.sample_rate) as file:
            for chunk in self:
                file.write(chunk.data)
            return self.result

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.cancel()

    def _receive(self) -> Any | None:
        """The next message, None after the last or where we cancelled."""
        if self._ended:
            return None
        try:
            message = next(self._call, None)
        except grpc.RpcError as error:
            self._ended = True
            if self._cancelled:
                return None
            raise from_rpc(error, self.target, self.begun) from error
        if message is None:
            self._ended = True
            self._reading.end()
        return message

    def _take(self, message: Any) -> AudioChunk | None:
        try:
            return self._reading.take(message)
        except StreamBroken:
            self.cancel()
            raise
