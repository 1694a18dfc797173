"""What the command line shows of an utterance and of voices.

What must not live here: calls, files, exit codes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from rich.bar import Bar
from rich.console import Console
from rich.table import Table

if TYPE_CHECKING:
    from rhapsode.speech import SpeechInfo, SpeechResult, StageTime, Voice

BAR = 32
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


class Spoken(Protocol):
    """An utterance that was heard to its end: a stream, or a context of a session."""

    @property
    def info(self) -> SpeechInfo: ...
    @property
    def result(self) -> SpeechResult: ...
    @property
    def first_audio_after(self) -> float | None: ...
    @property
    def elapsed(self) -> float: ...
    @property
    def samples(self) -> int: ...


def measure(stream: Spoken) -> Measured:
    """The numbers of a stream that was read to its end."""
    timings = stream.result.timings
    return Measured(
        first_sound=stream.first_audio_after or 0.0,
        elapsed=stream.elapsed,
        sound=stream.samples / stream.info.sample_rate,
        compute=sum(getattr(timings, stage) for stage in COMPUTE),
    )


def show_speech(console: Console, stream: Spoken) -> None:
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
    if stream.result.stages:
        console.print(timeline(stream.result.stages))


def timeline(stages: Sequence[StageTime]) -> Table:
    """The server's stages in the order in which they began, with their times in ms and a bar each.

    The stages of the first piece of the text stand one by one, for they are what the first sound waited
    for; those of all later pieces share a line, as their times would only repeat.
    """
    last = max(stage.end for stage in stages) or 1.0
    table = Table(box=None, pad_edge=False, header_style="dim")
    for title in ("stage", "from ms", "to ms", "busy ms"):
        table.add_column(title, justify="left" if title == "stage" else "right", no_wrap=True)
    table.add_column(width=BAR)
    for name, start, end, busy in _lines(stages):
        times = (f"{seconds * 1000:.1f}" for seconds in (start, end, busy))
        table.add_row(name, *times, Bar(last, start, max(end, start + last / (8 * BAR)), width=BAR))
    return table


def _lines(stages: Sequence[StageTime]) -> list[tuple[str, float, float, float]]:
    """Name, start, end and busy time of each line, by their starts."""
    lines = [(str(one.stage), one.start, one.end, one.busy) for one in stages if one.piece == 0]
    later = [one for one in stages if one.piece]
    if later:
        pieces = max(one.piece for one in later) + 1
        name = f"pieces 2-{pieces}" if pieces > 2 else "piece 2"
        ends = max(one.end for one in later)
        lines.append((name, min(one.start for one in later), ends, sum(one.busy for one in later)))
    return sorted(lines, key=lambda line: (line[1], line[2]))


def show_made(console: Console, voice: Voice) -> None:
    """What was made, and how to use it."""
    console.print(
        f'Voice {voice.name} ({voice.model}). Speak with it: rhapsode say --voice {voice.name} "Hello."',
        highlight=False,
        markup=False,
        soft_wrap=True,
    )


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
