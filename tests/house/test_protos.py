"""The wire contract and what is generated from it say the same."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from google.protobuf.descriptor import FieldDescriptor, FileDescriptor
from google.protobuf.message import Message
from google.rpc import status_pb2
from rhapsode.tts.v1 import (
    audio_pb2,
    service_pb2,
    session_pb2,
    synthesis_pb2,
    voice_pb2,
    voice_service_pb2,
)

ROOT = Path(__file__).resolve().parents[2]
FILES: tuple[FileDescriptor, ...] = (
    audio_pb2.DESCRIPTOR,
    service_pb2.DESCRIPTOR,
    session_pb2.DESCRIPTOR,
    synthesis_pb2.DESCRIPTOR,
    voice_pb2.DESCRIPTOR,
    voice_service_pb2.DESCRIPTOR,
)
NO_COMPILER = 3


def test_generated_code_is_what_the_compiler_writes() -> None:
    command = [sys.executable, str(ROOT / "scripts" / "generate_protos.py"), "--check"]
    ran = subprocess.run(command, capture_output=True, text=True, check=False)
    if ran.returncode == NO_COMPILER:
        pytest.skip(ran.stderr.strip())
    assert ran.returncode == 0, ran.stderr


def test_every_proto_file_is_generated() -> None:
    sources = {f"rhapsode/tts/v1/{path.name}" for path in (ROOT / "protos/rhapsode/tts/v1").glob("*.proto")}
    assert sources == {file.name for file in FILES}


def _shape(field: FieldDescriptor) -> tuple[int, int, str]:
    kind = field.message_type or field.enum_type
    return field.number, field.type, kind.full_name if kind else ""


def _fields(message: type[Message]) -> dict[str, Any]:
    return {field.name: field for field in message.DESCRIPTOR.fields}


@pytest.mark.parametrize("other", [session_pb2.SessionConfig, session_pb2.StartContext])
def test_one_setting_has_one_number_everywhere(other: type[Message]) -> None:
    """A setting of the same name is the same field in a request, a session and a context."""
    asked, mine = _fields(synthesis_pb2.SynthesizeRequest), _fields(other)
    shared = asked.keys() & mine.keys()
    assert len(shared) >= 7
    for name in shared:
        assert _shape(asked[name]) == _shape(mine[name]), name
    taken = {field.number for field in asked.values()}
    assert not taken & {mine[name].number for name in mine.keys() - shared}


def test_the_vendored_status_is_the_public_one() -> None:
    """Other languages compile protos/ alone, so the file is here; it must stay what everyone has."""
    text = (ROOT / "protos/google/rpc/status.proto").read_text(encoding="utf-8")
    for field in status_pb2.Status.DESCRIPTOR.fields:
        assert f" {field.name} = {field.number};" in text


def test_nothing_is_written_by_hand_beside_generated_code() -> None:
    stubs = ROOT / "client/python/rhapsode/tts/v1"
    by_hand = [path.name for path in stubs.iterdir() if path.is_file() and "_pb2" not in path.name]
    assert by_hand == ["__init__.py"]
