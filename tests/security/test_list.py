"""The list of docs/security.md and the tests are the same list."""

from __future__ import annotations

import re
from pathlib import Path

HERE = Path(__file__).parent
PAGE = HERE.parents[1] / "docs" / "security.md"


def test_every_line_of_the_list_has_a_test_and_the_other_way_round() -> None:
    rows = re.findall(r"^\| .* \| `(test_\w+\.py)` \|$", PAGE.read_text(), re.MULTILINE)
    assert sorted(rows) == sorted(
        path.name for path in HERE.glob("test_*.py") if path.name != Path(__file__).name
    )
