"""The cluster, our namespace on it, a pod to call from, and the report that the run leaves.

IMAGE names the image (default rhapsode:<version>); how it gets into the cluster is the Makefile's matter.
What must not live here: assertions about the server.
"""

from __future__ import annotations

import json
import os
import subprocess
import tomllib
from collections.abc import Generator, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.cluster.kubernetes import ROOT, Cluster, CommandFailed, Object, helm_program, namespace, run, until
from tests.cluster.report import Report

IN_POD = Path(__file__).parent / "in_pod"
CALLER = "caller"
PYTHON = "/opt/rhapsode/bin/python"
TOY: Object = {
    "model": {"source": "toy", "device": "cpu", "threads": 1},
    "resources": {"requests": {"cpu": "50m", "memory": "256Mi"}, "limits": {"memory": "1Gi"}},
    "engine": {"slots": 16, "maxWaiting": 8, "maxAheadSeconds": 1, "hangSeconds": 10},
    "probes": {"readiness": {"periodSeconds": 2}},
    "shutdown": {"preStopSeconds": 5, "drainSeconds": 60},
    "rollout": {"minReadySeconds": 2},
    "test": {"maxFirstAudioSeconds": 20},
}
"""Values for tests of moving parts: a model without weights, paced as speech is, and short waits."""
SECURE: Object = {
    "allowPrivilegeEscalation": False,
    "readOnlyRootFilesystem": True,
    "capabilities": {"drop": ["ALL"]},
}


def usual_image() -> str:
    """rhapsode:<version>."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    return f"rhapsode:{project['version']}"


@pytest.fixture(scope="session")
def report() -> Report:
    """What this run has seen."""
    return Report()


@pytest.fixture(scope="session")
def cluster(report: Report) -> Iterator[Cluster]:
    """Our namespace; the report is written when all is over."""
    if not os.environ.get("KUBECONFIG"):
        pytest.skip("KUBECONFIG names no cluster; see make test-cluster")
    if helm_program() is None:
        pytest.skip("Helm is not installed; scripts/chart-tools installs it where Go is there")
    try:
        run("kubectl", "get", "--raw", "/readyz", patience=20)
    except (CommandFailed, FileNotFoundError, subprocess.TimeoutExpired) as error:
        pytest.skip(f"the cluster that KUBECONFIG names does not answer: {str(error)[:200]}")
    image = os.environ.get("IMAGE") or usual_image()
    with namespace(image) as made:
        until("the namespace has its account", lambda: made.get("serviceaccounts")["items"])
        yield made
        if os.environ.get("CLUSTER_REPORT") != "no":
            report.write(image)


@pytest.fixture(scope="session")
def caller(cluster: Cluster) -> str:
    """A pod of our image that waits for what it is to run; in the same namespace, so it may call."""
    scripts = {path.name: path.read_text() for path in IN_POD.glob("*.py")}
    configuration = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": CALLER}, "data": scripts}
    cluster.apply(configuration, _caller(cluster.image))
    cluster.kubectl("wait", f"pod/{CALLER}", "--for=condition=Ready", "--timeout=180s")
    return CALLER


def read_page(cluster: Cluster, url: str) -> str:
    """A page of the web as the caller's pod sees it; raises CommandFailed where it does not."""
    look = "import sys, urllib.request as r; print(r.urlopen(sys.argv[1], timeout=10).read().decode())"
    return cluster.inside(CALLER, PYTHON, "-c", look, url)


def _caller(image: str) -> Object:
    waiting = "import signal, time; signal.signal(15, lambda *_: exit(0)); time.sleep(1e6)"
    container = {
        "name": CALLER,
        "image": image,
        "imagePullPolicy": "IfNotPresent",
        "command": [PYTHON, "-c", waiting],
        "securityContext": SECURE,
        "resources": {"requests": {"cpu": "50m", "memory": "128Mi"}, "limits": {"memory": "512Mi"}},
        "volumeMounts": [
            {"name": "scripts", "mountPath": "/scripts"},
            {"name": "tmp", "mountPath": "/tmp"},
        ],
    }
    volumes = [{"name": "scripts", "configMap": {"name": CALLER}}, {"name": "tmp", "emptyDir": {}}]
    return restricted(CALLER, [container], volumes)


def restricted(name: str, containers: list[Object], volumes: list[Object]) -> Object:
    """A pod as the restricted level wants it."""
    account = {"runAsNonRoot": True, "runAsUser": 10001, "seccompProfile": {"type": "RuntimeDefault"}}
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name},
        "spec": {
            "automountServiceAccountToken": False,
            "enableServiceLinks": False,
            "terminationGracePeriodSeconds": 2,
            "securityContext": account,
            "containers": containers,
            "volumes": volumes,
        },
    }


class Steady:
    """A load that runs in the caller's pod until `stop`, which gives what it found."""

    def __init__(self, cluster: Cluster, target: str, streams: int, name: str = "steady") -> None:
        """`name` tells loads apart that run at the same time."""
        self._cluster, self._stop = cluster, f"/tmp/stop-{name}"
        command = ["kubectl", "--namespace", cluster.namespace, "exec", CALLER, "--", PYTHON]
        command += ["/scripts/steady.py", target, str(streams), self._stop]
        self._process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        assert self._process.stdout is not None
        assert self._process.stdout.readline() == "begun\n"

    def stop(self) -> dict[str, Any]:
        """End it: what runs is listened to the end."""
        self._cluster.inside(CALLER, PYTHON, "-c", f"open({self._stop!r}, 'w')")
        told, wrong = self._process.communicate(timeout=300)
        assert self._process.returncode == 0, wrong
        found: dict[str, Any] = json.loads(told)
        return found


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Every outcome goes into the report, a skipped test with its reason."""
    told = yield
    fixtures = getattr(item, "funcargs", {})
    if "report" in fixtures and (told.when == "call" or told.outcome != "passed"):
        name = item.name.removeprefix("test_").replace("_", " ")
        reason = f": {told.longrepr[2]}" if isinstance(told.longrepr, tuple) else ""
        fixtures["report"].outcomes[name] = told.outcome + reason
    return told
