"""What is said in a benchmark: sentences of a voice agent, 2 to 7 seconds long, the same in every run."""

from __future__ import annotations

from dataclasses import replace

from rhapsode_server.models.base import Prompt, SpeechModel, Utterance
from rhapsode_server.text.desk import TextDesk

SENTENCES = (
    "Good morning, thank you for calling, how can I help you today?",
    "Let me check that for you, it will only take a moment.",
    "Your appointment is on Thursday the fourteenth at half past nine.",
    "I am sorry to hear that, and I will send a replacement right away.",
    "The parcel left our warehouse yesterday evening and should arrive before noon.",
    "Could you spell your last name for me, please?",
    "There are two flights in the morning and one late in the afternoon.",
    "Your balance is three hundred and forty two dollars and sixteen cents.",
    "I have found four restaurants near the station that still have a table tonight.",
    "Please hold the line while I connect you with one of my colleagues.",
    "Yes, that is possible.",
    "The meeting has been moved to the large room on the second floor.",
)


def prompts(model: SpeechModel, count: int) -> list[Prompt]:
    """`count` prompts, round and round through the sentences, each with a seed of its own."""
    frontend = model.frontend
    desk = TextDesk(reads=frontend.reads, longest=frontend.longest_piece)
    voice = next(voice for voice in model.voices.values() if voice.default)
    pieces = [next(iter(desk.pieces(text))) for text in SENTENCES]
    return [
        frontend.prepare(Utterance(replace(pieces[n % len(pieces)], pause=0.0), voice, seed=n))
        for n in range(count)
    ]
