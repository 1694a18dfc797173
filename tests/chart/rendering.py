"""The chart, rendered by a real Helm, as text and as parsed objects.

What must not live here: assertions. The programs come from scripts/chart-tools; a test whose program is
missing skips, saying so.
"""

from __future__ import annotations

import json
import subprocess
from functools import cache
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[2]
CHART = ROOT / "helm" / "rhapsode"
TOOLS = ROOT / ".tools" / "bin"
CHECKS = ROOT / ".venv-chart" / "bin"
GOLDEN = Path(__file__).parent / "golden"
CASES = sorted(path.name.removesuffix("-values.yaml") for path in (CHART / "ci").glob("*-values.yaml"))
HELMS = ("helm3", "helm4")
RELEASE, NAMESPACE, KUBERNETES = "demo", "voice", "1.34.0"
Object = dict[str, Any]


class Refused(Exception):
    """Helm would not render; the text is what it said."""


def program(name: str, folder: Path = TOOLS) -> str:
    """Path of a tool of the chart; the test skips where it is not installed."""
    path = folder / name
    if not path.exists():
        pytest.skip(f"{name} is not installed; scripts/chart-tools installs it where Go is there")
    return str(path)


def values_file(case: str) -> Path:
    """The values of a case in helm/rhapsode/ci."""
    return CHART / "ci" / f"{case}-values.yaml"


@cache
def manifest(helm: str, *arguments: str, release: str = RELEASE, namespace: str = NAMESPACE) -> str:
    """What `helm template` prints; raises Refused with what it complains about."""
    command = [
        *(program(helm), "template", release, str(CHART), "--namespace", namespace),
        *("--kube-version", KUBERNETES, *arguments),
    ]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise Refused(done.stderr)
    return done.stdout


def objects(text: str) -> list[Object]:
    """The objects of a manifest."""
    return [found for found in yaml.safe_load_all(text) if found]


def rendered(case: str, helm: str = "helm3") -> list[Object]:
    """The objects of a case."""
    return objects(manifest(helm, "--values", str(values_file(case))))


def with_values(tmp_path: Path, values: Object, helm: str = "helm3", **named: str) -> list[Object]:
    """The objects for these values, of this `release` and in this `namespace` where they are given."""
    text = json.dumps(values)  # which is YAML that everybody reads alike
    file = tmp_path / f"{sha256(text.encode()).hexdigest()[:16]}.yaml"
    file.write_text(text)
    return objects(manifest(helm, "--values", str(file), **named))


def notes(tmp_path: Path, values: Object) -> str:
    """What Helm tells whoever installs these values; Helm 3 would ask a cluster first."""
    file = tmp_path / "values.yaml"
    file.write_text(json.dumps(values))
    command = [program("helm4"), "install", RELEASE, str(CHART), "--namespace", NAMESPACE, "--dry-run=client"]
    done = subprocess.run([*command, "--values", str(file)], capture_output=True, text=True, check=False)
    if done.returncode:
        raise Refused(done.stderr)
    return done.stdout.partition("\nNOTES:\n")[2]


def one(found: list[Object], kind: str, name: str | None = None) -> Object:
    """The only object of its kind (and name)."""
    fitting = [o for o in found if o["kind"] == kind and name in (None, o["metadata"]["name"])]
    assert len(fitting) == 1, f"{len(fitting)} objects {kind} {name or ''}"
    return fitting[0]


def kinds(found: list[Object]) -> list[str]:
    """The kinds, sorted."""
    return sorted(o["kind"] for o in found)


def pod(found: list[Object]) -> Object:
    """The Deployment's pod specification."""
    specification: Object = one(found, "Deployment")["spec"]["template"]["spec"]
    return specification


def server(found: list[Object]) -> Object:
    """The container that serves."""
    container: Object = pod(found)["containers"][0]
    return container
