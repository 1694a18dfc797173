"""One model of each family for the whole session."""

from __future__ import annotations

import pytest
from rhapsode_server.models.base import SpeechModel

from .families import FAMILIES, Family


@pytest.fixture(scope="session", params=FAMILIES, ids=lambda family: family.name)
def family(request: pytest.FixtureRequest) -> Family:
    chosen: Family = request.param
    return chosen


@pytest.fixture(scope="session")
def model(family: Family, tmp_path_factory: pytest.TempPathFactory) -> SpeechModel:
    return family.build(tmp_path_factory.mktemp(family.name))
