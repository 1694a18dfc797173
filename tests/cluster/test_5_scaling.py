"""The signal, end to end: what pods tell of their load, the chart's HPA, and pods that come and go."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest

from tests.cluster.conftest import PYTHON, SECURE, TOY, Steady, restricted
from tests.cluster.kubernetes import Cluster, CommandFailed, Object, Pod, run, until
from tests.cluster.report import Report
from tests.cluster.test_4_secrets import certificate

pytestmark = pytest.mark.cluster

RELEASE = "scaled"
METRIC = "tts_scheduler_load_ratio"
API = "v1beta2.custom.metrics.k8s.io"
SLOTS, STREAMS, MOST = 4, 8, 3
SECTION = "Scaling by (running + queued) / slots, through the chart's HorizontalPodAutoscaler"
VALUES: Object = {
    "engine": {**TOY["engine"], "slots": SLOTS, "maxWaiting": 32},
    "grpc": {"maxConnectionAge": 20},
    "networkPolicy": {"monitoring": [{"podSelector": {}}]},
    "autoscaling": {
        "kind": "hpa",
        "minReplicas": 1,
        "maxReplicas": MOST,
        "target": 0.7,
        "metricName": METRIC,
        "scaleDown": {"stabilizationSeconds": 0, "periodSeconds": 15},
    },
}


def adapter(cluster: Cluster) -> list[Object]:
    """A pod that answers for the metric, and its Service."""
    headless = f"{RELEASE}-rhapsode-headless.{cluster.namespace}.svc.cluster.local"
    command = [PYTHON, "/scripts/load_metrics.py", headless, METRIC, "/tls/tls.crt", "/tls/tls.key"]
    mounts = [{"name": "scripts", "mountPath": "/scripts"}, {"name": "tls", "mountPath": "/tls"}]
    container = {
        "name": "adapter",
        "image": cluster.image,
        "imagePullPolicy": "IfNotPresent",
        "command": command,
        "securityContext": SECURE,
        "readinessProbe": {"tcpSocket": {"port": 8443}, "periodSeconds": 2},
        "volumeMounts": mounts,
    }
    volumes = [
        {"name": "scripts", "configMap": {"name": "caller"}},
        {"name": "tls", "secret": {"secretName": "adapter"}},
    ]
    labels = {"app": "load-metrics"}
    return [
        {
            **restricted("load-metrics", [container], volumes),
            "metadata": {"name": "load-metrics", "labels": labels},
        },
        {
            "apiVersion": "v1",
            "kind": "Service",
            "metadata": {"name": "load-metrics"},
            "spec": {"selector": labels, "ports": [{"port": 443, "targetPort": 8443}]},
        },
    ]


def registration(cluster: Cluster) -> Object:
    """The API that leads to the adapter's Service."""
    service = {"name": "load-metrics", "namespace": cluster.namespace, "port": 443}
    api = {"group": "custom.metrics.k8s.io", "version": "v1beta2", "service": service}
    priorities = {"groupPriorityMinimum": 100, "versionPriority": 100, "insecureSkipTLSVerify": True}
    return {
        "apiVersion": "apiregistration.k8s.io/v1",
        "kind": "APIService",
        "metadata": {"name": API},
        "spec": {**api, **priorities},
    }


@pytest.fixture(scope="module")
def scaled(cluster: Cluster, caller: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """One pod with the HPA, and somebody who answers for its metric."""
    if API in run("kubectl", "get", "apiservices", "--output", "name"):
        pytest.skip("somebody serves custom metrics on this cluster already")
    files = certificate(tmp_path_factory.mktemp("adapter"), "adapter", cluster.namespace)
    cluster.secret("adapter", files, "kubernetes.io/tls")
    cluster.install(RELEASE, {**TOY, **VALUES})
    cluster.ready(RELEASE, 1)
    cluster.apply(*adapter(cluster))
    # The API server keeps its connections, so it must not ask before the Service leads to the adapter.
    call = f"import socket; socket.create_connection(('load-metrics.{cluster.namespace}.svc', 443), 2)"
    until("the adapter answers", lambda: answers(cluster, caller, call))
    cluster.apply(registration(cluster))
    yield RELEASE
    run("kubectl", "delete", "apiservice", API)
    cluster.uninstall(RELEASE)


def answers(cluster: Cluster, caller: str, call: str) -> bool | None:
    """Whether a line of Python runs without an error in the caller's pod."""
    try:
        cluster.inside(caller, PYTHON, "-c", call)
    except CommandFailed:
        return None
    return True


def wanted(cluster: Cluster) -> int:
    """Pods that the Deployment is told to have."""
    return int(cluster.get("deployment", f"{RELEASE}-rhapsode")["spec"]["replicas"])


def metric(cluster: Cluster) -> str | None:
    """The metric as the HPA has last seen it."""
    told = cluster.get("hpa", f"{RELEASE}-rhapsode")["status"].get("currentMetrics") or [{}]
    value = told[0].get("pods", {}).get("current", {}).get("averageValue")
    return None if value is None else str(value)


def test_load_brings_pods_and_calm_takes_them(
    cluster: Cluster, caller: str, scaled: str, report: Report
) -> None:
    until("the HPA sees the metric", lambda: metric(cluster))
    assert wanted(cluster) == 1
    target = f"dns:///{RELEASE}-rhapsode-headless.{cluster.namespace}.svc.cluster.local:50051"
    load, began = Steady(cluster, target, STREAMS), time.monotonic()
    until("the HPA asks for all the pods it may have", lambda: wanted(cluster) == MOST or None)
    asked, seen = time.monotonic() - began, metric(cluster)
    pods: list[Pod] = cluster.ready(RELEASE, MOST)
    ready = time.monotonic() - began
    found, calm = load.stop(), time.monotonic()
    assert found["failures"] == []
    assert len(found["kinds"]) == 1
    until("the HPA asks for one pod", lambda: wanted(cluster) == 1 or None)
    (left,) = cluster.ready(RELEASE, 1)
    assert left.name in {pod.name for pod in pods}
    report.tell(
        SECTION,
        f"{STREAMS} streams on {SLOTS} slots: metric {seen}, {MOST} pods asked for after {asked:.0f} s, ready"
        f" after {ready:.0f} s; calm: one pod again after {time.monotonic() - calm:.0f} s;"
        f" {sum(found['kinds'].values())} streams, all whole",
    )
