"""The Python clients and the command line make voices on a real server, and say well what is refused."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, cast

import pytest
import rhapsode
from rhapsode.cli import app
from rhapsode_server.models.base import Cloner, SpeechModel
from typer.testing import CliRunner, Result

from tests.integration.conftest import House, until
from tests.integration.test_created_voices import CLIP, SAID, TEXT, base, design, making, names, sound
from tests.support.recordings import recording

__all__ = ["base", "design"]  # fixtures


@pytest.fixture
def clip(tmp_path: Path) -> Path:
    """A recording in a file."""
    path = tmp_path / "clip.wav"
    path.write_bytes(CLIP)
    return path


@pytest.fixture(params=["blocking", "asyncio"])
def client(request: pytest.FixtureRequest) -> Callable[..., Any]:
    """Calls one method of either client; every test that asks for it runs with both."""

    def blocking(target: str, method: str, *given: Any, **named: Any) -> Any:
        with rhapsode.Client(target) as opened:
            return getattr(opened, method)(*given, **named)

    async def call(running: House, method: str, *given: Any, **named: Any) -> Any:
        if request.param == "blocking":
            return await asyncio.to_thread(partial(blocking, running.target, method, *given, **named))
        async with rhapsode.AsyncClient(running.target) as opened:
            return await getattr(opened, method)(*given, **named)

    return call


async def test_a_file_becomes_a_voice(base: SpeechModel, client: Callable[..., Any], clip: Path) -> None:
    async with making(base) as running:
        made = await client(running, "create_voice", clip, "anna", consent=True, transcript=SAID)
        assert (made.name, made.labels["kind"], made.is_default) == ("anna", "cloned", False)
        assert await sound(running, "anna") == await sound(running, "shown")
        assert await client(running, "get_voice", "anna") == made
        assert made in await client(running, "voices")
        await client(running, "delete_voice", "anna")
        with pytest.raises(rhapsode.VoiceNotFound, match="create it again"):
            await client(running, "get_voice", "anna")


async def test_bytes_become_a_voice_of_one_language(base: SpeechModel, client: Callable[..., Any]) -> None:
    async with making(base) as running:
        told = {"language": "de", "description": "Somebody.", "transcript": None}
        made = await client(running, "create_voice", CLIP, consent=True, **told)
        assert made.name.startswith("voice-")
        assert (made.languages, made.description) == (("de",), "Somebody.")


async def test_words_become_a_voice(design: SpeechModel, client: Callable[..., Any]) -> None:
    async with making(design) as running:
        made = await client(running, "design_voice", "Warm and unhurried.", "grandpa", language="en")
        assert (made.name, made.labels["kind"]) == ("grandpa", "designed")
        with pytest.raises(rhapsode.VoiceExists, match="another name"):
            await client(running, "design_voice", "Warm.", "grandpa")
        with pytest.raises(rhapsode.Unsupported, match="such as Qwen3-TTS Base"):
            await client(running, "create_voice", CLIP, consent=True)


async def test_what_is_refused_is_an_error_of_its_kind(
    base: SpeechModel, client: Callable[..., Any], tmp_path: Path
) -> None:
    async with making(base, voice_upload_bytes=100_000) as running:
        create = partial(client, running, "create_voice")
        with pytest.raises(rhapsode.InvalidRequest, match="consent") as caught:
            await create(CLIP, consent=False)
        assert (caught.value.reason, caught.value.field) == ("CONSENT_REQUIRED", "config.consent")
        with pytest.raises(rhapsode.InvalidRequest, match="100,000 bytes"):
            await create(recording(20.0), consent=True)
        with pytest.raises(rhapsode.InvalidRequest, match="cannot be decoded"):
            await create(b"no sound at all", consent=True)
        with pytest.raises(rhapsode.InvalidRequest, match="not valid Unicode"):
            await create(CLIP, consent=True, transcript="\ud800")
        with pytest.raises(TypeError, match="no such option: transcirpt"):
            await create(CLIP, consent=True, transcirpt=SAID)
        with pytest.raises(FileNotFoundError):
            await create(tmp_path / "gone.wav", consent=True)
        with pytest.raises(rhapsode.InvalidRequest, match="cannot be deleted"):
            await client(running, "delete_voice", "shown")
        assert await names(running) == ["shown", "vector"]


async def test_nobody_answers(client: Callable[..., Any], base: SpeechModel) -> None:
    async with making(base) as running:
        pass
    for method, given in (("get_voice", ["anna"]), ("create_voice", [CLIP])):
        named = {"consent": True} if method == "create_voice" else {}
        with pytest.raises(rhapsode.ServerUnreachable):
            await client(running, method, *given, **named)


class Slow:
    """A cloner that waits until it is let go."""

    def __init__(self, cloner: Cloner) -> None:
        self.begun, self.go = threading.Event(), threading.Event()
        self._cloner = cloner

    def __getattr__(self, name: str) -> Any:
        return getattr(self._cloner, name)

    def clone(self, *given: Any) -> Any:
        """As the original, later."""
        self.begun.set()
        self.go.wait()
        return self._cloner.clone(*given)


async def test_a_task_that_is_cancelled_leaves_no_voice(base: SpeechModel) -> None:
    assert base.cloner is not None
    slow = Slow(base.cloner)
    async with (
        making(replace(base, cloner=cast(Cloner, slow))) as running,
        rhapsode.AsyncClient(running.target) as client,
    ):
        task = asyncio.create_task(client.create_voice(CLIP, "anna", consent=True))
        await until(slow.begun.is_set)
        assert await sound(running, "shown"), "others are spoken to meanwhile"
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await running.access.seen("CANCELLED")
        slow.go.set()
        assert (await client.create_voice(CLIP, "anna", consent=True)).name == "anna"


def test_a_file_that_can_be_no_recording_is_not_read(tmp_path: Path) -> None:
    path = tmp_path / "disk.img"
    with path.open("wb") as file:
        file.truncate(300 * 1024 * 1024)
    with rhapsode.Client("127.0.0.1:1") as client, pytest.raises(rhapsode.InvalidRequest, match="too large"):
        client.create_voice(path, consent=True)


# ---- the command line


async def rhapsode_command(running: House, *arguments: str) -> Result:
    """Run it against the server."""
    runner = CliRunner(env={"RHAPSODE_SERVER": running.target, "COLUMNS": "100"})
    return await asyncio.to_thread(runner.invoke, app, list(arguments))


async def test_clone_say_and_forget(base: SpeechModel, clip: Path, tmp_path: Path) -> None:
    async with making(base) as running:
        refused = await rhapsode_command(running, "clone", str(clip), "--name", "anna")
        assert refused.exit_code == 2
        assert "consent" in refused.stderr
        made = await rhapsode_command(
            running, "clone", str(clip), "--name", "anna", "--consent", "--transcript", SAID
        )
        assert made.exit_code == 0
        assert "rhapsode say --voice anna" in made.stdout
        assert "anna" in (await rhapsode_command(running, "voices")).stdout
        again = await rhapsode_command(running, "clone", str(clip), "--name", "anna", "--consent")
        assert (again.exit_code, "another name" in again.stderr) == (2, True)
        out = tmp_path / "said.wav"
        said = await rhapsode_command(running, "say", TEXT, "--voice", "anna", "--out", str(out))
        assert (said.exit_code, out.stat().st_size > 1000) == (0, True)
        assert (await rhapsode_command(running, "forget", "anna")).exit_code == 0
        gone = await rhapsode_command(running, "forget", "anna")
        assert (gone.exit_code, "create it again" in gone.stderr) == (2, True)
        missing = await rhapsode_command(running, "clone", str(tmp_path / "gone.wav"), "--consent")
        assert (missing.exit_code, "gone.wav" in missing.stderr) == (2, True)


async def test_design_words_need_no_quotes(design: SpeechModel) -> None:
    async with making(design) as running:
        made = await rhapsode_command(running, "design", "warm", "and", "unhurried", "--name", "grandpa")
        assert made.exit_code == 0
        assert "warm and unhurried" in (await rhapsode_command(running, "voices")).stdout
