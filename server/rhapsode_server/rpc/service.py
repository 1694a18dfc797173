"""SpeechSynthesisService: each RPC is convert, hand over, convert back.

What must not live here: checks of a request (synthesizer/checks.py), errors' answers (status.py), words
about the engine. An error that is raised here is answered at the edge (interceptors.py).
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import aclosing, asynccontextmanager

from rhapsode.tts.v1 import service_pb2_grpc, session_pb2, synthesis_pb2, voice_pb2

from rhapsode_server.core import Request
from rhapsode_server.errors import StreamTooLong
from rhapsode_server.rpc import call as calls
from rhapsode_server.rpc import convert
from rhapsode_server.rpc.call import Call, Context
from rhapsode_server.rpc.gate import Gate
from rhapsode_server.rpc.session import Session
from rhapsode_server.rpc.session_convert import SessionLimits
from rhapsode_server.rpc.session_events import Witness
from rhapsode_server.synthesizer import Audio, Done, Event, Started
from rhapsode_server.synthesizer.checks import check_language

SESSION_LIMITS = SessionLimits()
NOBODY = Witness()
_SOUNDING = (synthesis_pb2.SynthesizeResponse, session_pb2.StreamSynthesizeResponse)


class SpeechSynthesis(service_pb2_grpc.SpeechSynthesisServiceServicer):
    """`longest` is the most seconds that a call may take beyond its sound; `witness` is who looks on."""

    def __init__(
        self,
        gate: Gate,
        *,
        longest: float = 1800.0,
        session: SessionLimits = SESSION_LIMITS,
        witness: Witness = NOBODY,
    ) -> None:
        self._gate = gate
        self._longest = longest
        self._session = session
        self._witness = witness

    async def Synthesize(self, request: synthesis_pb2.SynthesizeRequest, context: Context) -> None:  # noqa: N802
        """Speaks one text."""
        call = calls.current()
        with self._gate.enter() as synthesizer:
            call.adopt(request.request_id)
            asked = convert.request(request, call.request_id, call.tenant)
            terms = convert.terms(request, context.time_remaining(), call.started)
            events = synthesizer.synthesize(asked, terms)
            trace_id = self._witness.trace_id()
            async with _at_most(self._longest) as limit, aclosing(events):
                async for event in events:
                    _note(call, asked, event)
                    _extend(limit, event, call)
                    message = convert.response(event, asked, synthesizer.model.name, trace_id)
                    await call.write(context, message)

    async def StreamSynthesize(  # noqa: N802
        self, request_iterator: AsyncIterator[session_pb2.StreamSynthesizeRequest], context: Context
    ) -> None:
        """Speaks text as it is written. A session lasts as long as its client wants it to."""
        with self._gate.enter() as synthesizer:
            session = Session(synthesizer, self._gate, calls.current(), self._session, self._witness)
            await session.run(request_iterator, context)

    async def ListVoices(  # noqa: N802
        self,
        request: voice_pb2.ListVoicesRequest,
        context: Context,  # noqa: ARG002 - gRPC passes it
    ) -> voice_pb2.ListVoicesResponse:
        """Lists the voices, the caller's own among them."""
        check_language(request.language)
        voices = self._gate.synthesizer().voices.speaking(request.language, calls.current().tenant)
        return voice_pb2.ListVoicesResponse(voices=[convert.voice(voice) for voice in voices])


def sound_in(message: object) -> float:
    """The seconds of sound in a message that is being sent."""
    if not isinstance(message, _SOUNDING) or not message.HasField("audio"):
        return 0.0
    return message.audio.sample_count / calls.current().sample_rate


@asynccontextmanager
async def _at_most(seconds: float) -> AsyncIterator[asyncio.Timeout]:
    try:
        async with asyncio.timeout(seconds) as limit:
            yield limit
    except TimeoutError:
        raise StreamTooLong(
            f"This call took {seconds:g} seconds more than its sound lasts, the most that this server waits."
            " Read the sound as it comes, and send the rest of the text again."
        ) from None


def _extend(limit: asyncio.Timeout, event: Event, call: Call) -> None:
    """Sound takes its time to be heard: a text that was let in is never cut because it is long."""
    end = limit.when()
    if isinstance(event, Audio) and end is not None and not limit.expired():
        limit.reschedule(end + event.samples / call.sample_rate)


def _note(call: Call, asked: Request, event: Event) -> None:
    """Facts for the access log: names and counts, never text."""
    if isinstance(event, Started):
        call.sample_rate = event.audio.sample_rate
        call.facts |= {"voice": event.voice.name, "characters": len(asked.text)}
    elif isinstance(event, Done):
        call.facts |= {
            "reason": event.reason.value,
            "samples": event.usage.delivered,
            "first_audio": event.timings.first_audio,
        }
