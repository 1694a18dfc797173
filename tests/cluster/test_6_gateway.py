"""The chart's GRPCRoute and BackendTrafficPolicy, taken by a real Envoy Gateway.

GATEWAY_CLASS names a GatewayClass of Envoy Gateway that is there (scripts/cluster-gateway installs one where
its images cannot be pulled); without it these tests skip.
"""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterator
from typing import Any

import pytest

from tests.cluster.conftest import CALLER, PYTHON, TOY, read_page
from tests.cluster.kubernetes import Cluster, Object, Pod, run, until
from tests.cluster.report import Report
from tests.cluster.test_2_changes import streams_of

pytestmark = pytest.mark.cluster

RELEASE = "routed"
GATEWAY = "door"
STREAMS = 30
SECTION = "Through a real Envoy Gateway, by the chart's GRPCRoute and BackendTrafficPolicy"


def gateway(of_class: str) -> Object:
    """A Gateway with one plain listener, in our namespace."""
    listener = {"name": "grpc", "protocol": "HTTP", "port": 8080}
    return {
        "apiVersion": "gateway.networking.k8s.io/v1",
        "kind": "Gateway",
        "metadata": {"name": GATEWAY},
        "spec": {"gatewayClassName": of_class, "listeners": [listener]},
    }


@pytest.fixture(scope="module")
def door(cluster: Cluster, caller: str) -> Iterator[str]:
    """Address of the gateway, behind which three pods of the toy serve."""
    of_class = os.environ.get("GATEWAY_CLASS")
    if not of_class:
        pytest.skip("GATEWAY_CLASS names no class of Envoy Gateway; scripts/cluster-gateway makes one")
    cluster.apply(gateway(of_class))
    route = {"enabled": True, "parentRefs": [{"name": GATEWAY}]}
    cluster.install(RELEASE, {**TOY, "replicas": 3, "gateway": route})
    cluster.ready(RELEASE, 3)
    selector = f"gateway.envoyproxy.io/owning-gateway-namespace={cluster.namespace}"
    look = ["kubectl", "get", "services", "--all-namespaces", "--selector", selector, "--output", "json"]
    service = until("Envoy's Service is made", lambda: json.loads(run(*look))["items"])[0]["metadata"]
    wait = ["kubectl", "--namespace", service["namespace"], "wait", "pods", "--selector", selector]
    run(*wait, "--for=condition=Ready", "--timeout=300s")
    yield f"{service['name']}.{service['namespace']}.svc.cluster.local:8080"
    cluster.uninstall(RELEASE)
    cluster.kubectl("delete", "gateway", GATEWAY)


def accepted(conditions: list[Object], kind: str) -> bool | None:
    """Whether the controller has taken it; None where it has not said so (yet)."""
    return any(each["type"] == kind and each["status"] == "True" for each in conditions) or None


def test_the_route_and_its_policy_are_taken(cluster: Cluster, door: str, report: Report) -> None:
    name = f"{RELEASE}-rhapsode"

    def route(kind: str) -> bool | None:
        parents = cluster.get("grpcroute", name)["status"].get("parents") or [{}]
        return accepted(parents[0].get("conditions", []), kind)

    def policy() -> bool | None:
        ancestors = cluster.get("backendtrafficpolicy", name).get("status", {}).get("ancestors") or [{}]
        return accepted(ancestors[0].get("conditions", []), "Accepted")

    until("the route is accepted", lambda: route("Accepted"))
    until("its backends are found", lambda: route("ResolvedRefs"))
    until("the policy is accepted", policy)
    report.tell(SECTION, "GRPCRoute: Accepted, ResolvedRefs; BackendTrafficPolicy: Accepted")


class Crowd:
    """Streams of some 20 s, or 40, all at the same time over one connection through the gateway."""

    def __init__(self, cluster: Cluster, door: str, repeats: int = 28) -> None:
        command = ["kubectl", "--namespace", cluster.namespace, "exec", CALLER, "--", PYTHON]
        command += ["/scripts/crowd.py", door, str(STREAMS), str(repeats)]
        self._process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)

    def heard(self) -> dict[str, Any]:
        """What came of them, when all have ended."""
        told, wrong = self._process.communicate(timeout=300)
        assert self._process.returncode == 0, wrong
        found: dict[str, Any] = json.loads(told)
        return found


def running(cluster: Cluster, pod: Pod) -> int:
    """Streams that a pod speaks now, by its own metrics."""
    page = read_page(cluster, f"http://{pod.address}:9464/metrics")
    return sum(
        int(float(line.split()[-1]))
        for line in page.splitlines()
        if line.startswith("tts_scheduler_requests_running")
    )


def spread(cluster: Cluster) -> dict[str, int] | None:
    """Streams of each pod, as soon as all of the crowd are being spoken."""
    found = {pod.name: running(cluster, pod) for pod in cluster.ready(RELEASE, 3)}
    return found if sum(found.values()) == STREAMS else None


def test_a_long_stream_lives_and_many_spread(
    cluster: Cluster, caller: str, door: str, report: Report
) -> None:
    before = {pod.name: streams_of(cluster, pod) for pod in cluster.ready(RELEASE, 3)}
    told = Crowd(cluster, door).heard()
    given = sorted(streams_of(cluster, pod) - before[pod.name] for pod in cluster.ready(RELEASE, 3))
    assert told["failures"] == []
    assert told["seconds"] > 16, "longer than Envoy's own 15 s"
    assert len(told["kinds"]) == 1
    assert sum(given) == STREAMS
    assert given[-1] - given[0] <= 0.3 * STREAMS / 3 + 2, given
    report.tell(
        SECTION,
        f"{STREAMS} streams on one connection, each {told['seconds']:.0f} s long (Envoy's own limit is 15 s):"
        f" all whole, by pod {given}",
    )


KILL = "import resource; resource.prlimit(1, resource.RLIMIT_CPU, (1, 1))"
"""Ends a server within its container, by the kernel: nobody else there may kill the first process. To delete
its pod would not do: a kubelet leaves two seconds at least, enough for a server to speak all to the end."""


def test_a_pod_that_is_killed_takes_only_its_own_streams(
    cluster: Cluster, caller: str, door: str, report: Report
) -> None:
    crowd = Crowd(cluster, door, repeats=56)
    own = until("all are being spoken", lambda: spread(cluster))
    victim = max(own, key=lambda name: own[name])
    cluster.inside(victim, PYTHON, "-c", KILL)
    told = crowd.heard()
    assert len(told["failures"]) == own[victim], told["failures"]
    assert sum(told["kinds"].values()) == STREAMS - own[victim]
    assert len(told["kinds"]) == 1
    (again,) = (pod for pod in cluster.ready(RELEASE, 3) if pod.name == victim)
    assert (again.restarts, again.container["lastState"]["terminated"]["exitCode"]) == (1, 137)
    report.tell(
        SECTION,
        f"a pod killed in the middle of them: its {own[victim]} streams end with an error, the other"
        f" {STREAMS - own[victim]} are whole",
    )


def test_a_pod_that_is_drained_takes_none(cluster: Cluster, caller: str, door: str, report: Report) -> None:
    cluster.ready(RELEASE, 3)
    crowd = Crowd(cluster, door, repeats=56)
    own = until("all are being spoken", lambda: spread(cluster))
    gone = max(own, key=lambda name: own[name])
    cluster.kubectl("delete", "pod", gone, "--wait=false")
    told = crowd.heard()
    assert told["failures"] == []
    assert list(told["kinds"].values()) == [STREAMS]
    until("the pod has left", lambda: gone not in {pod.name for pod in cluster.pods(RELEASE)} or None)
    report.tell(SECTION, f"a pod deleted in the middle of them, {own[gone]} on it: all {STREAMS} are whole")
