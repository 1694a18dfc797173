"""VoiceService: each RPC is convert, hand over, convert back.

What must not live here: what may be asked for and how it is kept (voices/), errors' answers (status.py).
"""

from __future__ import annotations

from collections.abc import AsyncIterator

from rhapsode.tts.v1 import voice_service_pb2, voice_service_pb2_grpc

from rhapsode_server.errors import InvalidRequest
from rhapsode_server.rpc import call as calls
from rhapsode_server.rpc import convert
from rhapsode_server.rpc.call import Context
from rhapsode_server.rpc.gate import Gate
from rhapsode_server.voices.upload import Part, Wanted


class VoiceMaking(voice_service_pb2_grpc.VoiceServiceServicer):
    """Voices belong to the call's tenant."""

    def __init__(self, gate: Gate) -> None:
        self._gate = gate

    async def CreateVoice(  # noqa: N802
        self,
        request_iterator: AsyncIterator[voice_service_pb2.CreateVoiceRequest],
        context: Context,  # noqa: ARG002 - gRPC passes it
    ) -> voice_service_pb2.CreateVoiceResponse:
        """Clones."""
        call = calls.current()
        with self._gate.enter_studio() as studio:
            voice = await studio.clone(call.tenant, _parts(request_iterator))
        call.facts["voice"] = voice.name
        return voice_service_pb2.CreateVoiceResponse(voice=convert.voice(voice))

    async def DesignVoice(  # noqa: N802
        self,
        request: voice_service_pb2.DesignVoiceRequest,
        context: Context,  # noqa: ARG002 - gRPC passes it
    ) -> voice_service_pb2.DesignVoiceResponse:
        """Designs."""
        call = calls.current()
        wanted = Wanted(name=request.name, language=request.language, description=request.description)
        with self._gate.enter_studio() as studio:
            voice = await studio.design(call.tenant, wanted)
        call.facts["voice"] = voice.name
        return voice_service_pb2.DesignVoiceResponse(voice=convert.voice(voice))

    async def GetVoice(  # noqa: N802
        self,
        request: voice_service_pb2.GetVoiceRequest,
        context: Context,  # noqa: ARG002 - gRPC passes it
    ) -> voice_service_pb2.GetVoiceResponse:
        """Looks one up."""
        with self._gate.enter_studio() as studio:
            voice = studio.look_up(calls.current().tenant, request.name)
        return voice_service_pb2.GetVoiceResponse(voice=convert.voice(voice))

    async def DeleteVoice(  # noqa: N802
        self,
        request: voice_service_pb2.DeleteVoiceRequest,
        context: Context,  # noqa: ARG002 - gRPC passes it
    ) -> voice_service_pb2.DeleteVoiceResponse:
        """Forgets one."""
        with self._gate.enter_studio() as studio:
            studio.delete(calls.current().tenant, request.name)
        return voice_service_pb2.DeleteVoiceResponse()


async def _parts(messages: AsyncIterator[voice_service_pb2.CreateVoiceRequest]) -> AsyncIterator[Part]:
    async for message in messages:
        kind = message.WhichOneof("part")
        if kind == "audio":
            yield message.audio
        elif kind == "config":
            yield _wanted(message.config)
        else:
            raise InvalidRequest("part", "A message of an upload has config or audio. Send one of them.")


def _wanted(config: voice_service_pb2.CloneConfig) -> Wanted:
    return Wanted(
        name=config.name,
        language=config.language,
        description=config.description,
        transcript=config.transcript,
        consent=config.consent,
        size=config.audio_bytes,
    )
