"""What the command line shows of an utterance and of voices.

What must not live here: calls, files, exit codes.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import TYPE_CHECKING

from rich.bar import Bar
from rich.console import Console
from rich.table import Table

if TYPE_CHECKING:
    from rhapsode.client import SpeechStream
    from rhapsode.speech import Timings, Voice

BAR = 32
TALLIES = ("first_audio", "total")
COMPUTE = ("text", "prefill", "decode", "vocode", "encode")


@dataclass(frozen=True, slots=True)
class Measured:
    """An utterance in numbers. Seconds; `compute` is the server's own work, without waiting."""

    first_sound: float
    elapsed: float
    sound: float
    compute: float

    @property
    def real_time_factor(self) -> float:
        """Seconds of work for a second of sound; below 1 is faster than speaking.

        The server sends no faster than it is listened to, so the time that passed would say little.
        """
        return (self.compute or self.elapsed) / self.sound if self.sound else 0.0


def measure(stream: SpeechStream) -> Measured:
    """The numbers of a stream that was read to its end."""
    timings = stream.result.timings
    return Measured(
        first_sound=stream.first_audio_after or 0.0,
        elapsed=stream.elapsed,
        sound=stream.samples / stream.info.sample_rate,
        compute=sum(getattr(timings, stage) for stage in COMPUTE),
    )


def show_speech(console: Console, stream: SpeechStream) -> None:
    """The two numbers that matter, what was spoken with, and where the time went."""
    found, info = measure(stream), stream.info
    console.print(
        f"First sound after {found.first_sound * 1000:.0f} ms."
        f" {found.sound:.2f} s of sound in {found.elapsed:.2f} s,"
        f" real-time factor {found.real_time_factor:.2f}.",
        highlight=False,
        soft_wrap=True,
    )
    console.print(
        f"Voice {info.voice} ({info.model}), {info.encoding} at {info.sample_rate} Hz, seed {info.seed}"
        + (f", trace {info.trace_id}" if info.trace_id else ""),
        style="dim",
        highlight=False,
        soft_wrap=True,
    )
    console.print(timeline(stream.result.timings))


def timeline(timings: Timings) -> Table:
    """A bar for each stage of the server; stages overlap, so each bar begins at nought."""
    names = [field.name for field in fields(timings) if field.name not in TALLIES]
    longest = max((getattr(timings, name) for name in names), default=0.0) or 1.0
    table = Table(box=None, show_header=False, pad_edge=False)
    table.add_column(min_width=8)
    table.add_column(justify="right", min_width=10)
    table.add_column(width=BAR)
    for name in names:
        spent: float = getattr(timings, name)
        table.add_row(name, f"{spent * 1000:.1f} ms", Bar(longest, 0, spent, width=BAR))
    return table


def show_voices(console: Console, voices: list[Voice]) -> None:
    """A table of voices; the one that speaks where none is named has a star."""
    table = Table(box=None, pad_edge=False)
    for title in ("", "voice", "model", "languages", "Hz", "description"):
        table.add_column(title, justify="right" if title == "Hz" else "left", overflow="fold")
    for voice in voices:
        star = "*" if voice.is_default else " "
        rate = str(voice.sample_rate)
        languages = ", ".join(voice.languages)
        table.add_row(star, voice.name, voice.model, languages, rate, voice.description)
    console.print(table, highlight=False, markup=False)
