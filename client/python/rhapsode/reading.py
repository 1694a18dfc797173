"""One answer of the server, followed message by message: order, gaps, the end, and the listener's clock.

What lives here: the rules of the stream, once for both clients. What must not: gRPC, waiting, asyncio.
"""

from __future__ import annotations

from collections.abc import Callable
from time import perf_counter

from rhapsode import wire
from rhapsode.errors import Cancelled, StreamBroken
from rhapsode.speech import AudioChunk, SpeechInfo, SpeechResult
from rhapsode.tts.v1 import audio_pb2, synthesis_pb2


class Reading:
    """Take every message in order; raises StreamBroken where the contract is not kept."""

    def __init__(self, clock: Callable[[], float] = perf_counter) -> None:
        self.info: SpeechInfo | None = None
        self.result: SpeechResult | None = None
        self.first_audio_after: float | None = None
        self.elapsed: float = 0.0
        self._clock = clock
        self._began = clock()
        self._seq = 0
        self._sample = 0

    def take(self, message: synthesis_pb2.SynthesizeResponse) -> AudioChunk | None:
        """The sound in the message, None where it says something else."""
        self.elapsed = self._clock() - self._began
        event = message.WhichOneof("event")
        if event is None:
            return None  # an event that this client is too old to know
        if self.info is None and event != "started":
            raise StreamBroken("The server sent sound before it said what kind of sound. Report it.")
        if self.result is not None:
            raise StreamBroken("The server went on after it had said that it was done. Report it.")
        if event == "audio":
            return self._audio(message.audio)
        if event == "started":
            self.info = wire.info(message.started)
        else:
            self.result = wire.result(message.done)
        return None

    def end(self) -> None:
        """The stream ended well: was everything said?"""
        if self.result is None:
            raise StreamBroken("The stream ended before the server said that it was done. Try again.")

    @property
    def samples(self) -> int:
        """Samples so far."""
        return self._sample

    def _audio(self, audio: audio_pb2.AudioChunk) -> AudioChunk:
        if audio.start_sample != self._sample or audio.seq != self._seq:
            raise StreamBroken(
                f"Sound is missing or doubled: sample {self._sample} was to come next, but the server"
                f" sent sample {audio.start_sample} (message {audio.seq}). Try again."
            )
        if self.first_audio_after is None:
            self.first_audio_after = self.elapsed
        self._sample += audio.sample_count
        self._seq += 1
        return wire.chunk(audio)


class Progress:
    """What a stream of either kind knows so far."""

    def __init__(self) -> None:
        self._reading = Reading()
        self._cancelled = False

    @property
    def cancelled(self) -> bool:
        """Whether this caller stopped it."""
        return self._cancelled

    @property
    def info(self) -> SpeechInfo:
        """What the server said first; RuntimeError before it came."""
        if self._reading.info is None:
            raise RuntimeError("The server has not said anything yet: wait for it first.")
        return self._reading.info

    @property
    def result(self) -> SpeechResult:
        """How it ended; RuntimeError before the stream was read to its end, Cancelled after `cancel`."""
        if self._reading.result is None:
            if self._cancelled:
                raise Cancelled("The call was cancelled before all the sound had come.")
            raise RuntimeError("There is no result yet: read the stream to its end first.")
        return self._reading.result

    @property
    def begun(self) -> bool:
        """Whether the server has answered."""
        return self._reading.info is not None

    @property
    def finished(self) -> bool:
        """Whether the server has said that it is done."""
        return self._reading.result is not None

    @property
    def first_audio_after(self) -> float | None:
        """Seconds from the call to the first sound, as seen from here; None before it came."""
        return self._reading.first_audio_after

    @property
    def elapsed(self) -> float:
        """Seconds from the call to the latest message."""
        return self._reading.elapsed

    @property
    def samples(self) -> int:
        """Samples received so far."""
        return self._reading.samples
