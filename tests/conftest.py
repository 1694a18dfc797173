"""What every test shares: how hypothesis draws, how many threads torch may take, which skips are failures.

What must not live here: fixtures of one room; they belong to a conftest beside its tests.

A test that needs a program skips where it is missing (`tool("buf")`), and the reason is printed. CI
names what it has installed in CI_TOOLS ("buf,flite"): a skip whose reason names one of these is
a failure there, so that a broken installation cannot pass for a green run.
"""

from __future__ import annotations

import os
import re
import shutil
import sys
from collections.abc import Callable, Generator
from pathlib import Path

import pytest
from hypothesis import settings

# Two cores run many suites at once, and one thread makes floating-point sums repeatable. torch and the
# BLAS libraries read these when they are imported, which no test has done yet.
for _variable in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
    os.environ.setdefault(_variable, "1")
os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")

# A slow machine must not fail a property, so neither profile has a deadline. In CI the examples are the
# same every time; elsewhere they are new ones, which is how bugs are found.
settings.register_profile("ci", derandomize=True, deadline=None, print_blob=True)
settings.register_profile("dev", deadline=None, print_blob=True)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "ci" if os.environ.get("CI") else "dev"))


@pytest.fixture
def tool() -> Callable[[str], str]:
    """Path of a program by its name; the test skips, saying so, where it is not installed."""

    def find(name: str) -> str:
        found = shutil.which(name)
        if found is None:
            pytest.skip(f"{name} is not installed")
        return found

    return find


def forbidden_skip(reason: str, tools: str) -> str | None:
    """The tool of the comma-separated `tools` that `reason` names, if any."""
    for name in filter(None, (part.strip() for part in tools.split(","))):
        if re.search(rf"(?<![\w-]){re.escape(name)}(?![\w-])", reason, re.IGNORECASE):
            return name
    return None


def _refuse(report: pytest.TestReport | pytest.CollectReport) -> None:
    """Turn a skip into a failure where CI has installed what the test says it lacks."""
    if not report.skipped or hasattr(report, "wasxfail"):
        return
    reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else str(report.longrepr)
    name = forbidden_skip(reason, os.environ.get("CI_TOOLS", ""))
    if name is not None:
        report.outcome = "failed"
        report.longrepr = f"{reason}\nCI installs {name}, so this skip is a failure: mend the installation."


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Check the skip of a test."""
    report = yield
    _refuse(report)
    return report


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report() -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
    """Check the skip of a whole file (`pytest.importorskip`)."""
    report = yield
    _refuse(report)
    return report


def children() -> list[str]:
    """Number and command of the live child processes of this one; empty where /proc is not to be had."""
    listings = Path("/proc/self/task").glob("*/children")
    numbers = [number for listing in listings for number in listing.read_text().split()]
    return [f"{number} {command}" for number in numbers if (command := _command(Path("/proc", number)))]


def _command(process: Path) -> str:
    """What a process runs; "" for one that has ended or belongs to Python itself."""
    try:
        state = (process / "stat").read_text().rpartition(")")[2].split()[0]
        raw = (process / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace").strip()
    except OSError:
        return ""
    return "" if state == "Z" or "resource_tracker" in raw else raw or "(just started)"


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish(session: pytest.Session) -> None:
    """A test that leaves a server running fails the run, even where all its assertions held."""
    left = children()
    if left:
        for line in left:
            sys.stderr.write(f"\nleft running by the tests: {line}\n")
        session.exitstatus = pytest.ExitCode.TESTS_FAILED
