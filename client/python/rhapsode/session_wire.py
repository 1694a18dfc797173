"""A session's nouns to protobuf and back: wire.py for the messages of StreamSynthesize.

What must not live here: calls, who an event belongs to.
"""

from __future__ import annotations

from typing import Any, TypeAlias

from rhapsode import wire
from rhapsode.options import ContextOptions, SessionOptions, SpeechOptions, known
from rhapsode.talk import Draining, Flushed, Heard, SessionInfo
from rhapsode.tts.v1 import session_pb2

Command: TypeAlias = session_pb2.StreamSynthesizeRequest
Event: TypeAlias = session_pb2.StreamSynthesizeResponse

PLAIN = ("voice", "speed", "language", "instruction")
OF_THE_SESSION = frozenset({"format", "sample_rate", "pace"})
"""Options of an utterance that a session settles once for all of its contexts."""


def configuration(options: SessionOptions) -> Command:
    """The first command. Raises InvalidRequest for what cannot be said, TypeError for what does not exist."""
    given = known(options, SessionOptions)
    config = session_pb2.SessionConfig()
    for name in PLAIN:
        wire.put(config, name, given.get(name))
    wire.put_shared(config, given)
    wire.put_format(config, given)
    wire.put_pace(config, given)
    for name in ("max_ahead", "idle_timeout"):
        wire.put_duration(config, name, given.get(name))
    return Command(session_config=config)


def opening(name: str, options: ContextOptions) -> Command:
    """Opens the context of that name. Raises as `configuration`."""
    given = known(options, ContextOptions)
    start = session_pb2.StartContext()
    for field in (*PLAIN, "seed", "request_id"):
        wire.put(start, field, given.get(field))
    wire.put_shared(start, given)
    wire.put_max_ttfa(start, given)
    return Command(context_id=name, start_context=start)


def divided(options: SpeechOptions) -> tuple[SessionOptions, ContextOptions]:
    """An utterance's options: what a session settles, and what its one context does."""
    given = known(options, SpeechOptions)
    session: Any = {name: value for name, value in given.items() if name in OF_THE_SESSION}
    context: Any = {name: value for name, value in given.items() if name not in OF_THE_SESSION}
    return session, context


def text(name: str, more: str) -> Command:
    """More text. Raises InvalidRequest for a text that is no Unicode."""
    said = session_pb2.TextInput()
    wire.put(said, "text", more)
    return Command(context_id=name, text=said)


def flush(name: str, flush_id: str) -> Command:
    """Speak all there is."""
    return Command(context_id=name, flush=session_pb2.Flush(flush_id=flush_id))


def end(name: str) -> Command:
    """There will be no more text."""
    return Command(context_id=name, end_context=session_pb2.EndContext())


def cancel(name: str, played: int) -> Command:
    """Be silent; the listener has heard so many samples."""
    return Command(context_id=name, cancel=session_pb2.Cancel(playback_offset=played))


def report(name: str, played: int, buffered: int, *, paused: bool) -> Command:
    """How far the listener is."""
    said = session_pb2.PlaybackReport(played_samples=played, buffered_samples=buffered, paused=paused)
    return Command(context_id=name, playback_report=said)


def speed(name: str, factor: float) -> Command:
    """Another speed from the next phrase on; for the whole session where `name` is empty."""
    return Command(context_id=name, update_config=session_pb2.UpdateConfig(speed=factor))


def ping(nonce: int = 0) -> Command:
    """Is anyone there?"""
    return Command(ping=session_pb2.Ping(nonce=nonce))


# ---- what the server says


def info(message: session_pb2.SessionStarted) -> SessionInfo:
    """What the first event says."""
    limits = message.limits
    return SessionInfo(
        session_id=message.session_id,
        server_version=message.server_version,
        trace_id=message.trace_id,
        max_contexts=limits.max_contexts,
        max_context_characters=limits.max_context_characters,
        max_ahead=wire.seconds(limits.max_ahead) if limits.HasField("max_ahead") else None,
        idle_timeout=wire.seconds(limits.idle_timeout),
    )


def heard(message: session_pb2.ContextCancelled) -> Heard:
    """How far the listener got."""
    return Heard(message.text_spoken, message.text_remaining, message.char_offset, message.end_sample)


def flushed(message: session_pb2.FlushDone) -> Flushed:
    """The sound before a flush has come."""
    return Flushed(message.flush_id, message.end_sample)


def draining(message: session_pb2.ServerNotice) -> Draining | None:
    """That the server is about to end; None for news that this client is too old to know."""
    if message.kind != session_pb2.SERVER_NOTICE_KIND_DRAINING:
        return None
    return Draining(wire.seconds(message.time_left), message.message)
