"""Messages of a session <-> the nouns of core.py and synthesizer/, and nothing else."""

from __future__ import annotations

import re
import secrets
from dataclasses import dataclass, replace
from functools import cache
from importlib import metadata

from google.rpc import status_pb2
from rhapsode.tts.v1 import session_pb2

from rhapsode_server.core import Request
from rhapsode_server.errors import InvalidRequest, RhapsodeError
from rhapsode_server.rpc import convert
from rhapsode_server.rpc.status import DETAILS_KEY, Answer, answer, unexpected
from rhapsode_server.synthesizer.context import Cancelled, ContextEvent, Failed, FlushDone
from rhapsode_server.synthesizer.events import Audio, Done, Started, Terms

CONTEXT_ID = re.compile(r"[A-Za-z0-9._-]{1,64}")
LONGEST_FLUSH_ID = 256
Event = session_pb2.StreamSynthesizeResponse


@dataclass(frozen=True, slots=True)
class SessionLimits:
    """What one session may do at most. Times in seconds; `max_ahead` None: as far as it goes.

    `longest` is what one context may take beyond the length of its sound.
    """

    max_contexts: int = 16
    max_characters: int = 10_000
    max_ahead: float | None = 10.0
    idle_timeout: float = 60.0
    longest: float = 1800.0


@dataclass(frozen=True, slots=True)
class Defaults:
    """What the contexts of a session have in common. `request` has no text and no id yet."""

    request: Request
    max_ahead: float | None
    idle_timeout: float
    paced: bool = True


# ---- what the client says


def defaults(config: session_pb2.SessionConfig, limits: SessionLimits, tenant: str = "") -> Defaults:
    """Raises InvalidRequest for a duration or a format that cannot be."""
    request = Request(
        request_id="",
        text="",
        voice=config.voice,
        audio=convert.audio_format(config.audio_format),
        speed=config.speed or 1.0,
        language=config.language,
        instruction=config.instruction,
        sampling=convert.sampling(config.sampling),
        priority=convert.priority(config.priority),
        tenant=tenant,
    )
    ahead = _at_most(config, "max_ahead", limits.max_ahead)
    idle = _at_most(config, "idle_timeout", limits.idle_timeout)
    paced = convert.paced(config.pace)
    return Defaults(request, ahead if paced else None, limits.idle_timeout if idle is None else idle, paced)


def start(wanted: session_pb2.StartContext, session: Defaults, request_id: str) -> tuple[Request, Terms]:
    """The utterance that a context opens: what is absent or empty is taken from the session."""
    base = session.request
    request = replace(
        base,
        request_id=wanted.request_id or request_id,
        voice=wanted.voice or base.voice,
        speed=wanted.speed or base.speed,
        seed=wanted.seed if wanted.HasField("seed") else secrets.randbits(32),
        language=wanted.language or base.language,
        instruction=wanted.instruction or base.instruction,
        sampling=convert.sampling(wanted.sampling) if wanted.HasField("sampling") else base.sampling,
        priority=convert.priority(wanted.priority) if wanted.priority else base.priority,
    )
    longest = _duration(wanted, "max_ttfa") if wanted.HasField("max_ttfa") else None
    return request, Terms(None, longest, session.max_ahead, session.paced)


def _at_most(config: session_pb2.SessionConfig, field: str, most: float | None) -> float | None:
    """A duration of the client's, no longer than the server's own."""
    if not config.HasField(field):
        return most
    wanted = _duration(config, field)
    return wanted if most is None else min(wanted, most)


def _duration(message: session_pb2.SessionConfig | session_pb2.StartContext, field: str) -> float:
    wanted = convert.seconds(getattr(message, field), field)
    if wanted <= 0:
        raise InvalidRequest(field, f"{field} must be longer than 0. Send such a duration, or none.")
    return wanted


def context_id(message: session_pb2.StreamSynthesizeRequest) -> str:
    """Raises InvalidRequest for an id that is none."""
    if not CONTEXT_ID.fullmatch(message.context_id):
        raise InvalidRequest(
            "context_id", "A context_id has 1 to 64 letters, digits, '.', '_' or '-'. Send such a one."
        )
    return message.context_id


def flush_id(message: session_pb2.StreamSynthesizeRequest) -> str:
    """Raises InvalidRequest for one that is too long to be kept and given back."""
    if len(message.flush.flush_id) > LONGEST_FLUSH_ID:
        raise InvalidRequest(
            "flush.flush_id", f"A flush_id has at most {LONGEST_FLUSH_ID} characters. Send a shorter one."
        )
    return message.flush.flush_id


# ---- what the server says


@cache
def _version() -> str:
    try:
        return metadata.version("rhapsode")
    except metadata.PackageNotFoundError:  # run from a source tree
        return ""


def session_started(session_id: str, trace_id: str, limits: SessionLimits, session: Defaults) -> Event:
    """The first event of a stream; the limits are those in force for this session."""
    ahead = session.max_ahead
    return Event(
        session_started=session_pb2.SessionStarted(
            session_id=session_id,
            server_version=_version(),
            trace_id=trace_id,
            limits=session_pb2.SessionLimits(
                max_contexts=limits.max_contexts,
                max_context_characters=limits.max_characters,
                max_ahead=None if ahead is None else convert.duration(ahead),
                idle_timeout=convert.duration(session.idle_timeout),
            ),
        )
    )


def context_event(name: str, event: ContextEvent, asked: Request, model: str, trace_id: str) -> Event:
    """One event of the context called `name`, which was opened with `asked`."""
    match event:
        case Started():
            return Event(context_id=name, context_started=convert.started(event, asked, model, trace_id))
        case Audio():
            return Event(context_id=name, audio=convert.audio(event))
        case FlushDone():
            return flush_done(name, event)
        case Done():
            return Event(context_id=name, context_done=convert.done(event))
        case Cancelled():
            return cancelled(name, event)
        case Failed(RhapsodeError() as error):
            return failed(name, answer(error, asked.request_id))
        case Failed():
            return failed(name, unexpected(asked.request_id))


def flush_done(name: str, event: FlushDone) -> Event:
    """The sound before a flush was sent."""
    return Event(context_id=name, flush_done=session_pb2.FlushDone(flush_id=event.name, end_sample=event.end))


def cancelled(name: str, event: Cancelled) -> Event:
    """What was heard of a context that was cancelled."""
    return Event(
        context_id=name,
        context_cancelled=session_pb2.ContextCancelled(
            text_spoken=event.text[: event.characters],
            text_remaining=event.text[event.characters :],
            char_offset=event.characters,
            end_sample=event.end,
            usage=convert.usage(event.usage),
            timings=convert.timings(event.timings),
        ),
    )


def failed(name: str, told: Answer) -> Event:
    """The error that ended a context, as a failed Synthesize would have told it."""
    status = status_pb2.Status()
    packed = dict(told.trailing).get(DETAILS_KEY)
    if isinstance(packed, bytes):
        status.ParseFromString(packed)
    status.code, status.message = told.code.value[0], told.message
    return Event(context_id=name, context_error=status)


def warning(name: str, reason: str, message: str) -> Event:
    """Something that stops nothing."""
    return Event(context_id=name, warning=session_pb2.Warning(reason=reason, message=message))


def late(name: str) -> Event:
    """A command about the text of a context that has been given all of it."""
    return warning(
        name, "CONTEXT_COMPLETE", "This context has all its text; the command was ignored. Start another one."
    )


def pong(nonce: int) -> Event:
    """The answer to ping."""
    return Event(pong=session_pb2.Pong(nonce=nonce))


def draining(time_left: float) -> Event:
    """The server is about to stop."""
    return Event(
        server_notice=session_pb2.ServerNotice(
            kind=session_pb2.SERVER_NOTICE_KIND_DRAINING,
            time_left=convert.duration(time_left),
            message="This server is shutting down. Open contexts are finished; start the next one elsewhere.",
        )
    )
