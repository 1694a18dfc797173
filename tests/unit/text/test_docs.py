"""The examples of docs/text.md hold."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from rhapsode_server.text.desk import TextDesk

PAGE = (Path(__file__).parents[3] / "docs" / "text.md").read_text("utf-8")
READ_HOW, COMMANDS = re.findall(r"\|---\|---\|\n((?:\|.*\n)+)", PAGE)
ROWS = [tuple(row.strip("| ").split(" | ")) for row in READ_HOW.splitlines()]


def test_the_page_has_its_examples() -> None:
    assert len(ROWS) >= 25


@pytest.mark.parametrize(("written", "spoken"), ROWS)
def test_an_example_holds(written: str, spoken: str) -> None:
    pieces = TextDesk(reads="letters").pieces(written.strip("`"))
    assert " ".join(piece.text for piece in pieces) == spoken


def test_the_commands_shown_are_obeyed() -> None:
    word, *pauses = re.findall(r"`(\{.*?\})`", COMMANDS.replace("\\|", "|"))
    desk = TextDesk(reads="phones")
    assert next(desk.pieces(word)).words[0].phones == ("T", "AH0", "M", "AA1", "T", "OW0")
    assert [next(desk.pieces(f"a {pause} b")).pause for pause in pauses] == [0.5, 1.5]
