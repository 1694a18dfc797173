"""One utterance under way: its sound as events, and what is told of it afterwards.

What must not live here: admission, the choice of a voice (synthesizer.py), where the text comes from
(pieces.py, arriving.py).
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from dataclasses import dataclass, replace

from rhapsode_server.core import AudioFormat, FinishReason, Request, Voice
from rhapsode_server.errors import DeadlineTooShort, RhapsodeError
from rhapsode_server.synthesizer.events import Audio, Done, Event, Report, Started, Terms
from rhapsode_server.synthesizer.playback import Playback
from rhapsode_server.synthesizer.speaking import Speaking
from rhapsode_server.synthesizer.stages import Spell, StageTime, Worked, timeline


@dataclass(frozen=True, slots=True)
class Order:
    """What is to be spoken, by whom, until when it is of use, and when it was asked for (seconds)."""

    request: Request
    voice: Voice
    terms: Terms
    arrived: float


class Job:
    """`events` speaks it; `settle` it afterwards, however it ended. `cancel` may come at any time."""

    def __init__(
        self,
        order: Order,
        speaking: Speaking,
        clock: Callable[[], float],
        estimate: Callable[[], float | None],
    ) -> None:
        self.order = order
        self.speaking = speaking
        self.audio = AudioFormat(order.request.audio.encoding, speaking.packer.sample_rate)
        self.done: Done | None = None
        self.failure = ""
        self.sent = 0
        """Samples that were handed to the network."""
        self.heard: int | None = None
        """Samples that the listener had heard when he interrupted; None where he did not say."""
        self._clock = clock
        self._estimate = estimate
        self._sending = Spell()
        self._playback = Playback()
        self._first_audio: float | None = None

    async def events(self, *, greet: bool = False) -> AsyncGenerator[Event, None]:
        """Started, then Audio until all is spoken, then Done. Whoever comes back has sent the one before.

        With `greet` Started comes at once, before there need be any text; otherwise it comes when the
        first piece has been handed to the engine, so that whatever is refused is refused before it.
        """
        try:
            if greet:
                yield self._started()
            await self.speaking.start()
            if not greet:
                yield self._started()
            async with aclosing(self.speaking.sound()) as sound:
                async for audio in sound:
                    handed_over = self._clock()
                    if audio.seq == 0:
                        self._first_audio = handed_over - self.order.arrived
                    yield audio
                    self._sent(audio, handed_over)
            self.done = self._so_far(self.speaking.reason)
            yield self.done
        except BaseException as error:
            self.failure = _word_for(error)
            raise
        finally:
            self.cancel()

    def _sent(self, audio: Audio, handed_over: float) -> None:
        now = self._clock()
        self._sending.add(handed_over, now)
        self.sent = audio.start + audio.samples
        seconds = audio.samples / self.audio.sample_rate
        self._playback.sent(seconds, now, excused=self.speaking.excused())

    def heard_so_far(self, played: int, sent: int, *, paused: bool) -> None:
        """The listener has heard `played` of the `sent` samples, and may have paused."""
        rate = self.audio.sample_rate
        self._playback.stands((sent - played) / rate, self._clock())
        self.speaking.heard(played / rate, paused)

    def cancel(self) -> None:
        """Give every slot back within one step; harmless after the end."""
        self.speaking.cancel()

    async def settle(self) -> Report:
        """Wait until the engine has let go of it; returns the whole story. The last thing to call."""
        ended = self._clock()
        await self.speaking.settled()
        if self.done is None:
            self.done = self._so_far(self._why_unfinished(ended))
        else:
            self.sent = self.done.usage.delivered  # the last of it may be on its way to the wire still
        return Report(
            request=self.order.request,
            voice=self.order.voice,
            audio=self.audio,
            started=self.order.arrived,
            ended=ended,
            done=self.done,
            pieces=self.speaking.records(),
            failure=self.failure,
            unsent=max(0, self.speaking.sounded() - self.sent),
            unheard=0 if self.heard is None else max(0, self.sent - self.heard),
            gaps=tuple(self._playback.gaps),
            underruns=self._playback.underruns,
        )

    def _started(self) -> Started:
        waited = self._clock() - self.order.arrived
        return Started(self.order.voice, self.audio, waited, self._estimate())

    def _so_far(self, reason: FinishReason) -> Done:
        timings = replace(
            self.speaking.timings(),
            send=self._sending.busy,
            first_audio=self._first_audio,
            total=self._clock() - self.order.arrived,
            stages=self._stages(),
        )
        return Done(reason, self.speaking.usage(), timings)

    def _stages(self) -> tuple[StageTime, ...]:
        arrived, received = self.order.arrived, self.order.terms.received
        pieces = [Worked(one.text_started, one.text_ended, one.stamps) for one in self.speaking.records()]
        return timeline(
            arrived if received is None else received,
            arrived,
            pieces,
            self.speaking.packer.worked,
            self._sending,
        )

    def _why_unfinished(self, ended: float) -> FinishReason:
        if self.failure not in ("", DeadlineTooShort.reason):
            return FinishReason.ERROR
        time_left = self.order.terms.time_left
        late = time_left is not None and ended - self.order.arrived >= time_left
        return FinishReason.DEADLINE if late else FinishReason.CANCELLED


def _word_for(error: BaseException) -> str:
    """The stable word for what ended an utterance; "" where the caller did."""
    if isinstance(error, RhapsodeError):
        return error.reason
    return "" if isinstance(error, GeneratorExit | asyncio.CancelledError) else "INTERNAL"
