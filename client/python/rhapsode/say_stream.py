"""`rhapsode say --stream`: standard input is spoken as it is written, until it ends or somebody interrupts.

What must not live here: options (cli.py), where sound goes (say.py), the rules of a session.
"""

from __future__ import annotations

import codecs
import os
import sys
import threading
import time
from collections.abc import Iterator

from rich.console import Console

from rhapsode import say
from rhapsode.client import Client
from rhapsode.context import Context
from rhapsode.failing import INTERRUPTED, Usage, Wrong
from rhapsode.player import Player
from rhapsode.session_wire import divided
from rhapsode.speech import AudioChunk
from rhapsode.talk import Flushed, Heard

READ_BYTES = 65_536
REPORT_SECONDS = 0.25
"""Between two words to the server on how far the listener is."""


def run(client: Client, job: say.Job, console: Console) -> None:
    """Speak what comes; Wrong where not the whole text was spoken, or somebody interrupted."""
    say.refuse_terminal(job)
    silent = say.why_silent(job, console)
    for_session, for_context = divided(say.paced(job, silent))
    with client.session(**for_session) as session:
        context = session.start(**for_context)
        writing = threading.Thread(target=context.write_all, args=(_typed(context),), daemon=True)
        writing.start()
        listener = _Listener(context)
        try:
            with say.open_sink(job, context.info, silent) as sink:
                listener.listen(sink)
            say.show(job, context, sink, console)
        except KeyboardInterrupt:
            _tell(context.cancel(listener.played()), console)
            raise Wrong("Interrupted.", INTERRUPTED) from None
    say.complete(context.result)


class _Listener:
    """Takes the sound of a context to where it is heard, and knows how far that is."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self._sink: say.Sink | None = None
        self._told = 0.0

    def listen(self, sink: say.Sink) -> None:
        """To the end of the context."""
        self._sink = sink
        for event in self._context.events():
            if isinstance(event, AudioChunk):
                sink.write(event.data)
                self._report()
            elif isinstance(event, Flushed) and isinstance(sink, Player):
                sink.rest()

    def played(self) -> int | None:
        """Samples that were heard; None where nobody but the context itself can tell."""
        return self._sink.played_samples if isinstance(self._sink, Player) else None

    def _report(self) -> None:
        played, now = self.played(), time.monotonic()
        if played is not None and now - self._told >= REPORT_SECONDS:
            self._told = now
            self._context.report(played)


def _typed(context: Context) -> Iterator[str]:
    """Standard input as it comes. What is typed is spoken at the end of each line.

    Raises Usage for what is no UTF-8.
    """
    decoder = codecs.getincrementaldecoder("utf-8-sig")()
    typed = sys.stdin.isatty()
    try:
        # Not through sys.stdin: a thread that waits inside its buffer keeps Python from ending.
        while data := os.read(sys.stdin.fileno(), READ_BYTES):
            yield decoder.decode(data)
            if typed and data.endswith(b"\n"):
                context.flush()
        yield decoder.decode(b"", final=True)
    except UnicodeDecodeError as error:
        raise Usage("The text is not UTF-8. Convert it first, with iconv.") from error


def _tell(heard: Heard, console: Console) -> None:
    """What the listener got to hear, and what not."""
    for label, text in (("Heard:    ", heard.text_spoken), ("Not heard:", heard.text_remaining)):
        console.print(f"{label} {' '.join(text.split())}", highlight=False, markup=False, soft_wrap=True)
