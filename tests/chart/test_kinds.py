"""Kubernetes, in several minors, and the makers of other kinds know every object to its last field."""

from __future__ import annotations

import subprocess

import pytest

from tests.chart.rendering import CASES, CHECKS, ROOT, manifest, program, values_file

pytestmark = pytest.mark.chart

MINORS = ("1.30", "1.32", "1.34", "1.37")
SINCE = {"dra": "1.33"}
"""Cases that need a younger Kubernetes: image volumes and claims for devices."""
CRDS = ROOT / ".tools" / "crds"


def complaints(text: str, minors: tuple[str, ...] = MINORS) -> str:
    """What kinds.py says of a manifest."""
    if not CRDS.is_dir():
        pytest.skip("crds are not there; scripts/chart-tools takes them from their Go modules")
    command = [program("python", CHECKS), str(ROOT / "tests" / "chart" / "kinds.py"), str(CRDS), *minors]
    done = subprocess.run(command, input=text, capture_output=True, text=True, check=False)
    assert done.stderr == "", done.stderr
    return done.stdout


def test_kubernetes_knows_every_field() -> None:
    """All cases at once: loading the schemas takes longer than using them."""
    old = [case for case in CASES if case not in SINCE]
    texts = [manifest("helm3", "--values", str(values_file(case))) for case in old]
    assert complaints("\n---\n".join(texts)) == ""


@pytest.mark.parametrize("case", SINCE)
def test_a_younger_kubernetes_knows_the_rest(case: str) -> None:
    minors = tuple(minor for minor in MINORS if minor >= SINCE[case])
    assert complaints(manifest("helm3", "--values", str(values_file(case))), minors) == ""


WRONG = {
    "a field that is none": (
        "{apiVersion: v1, kind: Service, metadata: {name: x}, spec: {prots: []}}",
        "'prots' was unexpected",
    ),
    "a version that is gone": (
        "{apiVersion: autoscaling/v2beta2, kind: HorizontalPodAutoscaler, metadata: {name: x}}",
        "does not know it",
    ),
    "a kind that nobody defines": (
        "{apiVersion: example.com/v1, kind: Wonder, metadata: {name: x}}",
        "does not know it",
    ),
    "a misspelt field of somebody else's kind": (
        "{apiVersion: keda.sh/v1alpha1, kind: ScaledObject, metadata: {name: x},"
        " spec: {scaleTargetRef: {name: x}, triggers: [], poolingInterval: 5}}",
        "'poolingInterval' was unexpected",
    ),
    "a type of somebody else's kind": (
        "{apiVersion: monitoring.coreos.com/v1, kind: PodMonitor, metadata: {name: x},"
        " spec: {selector: {}, podMetricsEndpoints: [{interval: 15}]}}",
        "15 is not of type 'string'",
    ),
}


@pytest.mark.parametrize("what", WRONG)
def test_the_check_has_teeth(what: str) -> None:
    text, complaint = WRONG[what]
    assert complaint in complaints(text, ("1.34",))
