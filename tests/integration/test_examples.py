"""The programs in examples/ do what they say, against a real server."""

from __future__ import annotations

import asyncio
import os
import sys
from pathlib import Path

from tests.integration.conftest import House

ROOT = Path(__file__).resolve().parents[2]


async def ran(name: str, *arguments: str) -> tuple[int | None, str, str]:
    """Exit code and words of a program of examples/."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-W", "error", str(ROOT / "examples" / name), *arguments),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        env=os.environ | {"PYTHONPATH": str(ROOT / "client" / "python")},
    )
    said, failed = await process.communicate()
    return process.returncode, said.decode(), failed.decode()


async def test_the_voice_agent_knows_what_was_heard(toy_house: House) -> None:
    code, said, failed = await ran("voice_agent.py", "--server", toy_house.target, "--tempo", "20")
    assert (code, failed) == (0, "")
    asked, cut, again, whole = said.splitlines()
    assert asked == "user: What is the weather like?"
    assert again == "user: Clouds? Then what shall I do?"
    assert cut.startswith(
        "agent: It is a bright morning, with a light wind from the west. Around noon the first"
    )
    assert cut.endswith(" -")
    assert "clouds" in cut
    assert "coat" not in cut
    assert whole == "agent: Go now! The garden is dry, and the sun stays until noon."


async def test_the_voice_agent_without_a_server_says_so() -> None:
    code, said, failed = await ran("voice_agent.py", "--server", "127.0.0.1:1")
    assert code == 1
    assert failed.startswith("voice_agent: No Rhapsode server answers at 127.0.0.1:1")
    assert "Traceback" not in failed
    assert said == "user: What is the weather like?\n"
