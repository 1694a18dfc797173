"""One utterance of a session of the blocking client, and the text that speaks in a session of its own.

aio_context.py has the twins for asyncio. What must not live here: threads, the stream (session.py), its rules
(exchange.py).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Self

from rhapsode import session_wire as wire
from rhapsode.context_state import ContextState
from rhapsode.exchange import Account
from rhapsode.speech import AudioChunk, SpeechInfo, SpeechResult
from rhapsode.talk import ContextEvent, Heard

if TYPE_CHECKING:
    from rhapsode.session import Session


class Context(ContextState):
    """One utterance of a session. Write to it, iterate over its sound, or cancel it at any word.

        with session.start() as context:
            context.send("Hello, ")
            context.send("world.")
            context.end()
            for chunk in context:
                ...

    Leaving the `with` early cancels it. Writing and reading may be done by different threads.
    """

    def __init__(self, session: Session, account: Account) -> None:
        super().__init__(account)
        self._session = session
        self._news = session._news

    @property
    def info(self) -> SpeechInfo:
        """The voice, format and seed in use; waits until the server has said so."""
        with self._news:
            self._news.wait_for(lambda: self._account.info is not None or self._account.over)
            return self._account.opened()

    @property
    def heard(self) -> Heard:
        """How far the listener has got: at its end as the server says, before that as is known here."""
        with self._news:
            return self._account.known()

    # ---- what is written

    def send(self, text: str) -> None:
        """More text, cut anywhere. Ignored where the context is over, as its reader is told why."""
        with self._news:
            command = wire.text(self.name, text)
            if self._account.write(text):
                self._session._tell_in_turn(command)

    def flush(self, flush_id: str = "") -> None:
        """Speak all there is; `events` has a Flushed of that name after its sound."""
        self._say(wire.flush(self.name, flush_id))

    def end(self) -> None:
        """There will be no more text."""
        self._account.ended = True
        self._say(wire.end(self.name))

    def write_all(self, tokens: Iterable[str]) -> None:
        """Send `tokens` as they come, then end the context; stop early where it is over.

        What the iterable raises ends the context, and is raised to whoever reads it.
        """
        try:
            for token in tokens:
                if self.over:
                    return
                self.send(token)
            self.end()
        except BaseException as error:  # noqa: BLE001 - it is the reader's to know of
            with self._news:
                self._session._tell(self._account.stop())
                self._account.fail(error)
                self._news.notify_all()

    def change_speed(self, factor: float) -> None:
        """From the next phrase on that is not being spoken yet."""
        self._say(wire.speed(self.name, factor))

    # ---- what the listener does

    def report(self, played_samples: int) -> None:
        """The listener has played so much. A few times a second is plenty; it lets the server plan."""
        self._listen(played_samples)

    def pause(self, played_samples: int | None = None) -> None:
        """The listener has paused, at that sample if it is known: the server works for others meanwhile."""
        self._listen(played_samples, paused=True)

    def resume(self) -> None:
        """The listener goes on."""
        self._listen(paused=False)

    def cancel(self, played_samples: int | None = None) -> Heard:
        """Be silent at once; waits for what was heard of the text.

        The listener stood at `played_samples`; else where the last report said, else all counts as heard that
        was taken from here. A context that is over already gives what is known here.
        """
        with self._news:
            command = self._account.stop(played_samples)
            if not self._account.over:
                self._session._tell(command)
                self._news.wait_for(lambda: self._account.over)
            return self._account.known()

    # ---- what comes

    def events(self) -> Iterator[ContextEvent]:
        """Sound, the ends of flushes and warnings, in order, to the context's end; raises its error."""
        while (event := self._next()) is not None:
            yield event

    def __iter__(self) -> Iterator[AudioChunk]:
        """The sound alone."""
        return (event for event in self.events() if isinstance(event, AudioChunk))

    def _next(self) -> ContextEvent | None:
        with self._news:
            while (event := self._account.give()) is None and not self._account.over:
                self._news.wait()
            answer = self._account.balance()
            if answer is not None:
                self._session._tell(answer)
            return event

    def _listen(self, played: int | None = None, *, paused: bool | None = None) -> None:
        with self._news:
            self._say(self._account.listen(played, paused=paused))

    def _say(self, command: wire.Command) -> None:
        with self._news:
            if not self._account.over:
                self._session._tell(command)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if not self.over:
            self.cancel()


class Speech:
    """The sound of one text that is still being written, in a session of its own: what `Client.speak` gives.

        for chunk in client.speak(tokens):
            ...

    Leaving the loop early, or the `with`, cancels the rest; `heard` then says how far the listener got.
    """

    def __init__(self, session: Session, context: Context) -> None:
        self._session = session
        self.context = context

    @property
    def info(self) -> SpeechInfo:
        """The voice, format and seed in use; waits until the server has said so."""
        return self.context.info

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
        """Seconds from the call to the first sound, None before it came."""
        return self.context.first_audio_after

    def cancel(self, played_samples: int | None = None) -> Heard:
        """Be silent at once, see `Context.cancel`; from any thread."""
        return self.context.cancel(played_samples)

    def __iter__(self) -> Iterator[AudioChunk]:
        try:
            yield from self.context
        finally:
            self.close()

    def close(self) -> None:
        """Cancel what is left and end the session."""
        if not self.context.over:
            self.context.cancel()
        self._session.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
