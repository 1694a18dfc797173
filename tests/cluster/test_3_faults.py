"""What goes wrong goes wrong alone: an engine that hangs, weights that are not there."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest

from tests.cluster.conftest import TOY
from tests.cluster.kubernetes import Cluster, CommandFailed, Object, Pod, until
from tests.cluster.report import Report

pytestmark = pytest.mark.cluster

RELEASE = "faulty"
SECTION = "Faults"
SPEAKER = "/opt/rhapsode/bin/rhapsode"
HANG_SECONDS = 10


@pytest.fixture(scope="module")
def faulty(cluster: Cluster) -> Iterator[str]:
    """Three pods of the toy, whose voice `hangs` never comes back from a step."""
    probes = {"readiness": {"periodSeconds": 2, "failureThreshold": 1}, "liveness": {"periodSeconds": 2}}
    faults = {"model": {"options": {"faults": True}}}
    cluster.install(RELEASE, {**TOY, "replicas": 3, "probes": probes, "settings": faults})
    cluster.ready(RELEASE, 3)
    yield RELEASE
    cluster.uninstall(RELEASE)


def speak(cluster: Cluster, caller: str, server: str, voice: str, timeout: int) -> str:
    """A sentence of the toy, from the caller's pod."""
    where = ["--server", server, "--voice", voice, "--timeout", str(timeout), "--max-first-audio", "30"]
    return cluster.inside(caller, SPEAKER, "probe", *where, "abcde fghij")


def test_a_hung_engine_leaves_and_is_restarted_while_the_others_go_on(
    cluster: Cluster, caller: str, faulty: str, report: Report
) -> None:
    pods = cluster.ready(RELEASE, 3)
    hung, others = pods[0], pods[1:]
    assert hung.address in cluster.endpoints(RELEASE)
    began = time.monotonic()
    with pytest.raises(CommandFailed):
        speak(cluster, caller, f"{hung.address}:50051", "hangs", timeout=3)
    until("it leaves the Service", lambda: hung.address not in cluster.endpoints(RELEASE) or None)
    left = time.monotonic() - began
    assert {pod.address for pod in others} <= cluster.endpoints(RELEASE)
    service = f"{RELEASE}-rhapsode.{cluster.namespace}.svc.cluster.local:50051"
    for _ in range(5):
        assert "First sound" in speak(cluster, caller, service, "alto", timeout=60)
    again = until("it is restarted", lambda: restarted(cluster, hung))
    back = time.monotonic() - began
    assert {pod.name: pod.restarts for pod in cluster.ready(RELEASE, 3)} == {
        **{pod.name: 0 for pod in others},
        hung.name: 1,
    }
    reason = again.container["lastState"]["terminated"]
    report.tell(
        SECTION,
        f"an engine that hangs (hangSeconds {HANG_SECONDS}): out of the Service after {left:.0f} s, restarted"
        f" (exit code {reason['exitCode']}) and back after {back:.0f} s; the others served on",
    )


def restarted(cluster: Cluster, pod: Pod) -> Pod | None:
    """The same pod, ready again in another container."""
    found = next((each for each in cluster.pods(RELEASE) if each.name == pod.name), None)
    return found if found is not None and found.restarts and found.ready else None


def volume(cluster: Cluster) -> list[Object]:
    """A volume of the node with nothing in it, and a claim for it."""
    name = f"{cluster.namespace}-weights"
    common = {"accessModes": ["ReadWriteOnce"], "storageClassName": ""}
    place = {"path": f"/var/tmp/{name}", "type": "DirectoryOrCreate"}
    size = {"storage": "1Mi"}
    return [
        {
            "apiVersion": "v1",
            "kind": "PersistentVolume",
            "metadata": {"name": name},
            "spec": {
                **common,
                "capacity": size,
                "hostPath": place,
                "persistentVolumeReclaimPolicy": "Retain",
            },
        },
        {
            "apiVersion": "v1",
            "kind": "PersistentVolumeClaim",
            "metadata": {"name": "weights"},
            "spec": {**common, "volumeName": name, "resources": {"requests": size}},
        },
    ]


@pytest.fixture
def empty_claim(cluster: Cluster) -> Iterator[str]:
    """A claim on a volume without weights."""
    made = volume(cluster)
    cluster.apply(*made)
    yield "weights"
    cluster.kubectl("delete", "persistentvolumeclaim", "weights", "--wait=false")
    cluster.kubectl("delete", "persistentvolume", made[0]["metadata"]["name"], "--wait=false")


def test_missing_weights_are_told_in_the_log_and_the_termination_message(
    cluster: Cluster, empty_claim: str, report: Report
) -> None:
    weights = {"mode": "pvc", "pvc": {"existingClaim": empty_claim}}
    model = {"source": "/models/voice", "threads": 1}
    cluster.install("weightless", {**TOY, "replicas": 1, "model": model, "weights": weights}, wait=False)

    def ended() -> Pod | None:
        found = [pod for pod in cluster.pods("weightless") if pod.container.get("lastState")]
        return found[0] if found else None

    pod = until("its container ends", ended)
    told = pod.container["lastState"]["terminated"]
    log = cluster.logs(pod.name, "--previous")
    assert not pod.ready
    assert cluster.endpoints("weightless") == set()
    assert told["exitCode"] == 2
    assert "/models/voice" in told["message"]
    sentence = next(line for line in log.splitlines() if line.startswith("rhapsode serve:"))
    assert sentence in told["message"]
    report.tell(
        SECTION, f"weights that are not there: never ready, exit code 2, termination message “{sentence}”"
    )
    cluster.uninstall("weightless")
