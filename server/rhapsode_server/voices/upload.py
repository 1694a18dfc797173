"""A recording on its way in: bounded in bytes, in time, and in how many there are at a time.

What must not live here: what becomes of it (studio.py), decoding (audio/clip.py), gRPC.
"""

from __future__ import annotations

import asyncio
import io
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field

from rhapsode_server.errors import InvalidRequest, TooManyUploads, UploadTooSlow

RETRY_SECONDS = 2.0
"""When to come back where all places are taken: about what making a voice takes."""


@dataclass(frozen=True, slots=True)
class UploadLimits:
    """`size` in bytes, `seconds` of sound, `at_once` of all callers, `time` in seconds for one upload."""

    size: int = 16 * 1024 * 1024
    seconds: float = 30.0
    at_once: int = 4
    time: float = 60.0


@dataclass(frozen=True, slots=True)
class Wanted:
    """A voice as somebody asks for it. `size`: bytes that the recording will have; 0: not known."""

    name: str = ""
    language: str = ""
    description: str = field(default="", repr=False)
    transcript: str = field(default="", repr=False)
    consent: bool = False
    size: int = 0


Part = Wanted | bytes
"""What comes of an upload: first what is wanted, then the recording, cut anywhere."""


class Places:
    """How many uploads there are, and whose. On one event loop."""

    def __init__(self, limits: UploadLimits) -> None:
        self._limits = limits
        self._taken: Counter[str] = Counter()

    @contextmanager
    def take(self, owner: str) -> Iterator[None]:
        """For the time of one upload. A known caller has at most half of the places, so that others get in.

        Raises TooManyUploads.
        """
        most = self._limits.at_once
        own = max(1, most // 2) if owner else most
        if self._taken.total() >= most or self._taken[owner] >= own:
            raise TooManyUploads(
                f"As many recordings are on their way as may be. Try again in {RETRY_SECONDS:g} s.",
                RETRY_SECONDS,
            )
        self._taken[owner] += 1
        try:
            yield
        finally:
            self._taken[owner] -= 1
            if not self._taken[owner]:
                del self._taken[owner]


@asynccontextmanager
async def in_time(limits: UploadLimits) -> AsyncIterator[None]:
    """Raises UploadTooSlow where what is inside takes longer than an upload may."""
    try:
        async with asyncio.timeout(limits.time):
            yield
    except TimeoutError:
        raise UploadTooSlow(
            f"The recording was not there after {limits.time:g} seconds, the most that an upload may take."
            " Send it faster, or a shorter one."
        ) from None


async def first(parts: AsyncIterator[Part]) -> Wanted:
    """What is wanted, which comes before the recording. Raises InvalidRequest."""
    part = await anext(parts, None)
    if not isinstance(part, Wanted):
        raise InvalidRequest("config", "The first message must be config. Send it before the recording.")
    return part


async def recording(parts: AsyncIterator[Part], size: int, limits: UploadLimits) -> bytes:
    """The rest: `size` bytes, or as many as come where it is 0.

    Raises InvalidRequest before more is held than may be, and where the length is not the one announced.
    """
    check_size(size, limits)
    held = io.BytesIO()
    async for part in parts:
        if isinstance(part, Wanted):
            raise InvalidRequest("config", "Only the first message may be config. Send audio after it.")
        check_size(held.tell() + len(part), limits)
        held.write(part)
    came = held.tell()
    if not came:
        raise InvalidRequest("audio", "There is no recording. Send one after config.")
    if size and came != size:
        raise InvalidRequest(
            "audio", f"The recording has {came:,} bytes and not the {size:,} of audio_bytes. Send it again."
        )
    return held.getvalue()


def check_size(size: int, limits: UploadLimits) -> None:
    """Raises InvalidRequest for a recording of too many bytes."""
    if size > limits.size:
        raise InvalidRequest(
            "audio",
            f"The recording has more than {limits.size:,} bytes. Send a shorter one, or compress it, for"
            " example as FLAC.",
        )
