"""The image and the chart on a real cluster: restricted, installed, tested, heard."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest

from tests.cluster.conftest import PYTHON
from tests.cluster.kubernetes import Cluster, CommandFailed, Pod
from tests.cluster.report import Report

pytestmark = pytest.mark.cluster

RELEASE = "voice"
VALUES = {
    "replicas": 1,
    "model": {"source": "ion", "threads": 1},
    "engine": {"slots": 8, "maxWaiting": 4},
    "resources": {"requests": {"cpu": "100m", "memory": "512Mi"}, "limits": {"memory": "2Gi"}},
    "test": {"maxFirstAudioSeconds": 20},
    "shutdown": {"preStopSeconds": 2, "drainSeconds": 20},
}
"""The embedded voice, as small as it goes: these tests share their cores."""
SECTION = "The embedded voice, installed"


@pytest.fixture(scope="module")
def voice(cluster: Cluster) -> Iterator[Pod]:
    """One pod that speaks with the embedded voice."""
    cluster.install(RELEASE, VALUES)
    (pod,) = cluster.ready(RELEASE, 1)
    yield pod
    cluster.uninstall(RELEASE)


def test_the_namespace_refuses_what_is_not_restricted(cluster: Cluster, report: Report) -> None:
    with pytest.raises(CommandFailed, match="violates PodSecurity"):
        cluster.kubectl("run", "careless", f"--image={cluster.image}")


def test_it_installs_and_its_own_test_hears_it(cluster: Cluster, voice: Pod, report: Report) -> None:
    told = cluster.helm("test", RELEASE, "--logs", "--timeout", "180s")
    assert "Phase:          Succeeded" in told
    spoken = next(line for line in told.splitlines() if line.startswith("First sound after"))
    report.tell(SECTION, f"`helm test` in a namespace that enforces *restricted*: {spoken}")


def test_it_runs_as_nobody_on_a_root_that_cannot_be_written(
    cluster: Cluster, voice: Pod, report: Report
) -> None:
    tools = "[tool for tool in ('gcc', 'cc', 'make', 'pip', 'uv') if shutil.which(tool)]"
    look = f"import os, shutil; print(os.getuid(), os.getgid(), {tools})"
    assert cluster.inside(voice.name, PYTHON, "-c", look).strip() == "10001 10001 []"
    for place in ("/", "/opt/rhapsode", "/etc", "/var/tmp"):
        write = f"open({place!r} + '/written', 'w')"
        with pytest.raises(CommandFailed, match="Read-only file system"):
            cluster.inside(voice.name, PYTHON, "-c", write)
    bill = json.loads(cluster.inside(voice.name, "cat", "/opt/rhapsode/bill-of-materials.cdx.json"))
    named = {component["name"] for component in bill["components"]}
    assert {"rhapsode", "torch", "grpcio"} <= named
    report.tell(
        SECTION,
        f"uid 10001, read-only root, no build tools; its bill of materials names {len(named)} packages",
    )


def test_it_is_heard_through_the_service(cluster: Cluster, caller: str, voice: Pod, report: Report) -> None:
    target = f"{RELEASE}-rhapsode.{cluster.namespace}.svc.cluster.local:50051"
    sentence = "Through the service, as everybody else would call it."
    said = cluster.inside(
        caller, "/opt/rhapsode/bin/rhapsode", "probe", "--server", target, "--max-first-audio", "20", sentence
    )
    assert "First sound after" in said
    report.tell(SECTION, f"through the Service from another pod: {said.strip()}")


def test_what_a_pod_takes(cluster: Cluster, voice: Pod, report: Report) -> None:
    status = cluster.inside(voice.name, "cat", "/proc/1/status")
    peak = int(next(line for line in status.splitlines() if line.startswith("VmHWM:")).split()[1]) / 1024
    (pod,) = cluster.ready(RELEASE, 1)
    loaded = [line for line in cluster.logs(voice.name).splitlines() if "loaded ion" in line]
    assert loaded
    assert pod.restarts == 0
    assert peak < 2048, "the limit of its container"
    report.tell(
        SECTION, f"peak memory {peak:.0f} MiB; {pod.start_seconds:.0f} s from its start to its readiness"
    )
