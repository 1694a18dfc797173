"""The signal as the chart ships it, by its ScaledObject, through a real KEDA and from a real Prometheus.

KEDA must be on the cluster (scripts/cluster-keda brings it where its images cannot be pulled), and
PROMETHEUS_IMAGE names an image of Prometheus, of which these tests run a pod of their own; else they skip.
"""

from __future__ import annotations

import json
import os
import time
from collections import Counter
from collections.abc import Iterator

import pytest
import yaml

from tests.cluster.conftest import SECURE, TOY, Steady, read_page, restricted
from tests.cluster.kubernetes import Cluster, CommandFailed, Object, run, until
from tests.cluster.report import Report

pytestmark = pytest.mark.cluster

RELEASE = "metered"
NAME = f"{RELEASE}-rhapsode"
SLOTS, STREAMS, MOST = 4, 16, 3
SECTION = "Scaling through a real KEDA, from a real Prometheus, by the chart's ScaledObject"
KIND, EXTERNAL = "scaledobjects.keda.sh", "v1beta1.external.metrics.k8s.io"


def values(cluster: Cluster) -> Object:
    """The chart's values, with short waits."""
    return {
        **TOY,
        "engine": {**TOY["engine"], "slots": SLOTS, "maxWaiting": 32},
        "grpc": {"maxConnectionAge": 20},
        "networkPolicy": {"monitoring": [{"podSelector": {}}]},
        "autoscaling": {
            "kind": "keda",
            "minReplicas": 1,
            "maxReplicas": MOST,
            "prometheusAddress": f"http://prometheus.{cluster.namespace}.svc:9090",
            "scaleDown": {"stabilizationSeconds": 0, "periodSeconds": 15},
        },
    }


def scraping(cluster: Cluster) -> str:
    """What a PodMonitor would make of our pods: all that are ready, with the namespace and job that it names.

    By DNS, because not every build of Prometheus (not Debian's) knows how to ask Kubernetes.
    """
    found = {"names": [f"{NAME}-headless.{cluster.namespace}.svc.cluster.local"], "type": "A", "port": 9464}
    label = [
        {"target_label": "namespace", "replacement": cluster.namespace},
        {"target_label": "job", "replacement": f"{cluster.namespace}/{NAME}"},
    ]
    dns = [{**found, "refresh_interval": "5s"}]
    job = {"job_name": "pods", "scrape_interval": "5s", "dns_sd_configs": dns, "relabel_configs": label}
    return str(yaml.safe_dump({"scrape_configs": [job]}))


def prometheus(cluster: Cluster, image: str) -> list[Object]:
    """A pod of Prometheus, and its Service."""
    mounts = [{"name": "settings", "mountPath": "/settings"}, {"name": "data", "mountPath": "/data"}]
    container = {
        "name": "prometheus",
        "image": image,
        "imagePullPolicy": "IfNotPresent",
        "command": ["prometheus", "--config.file=/settings/prometheus.yml", "--storage.tsdb.path=/data"],
        "securityContext": SECURE,
        "readinessProbe": {"httpGet": {"path": "/-/ready", "port": 9090}, "periodSeconds": 2},
        "volumeMounts": mounts,
    }
    volumes = [
        {"name": "settings", "configMap": {"name": "prometheus"}},
        {"name": "data", "emptyDir": {}},
    ]
    name: Object = {"name": "prometheus", "labels": {"app": "prometheus"}}
    service = {"selector": name["labels"], "ports": [{"port": 9090}]}
    data = {"prometheus.yml": scraping(cluster)}
    return [
        {"apiVersion": "v1", "kind": "ConfigMap", "metadata": name, "data": data},
        {**restricted("prometheus", [container], volumes), "metadata": name},
        {"apiVersion": "v1", "kind": "Service", "metadata": name, "spec": service},
    ]


@pytest.fixture(scope="module")
def metered(cluster: Cluster, caller: str) -> Iterator[list[Object]]:
    """One pod of the toy with the chart's ScaledObject; gives the objects of a Prometheus that reads it."""
    if KIND not in run("kubectl", "get", "customresourcedefinitions", "--output", "name"):
        pytest.skip("KEDA is not on this cluster; scripts/cluster-keda brings it")
    image = os.environ.get("PROMETHEUS_IMAGE")
    if not image:
        pytest.skip("PROMETHEUS_IMAGE names no image of Prometheus; scripts/cluster-keda makes one")
    try:
        run("kubectl", "wait", "--for=condition=Available", f"apiservice/{EXTERNAL}", "--timeout=20s")
    except CommandFailed as error:
        pytest.skip(f"KEDA's adapter does not answer: {str(error)[-200:]}")
    objects = prometheus(cluster, image)
    cluster.apply(*objects)
    cluster.install(RELEASE, values(cluster))
    cluster.ready(RELEASE, 1)
    yield objects
    cluster.uninstall(RELEASE)
    cluster.kubectl("delete", "pod,service,configmap", "prometheus", "--wait=false")


def scaler(cluster: Cluster) -> Object:
    """The ScaledObject as the cluster has it."""
    return cluster.get("scaledobject", NAME)


def condition(cluster: Cluster, kind: str) -> bool | None:
    """Whether a condition of the ScaledObject holds; None where it does not."""
    found = scaler(cluster).get("status", {}).get("conditions", [])
    return any(each["type"] == kind and each["status"] == "True" for each in found) or None


def wanted(cluster: Cluster) -> int:
    """Pods that the Deployment is told to have."""
    return int(cluster.get("deployment", NAME)["spec"]["replicas"])


def metric(cluster: Cluster) -> str | None:
    """The metric as the HPA that KEDA made has last seen it."""
    told = cluster.get("hpa", f"keda-hpa-{NAME}").get("status", {}).get("currentMetrics") or [{}]
    value = told[0].get("external", {}).get("current", {}).get("value")
    return None if value is None else str(value)


def test_load_brings_pods_a_lost_signal_keeps_them_and_calm_takes_them(
    cluster: Cluster, caller: str, metered: list[Object], report: Report
) -> None:
    until("Prometheus reads the pod", lambda: up(cluster))
    until("KEDA has taken the ScaledObject", lambda: condition(cluster, "Ready"))
    until("KEDA sees the metric", lambda: not condition(cluster, "Fallback") or None)
    until("the HPA that it made sees no load", lambda: metric(cluster) == "0" or None)
    assert wanted(cluster) == 1
    target = f"dns:///{NAME}-headless.{cluster.namespace}.svc.cluster.local:50051"
    lasting, load = Steady(cluster, target, 1, "lasting"), Steady(cluster, target, STREAMS - 1)
    began = time.monotonic()
    until("KEDA asks for all the pods it may have", lambda: wanted(cluster) == MOST or None)
    asked, seen = time.monotonic() - began, metric(cluster)
    names = {pod.name for pod in cluster.ready(RELEASE, MOST)}
    ready = time.monotonic() - began
    lose_the_signal(cluster)
    assert wanted(cluster) == MOST, "no signal is not no load"
    kept = {pod.name for pod in cluster.ready(RELEASE, MOST)}
    find_the_signal(cluster, metered)
    assert (wanted(cluster), kept) == (MOST, names), "an upgrade does not decide how many pods there are"
    found, calm = load.stop(), time.monotonic()
    until("KEDA asks for one pod", lambda: wanted(cluster) == 1 or None)
    (left,) = cluster.ready(RELEASE, 1)
    took, heard = time.monotonic() - calm, lasting.stop()
    streams = Counter(found["kinds"]) + Counter(heard["kinds"])
    assert left.name in names
    assert found["failures"] == heard["failures"] == []
    assert len(streams) == 1
    report.tell(
        SECTION,
        f"{STREAMS} streams on {SLOTS} slots: metric {seen}, {MOST} pods asked for after {asked:.0f} s, ready"
        f" after {ready:.0f} s; Prometheus lost: all {MOST} stay (KEDA's fallback); one stream left: one pod"
        f" again after {took:.0f} s; {streams.total()} streams, all whole",
    )


def up(cluster: Cluster) -> bool | None:
    """Whether Prometheus has read a pod of ours; None where it has not (yet)."""
    try:
        page = read_page(cluster, f"http://prometheus.{cluster.namespace}.svc:9090/api/v1/targets")
    except CommandFailed:
        return None
    targets = json.loads(page)["data"]["activeTargets"]
    return any(each["health"] == "up" for each in targets) or None


def lose_the_signal(cluster: Cluster) -> None:
    """Prometheus is gone, and KEDA has noticed."""
    cluster.kubectl("delete", "pod", "prometheus")
    until("KEDA falls back", lambda: condition(cluster, "Fallback"))


def find_the_signal(cluster: Cluster, objects: list[Object]) -> None:
    """Prometheus is back, the release is upgraded meanwhile, and KEDA has noticed."""
    cluster.apply(*objects)
    cluster.install(RELEASE, values(cluster))
    until("KEDA sees the metric again", lambda: not condition(cluster, "Fallback") or None)
