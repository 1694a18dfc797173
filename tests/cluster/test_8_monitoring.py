"""The chart's PodMonitor, ServiceMonitor and PrometheusRule, taken by a real operator and its Prometheus.

The operator must be on the cluster (scripts/cluster-prometheus brings it where its images cannot be pulled),
and MONITOR_IMAGE names the image of Prometheus that it is to run; else these tests skip.
"""

from __future__ import annotations

import json
import os
import urllib.parse
from collections.abc import Iterator
from typing import Any

import pytest
import yaml

from tests.cluster.conftest import TOY, read_page
from tests.cluster.kubernetes import CHART, Cluster, CommandFailed, Object, run, until
from tests.cluster.report import Report

pytestmark = pytest.mark.cluster

RELEASE = "watched"
NAME = f"{RELEASE}-rhapsode"
WATCH = "watch"
LABELS = {"release": WATCH}
"""What this Prometheus selects by, as that of kube-prometheus-stack does."""
PODS = 2
SECTION = "Seen by a real Prometheus, through the operator, by the chart's monitors and its PrometheusRule"
KIND = "prometheuses.monitoring.coreos.com"


def values(monitor: str) -> Object:
    """The chart's values, with this one of the two kinds of monitor."""
    kinds: Object = {kind: {"enabled": kind == monitor} for kind in ("podMonitor", "serviceMonitor")}
    kinds["podMonitor"] |= {"labels": LABELS, "interval": "5s"}
    return {
        **TOY,
        "replicas": PODS,
        "networkPolicy": {"monitoring": [{"podSelector": {}}]},
        "metrics": {**kinds, "prometheusRule": {"enabled": True, "labels": LABELS}},
    }


def account(namespace: str) -> list[Object]:
    """Who may look for pods and endpoints in our namespace, and no more."""
    look = {"verbs": ["get", "list", "watch"]}
    rules = [
        {"apiGroups": [""], "resources": ["pods", "services", "endpoints"], **look},
        {"apiGroups": ["discovery.k8s.io"], "resources": ["endpointslices"], **look},
    ]
    group, name = "rbac.authorization.k8s.io", {"name": WATCH}
    subject = {"kind": "ServiceAccount", "name": WATCH, "namespace": namespace}
    role = {"apiGroup": group, "kind": "Role", "name": WATCH}
    return [
        {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": name},
        {"apiVersion": f"{group}/v1", "kind": "Role", "metadata": name, "rules": rules},
        {
            "apiVersion": f"{group}/v1",
            "kind": "RoleBinding",
            "metadata": name,
            "roleRef": role,
            "subjects": [subject],
        },
    ]


def prometheus(image: str) -> Object:
    """What the operator is asked to run."""
    by_label = {"matchLabels": LABELS}
    reloader = {"command": ["prometheus-config-reloader"]}
    return {
        "apiVersion": "monitoring.coreos.com/v1",
        "kind": "Prometheus",
        "metadata": {"name": WATCH},
        "spec": {
            "image": image,
            "version": "v3.5.0",
            "imagePullPolicy": "IfNotPresent",
            "serviceAccountName": WATCH,
            "podMonitorSelector": by_label,
            "serviceMonitorSelector": by_label,
            "ruleSelector": by_label,
            "evaluationInterval": "5s",
            "securityContext": {
                "runAsNonRoot": True,
                "runAsUser": 65532,
                "fsGroup": 65532,
                "seccompProfile": {"type": "RuntimeDefault"},
            },
            "resources": {"requests": {"cpu": "50m", "memory": "128Mi"}},
            "containers": [
                {"name": "prometheus", "command": ["prometheus"]},
                {"name": "config-reloader", **reloader},
            ],
            "initContainers": [{"name": "init-config-reloader", **reloader}],
        },
    }


@pytest.fixture(scope="module")
def watched(cluster: Cluster, caller: str) -> Iterator[str]:
    """Two pods of the toy with PodMonitor and alerts, and a Prometheus; gives the address of its API."""
    if KIND not in run("kubectl", "get", "customresourcedefinitions", "--output", "name"):
        pytest.skip("Prometheus' operator is not on this cluster; scripts/cluster-prometheus brings it")
    image = os.environ.get("MONITOR_IMAGE")
    if not image:
        pytest.skip("MONITOR_IMAGE names no image of Prometheus; scripts/cluster-prometheus makes one")
    cluster.apply(*account(cluster.namespace), prometheus(image))
    cluster.install(RELEASE, values("podMonitor"))
    cluster.ready(RELEASE, PODS)
    yield f"http://prometheus-operated.{cluster.namespace}.svc:9090/api/v1"
    cluster.uninstall(RELEASE)
    cluster.kubectl("delete", "prometheus", WATCH)


def ask(cluster: Cluster, url: str) -> Any:
    """The data of an answer; None where nobody answers (yet)."""
    try:
        return json.loads(read_page(cluster, url))["data"]
    except CommandFailed:
        return None


def scraped(cluster: Cluster, api: str, job: str) -> dict[str, Object] | None:
    """The labels of this job's targets by pod, once all that are ready have been read and nothing else is."""
    targets = (ask(cluster, f"{api}/targets?state=active") or {}).get("activeTargets", [])
    read = {each["labels"]["pod"]: each["labels"] for each in targets if each["health"] == "up"}
    whole = len(read) == len(targets) == PODS and all(each["job"] == job for each in read.values())
    return read if whole else None


def alerts(cluster: Cluster, api: str) -> dict[str, Object] | None:
    """The loaded alerts by name, once each has been evaluated."""
    groups = (ask(cluster, f"{api}/rules?type=alert") or {}).get("groups", [])
    rules = {rule["name"]: rule for group in groups for rule in group["rules"]}
    return rules if rules and all(rule["health"] == "ok" for rule in rules.values()) else None


def test_the_pod_monitor_becomes_targets(cluster: Cluster, caller: str, watched: str, report: Report) -> None:
    job = f"{cluster.namespace}/{NAME}"
    found = until("Prometheus has read all pods", lambda: scraped(cluster, watched, job))
    assert found.keys() == {pod.name for pod in cluster.ready(RELEASE, PODS)}
    assert {each["namespace"] for each in found.values()} == {cluster.namespace}
    report.tell(SECTION, f"PodMonitor: {len(found)} targets, all up, job `NAMESPACE/{NAME}`")


def test_the_rules_are_loaded_and_know_our_pods(
    cluster: Cluster, caller: str, watched: str, report: Report
) -> None:
    chart = yaml.safe_load((CHART / "files" / "alerts.yaml").read_text())
    named = {rule["alert"] for group in chart["groups"] for rule in group["rules"]}
    found = until("all alerts have been evaluated", lambda: alerts(cluster, watched))
    assert found.keys() == named
    until("no alert says that nobody is there", lambda: absent(cluster, watched) == "inactive" or None)
    count = f"count({found['RhapsodeAbsent']['query'].removeprefix('absent(').removesuffix(')')})"
    told = ask(cluster, f"{watched}/query?query={urllib.parse.quote(count)}")
    assert told["result"][0]["value"][1] == str(PODS)
    cluster.kubectl("scale", f"deployment/{NAME}", "--replicas=0")
    until("the alert notices that nobody is there", lambda: absent(cluster, watched) == "firing" or None)
    cluster.kubectl("scale", f"deployment/{NAME}", f"--replicas={PODS}")
    cluster.ready(RELEASE, PODS)
    until("the alert ends", lambda: absent(cluster, watched) == "inactive" or None)
    report.tell(
        SECTION,
        f"PrometheusRule: {len(found)} alerts loaded, all evaluated without an error; RhapsodeAbsent fires"
        " with no pod and ends when they are back",
    )


def absent(cluster: Cluster, api: str) -> str:
    """The state of the alert that says that no pod reports."""
    return str((alerts(cluster, api) or {}).get("RhapsodeAbsent", {}).get("state"))


def test_the_service_monitor_becomes_targets(
    cluster: Cluster, caller: str, watched: str, report: Report
) -> None:
    cluster.install(RELEASE, values("serviceMonitor"))
    found = until("Prometheus has read all pods", lambda: scraped(cluster, watched, f"{NAME}-metrics"))
    assert found.keys() == {pod.name for pod in cluster.ready(RELEASE, PODS)}
    until("the alerts know its job as well", lambda: absent(cluster, watched) == "inactive" or None)
    report.tell(SECTION, f"ServiceMonitor instead: {len(found)} targets, all up, job `{NAME}-metrics`")
