"""The voices that callers have made: kept in memory, each for its owner, the least used ones given up first.

What must not live here: how a voice is made (studio.py), the model's own voices (catalogue.py), a lock: all
of it is for one thread, the event loop's.
"""

from __future__ import annotations

from collections import Counter, OrderedDict
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from rhapsode_server.core import Voice
from rhapsode_server.errors import VoiceTooLarge

OVERHEAD = 1024
"""Bytes that any voice counts for, besides its description and what the family keeps."""


@runtime_checkable
class Weighed(Protocol):
    """Conditioning that knows what it takes up."""

    @property
    def nbytes(self) -> int:
        """Bytes of memory, wherever they are."""


@dataclass(frozen=True, slots=True)
class Space:
    """How much is kept at most: `memory` in bytes, and `voices`."""

    memory: int = 256 * 1024 * 1024
    voices: int = 500


Key = tuple[str, str]
"""Owner and name: two owners may use the same name and never learn of it."""


class Created:
    """Created voices by owner and name. `hits`, `misses` and `evictions` only ever grow."""

    def __init__(self, space: Space) -> None:
        self.space = space
        self.hits = self.misses = self.evictions = 0
        self._voices: OrderedDict[Key, Voice] = OrderedDict()  # the least recently used first
        self._memory = 0

    def __len__(self) -> int:
        return len(self._voices)

    @property
    def memory(self) -> int:
        """Bytes that the voices take up."""
        return self._memory

    def use(self, owner: str, name: str) -> Voice | None:
        """The voice, to speak with: it is now the most recently used one."""
        voice = self._voices.get((owner, name))
        if voice is None:
            self.misses += 1
            return None
        self.hits += 1
        self._voices.move_to_end((owner, name))
        return voice

    def get(self, owner: str, name: str) -> Voice | None:
        """The voice, to look at: that changes nothing."""
        return self._voices.get((owner, name))

    def of(self, owner: str) -> Iterator[Voice]:
        """All voices of an owner."""
        return (voice for (whose, _), voice in self._voices.items() if whose == owner)

    def keep(self, owner: str, voice: Voice) -> None:
        """Add a voice, and give up others where there is no room for all.

        Raises VoiceTooLarge for one that there never is room for.
        """
        weight = weigh(voice)
        if weight > self.space.memory:
            raise VoiceTooLarge(
                f"This voice takes {weight:,} bytes; all created voices together may take"
                f" {self.space.memory:,} here. Send a shorter recording, or raise limits.voice_memory_bytes."
            )
        key = owner, voice.name
        self.drop(*key)
        self._voices[key] = voice
        self._memory += weight
        while self._memory > self.space.memory or len(self._voices) > self.space.voices:
            self.drop(*self._least_wanted(key))
            self.evictions += 1

    def drop(self, owner: str, name: str) -> bool:
        """Give a voice up; whether it was there. Whoever speaks with it just now still holds it."""
        voice = self._voices.pop((owner, name), None)
        if voice is not None:
            self._memory -= weigh(voice)
        return voice is not None

    def _least_wanted(self, newest: Key) -> Key:
        """Of the owner whose voices weigh most: so nobody pushes out others by making many."""
        weights: Counter[str] = Counter()
        for key, voice in self._voices.items():
            if key != newest:
                weights[key[0]] += weigh(voice)
        heaviest, _ = weights.most_common(1)[0]
        return next(key for key in self._voices if key[0] == heaviest and key != newest)


def weigh(voice: Voice) -> int:
    """Bytes that a voice counts for."""
    held = voice.conditioning
    kept = held.nbytes if isinstance(held, Weighed) else 0
    return OVERHEAD + len(voice.description.encode()) + kept
