"""The pods are as closed as Kubernetes' restricted level asks, and as checkov and kube-score ask.

What a checker asks for and the chart does not do is listed here with the reason, and nowhere else.
"""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests.chart.rendering import CASES, CHECKS, Object, manifest, program, rendered, values_file

pytestmark = pytest.mark.chart

CHECKOV_SKIPS = {
    "CKV_K8S_8": "the pod of helm test ends by itself; the server's probes are checked in test_table.py",
    "CKV_K8S_9": "as CKV_K8S_8",
    "CKV_K8S_11": "no CPU limit: throttling in the middle of a step is an audible gap",
    "CKV_K8S_15": "pull policy IfNotPresent: a digest or a version never changes, and a registry may be away",
    "CKV_K8S_43": "a digest is the user's to give (image.digest); what the chart can know is the version",
}
KUBE_SCORE_IGNORES = {
    "container-image-pull-policy": "as CKV_K8S_15",
    "container-resources": "as CKV_K8S_11; requests and the limit of memory are there",
    "container-ephemeral-storage-request-and-limit": "volumes in memory or with a size limit of their own; a"
    " limit here would count the downloaded weights",
    "deployment-has-host-podantiaffinity": "topologySpreadConstraints do this and forbid nothing",
    "container-security-context-user-group-id": "10001 is above 10000, which is what it asks for",
    "pod-probes-identical": "startup and readiness ask the same question on purpose",
}
PODS = ("default", "download", "tls-mtls", "gpu", "monitoring")


def containers(found: list[Object]) -> list[Object]:
    """Every container of every pod."""
    specifications = [
        o["spec"] if o["kind"] == "Pod" else o["spec"]["template"]["spec"] for o in _pods(found)
    ]
    return [c for s in specifications for c in [*s.get("initContainers", []), *s["containers"]]]


def _pods(found: list[Object]) -> list[Object]:
    return [o for o in found if o["kind"] in ("Pod", "Deployment")]


@pytest.mark.parametrize("case", CASES)
def test_containers_are_restricted(case: str) -> None:
    for container in containers(rendered(case)):
        context = container["securityContext"]
        assert context["allowPrivilegeEscalation"] is False
        assert context["runAsNonRoot"] is True
        assert context["readOnlyRootFilesystem"] is True
        assert context["capabilities"] == {"drop": ["ALL"]}
        assert context["seccompProfile"] == {"type": "RuntimeDefault"}
        assert context.get("privileged", False) is False


ALLOWED_VOLUMES = {"configMap", "emptyDir", "secret", "persistentVolumeClaim", "image"}


@pytest.mark.parametrize("case", CASES)
def test_pods_are_restricted(case: str) -> None:
    for found in _pods(rendered(case)):
        pod = found["spec"] if found["kind"] == "Pod" else found["spec"]["template"]["spec"]
        assert not {"hostNetwork", "hostPID", "hostIPC"} & pod.keys()
        context = pod["securityContext"]
        assert context["runAsNonRoot"] is True
        assert context["runAsUser"] >= 10000
        assert context["seccompProfile"] == {"type": "RuntimeDefault"}
        sources = {key for volume in pod["volumes"] for key in volume if key != "name"}
        assert sources <= ALLOWED_VOLUMES
        unbounded = [
            v["name"] for v in pod["volumes"] if "emptyDir" in v and "sizeLimit" not in v["emptyDir"]
        ]
        assert not unbounded


@pytest.mark.parametrize("case", CASES)
def test_everything_says_what_it_needs(case: str) -> None:
    for container in containers(rendered(case)):
        assert {"cpu", "memory"} <= container["resources"]["requests"].keys()
        assert "memory" in container["resources"]["limits"]


def test_checkov_is_content(tmp_path: Path) -> None:
    checkov = program("checkov", CHECKS)
    for case in PODS:
        (tmp_path / f"{case}.yaml").write_text(manifest("helm3", "--values", str(values_file(case))))
    found = _checkov(checkov, tmp_path)
    failed = {f"{check['check_id']} {check['resource']}" for check in found["results"]["failed_checks"]}
    assert not failed - {f for f in failed if f.split()[0] in CHECKOV_SKIPS}
    assert found["summary"]["passed"] > 150 * len(PODS)
    assert found["summary"]["parsing_errors"] == 0
    assert {f.split()[0] for f in failed} == set(CHECKOV_SKIPS), "a skip that nothing needs any more"


def _checkov(checkov: str, folder: Path) -> dict[str, Any]:
    command = [
        checkov,
        "--directory",
        str(folder),
        "--framework",
        "kubernetes",
        "--output",
        "json",
        "--quiet",
    ]
    done = subprocess.run(
        [*command, "--skip-download"], capture_output=True, text=True, check=False, cwd=folder
    )
    found: dict[str, Any] = json.loads(done.stdout)
    return found


@pytest.mark.parametrize("case", PODS)
def test_kube_score_is_content(case: str) -> None:
    done = _kube_score(manifest("helm3", "--values", str(values_file(case))))
    graded = [check | {"object": o["object_name"]} for o in done for check in o["checks"] or []]
    bad = {
        f"{c['check']['id']} {c['object']} {c['comments']}"
        for c in graded
        if c["grade"] < 10 and not c["skipped"]
    }
    assert not {text for text in bad if text.split()[0] not in KUBE_SCORE_IGNORES}
    assert len(graded) > 10


def _kube_score(text: str) -> list[dict[str, Any]]:
    command = [program("kube-score"), "score", "--output-format", "json", "-"]
    done = subprocess.run(command, input=text, capture_output=True, text=True, check=False)
    found: list[dict[str, Any]] = json.loads(done.stdout)
    return found
