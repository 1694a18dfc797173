"""A skip for want of a tool that CI has installed is a failure there, and a skip like any other elsewhere."""

from __future__ import annotations

import tomllib
from pathlib import Path

import pytest

from tests.conftest import forbidden_skip

CONFTEST = Path(__file__).resolve().parents[1] / "conftest.py"
SKIPPING = """
import pytest

def test_lints():
    pytest.skip("buf is not installed")

def test_other():
    pytest.skip("java is not installed")

@pytest.mark.xfail(reason="buf has a bug")
def test_expected():
    assert False

def test_by_fixture(tool):
    assert tool("no-such-program-anywhere")
"""
MODULE = "import pytest\npytest.skip('needs buf', allow_module_level=True)"


@pytest.fixture
def inner(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> pytest.Pytester:
    """A project of its own with our conftest and three kinds of skips."""
    monkeypatch.delenv("CI_TOOLS", raising=False)
    pytester.makeconftest(CONFTEST.read_text())
    pytester.makeini("[pytest]\nasyncio_default_fixture_loop_scope = function\n")
    pytester.makepyfile(test_tools=SKIPPING, test_module=MODULE)
    return pytester


def test_a_developer_may_lack_a_tool(inner: pytest.Pytester) -> None:
    result = inner.runpytest_subprocess("-rs", "-p", "no:cacheprovider")
    result.assert_outcomes(skipped=4, xfailed=1)
    result.stdout.fnmatch_lines(["*java is not installed*", "*no-such-program-anywhere is not installed*"])
    assert result.ret == 0


def test_every_run_of_ours_says_why_it_skipped(root: Path) -> None:
    options = tomllib.loads((root / "pyproject.toml").read_text())["tool"]["pytest"]["ini_options"]
    assert "-rs" in options["addopts"].split()


def test_ci_may_not(inner: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CI_TOOLS", "protoc,buf")
    result = inner.runpytest_subprocess("--continue-on-collection-errors", "-p", "no:cacheprovider")
    result.assert_outcomes(skipped=2, xfailed=1, failed=1, errors=1)
    result.stdout.fnmatch_lines(["*CI installs buf, so this skip is a failure*"])
    assert result.ret != 0


def test_a_process_left_behind_fails_the_run(inner: pytest.Pytester) -> None:
    inner.makepyfile(
        test_leak="import subprocess\nkept = []\n"
        "def test_leak():\n    kept.append(subprocess.Popen(['sleep', '9']))\n"
    )
    result = inner.runpytest_subprocess("-p", "no:cacheprovider", "test_leak.py")
    assert result.ret == pytest.ExitCode.TESTS_FAILED
    result.stderr.fnmatch_lines(["*left running by the tests: [0-9]*"])


@pytest.mark.parametrize(
    ("reason", "tools", "found"),
    [
        ("Skipped: buf is not installed", "buf", "buf"),
        ("Buf is missing", "go, buf", "buf"),
        ("needs rebuffering", "buf", None),
        ("needs protoc-gen-go", "protoc", None),
        ("needs a CUDA device", "", None),
    ],
)
def test_a_tool_is_known_by_its_whole_name(reason: str, tools: str, found: str | None) -> None:
    assert forbidden_skip(reason, tools) == found
