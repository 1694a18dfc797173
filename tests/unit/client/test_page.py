"""docs/protocol.md says what is so: its examples run, its tables are complete."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import rhapsode
import rhapsode.errors
from rhapsode.tts.v1 import audio_pb2, service_pb2, session_pb2
from rhapsode_server import errors as server_errors

ROOT = Path(__file__).resolve().parents[3]
PAGE = (ROOT / "docs" / "protocol.md").read_text(encoding="utf-8")
SESSIONS = PAGE.index("## A session")
"""From here on the examples need a server that listens; tests/integration/test_readme.py runs them."""
EXAMPLES = re.findall(r"```python\n(.*?)```", PAGE[:SESSIONS], re.DOTALL)


@pytest.mark.parametrize("example", EXAMPLES)
def test_examples_run(target: str, tmp_path: Path, example: str) -> None:
    assert "localhost:50051" in example
    program = example.replace("localhost:50051", target)
    places = os.environ | {"PYTHONPATH": str(ROOT / "client" / "python")}
    command = [sys.executable, "-W", "error", "-c", program]
    ran = subprocess.run(command, cwd=tmp_path, env=places, capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stderr
    assert ran.stdout


def test_there_are_examples() -> None:
    assert len(EXAMPLES) == 2


def kinds(base: type[server_errors.RhapsodeError]) -> set[type[server_errors.RhapsodeError]]:
    """An error of the server and all that descend from it."""
    return {base}.union(*(kinds(kind) for kind in base.__subclasses__()))


def test_the_table_of_errors_is_the_servers() -> None:
    rows = re.findall(r"^\| ([A-Z_]+) \| `([A-Z_]+)` \| `(\w+)` \|", PAGE, re.MULTILINE)
    ours = {kind for kind in kinds(server_errors.RhapsodeError) if kind.__module__ == server_errors.__name__}
    assert {(status, reason) for status, reason, _ in rows} == {(kind.status, kind.reason) for kind in ours}


def test_the_table_of_errors_names_the_clients_classes() -> None:
    rows = re.findall(r"^\| ([A-Z_]+) \| `([A-Z_]+)` \| `(\w+)` \|", PAGE, re.MULTILINE)
    for status, _, name in rows:
        kind = getattr(rhapsode, name)
        assert rhapsode.errors.kind_of(status) is kind


def test_every_rpc_command_event_and_encoding_is_on_the_page() -> None:
    service = service_pb2.DESCRIPTOR.services_by_name["SpeechSynthesisService"]
    names = [method.name for method in service.methods]
    for message in (session_pb2.StreamSynthesizeRequest, session_pb2.StreamSynthesizeResponse):
        names += [field.name for oneof in message.DESCRIPTOR.oneofs for field in oneof.fields]
    names += [name for name in audio_pb2.AudioEncoding.keys() if not name.endswith("UNSPECIFIED")]  # noqa: SIM118
    assert [name for name in names if f"`{name}`" not in PAGE] == []
