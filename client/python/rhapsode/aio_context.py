"""One utterance of a session for asyncio: the twin of context.py, which says what belongs here."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterable, AsyncIterator, Iterable
from typing import TYPE_CHECKING, Self

from rhapsode import session_wire as wire
from rhapsode.context_state import ContextState
from rhapsode.exchange import Account
from rhapsode.options import ContextOptions
from rhapsode.speech import AudioChunk, SpeechInfo, SpeechResult
from rhapsode.talk import ContextEvent, Heard

if TYPE_CHECKING:
    from rhapsode.aio_session import AsyncSession

Tokens = Iterable[str] | AsyncIterable[str]


class AsyncContext(ContextState):
    """One utterance of a session; see `Context`. Writing and reading may be done by different tasks."""

    def __init__(self, session: AsyncSession, account: Account) -> None:
        super().__init__(account)
        self._session = session

    async def started(self) -> SpeechInfo:
        """The voice, format and seed in use; waits until the server has said so."""
        await self._session._until(lambda: self._account.info is not None or self._account.over)
        return self._account.opened()

    # ---- what is written

    async def send(self, text: str) -> None:
        """More text, cut anywhere. Ignored where the context is over, as its reader is told why."""
        command = wire.text(self.name, text)
        if self._account.write(text):
            await self._session._tell(command)

    async def flush(self, flush_id: str = "") -> None:
        """Speak all there is; `events` has a Flushed of that name after its sound."""
        await self._say(wire.flush(self.name, flush_id))

    async def end(self) -> None:
        """There will be no more text."""
        self._account.ended = True
        await self._say(wire.end(self.name))

    async def write_all(self, tokens: Tokens) -> None:
        """Send `tokens` as they come, then end the context; stop early where it is over.

        What the iterable raises ends the context, and is raised to whoever reads it.
        """
        try:
            async for token in _each(tokens):
                if self.over:
                    return
                await self.send(token)
            await self.end()
        except Exception as error:  # noqa: BLE001 - it is the reader's to know of
            await self._say(self._account.stop())
            self._account.fail(error)
            await self._session._tell_all()

    async def change_speed(self, factor: float) -> None:
        """From the next phrase on that is not being spoken yet."""
        await self._say(wire.speed(self.name, factor))

    # ---- what the listener does

    async def report(self, played_samples: int) -> None:
        """The listener has played so much. A few times a second is plenty; it lets the server plan."""
        await self._say(self._account.listen(played_samples))

    async def pause(self, played_samples: int | None = None) -> None:
        """The listener has paused, at that sample if it is known: the server works for others meanwhile."""
        await self._say(self._account.listen(played_samples, paused=True))

    async def resume(self) -> None:
        """The listener goes on."""
        await self._say(self._account.listen(paused=False))

    async def cancel(self, played_samples: int | None = None) -> Heard:
        """Be silent at once; waits for what was heard of the text. See `Context.cancel`."""
        command = self._account.stop(played_samples)
        if not self._account.over:
            await self._session._tell(command)
            await self._session._until(lambda: self._account.over)
        return self.heard

    # ---- what comes

    async def events(self) -> AsyncIterator[ContextEvent]:
        """Sound, the ends of flushes and warnings, in order, to the context's end; raises its error."""
        while (event := await self._next()) is not None:
            yield event

    async def __aiter__(self) -> AsyncIterator[AudioChunk]:
        """The sound alone."""
        while (event := await self._next()) is not None:
            if isinstance(event, AudioChunk):
                yield event

    async def _next(self) -> ContextEvent | None:
        while (event := self._account.give()) is None and not self._account.over:
            await self._session._until(lambda: self._account.waiting or self._account.over)
        answer = self._account.balance()
        if answer is not None:
            await self._session._tell(answer)
        return event

    async def _say(self, command: wire.Command) -> None:
        if not self._account.over:
            await self._session._tell(command)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        if not self.over:
            await self.cancel()


class AsyncSpeech:
    """The sound of one text that is still being written: what `AsyncClient.speak` gives. See `Speech`.

        async with client.speak(tokens) as speech:
            async for chunk in speech:
                ...

    A loop without the `async with` does as well; left early, it ends its session a little later.
    """

    def __init__(self, session: AsyncSession, tokens: Tokens, options: ContextOptions) -> None:
        self._session = session
        self._tokens = tokens
        self._options = options
        self._context: AsyncContext | None = None

    @property
    def context(self) -> AsyncContext:
        """The one context; RuntimeError before the speech has begun."""
        if self._context is None:
            raise RuntimeError("The speech has not begun: use `async with`, or read it.")
        return self._context

    @property
    def result(self) -> SpeechResult:
        """How it ended; RuntimeError before that, Cancelled where the loop was left early."""
        return self.context.result

    @property
    def heard(self) -> Heard:
        """How far the listener has got."""
        return self.context.heard

    @property
    def first_audio_after(self) -> float | None:
        """Seconds from the beginning to the first sound, None before it came."""
        return self.context.first_audio_after

    async def started(self) -> SpeechInfo:
        """The voice, format and seed in use; waits until the server has said so."""
        return await self.context.started()

    async def cancel(self, played_samples: int | None = None) -> Heard:
        """Be silent at once, see `Context.cancel`."""
        return await self.context.cancel(played_samples)

    async def __aiter__(self) -> AsyncIterator[AudioChunk]:
        await self._begin()
        try:
            async for chunk in self.context:
                yield chunk
        finally:
            await self.close()

    async def close(self) -> None:
        """Cancel what is left and end the session."""
        if self._context is not None and not self._context.over:
            await self._context.cancel()
        await self._session.close()

    async def _begin(self) -> None:
        if self._context is None:
            await self._session.__aenter__()
            self._context = await self._session.speak(self._tokens, **self._options)

    async def __aenter__(self) -> Self:
        await self._begin()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()


async def _each(tokens: Tokens) -> AsyncIterator[str]:
    if isinstance(tokens, AsyncIterable):
        async for token in tokens:
            yield token
        return
    for token in tokens:
        yield token
        await asyncio.sleep(0)  # an ordinary iterable gives nobody else a turn
