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


@dataclass
class Report:
    """Sections of lines, in the order in which they came."""

    sections: dict[str, list[str]] = field(default_factory=dict)
    outcomes: dict[str, str] = field(default_factory=dict)

    def tell(self, section: str, line: str) -> None:
        """Something that was seen."""
        self.sections.setdefault(section, []).append(line)

    def write(self, image: str, path: Path = PAGE) -> None:
        """The whole page anew."""
        parts = [HEAD, "## Where\n", *(f"- {line}" for line in where(image)), ""]
        for title, lines in self.sections.items():
            parts += [f"## {title}\n", *(f"- {line}" for line in lines), ""]
        parts += ["## Tests\n", "| test | outcome |", "|---|---|"]
        parts += [f"| {name} | {outcome} |" for name, outcome in self.outcomes.items()]
        path.write_text("\n".join(parts) + "\n")


def where(image: str) -> list[str]:
    """Day, machine and versions."""
    versions = [
        line for line in run("kubectl", "version").splitlines() if line.startswith(("Client", "Server"))
    ]
    nodes = run(
        "kubectl",
        "get",
        "nodes",
        "--output",
        "jsonpath={range .items[*]}{.metadata.name}: {.status.capacity.cpu} cores,"
        " {.status.capacity.memory} memory, {.status.nodeInfo.containerRuntimeVersion},"
        " kernel {.status.nodeInfo.kernelVersion}{'\\n'}{end}",
    ).splitlines()
    try:
        commit = run("git", "-C", str(ROOT), "rev-parse", "--short", "HEAD").strip()
    except CommandFailed:
        commit = "unknown"
    return [
        f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC, commit {commit}, image `{image}`",
        *(f"Kubernetes {line}" for line in versions),
        *(f"Node {line}" for line in nodes),
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
