"""What the telemetry tests share: exporters in memory."""

from __future__ import annotations

import pytest

from tests.unit.telemetry.made import Kept


@pytest.fixture
def kept() -> Kept:
    """Everything is sampled and stays here."""
    return Kept()
