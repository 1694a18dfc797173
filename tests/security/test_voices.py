"""The name of a voice is looked up in a table and is never a path; no utterance brings a voice along."""

from __future__ import annotations

import builtins
import io
import os

import grpc
import pytest
from google.protobuf.descriptor import Descriptor, FieldDescriptor
from rhapsode.tts.v1 import service_pb2
from rhapsode_server.core import Voice
from rhapsode_server.errors import ModelUnusable
from rhapsode_server.voices.catalogue import Voices

from tests.integration.conftest import House, toy_house
from tests.integration.test_refusals import details

__all__ = ["toy_house"]

NAMES = {
    "above": "../alto",
    "absolute": "/etc/passwd",
    "below": "alto/../bass",
    "back slashes": "..\\alto",
    "NUL": "alto\0.npy",
    "percent": "%2e%2e%2falto",
    "capitals": "Alto",
    "cyrillic": "\u0430lto",
    "full width": "\uff41lto",
    "combining": "alto\u0301",
    "hidden": "al\u200bto",
    "mirrored": "\u202ealto",
    "blank": " alto",
    "line end": "alto\n",
    "glob": "*",
    "home": "~",
    "address": "file:///etc/passwd",
    "a megabyte": "a" * 1_000_000,
}


@pytest.mark.parametrize("name", NAMES)
async def test_what_is_not_exactly_a_name_is_not_found(
    toy_house: House, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened: list[object] = []
    for owner, function in ((builtins, "open"), (io, "open"), (os, "open"), (os, "stat"), (os, "scandir")):
        monkeypatch.setattr(owner, function, lambda *given, **_: opened.append(given))
    try:
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await toy_house.speak("hello", voice=NAMES[name])
    finally:
        monkeypatch.undo()
    assert opened == []
    assert caught.value.code() is grpc.StatusCode.NOT_FOUND
    assert details(caught.value)["ErrorInfo"].reason == "VOICE_NOT_FOUND"
    assert len(caught.value.details()) < 500
    assert caught.value.details().isprintable()


@pytest.mark.parametrize("name", [*NAMES.values(), "", "-alto", "_alto", "a" * 65])
def test_a_voice_cannot_be_called_so(name: str) -> None:
    with pytest.raises(ModelUnusable, match="Rename the voice"):
        Voices({name: Voice(name, "toy", ("en",), 24_000, default=True)})


def test_no_request_has_room_for_a_recording() -> None:
    """Recordings come by VoiceService alone, where consent is asked for and their size is bounded."""
    service = service_pb2.DESCRIPTOR.services_by_name["SpeechSynthesisService"]
    seen: set[str] = set()

    def with_bytes(message: Descriptor) -> list[str]:
        if message.full_name in seen:
            return []
        seen.add(message.full_name)
        own = [field.full_name for field in message.fields if field.type == FieldDescriptor.TYPE_BYTES]
        inner = [field.message_type for field in message.fields if field.message_type is not None]
        return own + [name for each in inner for name in with_bytes(each)]

    assert [name for method in service.methods for name in with_bytes(method.input_type)] == []
    assert "rhapsode.tts.v1.SamplingParams" in seen
    assert with_bytes(service.methods_by_name["Synthesize"].output_type), "the search finds bytes"
