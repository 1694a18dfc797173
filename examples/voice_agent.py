"""A voice agent in one page: it speaks while it thinks, is interrupted, and knows what was heard.

    rhapsode serve --model ion            # in another terminal
    python examples/voice_agent.py [--server HOST:PORT] [--tempo FACTOR]

The language model and the user are scripts, and the loudspeaker only keeps time, so nothing but a server is
needed; put your own in their places. `--tempo 10` lets time run ten times as fast.
"""

from __future__ import annotations

import argparse
import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass, field

import rhapsode

SCRIPT = (
    (
        "What is the weather like?",
        "It is a bright morning, with a light wind from the west. Around noon the first clouds will come in"
        " over the hills, and by the evening there may be some rain, so take a coat with you when you leave.",
        "clouds",
    ),
    (
        "Clouds? Then what shall I do?",
        "Go now! The garden is dry, and the sun stays until noon.",
        None,
    ),
)
"""What the user says, what the model answers, and the word at which the user cuts it short."""


@dataclass
class Memory:
    """What was said: the next prompt of a language model. It holds what was heard, not what was written."""

    lines: list[str] = field(default_factory=list)

    def note(self, who: str, said: str) -> None:
        """One more line, shown as it is kept."""
        self.lines.append(f"{who}: {said}")
        print(self.lines[-1], flush=True)


async def language_model(answer: str, tempo: float) -> AsyncIterator[str]:
    """The answer in tokens, at the pace of a language model, which now and then stops to think."""
    for number, word in enumerate(answer.split(" ")):
        await asyncio.sleep((0.3 if number % 12 == 0 else 0.02) / tempo)
        yield word if number == 0 else f" {word}"


class Loudspeaker:
    """Plays what it is given, by the clock: it knows how much has been heard, and of what."""

    def __init__(self, sample_rate: int, tempo: float) -> None:
        self._per_second = sample_rate * tempo
        self._began: float | None = None
        self._given = 0
        self.words: list[rhapsode.Word] = []

    def give(self, chunk: rhapsode.AudioChunk) -> None:
        """More sound. It begins to play with the first, and waits where it has run dry."""
        now = asyncio.get_running_loop().time()
        if self._began is None or self.played() >= self._given:
            self._began = now - self._given / self._per_second
        self._given += chunk.sample_count
        self.words += chunk.words

    def played(self) -> int:
        """Samples heard so far."""
        if self._began is None:
            return 0
        passed = asyncio.get_running_loop().time() - self._began
        return min(self._given, int(passed * self._per_second))

    async def until(self, word: str | None, playing: asyncio.Task[None]) -> None:
        """Wait until that word is heard, or else the end of all; raises what has ended the playing."""
        while not self._heard(word) and not (playing.done() and self.played() >= self._given):
            if playing.done():
                playing.result()
            await asyncio.sleep(0.005)

    def _heard(self, word: str | None) -> bool:
        return any(one.text == word and one.start_sample < self.played() for one in self.words)


async def answer(session: rhapsode.AsyncSession, text: str, cut_at: str | None, tempo: float) -> str:
    """Speak the model's answer until its end or until the user cuts it short; returns what was heard."""
    context = await session.speak(language_model(text, tempo))
    speaker = Loudspeaker((await context.started()).sample_rate, tempo)
    playing = asyncio.create_task(play(context, speaker))
    await speaker.until(cut_at, playing)
    heard = await context.cancel(speaker.played())  # where all was heard, this only says so
    await playing
    return f"{heard.text_spoken} -" if heard.text_remaining else heard.text_spoken


async def play(context: rhapsode.AsyncContext, speaker: Loudspeaker) -> None:
    """Give the loudspeaker all that comes, and tell the server how far it is."""
    async for chunk in context:
        speaker.give(chunk)
        await context.report(speaker.played())


async def talk(server: str, tempo: float) -> Memory:
    """The whole conversation, on one warm stream."""
    memory = Memory()
    async with rhapsode.AsyncClient(server) as client, client.session() as session:
        for said, text, cut_at in SCRIPT:
            memory.note("user", said)
            memory.note("agent", await answer(session, text, cut_at, tempo))
    return memory


def main() -> None:
    """Run the command line; see the head of this file."""
    parser = argparse.ArgumentParser(description="A conversation with a scripted user.")
    parser.add_argument("--server", default="localhost:50051", metavar="HOST:PORT")
    parser.add_argument("--tempo", type=float, default=1.0, metavar="FACTOR", help="how fast time runs")
    given = parser.parse_args()
    try:
        asyncio.run(talk(given.server, given.tempo))
    except rhapsode.RhapsodeError as error:
        raise SystemExit(f"voice_agent: {error}") from None


if __name__ == "__main__":
    main()
