"""The command `rhapsode say`: text from somewhere, sound to somewhere, numbers to the terminal.

What must not live here: option parsing (cli.py), exit codes (failing.py), drawing (report.py).
"""

from __future__ import annotations

import sys
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from rich.console import Console

from rhapsode.client import Client
from rhapsode.failing import Usage, Wrong
from rhapsode.files import BY_SUFFIX, AudioFile, encoding_of
from rhapsode.options import SpeechOptions
from rhapsode.player import NoSoundDevice, Player, find_device
from rhapsode.report import Spoken, show_speech
from rhapsode.speech import Encoding, Pace, SpeechInfo, SpeechResult

STDOUT = "-"
NICKNAMES = {
    "pcm": Encoding.PCM_S16LE,
    "ulaw": Encoding.MULAW,
    "opus": Encoding.OGG_OPUS,
    "ogg": Encoding.OGG_OPUS,
}
INCOMPLETE = 5


class Sink(Protocol):
    """Where the sound goes."""

    def write(self, data: bytes) -> None:
        """Take some more."""


@dataclass(frozen=True, slots=True)
class Job:
    """What is to be done. `out` is a path, "-" for standard output, "" for the loudspeaker."""

    text: str
    options: SpeechOptions
    out: str = ""
    quiet: bool = False


def read_text(words: list[str], file: str) -> str:
    """The text from the arguments, a file, or standard input; UsageError where there is none, or two."""
    if words and file:
        raise Usage("The text is given twice: as an argument and by --file. Leave one out.")
    if words:
        return _speakable(" ".join(words))
    if not file and sys.stdin.isatty():
        raise Usage('There is no text. Give it as an argument: rhapsode say "Hello", or by --file.')
    data = sys.stdin.buffer.read() if file in ("", STDOUT) else Path(file).read_bytes()
    try:
        return _speakable(data.decode("utf-8-sig"))
    except UnicodeDecodeError as error:
        raise Usage(f"The text is not UTF-8 (byte {error.start}). Convert it first, with iconv.") from error


def _speakable(text: str) -> str:
    if not text.strip():
        raise Usage("The text is empty. Give some words, as an argument, by --file or by standard input.")
    return text.strip()


def choose_encoding(format_: str, out: str) -> Encoding:
    """The encoding that --format names, or else the name of the file promises."""
    promised = encoding_of(out)
    if not format_:
        if out in ("", STDOUT):
            return Encoding.PCM_S16LE
        if promised is None:
            known = " ".join(BY_SUFFIX)
            raise Usage(
                f"The name {out} does not say which format. End it in one of {known}, or add --format."
            )
        return promised
    chosen = _named(format_)
    wrapped = promised is Encoding.WAV and chosen is Encoding.PCM_S16LE
    if promised not in (None, chosen) and not wrapped:
        raise Usage(f"--format {format_} and the name {out} do not go together. Change one of them.")
    if not out and chosen is not Encoding.PCM_S16LE:
        raise Usage(f"Only pcm can be played; to keep {format_}, add --out FILE.")
    return chosen


def _named(format_: str) -> Encoding:
    low = format_.lower()
    if low in NICKNAMES:
        return NICKNAMES[low]
    try:
        return Encoding(low)
    except ValueError:
        choices = ", ".join(("pcm", "wav", "mulaw", "alaw", "opus"))
        raise Usage(f"There is no format {format_!r}. Choose one of: {choices}.") from None


def run(client: Client, job: Job, console: Console) -> None:
    """Speak, and show the numbers on `console`; Wrong where not the whole text was spoken."""
    refuse_terminal(job)
    silent = why_silent(job, console)
    with client.synthesize(job.text, **paced(job, silent)) as stream:
        with open_sink(job, stream.info, silent) as sink:
            for chunk in stream:
                sink.write(chunk.data)
        show(job, stream, sink, console)
    complete(stream.result)


def refuse_terminal(job: Job) -> None:
    """Raise Usage where sound would be shown as text."""
    if job.out == STDOUT and sys.stdout.isatty():
        raise Usage("Sound is not for the terminal: send it to a program, as in --out - | aplay, or a file.")


def complete(result: SpeechResult) -> None:
    """Raise Wrong where not the whole text was spoken."""
    if not result.complete:
        reason = result.finish_reason
        raise Wrong(f"Not the whole text was spoken: the server stopped with {reason}.", INCOMPLETE)


def paced(job: Job, silent: bool) -> SpeechOptions:
    """Only who listens needs the sound no faster than it is heard."""
    return SpeechOptions(pace=Pace.FASTEST) | job.options if job.out or silent else job.options


def why_silent(job: Job, console: Console) -> bool:
    """Whether nothing can be played though nothing else is asked for; says so."""
    if job.out:
        return False
    try:
        find_device()
    except NoSoundDevice as error:
        console.print(
            f"{error} Use --out FILE to keep the sound.", highlight=False, markup=False, soft_wrap=True
        )
        return True
    return False


def open_sink(job: Job, info: SpeechInfo, silent: bool) -> AbstractContextManager[Sink]:
    """Where the sound goes; raises NoSoundDevice, and Wrong for a name that promises other sound."""
    if job.out == STDOUT:
        return nullcontext(_StandardOutput())
    if job.out:
        return _file(job.out, info)
    return nullcontext(_Nowhere()) if silent else Player(info.sample_rate)


def _file(out: str, info: SpeechInfo) -> AudioFile:
    try:
        return AudioFile(out, info.encoding, info.sample_rate)
    except ValueError as error:  # the server did not give what was asked
        raise Wrong(str(error)) from error


def show(job: Job, stream: Spoken, sink: Sink, console: Console) -> None:
    """The numbers, where they are wanted, and where the sound went."""
    if job.quiet:
        return
    show_speech(console, stream)
    if isinstance(sink, Player) and sink.underruns:
        console.print(f"The sound ran dry {sink.underruns} times.", style="yellow", soft_wrap=True)
    if isinstance(sink, AudioFile):
        console.print(f"Wrote {sink.path}", markup=False, soft_wrap=True)


class _StandardOutput:
    """Raw sound for the next program, at once."""

    def write(self, data: bytes) -> None:
        sys.stdout.buffer.write(data)
        sys.stdout.buffer.flush()


class _Nowhere:
    """For the numbers alone."""

    def write(self, data: bytes) -> None:
        pass
