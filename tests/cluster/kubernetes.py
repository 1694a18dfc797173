"""kubectl and helm on the cluster that KUBECONFIG names, and what the tests ask them again and again.

What must not live here: assertions, what is installed.
"""

from __future__ import annotations

import base64
import json
import os
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, TypeVar

import yaml

ROOT = Path(__file__).resolve().parents[2]
CHART = ROOT / "helm" / "rhapsode"
PATIENCE = 300.0
"""Seconds until something that should come about counts as lost. Generous: the machine may be busy."""
T = TypeVar("T")
Object = dict[str, Any]


class CommandFailed(AssertionError):
    """A program ended with an error; the text is what it said."""


def helm_program() -> str | None:
    """Helm as scripts/chart-tools builds it, else the one on the path."""
    built = ROOT / ".tools" / "bin" / "helm3"
    return str(built) if built.exists() else shutil.which("helm")


def run(*command: str, given: str | None = None, patience: float = PATIENCE) -> str:
    """What the program prints. Raises CommandFailed."""
    done = subprocess.run(
        command, input=given, capture_output=True, text=True, check=False, timeout=patience + 60
    )
    if done.returncode:
        raise CommandFailed(f"{' '.join(command)[:300]}: {done.stderr}{done.stdout}")
    return done.stdout


def until(what: str, look: Callable[[], T | None], patience: float = PATIENCE) -> T:
    """The first answer of `look` that is something; AssertionError where none comes."""
    end = time.monotonic() + patience
    while True:
        found = look()
        if found:
            return found
        assert time.monotonic() < end, f"{what}: it did not come about in {patience:.0f} s"
        time.sleep(0.5)


def moment(text: str) -> float:
    """Seconds since 1970 of a time as Kubernetes writes it."""
    return datetime.fromisoformat(text).timestamp()


@dataclass(frozen=True)
class Pod:
    """What the tests ask of a pod."""

    about: Object

    @property
    def name(self) -> str:
        return str(self.about["metadata"]["name"])

    @property
    def address(self) -> str:
        return str(self.about["status"].get("podIP", ""))

    @property
    def leaving(self) -> bool:
        return "deletionTimestamp" in self.about["metadata"]

    @property
    def ready(self) -> bool:
        return self.condition("Ready").get("status") == "True"

    @property
    def container(self) -> Object:
        """The status of the container that serves."""
        found: list[Object] = self.about["status"].get("containerStatuses", [])
        return found[0] if found else {}

    @property
    def restarts(self) -> int:
        return int(self.container.get("restartCount", 0))

    @property
    def start_seconds(self) -> float:
        """From the container's start to its readiness; whole seconds, as Kubernetes tells them."""
        started = self.container["state"]["running"]["startedAt"]
        return moment(self.condition("Ready")["lastTransitionTime"]) - moment(started)

    def condition(self, kind: str) -> Object:
        """A condition; {} where there is none yet."""
        found: list[Object] = self.about["status"].get("conditions", [])
        return next((each for each in found if each["type"] == kind), {})


@dataclass(frozen=True)
class Cluster:
    """One namespace of the cluster."""

    namespace: str
    image: str

    def kubectl(self, *arguments: str, given: str | None = None, patience: float = PATIENCE) -> str:
        """kubectl in our namespace."""
        return run("kubectl", "--namespace", self.namespace, *arguments, given=given, patience=patience)

    def get(self, *arguments: str) -> Object:
        """An object, or a list of them."""
        found: Object = json.loads(self.kubectl("get", *arguments, "--output", "json"))
        return found

    def apply(self, *objects: Object) -> None:
        """Create or change objects."""
        self.kubectl("apply", "--filename", "-", given=yaml.safe_dump_all(objects))

    def secret(self, name: str, files: dict[str, str], kind: str = "Opaque") -> None:
        """Create or change a secret."""
        data = {key: base64.b64encode(text.encode()).decode() for key, text in files.items()}
        self.apply(
            {"apiVersion": "v1", "kind": "Secret", "type": kind, "metadata": {"name": name}, "data": data}
        )

    def helm(self, *arguments: str, given: str | None = None) -> str:
        """Helm in our namespace."""
        program = helm_program()
        assert program is not None
        return run(program, *arguments, "--namespace", self.namespace, given=given)

    def install(self, release: str, values: Object, *, wait: bool = True) -> None:
        """`helm upgrade --install` of our chart, with our image."""
        repository, _, tag = self.image.rpartition(":")
        values = {**values, "image": {"repository": repository, "tag": tag, "pullPolicy": "IfNotPresent"}}
        waiting = ["--wait", "--timeout", f"{PATIENCE:.0f}s"] if wait else []
        command = ["upgrade", "--install", release, str(CHART), "--values", "-", *waiting]
        self.helm(*command, given=yaml.safe_dump(values))

    def uninstall(self, release: str) -> None:
        """Take a release away, and wait until its pods are gone."""
        self.helm("uninstall", release, "--wait", "--timeout", f"{PATIENCE:.0f}s")
        until(f"the pods of {release} leave", lambda: not self.pods(release))

    def pods(self, release: str) -> list[Pod]:
        """The release's servers."""
        selector = f"app.kubernetes.io/name=rhapsode,app.kubernetes.io/instance={release}"
        return [Pod(about) for about in self.get("pods", "--selector", selector)["items"]]

    def ready(self, release: str, count: int) -> list[Pod]:
        """Waits until exactly so many pods are there, all of them ready and none leaving."""

        def look() -> list[Pod] | None:
            pods = self.pods(release)
            settled = len(pods) == count and all(pod.ready and not pod.leaving for pod in pods)
            return pods if settled else None

        return until(f"{count} pods of {release} are ready", look)

    def endpoints(self, release: str) -> set[str]:
        """Addresses that the release's Service leads to."""
        selector = f"kubernetes.io/service-name={release}-rhapsode"
        slices = self.get("endpointslices", "--selector", selector)["items"]
        return {
            address
            for each in slices
            for endpoint in each["endpoints"] or []
            if endpoint["conditions"].get("ready")
            for address in endpoint["addresses"]
        }

    def inside(self, pod: str, *command: str, patience: float = PATIENCE) -> str:
        """What a program prints in a pod."""
        return self.kubectl("exec", pod, "--", *command, patience=patience)

    def logs(self, pod: str, *arguments: str) -> str:
        """What a pod has written."""
        return self.kubectl("logs", pod, *arguments)


@contextmanager
def namespace(image: str) -> Iterator[Cluster]:
    """A namespace of our own that enforces the restricted pod security level; it goes at the end."""
    name = f"rhapsode-{os.urandom(3).hex()}"
    labels = {"pod-security.kubernetes.io/enforce": "restricted"}
    made = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, "labels": labels}}
    run("kubectl", "apply", "--filename", "-", given=yaml.safe_dump(made))
    try:
        yield Cluster(name, image)
    finally:
        run("kubectl", "delete", "namespace", name, "--wait=false")
        run("kubectl", "delete", "pods", "--all", "--namespace", name, "--grace-period=1", "--wait=false")
