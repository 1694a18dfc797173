"""The voices of a server: a name in a request -> a Voice, by looking it up and in no other way.

What must not live here: a path (a name never becomes one), how a family sounds like somebody, torch.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

from rhapsode_server.core import Voice
from rhapsode_server.errors import ModelUnusable, VoiceNotFound

NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,63}")
"""The alphabet of voice names: nothing in it means anything to a file system, a shell or a URL."""


class Voices:
    """Voices by name, one of them the default."""

    def __init__(self, voices: Mapping[str, Voice]) -> None:
        """Raises ModelUnusable where a name leaves the alphabet or there is not exactly one default."""
        strange = [name for name in voices if not NAME.fullmatch(name)]
        if strange:
            raise ModelUnusable(f"The voice name {strange[0]!r} must match {NAME.pattern}. Rename the voice.")
        defaults = [voice for voice in voices.values() if voice.default]
        if len(defaults) != 1:
            raise ModelUnusable(f"A model needs exactly one default voice, not {len(defaults)}.")
        self.default = defaults[0]
        self._voices = {name: voices[name] for name in sorted(voices)}

    def find(self, name: str) -> Voice:
        """The voice of that name, the default for an empty one; raises VoiceNotFound."""
        if not name:
            return self.default
        voice = self._voices.get(name)
        if voice is None:
            raise VoiceNotFound(name, tuple(self._voices))
        return voice

    def speaking(self, language: str = "") -> Iterator[Voice]:
        """Voices in the order of their names; with a language only those that speak it."""
        return (voice for voice in self._voices.values() if not language or speaks(voice, language))


def speaks(voice: Voice, language: str) -> bool:
    """Whether the voice has this BCP 47 language, whatever the region: "en" and "en-GB" both find "en-US"."""
    return primary(language) in {primary(spoken) for spoken in voice.languages}


def primary(language: str) -> str:
    """The first subtag, in lower case: "en" of "en-GB"."""
    return language.partition("-")[0].lower()
