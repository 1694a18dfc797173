"""What no file of ours may say: where packages come from, and what the place it was written in is called.

An address in a lock file sends every user to one mirror; a path of somebody's machine helps nobody. The
forbidden words are put together here from parts, so that this file may be looked at like any other.
"""

from __future__ import annotations

import re

REGISTRIES = tuple(
    ".".join(parts)
    for parts in (
        *(("pypi", "org"), ("pythonhosted", "org"), ("npmjs", "org"), ("npmjs", "com"), ("yarnpkg", "com")),
        *(("proxy", "golang", "org"), ("sum", "golang", "org"), ("crates", "io")),
        *(("repo1", "maven", "org"), ("repo", "maven", "apache", "org"), ("download", "pytorch", "org")),
    )
)
PLACES = tuple(
    re.compile(pattern, re.IGNORECASE)
    for pattern in (
        r"(?<![\w.~-])/wor" + r"k/",
        r"\.\./shar" + r"ed\b",
        r"\bDESIG" + r"N(\.md| section)",
        r"\bCOMMO" + r"N\.md\b",
        r"\bthe le" + r"ad('s)?\b(?! of| to| time)",
        r"/ro" + r"ot/",
        r"/tm" + r"p/claude",
    )
)
SKIPPED = ("LICENSE",)


def hits(text: str, pattern: re.Pattern[str]) -> list[int]:
    """Numbers of the lines of `text` that have the pattern."""
    return [number for number, line in enumerate(text.splitlines(), 1) if pattern.search(line)]


def find(texts: dict[str, str], pattern: re.Pattern[str]) -> list[str]:
    """`path:line` of every line that has the pattern."""
    wanted = ((path, text) for path, text in texts.items() if path not in SKIPPED)
    return [f"{path}:{number}" for path, text in wanted for number in hits(text, pattern)]


def test_no_file_names_a_package_registry(texts: dict[str, str]) -> None:
    pattern = re.compile(r"(?<![\w-])(" + "|".join(map(re.escape, REGISTRIES)) + r")\b")
    found = find(texts, pattern)
    assert not found, f"packages are named by version and digest, never by a registry's address: {found[:20]}"


def test_the_project_speaks_of_itself_alone(texts: dict[str, str]) -> None:
    found = [place for pattern in PLACES for place in find(texts, pattern)]
    assert not found, f"a reader elsewhere cannot know what these lines refer to: {found[:20]}"


def test_lock_files_hold_digests(texts: dict[str, str]) -> None:
    for path, text in texts.items():
        if path.endswith("package-lock.json"):
            assert '"resolved"' not in text, f"{path}: run npm with omit-lockfile-registry-resolved=true"
            assert '"integrity"' in text, path
        assert not path.endswith(("uv.lock", "poetry.lock", "Pipfile.lock")), f"{path}: use constraints/"


def test_every_constraint_is_exact_and_has_a_digest(texts: dict[str, str]) -> None:
    for path in (path for path in texts if path.startswith("constraints/")):
        for block in re.split(r"\n(?=\S)", texts[path].strip()):
            assert re.match(r"[a-z0-9._-]+==[^ ]+", block, re.IGNORECASE), f"{path}: {block.splitlines()[0]}"
            assert "--hash=sha256:" in block, f"{path}: no digest for {block.splitlines()[0]}"


def test_the_words_are_found() -> None:
    assert hits("see /wor" + "k/main", PLACES[0]) == [1]
    assert hits("voices/ion/wor" + "k/text.tsv", PLACES[0]) == []
    assert hits("a\nin ../shar" + "ed/facts", PLACES[1]) == [2]
