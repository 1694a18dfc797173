"""Sound to the loudspeaker, with a cushion against a network that comes in fits.

What lives here: the buffer between network and sound card, and the card through `sounddevice`. What must
not: calls. Only 16 bit samples of one channel can be played.
"""

from __future__ import annotations

import threading
from types import ModuleType, TracebackType
from typing import Any, Self

SAMPLE_BYTES = 2
CUSHION = 0.08
"""Seconds of sound to have before beginning, and again after the buffer has run dry."""


class NoSoundDevice(Exception):
    """Nothing can be played here; the message says why, in one sentence."""


class JitterBuffer:
    """Bytes in from one thread, out to another, never waiting: what is not there is silence.

    It begins to give once it holds `cushion` bytes, or `rest` or `close` says that no more will come. Running
    dry before that counts as one under-run, however long it lasts, and the cushion is built up again.
    """

    def __init__(self, cushion: int) -> None:
        self.underruns = 0
        self.given = 0
        self.drained = threading.Event()
        self._cushion = cushion
        self._held = bytearray()
        self._giving = False
        self._closed = False
        self._resting = False
        self._lock = threading.Lock()

    def push(self, data: bytes) -> None:
        """More sound."""
        with self._lock:
            self._held += data
            self._resting = False

    def rest(self) -> None:
        """A phrase has ended: no more will come for now, and who waits for more has not run dry."""
        with self._lock:
            self._resting = True

    def close(self) -> None:
        """No more sound will come."""
        with self._lock:
            self._closed = True

    def pull(self, count: int) -> bytes:
        """Exactly `count` bytes, filled up with silence."""
        with self._lock:
            ended = self._closed or self._resting
            self._giving = self._giving or ended or len(self._held) >= self._cushion
            given = bytes(self._held[:count]) if self._giving else b""
            del self._held[: len(given)]
            self.given += len(given)
            self._notice(len(given) < count)
        return given + bytes(count - len(given))

    def _notice(self, dry: bool) -> None:
        if self._closed and not self._held:
            self.drained.set()
        elif self._giving and dry:
            self.underruns += not self._resting
            self._giving = False


class Player:
    """Play what is written, as it comes; leaving the `with` waits until all of it was heard.

    Leaving with an error is silent at once. Raises NoSoundDevice where nothing can be played.
    """

    def __init__(self, sample_rate: int, *, cushion: float = CUSHION) -> None:
        self._buffer = JitterBuffer(round(sample_rate * cushion) * SAMPLE_BYTES)
        self._driver = find_device()
        try:
            self._stream: Any = self._driver.RawOutputStream(
                samplerate=sample_rate, channels=1, dtype="int16", latency="low", callback=self._fill
            )
        except self._driver.PortAudioError as error:
            raise NoSoundDevice(f"The sound device does not play at {sample_rate} Hz.") from error

    @property
    def underruns(self) -> int:
        """How often the sound ran dry before its end."""
        return self._buffer.underruns

    @property
    def played_samples(self) -> int:
        """Samples handed to the sound card."""
        return self._buffer.given // SAMPLE_BYTES

    def write(self, data: bytes) -> None:
        """More sound; returns at once."""
        self._buffer.push(data)

    def rest(self) -> None:
        """What was written ends a phrase; more may follow when there is more to say."""
        self._buffer.rest()

    def __enter__(self) -> Self:
        self._stream.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            if kind is None:
                self._buffer.close()
                while not self._buffer.drained.wait(0.1):
                    if not self._stream.active:  # the device was pulled out
                        break
                self._stream.stop()  # waits until what the card holds was heard
        finally:
            self._stream.abort()
            self._stream.close()

    def _fill(self, out: Any, _frames: int, _time: object, _status: object) -> None:
        """Called by the sound card's thread whenever it wants more."""
        out[:] = self._buffer.pull(len(out))


def find_device() -> ModuleType:
    """The `sounddevice` module, where it is installed and has something to play on."""
    try:
        import sounddevice
    except ModuleNotFoundError:
        raise NoSoundDevice('Nothing is played: run pip install "rhapsode[play]" to hear it.') from None
    except OSError:  # the module is there, the library under it is not
        raise NoSoundDevice("Nothing is played: the library PortAudio is not installed.") from None
    driver: ModuleType = sounddevice
    try:
        driver.query_devices(kind="output")
    except (driver.PortAudioError, ValueError):
        raise NoSoundDevice("Nothing is played: this machine has no sound device.") from None
    return driver
