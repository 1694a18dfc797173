"""The voices of a server: a name in a request -> a Voice, by looking it up and in no other way.

The model's own voices are for everybody; created ones belong to whoever made them. What must not live here: a
path (a name never becomes one), how a family sounds like somebody, torch.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import NoReturn

from rhapsode_server.core import Voice
from rhapsode_server.errors import ModelUnusable, VoiceNotFound
from rhapsode_server.voices.created import Created

NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,63}")
"""The alphabet of voice names: nothing in it means anything to a file system, a shell or a URL."""


class Voices:
    """The model's voices by name, one of them the default, and `created` ones where callers may make them.

    `owner` is the caller: it sees and uses its own created voices and nobody else's.
    """

    def __init__(self, voices: Mapping[str, Voice], created: Created | None = None) -> None:
        """Raises ModelUnusable where a name leaves the alphabet or there is not exactly one default."""
        strange = [name for name in voices if not NAME.fullmatch(name)]
        if strange:
            raise ModelUnusable(f"The voice name {strange[0]!r} must match {NAME.pattern}. Rename the voice.")
        defaults = [voice for voice in voices.values() if voice.default]
        if len(defaults) != 1:
            raise ModelUnusable(f"A model needs exactly one default voice, not {len(defaults)}.")
        self.default = defaults[0]
        self.created = created
        self._voices = {name: voices[name] for name in sorted(voices)}

    def find(self, name: str, owner: str = "") -> Voice:
        """The voice of that name to speak with, the default for an empty one; raises VoiceNotFound."""
        if not name:
            return self.default
        voice = self._voices.get(name)
        if voice is None and self.created is not None:
            voice = self.created.use(owner, name)
        return voice or self._none(name, owner)

    def look_up(self, name: str, owner: str = "") -> Voice:
        """As `find`, but it counts as no use of the voice."""
        if not name:
            return self.default
        return self._get(name, owner) or self._none(name, owner)

    def has(self, name: str, owner: str = "") -> bool:
        """Whether that caller has a voice of that name."""
        return self._get(name, owner) is not None

    def built_in(self, name: str) -> bool:
        """Whether the voice is one of the model's own."""
        return name in self._voices

    def speaking(self, language: str = "", owner: str = "") -> Iterator[Voice]:
        """Voices in the order of their names; with a language only those that speak it."""
        return (voice for voice in self._all(owner) if not language or speaks(voice, language))

    def _get(self, name: str, owner: str) -> Voice | None:
        voice = self._voices.get(name)
        return self.created.get(owner, name) if voice is None and self.created is not None else voice

    def _all(self, owner: str) -> Iterable[Voice]:
        own = () if self.created is None else self.created.of(owner)
        return sorted((*self._voices.values(), *own), key=lambda voice: voice.name)

    def _none(self, name: str, owner: str) -> NoReturn:
        names = tuple(voice.name for voice in self._all(owner))
        raise VoiceNotFound(name, names, forgets=self.created is not None)


def speaks(voice: Voice, language: str) -> bool:
    """Whether the voice has this BCP 47 language, whatever the region: "en" and "en-GB" both find "en-US"."""
    return primary(language) in {primary(spoken) for spoken in voice.languages}


def primary(language: str) -> str:
    """The first subtag, in lower case: "en" of "en-GB"."""
    return language.partition("-")[0].lower()
