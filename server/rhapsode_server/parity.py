"""Does this server compute what a reference implementation does? python -m rhapsode_server.parity FOLDER.

Reads a folder of checkpoints with recorded outputs, has the family compare every quantity that was recorded,
prints the largest error of each, and exits with 1 where one is beyond its tolerance. What must not live here:
how any family is compared (models/<family>/parity.py), recorded outputs.
"""

from __future__ import annotations

import argparse
import math
import sys
from collections.abc import Callable, Iterable, Sequence
from importlib import import_module
from pathlib import Path

from rhapsode_server.errors import ModelUnusable, RhapsodeError
from rhapsode_server.models.registry import FAMILIES, family_of

Finding = tuple[str, str, str, float, float]
"""Checkpoint, request, quantity, largest error, tolerance; an infinite tolerance: not compared at all."""
Check = Callable[[Path], Iterable[Finding]]


def family_in(folder: Path) -> str:
    """The family whose checkpoints lie in `folder`/ckpt, else the one that the folder's name says.

    Raises errors.ModelUnusable.
    """
    for path in sorted(folder.glob("ckpt/*")):
        if (path / "config.json").exists():
            return family_of(str(path))
    return family_of(folder.resolve().name)


def checker(family: str) -> Check:
    """How `family` is compared. Raises errors.ModelUnusable for a family that has no comparison."""
    try:
        check: Check = import_module(f"{FAMILIES[family]}.parity").check
    except ModuleNotFoundError:
        raise ModelUnusable(f"The family {family!r} has no recorded outputs to be compared with.") from None
    return check


def report(findings: Iterable[Finding]) -> int:
    """Print every finding as it comes; 1 where one is beyond its tolerance or there was none, else 0."""
    compared, beyond, left = 0, 0, 0
    for checkpoint, request, quantity, error, tolerance in findings:
        if math.isinf(tolerance):
            sys.stdout.write(f"{checkpoint:24} {request:36} {quantity:44} not compared\n")
            left += 1
            continue
        good = error <= tolerance
        compared, beyond = compared + 1, beyond + (not good)
        line = f"{checkpoint:24} {request:36} {quantity:44} {error:9.2e} {tolerance:9.0e}"
        sys.stdout.write(f"{line}  {'ok' if good else 'BEYOND'}\n")
        sys.stdout.flush()
    sys.stdout.write(f"{compared} quantities compared, {beyond} beyond tolerance, {left} not compared\n")
    return int(beyond > 0 or compared == 0)


def main(arguments: Sequence[str] | None = None) -> int:
    """The command."""
    parser = argparse.ArgumentParser(
        description="Compare with recorded outputs of a reference implementation."
    )
    parser.add_argument("folder", type=Path, help="holds checkpoints, and golden/manifest.json")
    parser.add_argument("--family", choices=sorted(FAMILIES), help="whose checkpoints they are")
    chosen = parser.parse_args(arguments)
    try:
        family = chosen.family or family_in(chosen.folder)
        return report(checker(family)(chosen.folder))
    except RhapsodeError as error:
        sys.stderr.write(f"{error.message}\n")
        return 2


if __name__ == "__main__":
    sys.exit(main())
