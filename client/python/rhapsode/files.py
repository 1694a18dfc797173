"""Sound into files: which name means which encoding, WAV headers that say the right length, whole files only.

What must not live here: calls, playback. A WAV that is streamed cannot know its length when it begins, so
its header says 0xFFFFFFFF, and whoever stores it puts the right sizes in afterwards (RIFF, Microsoft 1991).
"""

from __future__ import annotations

import os
import struct
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from os import PathLike
from pathlib import Path
from types import TracebackType
from typing import BinaryIO, Self

from rhapsode.options import SpeechOptions
from rhapsode.speech import Encoding, Pace

BY_SUFFIX = {
    ".wav": Encoding.WAV,
    ".ogg": Encoding.OGG_OPUS,
    ".opus": Encoding.OGG_OPUS,
    ".pcm": Encoding.PCM_S16LE,
    ".raw": Encoding.PCM_S16LE,
    ".ulaw": Encoding.MULAW,
    ".alaw": Encoding.ALAW,
}
"""What a file's name promises about its content."""

UNKNOWN_SIZE = 0xFFFFFFFF
SAMPLE_BYTES = 2
HEADER_BYTES = 4096
"""A WAV header longer than this is none; ours has 44 bytes."""


def encoding_of(path: str | PathLike[str]) -> Encoding | None:
    """The encoding that the name promises, None where it promises nothing."""
    return BY_SUFFIX.get(Path(path).suffix.lower())


def for_file(path: str | PathLike[str], options: SpeechOptions) -> SpeechOptions:
    """The options for sound that goes into this file: its name's encoding, and nobody to wait for."""
    promised = encoding_of(path)
    usual = SpeechOptions(pace=Pace.FASTEST)
    if promised is not None:
        usual["format"] = promised
    return usual | options


def wav_header(sample_rate: int, size: int = UNKNOWN_SIZE) -> bytes:
    """Header of a WAV file with `size` bytes of 16 bit samples, one channel [44 bytes]."""
    form = struct.pack("<IHHIIHH", 16, 1, 1, sample_rate, sample_rate * SAMPLE_BYTES, SAMPLE_BYTES, 16)
    riff = min(size + 36, UNKNOWN_SIZE)
    return b"RIFF" + struct.pack("<I", riff) + b"WAVEfmt " + form + b"data" + struct.pack("<I", size)


def data_offset(head: bytes) -> int | None:
    """Where the samples begin in a WAV file that begins with `head`; None where it is no WAV file."""
    if head[:4] != b"RIFF" or head[8:12] != b"WAVE":
        return None
    at = 12
    while at + 8 <= len(head):
        if head[at : at + 4] == b"data":
            return at + 8
        size: int = struct.unpack_from("<I", head, at + 4)[0]
        at += 8 + size + size % 2
    return None


def sizes(head: bytes, length: int) -> tuple[tuple[int, bytes], ...]:
    """Offset and content of the sizes in a WAV file of `length` bytes that begins with `head`.

    () where it is no WAV file, or longer than the 4 GiB that the sizes can say.
    """
    begin = data_offset(head)
    if begin is None or length - 8 > UNKNOWN_SIZE:
        return ()
    return (4, struct.pack("<I", length - 8)), (begin - 4, struct.pack("<I", length - begin))


def whole(data: bytes, encoding: Encoding) -> bytes:
    """The same sound, with the right sizes where it is a WAV file."""
    if encoding is not Encoding.WAV:
        return data
    mended = bytearray(data)
    for at, content in sizes(data[:HEADER_BYTES], len(data)):
        mended[at : at + 4] = content
    return bytes(mended)


class AudioFile:
    """A file that gets sound piece by piece, and its name only when it is whole.

    Until then it is called `<name>.part`, and it is removed where something goes wrong. What is no
    plain file (a device, a pipe) is written to directly. Raises ValueError where the name promises another
    encoding than `encoding`, OSError with the name that was given where it cannot be written.
    """

    def __init__(self, path: str | PathLike[str], encoding: Encoding, sample_rate: int) -> None:
        self.path = Path(path)
        promised = encoding_of(path)
        self._header = b""
        if promised is Encoding.WAV and encoding is Encoding.PCM_S16LE:
            self._header = wav_header(sample_rate)
        elif promised is not None and promised is not encoding:
            raise ValueError(f"{self.path.name} promises {promised}, but the sound is {encoding}.")
        direct = self.path.exists() and not self.path.is_file()
        self._written = self.path if direct else self.path.with_name(self.path.name + ".part")

    def __enter__(self) -> Self:
        with self._named():
            self._file: BinaryIO = self._written.open("w+b" if self._written != self.path else "wb")
            self._file.write(self._header)
        return self

    def write(self, data: bytes) -> None:
        """More sound."""
        with self._named():
            self._file.write(data)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is not None:
            self._discard()
            return
        with self._named():
            try:
                self._mend()
                self._file.close()  # writes what is still in memory, for which the disk may be too full
                if self._written != self.path:
                    os.replace(self._written, self.path)
            except BaseException:
                self._discard()
                raise

    @contextmanager
    def _named(self) -> Iterator[None]:
        """What goes wrong is about the name that was given, not about the one until it is whole."""
        try:
            yield
        except OSError as error:
            raise OSError(error.errno, error.strerror, str(self.path)) from error

    def _mend(self) -> None:
        if self._written == self.path:
            return
        length = self._file.tell()
        self._file.seek(0)
        head = self._file.read(HEADER_BYTES)
        for at, content in sizes(head, length):
            self._file.seek(at)
            self._file.write(content)

    def _discard(self) -> None:
        with suppress(OSError):
            self._file.close()
        if self._written != self.path:
            self._written.unlink(missing_ok=True)
