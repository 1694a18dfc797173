"""Where the recipe keeps its work, and the constants every stage shares. No stage lives here."""

from __future__ import annotations

import os
from pathlib import Path

WORK = Path(os.environ.get("ION_WORK", Path(__file__).parent / "work"))
TEXT = WORK / "text.tsv"
"""One sentence a line: part (train, held), speaker, sentence."""
RENDERED = WORK / "rendered"
FEATURES = WORK / "features"
RUNS = WORK / "runs"
PARTS = ("train", "held")
SEED = 20_240_521
