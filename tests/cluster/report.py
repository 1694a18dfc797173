"""docs/cluster-report.md: what a run of `make test-cluster` has seen, written by the run itself.

What must not live here: judging. A line is only there where its test came so far.
"""

from __future__ import annotations

import os
import platform
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from tests.cluster.kubernetes import ROOT, CommandFailed, helm_program, run

PAGE = ROOT / "docs" / "cluster-report.md"
HEAD = """# On a real cluster

Written by `make test-cluster`, which does everything below on the cluster that `KUBECONFIG` names. Seconds
are those of one run on the machine named here; the tests ask for outcomes, not for speed.
"""


def source() -> str:
    """The commit that is checked out, and whether what is tried differs from it."""
    try:
        commit = run("git", "-C", str(ROOT), "rev-parse", "--short", "HEAD").strip()
        but_this = f":!{PAGE.relative_to(ROOT)}"
        changed = run("git", "-C", str(ROOT), "status", "--porcelain", "--", ".", but_this)
    except CommandFailed:
        return "unknown"
    return commit + (" with changes that are not committed" if changed.strip() else "")


@dataclass
class Report:
    """Sections of lines, in the order in which they came, and what there was when the run began."""

    sections: dict[str, list[str]] = field(default_factory=dict)
    outcomes: dict[str, str] = field(default_factory=dict)
    began: datetime = field(default_factory=lambda: datetime.now(UTC))
    commit: str = field(default_factory=source)

    def tell(self, section: str, line: str) -> None:
        """Something that was seen."""
        self.sections.setdefault(section, []).append(line)

    def write(self, image: str, path: Path = PAGE) -> None:
        """The whole page anew."""
        parts = [HEAD, "## Where\n", f"- {self.run_of(image)}", *(f"- {line}" for line in where()), ""]
        for title, lines in self.sections.items():
            parts += [f"## {title}\n", *(f"- {line}" for line in lines), ""]
        parts += ["## Tests\n", "| test | outcome |", "|---|---|"]
        parts += [f"| {name} | {outcome} |" for name, outcome in self.outcomes.items()]
        path.write_text("\n".join(parts) + "\n")

    def run_of(self, image: str) -> str:
        """When, how long, on what."""
        minutes = (datetime.now(UTC) - self.began).total_seconds() / 60
        when = f"{self.began:%Y-%m-%d %H:%M} UTC, {minutes:.0f} minutes"
        return f"{when}, commit {self.commit}, image `{image}`"


def where() -> list[str]:
    """Machine and versions."""
    versions = [
        line for line in run("kubectl", "version").splitlines() if line.startswith(("Client", "Server"))
    ]
    nodes = run(
        "kubectl",
        "get",
        "nodes",
        "--output",
        "jsonpath={range .items[*]}Node: {.status.capacity.cpu} cores,"
        " {.status.capacity.memory} memory, {.status.nodeInfo.containerRuntimeVersion},"
        " kernel {.status.nodeInfo.kernelVersion}{'\\n'}{end}",
    ).splitlines()
    return [
        *(f"Kubernetes {line}" for line in versions),
        *nodes,
        f"Helm {run(helm_program() or 'helm', 'version', '--short').strip()}",
        f"{cpu()}; {load()}",
    ]


def cpu() -> str:
    """The processor's name."""
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.processor()


def load() -> str:
    """How busy the machine was with everything together, since it may have been shared."""
    busy = os.getloadavg()[2]
    return f"{os.cpu_count()} cores, load average over the last 15 minutes {busy:.0f}" + (
        ": the cores were shared with other work, so times are upper bounds" if busy > 4 else ""
    )
