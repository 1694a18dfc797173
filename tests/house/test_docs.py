"""What the pages say is so: links lead somewhere, commands exist, the changelog keeps its form."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

LINK = re.compile(r"(?<!!)\[[^\]]*\]\(([^)\s]+)\)|!\[[^\]]*\]\(([^)\s]+)\)")
FENCE = re.compile(r"^(```|~~~)(\w*)\n(.*?)^\1$", re.MULTILINE | re.DOTALL)
TARGET = re.compile(r"^([a-z][a-z-]*):", re.MULTILINE)
USE = re.compile(r"(?:^|(?<=[\s;&(]))make ([a-z][a-z-]+)(?=[\s.,;)]|$)", re.MULTILINE)
SECTIONS = ("Added", "Changed", "Deprecated", "Removed", "Fixed", "Security")
MODELS = "server/rhapsode_server/models"
FAMILY = re.compile(rf"{MODELS}/([a-z]\w*)(?:\.py|/__init__\.py)$")
RELEASE = re.compile(r"## \[(\d+\.\d+\.\d+)\] - \d{4}-\d{2}-\d{2}$")


def pages(texts: dict[str, str]) -> dict[str, str]:
    """The Markdown files."""
    return {path: text for path, text in texts.items() if path.endswith(".md")}


def without_code(text: str) -> str:
    """The prose of a page: fenced blocks and inline code are left out."""
    return re.sub(r"`[^`\n]*`", "", FENCE.sub("", text))


def anchors(text: str) -> set[str]:
    """The names that a link may point to after '#', as GitHub makes them of headings."""
    found: dict[str, int] = {}
    for title in re.findall(r"^#+ +(.*?)\s*$", FENCE.sub("", text), re.MULTILINE):
        name = re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-")
        found[name] = found.get(name, 0) + 1
    return set(found) | {f"{n}-{i}" for n, count in found.items() for i in range(1, count)}


def code(text: str) -> str:
    """What a page shows as code: fenced blocks and inline code, a line each."""
    inline = re.findall(r"`([^`\n]+)`", FENCE.sub("", text))
    return "\n".join([body for _, _, body in FENCE.findall(text)] + inline)


def links(text: str) -> Iterator[str]:
    """Targets of a page's links within the repository."""
    for match in LINK.finditer(without_code(text)):
        target = match[1] or match[2]
        if not re.match(r"[a-z]+:", target):
            yield target


def broken(path: str, text: str, texts: dict[str, str], root: Path) -> Iterator[str]:
    """The links of one page that lead nowhere."""
    for target in links(text):
        file, _, anchor = target.partition("#")
        aim = _resolve(PurePosixPath(path).parent / file) if file else path
        if not (root / aim).exists():
            yield f"{path}: {target} is not there"
        elif anchor and aim in texts and anchor not in anchors(texts[aim]):
            yield f"{path}: {aim} has no heading #{anchor}"


def _resolve(path: PurePosixPath) -> str:
    parts: list[str] = []
    for part in path.parts:
        if part == "..":
            parts.pop()
        elif part != ".":
            parts.append(part)
    return "/".join(parts)


def test_links_lead_somewhere(texts: dict[str, str], root: Path) -> None:
    found = [bad for path, text in pages(texts).items() for bad in broken(path, text, texts, root)]
    assert not found, "\n".join(found)


def test_every_page_can_be_found_from_the_readme(texts: dict[str, str]) -> None:
    found, todo = {"README.md"}, ["README.md"]
    while todo:
        path = todo.pop()
        aims = {_resolve(PurePosixPath(path).parent / link.partition("#")[0]) for link in links(texts[path])}
        new = {page for page in pages(texts) if page not in found and (page in aims or _within(page, aims))}
        found |= new
        todo += new
    lost = {page for page in pages(texts) if page.startswith("docs/")} - found
    assert not lost, f"no page leads to {sorted(lost)}"


def _within(page: str, folders: set[str]) -> bool:
    """Whether a folder that has this page is linked to as a whole."""
    return str(PurePosixPath(page).parent) in folders


def test_the_commands_that_pages_show_exist(texts: dict[str, str]) -> None:
    targets = set(TARGET.findall(texts["Makefile"]))
    shown = {(path, name) for path, text in pages(texts).items() for name in USE.findall(code(text))}
    strange = sorted((path, name) for path, name in shown if name not in targets)
    assert not strange, f"the Makefile has no such targets: {strange}"


def test_the_readme_sets_up_with_two_commands(texts: dict[str, str]) -> None:
    blocks = [body for _, kind, body in FENCE.findall(texts["README.md"]) if kind in ("sh", "bash")]
    commands = [line.partition("#")[0].strip() for block in blocks for line in block.splitlines()]
    made = [command.split()[:2] for command in commands if command.startswith("make ")]
    assert made[:2] == [["make", "speak"], ["make", "test"]]


def test_the_table_of_models_is_what_there_is(texts: dict[str, str]) -> None:
    """The README, the registry and the folders name the same families."""
    table = set(re.findall(r"^\| `([a-z0-9_]+)` \|", texts["README.md"], re.MULTILINE))
    modules = {match[1] for path in texts if (match := FAMILY.match(path))} - {"base", "registry", "shards"}
    registered = re.search(r"for name in \(([^)]*)\)", texts[f"{MODELS}/registry.py"])
    assert registered is not None
    assert set(re.findall(r'"(\w+)"', registered[1])) == modules
    assert table == modules, "every family has a line in the README's table, and nothing else has"


def test_ci_calls_what_the_readme_shows(texts: dict[str, str]) -> None:
    called = re.findall(r"^make --no-print-directory ([a-z-]+)$", texts[".ci/run"], re.MULTILINE)
    assert called == ["env", "check", "test-chart", "test"]


def test_every_target_says_what_it_does(texts: dict[str, str]) -> None:
    phony = re.findall(r"^\.PHONY: ([a-z-]+)$", texts["Makefile"], re.MULTILINE)
    for name in phony:
        assert re.search(rf"^{name}:.*## \w", texts["Makefile"], re.MULTILINE), (
            f"make {name} has no '## help'"
        )


def test_the_changelog_keeps_its_form(texts: dict[str, str]) -> None:
    lines = texts["CHANGELOG.md"].splitlines()
    heads = [line for line in lines if line.startswith("## ")]
    assert lines[0] == "# Changelog"
    assert heads[0] == "## [Unreleased]"
    assert all(RELEASE.match(head) for head in heads[1:]), f"'## [1.2.3] - YYYY-MM-DD', not {heads[1:]}"
    versions = [tuple(map(int, head[4 : head.index("]")].split("."))) for head in heads[1:]]
    assert versions == sorted(set(versions), reverse=True), "newest first, each once"
    groups = {line[4:] for line in lines if line.startswith("### ")}
    assert groups <= set(SECTIONS), f"the groups are {SECTIONS}, not {groups}"


def test_a_released_version_is_in_the_changelog(texts: dict[str, str]) -> None:
    version = tomllib.loads(texts["pyproject.toml"])["project"]["version"]
    newest = RELEASE.search(texts["CHANGELOG.md"])
    assert newest is None or newest[1] <= version
    assert "[Unreleased]" in texts["CHANGELOG.md"]


def test_decision_records_have_their_three_parts(texts: dict[str, str]) -> None:
    records = [path for path in texts if re.fullmatch(r"docs/adr/\d{4}-[a-z0-9-]+\.md", path)]
    assert records
    for path in records:
        heads = [line[3:] for line in texts[path].splitlines() if line.startswith("## ")]
        assert heads == ["Context", "Decision", "Cost"], f"{path} has {heads}"
    numbers = sorted(PurePosixPath(path).name[:4] for path in records)
    assert numbers == [f"{n:04}" for n in range(1, len(records) + 1)], "one number, one record, no gaps"


def test_the_link_rules_have_teeth(tmp_path: Path) -> None:
    (tmp_path / "there.md").write_text("# A Heading, here\n")
    texts = {"there.md": "# A Heading, here\n", "docs/page.md": ""}
    said = (
        "[a](../there.md#a-heading-here) [b](../there.md#nowhere) [c](gone.md) `[d](code.md)` [e](https://x)"
    )
    assert list(broken("docs/page.md", said, texts, tmp_path)) == [
        "docs/page.md: there.md has no heading #nowhere",
        "docs/page.md: gone.md is not there",
    ]
