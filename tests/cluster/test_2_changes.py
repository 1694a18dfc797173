"""Three pods under a steady load of streams while everything around them changes: nobody hears of it.

Each stream's samples are compared with all others', so one that was cut, repeated or spoiled is found; one
that failed is found by the client, which retries as the shipped service config says and no more.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from tests.cluster.conftest import TOY, Steady
from tests.cluster.kubernetes import Cluster, CommandFailed, Pod, until
from tests.cluster.report import Report

pytestmark = pytest.mark.cluster

RELEASE = "tones"
STREAMS = 12
SECTION = f"Under {STREAMS} streams at a time, three pods, client-side round_robin on the headless name"
SETTLE = 8.0
"""Seconds of load before a change and after it: a stream lasts six."""


@pytest.fixture(scope="module")
def tones(cluster: Cluster) -> Iterator[str]:
    """Three pods of the toy."""
    cluster.install(RELEASE, {**TOY, "replicas": 3})
    cluster.ready(RELEASE, 3)
    yield RELEASE
    cluster.uninstall(RELEASE)


@contextmanager
def nobody_hears(cluster: Cluster, report: Report, what: str) -> Iterator[None]:
    """A steady load around what happens inside; afterwards every stream must have been whole."""
    load = Steady(
        cluster, f"dns:///{RELEASE}-rhapsode-headless.{cluster.namespace}.svc.cluster.local:50051", STREAMS
    )
    time.sleep(SETTLE)
    began = time.monotonic()
    try:
        yield
    finally:
        took = time.monotonic() - began
        time.sleep(SETTLE)
        found = load.stop()
    kinds, failures = found["kinds"], found["failures"]
    heard = sum(kinds.values())
    report.tell(
        SECTION,
        f"{what} ({took:.0f} s): {heard} streams, {len(failures)} failed, {len(kinds)} kind of sound;"
        f" slowest first sound {found['slowest_first_sound']:.2f} s",
    )
    assert failures == []
    assert len(kinds) == 1, kinds
    assert heard >= STREAMS


def streams_of(cluster: Cluster, pod: Pod) -> int:
    """Utterances that a pod has ended, by its access log."""
    lines = (json.loads(line) for line in cluster.logs(pod.name).splitlines() if line.startswith("{"))
    return sum("Synthesize" in str(line.get("method", "")) for line in lines)


def test_a_client_that_balances_uses_all_three(
    cluster: Cluster, caller: str, tones: str, report: Report
) -> None:
    pods = cluster.ready(RELEASE, 3)
    with nobody_hears(cluster, report, "nothing but time"):
        time.sleep(2 * SETTLE)
    given = sorted(streams_of(cluster, pod) for pod in pods)
    report.tell(SECTION, f"streams by pod: {given}")
    assert given[0] > 0
    assert given[-1] - given[0] <= 0.3 * sum(given) / 3 + 3, given


def test_a_rolling_upgrade(cluster: Cluster, caller: str, tones: str, report: Report) -> None:
    old = {pod.name for pod in cluster.ready(RELEASE, 3)}
    with nobody_hears(cluster, report, "rolling `helm upgrade`"):
        cluster.install(RELEASE, {**TOY, "replicas": 3, "engine": {**TOY["engine"], "slots": 17}})
        new = {pod.name for pod in cluster.ready(RELEASE, 3)}
    assert not old & new


def test_a_rollback(cluster: Cluster, caller: str, tones: str, report: Report) -> None:
    old = {pod.name for pod in cluster.ready(RELEASE, 3)}
    with nobody_hears(cluster, report, "`helm rollback`"):
        cluster.helm("rollback", RELEASE, "--wait", "--timeout", "300s")
        new = {pod.name for pod in cluster.ready(RELEASE, 3)}
    assert not old & new


def test_a_pod_is_deleted(cluster: Cluster, caller: str, tones: str, report: Report) -> None:
    gone = cluster.ready(RELEASE, 3)[0].name
    with nobody_hears(cluster, report, "a pod deleted"):
        cluster.kubectl("delete", "pod", gone, "--wait=false")
        until("the pod is replaced", lambda: gone not in {pod.name for pod in cluster.pods(RELEASE)})
        cluster.ready(RELEASE, 3)


def evict(cluster: Cluster, pod: str) -> None:
    """Ask as `kubectl drain` does; raises CommandFailed where the budget refuses."""
    eviction = {
        "apiVersion": "policy/v1",
        "kind": "Eviction",
        "metadata": {"name": pod, "namespace": cluster.namespace},
    }
    path = f"/api/v1/namespaces/{cluster.namespace}/pods/{pod}/eviction"
    cluster.kubectl("create", "--raw", path, "--filename", "-", given=json.dumps(eviction))


def test_an_eviction_and_the_budget(cluster: Cluster, caller: str, tones: str, report: Report) -> None:
    first, second, _ = (pod.name for pod in cluster.ready(RELEASE, 3))
    until("the budget allows one", lambda: allowed(cluster) == 1 or None)
    with nobody_hears(cluster, report, "a pod evicted, a second eviction refused by the budget"):
        evict(cluster, first)
        with pytest.raises(CommandFailed, match="disruption budget"):
            evict(cluster, second)
        until("the pod is replaced", lambda: first not in {pod.name for pod in cluster.pods(RELEASE)})
        assert second in {pod.name for pod in cluster.ready(RELEASE, 3)}


def allowed(cluster: Cluster) -> int:
    """Pods that the budget lets go now."""
    return int(
        cluster.get("poddisruptionbudget", f"{RELEASE}-rhapsode")["status"].get("disruptionsAllowed", 0)
    )


def test_from_three_to_one_and_back(cluster: Cluster, caller: str, tones: str, report: Report) -> None:
    with nobody_hears(cluster, report, "scaled from 3 to 1 and back"):
        cluster.kubectl("scale", f"deployment/{RELEASE}-rhapsode", "--replicas=1")
        (left,) = cluster.ready(RELEASE, 1)
        cluster.kubectl("scale", f"deployment/{RELEASE}-rhapsode", "--replicas=3")
        assert left.name in {pod.name for pod in cluster.ready(RELEASE, 3)}
