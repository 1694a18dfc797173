"""`rhapsode say --stream` as a process of its own: sound before the text ends, and Ctrl-C at any word."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from pathlib import Path

from tests.integration.conftest import House

ROOT = Path(__file__).resolve().parents[2]
TEXT = "The kettle sings before the water boils. Seven red lanterns hang above the river. "


def heed_interrupts() -> None:
    """A shell that runs the tests in the background lets them, and what they start, ignore Ctrl-C."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


async def start(place: House, *arguments: str, **environ: str) -> asyncio.subprocess.Process:
    paths = [str(ROOT / "client/python"), environ.pop("PYTHONPATH", "")]
    return await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "rhapsode", "say", "--stream", *arguments),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        preexec_fn=heed_interrupts,
        env=os.environ | {"PYTHONPATH": os.pathsep.join(paths), "RHAPSODE_SERVER": place.target} | environ,
    )


async def write(process: asyncio.subprocess.Process, text: bytes) -> None:
    assert process.stdin is not None
    process.stdin.write(text)
    await process.stdin.drain()


async def test_sound_comes_before_the_text_has_ended(toy_house: House) -> None:
    process = await start(toy_house, "--out", "-", "--voice", "bass")
    assert process.stdout is not None
    await write(process, TEXT.encode())
    early = await process.stdout.readexactly(2_000)
    await write(process, "Grüße ".encode()[:3])
    rest, said = await process.communicate("Grüße ".encode()[3:] + b"to nobody, who knows why.")
    assert process.returncode == 0, said
    assert len(early + rest) > 100_000
    assert b"First sound after" in said
    assert b"Voice bass" in said


async def test_an_interruption_says_what_was_heard(toy_house: House, tmp_path: Path) -> None:
    process = await start(toy_house, "--out", "-")
    assert process.stdout is not None
    await write(process, TEXT.encode())
    await process.stdout.readexactly(2_000)
    process.send_signal(signal.SIGINT)
    _, said = await process.communicate()
    heard, missed, last = said.decode().splitlines()
    assert process.returncode == 130
    assert heard.startswith("Heard:     The")
    assert missed.startswith("Not heard:")
    whole = heard.removeprefix("Heard:").strip() + " " + missed.removeprefix("Not heard:").strip()
    assert whole.split() == TEXT.split()
    assert last == "rhapsode: Interrupted."


async def test_a_file_and_what_cannot_be_spoken(toy_house: House, tmp_path: Path) -> None:
    process = await start(toy_house, "--out", str(tmp_path / "a.wav"), "-q")
    _, said = await process.communicate(TEXT.encode())
    assert (process.returncode, said) == (0, b"")
    assert (tmp_path / "a.wav").stat().st_size > 50_000
    for text, code, sentence in (
        (b"", 2, b"nothing that can be spoken"),
        (b"Gr\xfc\xdfe", 2, b"not UTF-8"),
    ):
        process = await start(toy_house, "--out", str(tmp_path / "b.wav"))
        _, said = await process.communicate(text)
        assert process.returncode == code, said
        assert said.startswith(b"rhapsode: ")
        assert sentence in said
    process = await start(toy_house, "Hello")
    _, said = await process.communicate(b"")
    assert process.returncode == 2
    assert b"leave out TEXT and --file" in said
    assert os.listdir(tmp_path) == ["a.wav"]
