"""What the settings come to, for each room in its own words.

What must not live here: a default (settings.py), a decision, anything that runs.
"""

from __future__ import annotations

from rhapsode_server.engine.worker import EngineSettings
from rhapsode_server.loading import alone, threads_for
from rhapsode_server.models.base import SpeechModel
from rhapsode_server.rpc.server import ConnectionLimits
from rhapsode_server.rpc.session_convert import SessionLimits
from rhapsode_server.settings import Settings
from rhapsode_server.synthesizer import Manner
from rhapsode_server.voices.catalogue import Voices
from rhapsode_server.voices.created import Created, Space
from rhapsode_server.voices.upload import UploadLimits


def connections(settings: Settings) -> ConnectionLimits:
    """For both ports."""
    server = settings.server
    return ConnectionLimits(**{name: getattr(server, name) for name in ConnectionLimits.__slots__})


def sessions(settings: Settings) -> SessionLimits:
    """For StreamSynthesize."""
    return SessionLimits(
        max_contexts=settings.limits.session_contexts,
        max_characters=settings.limits.max_characters,
        max_ahead=settings.engine.max_ahead or None,
        idle_timeout=settings.limits.session_idle_seconds,
        longest=settings.server.max_stream_seconds,
    )


def engine(settings: Settings, model: SpeechModel) -> EngineSettings:
    """For the engine; 0 slots are those that the model thinks sensible."""
    return EngineSettings(
        slots=settings.engine.slots or 0,
        max_waiting=settings.engine.max_waiting,
        threads=threads_for(settings.model, model),
    )


def manner(settings: Settings) -> Manner:
    """For the synthesizer."""
    return Manner(settings.engine.max_ahead or None, settings.limits.text_workers, alone)


def voices(settings: Settings, model: SpeechModel) -> Voices:
    """The model's, and room for created ones where it can make any and callers may."""
    wanted = settings.limits
    makes = model.cloner is not None or model.designer is not None
    space = Space(wanted.voice_memory_bytes, wanted.created_voices)
    return Voices(model.voices, Created(space) if makes and wanted.created_voices else None)


def uploads(settings: Settings) -> UploadLimits:
    """For the recordings that voices are made of."""
    wanted = settings.limits
    return UploadLimits(
        size=wanted.voice_upload_bytes,
        seconds=wanted.voice_clip_seconds,
        at_once=wanted.voice_uploads,
        time=wanted.voice_upload_seconds,
    )
