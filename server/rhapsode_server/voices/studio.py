"""Where voices are made from recordings and from descriptions, and forgotten: the rules, without gRPC.

The heavy part is done by one thread of its own, so that the event loop, the engine and the threads that
prepare texts go on. What must not live here: how a family makes a voice, who a caller is.
"""

from __future__ import annotations

import asyncio
import re
import secrets
from collections.abc import AsyncIterator, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from functools import partial
from types import MappingProxyType

import torch

from rhapsode_server.audio.clip import read_clip
from rhapsode_server.core import Voice
from rhapsode_server.errors import (
    ConsentRequired,
    InvalidRequest,
    Overloaded,
    VoiceCreationUnsupported,
    VoiceExists,
)
from rhapsode_server.models.base import Cloner, Designer, SpeechModel
from rhapsode_server.voices.catalogue import NAME, Voices, primary, speaks
from rhapsode_server.voices.created import Created
from rhapsode_server.voices.upload import Part, Places, UploadLimits, Wanted, first, in_time, recording

LONGEST_NOTE = 200
"""Characters of the sentence that describes a cloned voice."""
_UNPRINTABLE = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u2028\u2029]")
USUAL = UploadLimits()


class Studio:
    """Makes voices for `voices` with what `model` has for it. Use it on one event loop; `close` it last.

    Its thread calls `worker_begins` before anything else.
    """

    def __init__(
        self,
        model: SpeechModel,
        voices: Voices,
        limits: UploadLimits = USUAL,
        worker_begins: Callable[[], None] | None = None,
    ) -> None:
        self._model = model
        self._voices = voices
        self._limits = limits
        self._places = Places(limits)
        self._reserved: set[tuple[str, str]] = set()
        self._worker = ThreadPoolExecutor(1, "rhapsode-voices", worker_begins)

    async def clone(self, owner: str, parts: AsyncIterator[Part]) -> Voice:
        """Make and keep the voice of a recording. Whoever is cancelled on the way leaves nothing behind.

        Raises VoiceCreationUnsupported, ConsentRequired, InvalidRequest, VoiceExists, VoiceTooLarge,
        Overloaded, UploadTooSlow.
        """
        cloner, created = self._cloner(), self._created()
        with self._places.take(owner), ExitStack() as held:
            async with in_time(self._limits):
                wanted = await first(parts)
                self._check(wanted)
                name = held.enter_context(self._named(owner, wanted.name, "config.name"))
                data = await recording(parts, wanted.size, self._limits)
            seconds = min(cloner.longest, self._limits.seconds)
            transcript = " ".join(wanted.transcript.split())
            made = await self._on_worker(partial(_clone, cloner, name, data, transcript, seconds))
            voice = _finished(made, wanted, "cloned")
            created.keep(owner, voice)
            return voice

    async def design(self, owner: str, wanted: Wanted) -> Voice:
        """Make and keep the voice of a description.

        Raises VoiceCreationUnsupported, InvalidRequest, VoiceExists.
        """
        designer, created = self._designer(), self._created()
        description = " ".join(wanted.description.split())
        if not description:
            raise InvalidRequest("description", "There is no description. Say what the voice is like.")
        _check_text("description", description, designer.longest)
        self._check_language("language", wanted.language)
        with self._named(owner, wanted.name, "name") as name:
            made = await self._on_worker(partial(designer.design, name, description))
            voice = _finished(made, replace(wanted, description=description), "designed")
            created.keep(owner, voice)
            return voice

    def look_up(self, owner: str, name: str) -> Voice:
        """One voice, without counting as a use of it. Raises VoiceNotFound."""
        return self._voices.look_up(name, owner)

    def delete(self, owner: str, name: str) -> None:
        """Forget a created voice. Raises VoiceNotFound, and InvalidRequest for a voice of the model."""
        if self._voices.built_in(name):
            raise InvalidRequest("name", "This voice belongs to the model and cannot be deleted.")
        self._voices.look_up(name, owner)
        self._created().drop(owner, name)

    def close(self) -> None:
        """End the worker; a voice that is being made is given up."""
        self._worker.shutdown(wait=False, cancel_futures=True)

    async def _on_worker(self, work: Callable[[], Voice]) -> Voice:
        return await asyncio.get_running_loop().run_in_executor(self._worker, work)

    # ---- who may, and what

    def _cloner(self) -> Cloner:
        if self._model.cloner is None:
            raise VoiceCreationUnsupported(
                f"The model {self._model.name!r} makes no voices from recordings. Use a server whose model"
                " does, such as Qwen3-TTS Base."
            )
        return self._model.cloner

    def _designer(self) -> Designer:
        if self._model.designer is None:
            raise VoiceCreationUnsupported(
                f"The model {self._model.name!r} makes no voices from descriptions. Use a server whose model"
                " does, such as Qwen3-TTS VoiceDesign."
            )
        return self._model.designer

    def _created(self) -> Created:
        if self._voices.created is None:
            raise VoiceCreationUnsupported(
                "This server keeps no created voices. Ask whoever runs it to raise limits.created_voices."
            )
        return self._voices.created

    @contextmanager
    def _named(self, owner: str, wanted: str, field: str) -> Iterator[str]:
        """The name wanted, or a new one, which nobody else gets meanwhile.

        Raises InvalidRequest, which names `field`, and VoiceExists.
        """
        name = wanted or f"voice-{secrets.token_hex(6)}"
        if not NAME.fullmatch(name):
            raise InvalidRequest(
                field,
                "A voice's name has 1 to 64 characters of a to z, 0 to 9, '-' and '_', the first a letter or"
                " a digit. Send such a one, or none.",
            )
        if self._voices.has(name, owner) or (owner, name) in self._reserved:
            raise VoiceExists(
                f"There is a voice named {name!r} already. Choose another name, or delete that voice first."
            )
        self._reserved.add((owner, name))
        try:
            yield name
        finally:
            self._reserved.discard((owner, name))

    def _check(self, wanted: Wanted) -> None:
        """Raise for what is wrong with a clone before its recording has come."""
        if not wanted.consent:
            raise ConsentRequired(
                "config.consent",
                "Cloning a voice needs its speaker's consent. Ask for it, and then set consent to say so.",
            )
        _check_text("config.description", wanted.description, LONGEST_NOTE)
        _check_text("config.transcript", wanted.transcript, self._cloner().longest_transcript)
        self._check_language("config.language", wanted.language)

    def _check_language(self, field: str, language: str) -> None:
        if language and not speaks(self._voices.default, language):
            raise InvalidRequest(
                field, f"This model speaks: {', '.join(self._voices.default.languages)}. Choose one, or none."
            )


def _check_text(field: str, text: str, longest: int) -> None:
    """Raise InvalidRequest for a text that is too long or has characters that nobody can see."""
    if len(text) > longest:
        raise InvalidRequest(field, f"This text may have {longest:,} characters. Shorten it.")
    if _UNPRINTABLE.search(text):
        raise InvalidRequest(field, "This text holds a control character. Remove it.")


def _clone(cloner: Cloner, name: str, data: bytes, transcript: str, longest: float) -> Voice:
    """On the worker thread. Raises InvalidRequest; Overloaded where the device has no memory left."""
    samples = read_clip(data, cloner.sample_rate, shortest=cloner.shortest, longest=longest)
    try:
        return cloner.clone(name, torch.from_numpy(samples), transcript)
    except torch.OutOfMemoryError:
        raise Overloaded("There is no memory left to make a voice. Try again in 10 s.", 10.0) from None


def _finished(made: Voice, wanted: Wanted, kind: str) -> Voice:
    """The voice as it is offered: described, and in one language where one was asked for."""
    chosen = primary(wanted.language)
    languages = tuple(spoken for spoken in made.languages if chosen in ("", primary(spoken)))
    labels = MappingProxyType({**made.labels, "kind": kind})
    description = " ".join(wanted.description.split())
    return replace(made, languages=languages, description=description, labels=labels, default=False)
