"""A session followed event by event: whose an event is, what was heard of whom, who must be held back.

What lives here: the rules of the stream, once for both clients. What must not: gRPC, threads, waiting.
"""

from __future__ import annotations

from collections import deque
from typing import Any

from rhapsode import session_wire as wire
from rhapsode.errors import Cancelled, RhapsodeError, StreamBroken, again, from_status
from rhapsode.options import ContextOptions
from rhapsode.reading import Reading
from rhapsode.speech import AudioChunk, SpeechInfo, SpeechResult, Word
from rhapsode.talk import ContextEvent, Draining, Heard, SessionInfo, Warned
from rhapsode.tts.v1 import synthesis_pb2

Response = synthesis_pb2.SynthesizeResponse
MOST_HELD = 20.0
"""Seconds of sound that may wait here for a program that does not take it. The server is then told that the
listener has paused, which holds up this one context; not reading the stream would hold up all of them."""
FEW_HELD = 5.0
"""Seconds of sound at which such a context goes on."""
KEEP_ALIVE = 20.0
"""Seconds of silence after which the server is told that somebody is still there, while a context is open.
Less where the server waits for less than three times as long; never more, for proxies may wait for less."""


class Account:
    """One context as its client knows it: what was written, what has come, what was given away."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.heard: Heard | None = None
        self.error: BaseException | None = None
        self.given = 0
        self.played: int | None = None
        self.paused = False
        self.held_back = False
        self.ended = False
        self._reading = Reading()
        self._written: list[str] = []
        self._words: list[Word] = []
        self._waiting: deque[ContextEvent] = deque()

    @property
    def info(self) -> SpeechInfo | None:
        """What the server said first."""
        return self._reading.info

    @property
    def result(self) -> SpeechResult | None:
        """How it ended, where it did so by itself."""
        return self._reading.result

    @property
    def first_audio_after(self) -> float | None:
        """Seconds from the opening of the context to its first sound."""
        return self._reading.first_audio_after

    @property
    def elapsed(self) -> float:
        """Seconds from the opening of the context to its latest event of note."""
        return self._reading.elapsed

    @property
    def samples(self) -> int:
        """Samples that have come."""
        return self._reading.samples

    @property
    def over(self) -> bool:
        """Whether nothing more will come."""
        return self.result is not None or self.heard is not None or self.error is not None

    @property
    def waiting(self) -> bool:
        """Whether there is something to give."""
        return bool(self._waiting)

    @property
    def text(self) -> str:
        """All text so far."""
        if len(self._written) > 1:
            self._written = ["".join(self._written)]
        return self._written[0] if self._written else ""

    @property
    def buffered(self) -> int:
        """Samples that have come and were not given away."""
        return self.samples - self.given

    def write(self, text: str) -> bool:
        """So much more text goes out; False where the context is over and nobody will hear it."""
        if self.ended:
            raise RuntimeError(f"The context {self.name!r} has been given all its text: start another one.")
        self._written.append(text)
        return not self.over

    def take(self, event: wire.Event) -> None:
        """An event about this context. Raises StreamBroken where the contract is not kept."""
        match event.WhichOneof("event"):
            case "context_started":
                self._reading.take(Response(started=event.context_started))
            case "audio":
                self._sounded(self._reading.take(Response(audio=event.audio)))
            case "flush_done":
                self._waiting.append(wire.flushed(event.flush_done))
            case "warning":
                said: Any = event.warning  # for a type checker this is Python's own Warning
                self._waiting.append(Warned(said.reason, said.message))
            case "context_done":
                self._reading.take(Response(done=event.context_done))
            case "context_cancelled":
                self.heard = wire.heard(event.context_cancelled)
                self._waiting.clear()
            case "context_error":
                self.fail(from_status(event.context_error))

    def _sounded(self, chunk: AudioChunk | None) -> None:
        if chunk is not None:
            self._words += chunk.words
            self._waiting.append(chunk)

    def fail(self, error: BaseException) -> None:
        """It has ended on an error; one of ours is told how much was heard."""
        if not self.over:
            self.error = again(error, self.so_far()) if isinstance(error, RhapsodeError) else error

    def give(self) -> ContextEvent | None:
        """The next event, None where there is none at present; at last raises the error that ended it."""
        if self._waiting:
            event = self._waiting.popleft()
            if isinstance(event, AudioChunk):
                self.given = event.start_sample + event.sample_count
            return event
        if self.error is not None:
            raise self.error
        return None

    def outcome(self) -> SpeechResult:
        """How it ended; RuntimeError before it has, Cancelled where it was cancelled, or its error."""
        if self.error is not None:
            raise self.error
        if self.heard is not None:
            raise Cancelled("The context was cancelled before all the sound had come.")
        if self.result is None:
            raise RuntimeError("There is no result yet: read the context to its end first.")
        return self.result

    def opened(self) -> SpeechInfo:
        """What the server said first; raises what ended the context before that."""
        if self.info is None:
            self.outcome()
            raise Cancelled("The context was cancelled before the server had said anything.")
        return self.info

    def stands(self) -> int:
        """Samples that were heard: as was reported, else all that was given away."""
        return self.given if self.played is None else min(self.played, self.samples)

    def so_far(self) -> Heard:
        """What was heard of the text, as the server would count it: to the end of the last word begun."""
        end, text = self.stands(), self.text
        if self.result is not None and self.result.complete and end == self.samples:
            return Heard(text, "", len(text), end)
        characters = max((word.char_end for word in self._words if word.start_sample < end), default=0)
        return Heard(text[:characters], text[characters:], characters, end)

    def known(self) -> Heard:
        """What was heard: as the server said at the end, before that as is known here."""
        return self.heard or self.so_far()

    def listen(self, played: int | None = None, *, paused: bool | None = None) -> wire.Command:
        """The listener is at that sample, has paused or goes on: to be told to the server."""
        self.played = self.played if played is None else played
        self.paused = self.paused if paused is None else paused
        return self.report()

    def stop(self, played: int | None = None) -> wire.Command:
        """The listener wants no more, and has come to that sample: to be told to the server."""
        self.played = self.played if played is None else played
        return wire.cancel(self.name, self.stands())

    def balance(self) -> wire.Command | None:
        """What to tell the server so that no more waits here than should; mostly nothing."""
        if self.info is None or self.over:
            return None
        seconds = self.buffered / self.info.sample_rate
        if seconds > MOST_HELD and not self.held_back:
            self.held_back = True
        elif seconds < FEW_HELD and self.held_back:
            self.held_back = False
        else:
            return None
        return self.report()

    def report(self) -> wire.Command:
        """How far the listener is, as far as it is known here."""
        return wire.report(self.name, self.stands(), self.buffered, paused=self.paused or self.held_back)


class Exchange:
    """All contexts of one session."""

    def __init__(self) -> None:
        self.info: SessionInfo | None = None
        self.notice: Draining | None = None
        self.error: RhapsodeError | None = None
        self.over = False
        self.leaving = False
        self._pinged = 0
        self._unanswered: set[int] = set()
        self._open: dict[str, Account] = {}
        self._opened = 0

    @property
    def speaking(self) -> bool:
        """Whether a context is open."""
        return bool(self._open)

    @property
    def keep_alive(self) -> float:
        """Seconds of silence after which to ping while a context is open, once the server has answered."""
        patience = self.info.idle_timeout if self.info else 0.0
        return min(KEEP_ALIVE, patience / 3) if patience else KEEP_ALIVE

    def ask(self) -> tuple[int, wire.Command]:
        """A number that no other ping has had, and the ping; the client's own to stay alive all have 0."""
        self._pinged += 1
        self._unanswered.add(self._pinged)
        return self._pinged, wire.ping(self._pinged)

    def settled(self, nonce: int) -> bool:
        """Whether nobody need wait for that ping any more: it was answered, or the session has ended."""
        return self.over or nonce not in self._unanswered

    def answered(self, nonce: int) -> None:
        """That ping is settled. Raises what ended the session where that came before the answer."""
        if nonce in self._unanswered:
            raise self.error or Cancelled("The session was closed.")

    def start(self, name: str, options: ContextOptions) -> tuple[Account, wire.Command]:
        """A new context and the command that opens it; an empty name gets a number.

        Raises the session's error, ValueError for a name in use, and what `session_wire.opening` raises.
        """
        if self.error is not None:
            raise self.error
        if self.over or self.leaving:
            raise RuntimeError("The session is closed. Open another one.")
        account = Account(name or f"context-{self._opened + 1}")
        if account.name in self._open:
            raise ValueError(f"A context called {name!r} is open already.")
        command = wire.opening(account.name, options)
        self._opened += 1
        self._open[account.name] = account
        return account, command

    def take(self, event: wire.Event) -> wire.Command | None:
        """An event of the server's; returns what it is to be told because of it, mostly nothing."""
        match event.WhichOneof("event"):
            case "session_started":
                self.info = wire.info(event.session_started)
            case "server_notice":
                self.notice = wire.draining(event.server_notice) or self.notice
            case "pong":
                self._unanswered.discard(event.pong.nonce)
            case _:
                return self._tell(event)
        return None

    def _tell(self, event: wire.Event) -> wire.Command | None:
        account = self._open.get(event.context_id)
        if account is None:
            return None  # a word about a context that is over
        account.take(event)
        if account.over:
            del self._open[account.name]
        return account.balance()

    def close(self, error: RhapsodeError | None = None) -> None:
        """The stream has ended: every context that is open ends with it."""
        if self.over:
            return
        self.over, self.error = True, error
        if error is None and self._open and not self.leaving:
            error = StreamBroken("The session ended before the server said that it was done. Try again.")
        for account in self._open.values():
            account.fail(error or Cancelled("The session was closed."))
        self._open.clear()
