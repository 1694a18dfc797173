"""Values that cannot work are refused before anything is installed, with a sentence that says what to do."""

from __future__ import annotations

import json
import re
import runpy
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.chart.rendering import CHART, HELMS, ROOT, Refused, with_values

pytestmark = pytest.mark.chart

WEIGHTS = {"model": {"source": "/models/x"}}
CONTRADICTIONS: dict[str, tuple[dict[str, Any], str]] = {
    "a grace too short": (
        {"shutdown": {"terminationGracePeriodSeconds": 219}},
        "is 219, but preStop, drain and 25 s for the end need 220. Raise it, or leave it null.",
    ),
    "a deadline before the weights are loaded": (
        {"rollout": {"progressDeadlineSeconds": 900}},
        "rollout.progressDeadlineSeconds is 900, but loading alone may take 900",
    ),
    "a rollout that cannot move": (
        {"rollout": {"maxSurge": 0, "maxUnavailable": 0}},
        "no pod could ever be replaced. Make one of them 1.",
    ),
    "fewest above most": (
        {"autoscaling": {"kind": "hpa", "minReplicas": 5, "maxReplicas": 4}},
        "autoscaling.minReplicas (5) is more than autoscaling.maxReplicas (4).",
    ),
    "KEDA without Prometheus": (
        {"autoscaling": {"kind": "keda", "prometheusAddress": ""}},
        "Give the address of Prometheus.",
    ),
    "scaling without metrics": (
        {"autoscaling": {"kind": "hpa"}, "metrics": {"enabled": False}},
        "autoscaling needs the metrics of the pods. Set metrics.enabled to true.",
    ),
    "TLS without a key": (
        {"tls": {"enabled": True}},
        "tls.enabled needs a key: set tls.existingSecret, or tls.certManager.enabled.",
    ),
    "cert-manager without an issuer": (
        {"tls": {"enabled": True, "certManager": {"enabled": True}}},
        "tls.certManager.enabled needs tls.certManager.issuerRef.name.",
    ),
    "a secret that nobody reads": ({"tls": {"existingSecret": "x"}}, "but tls.enabled is false."),
    "a client CA without TLS": ({"tls": {"clientCaSecret": "x"}}, "but tls.enabled is false."),
    "authentication without keys": (
        {"auth": {"enabled": True}},
        "auth.enabled needs auth.existingSecret with the key api-keys.",
    ),
    "a client's certificate that nobody asks for": (
        {"test": {"clientSecret": "x"}},
        "test.clientSecret is set, but tls.clientCaSecret is not",
    ),
    "a GPU for a model on the processor": (
        {"gpu": {"enabled": True}},
        "gpu.enabled is true, but model.device is cpu. Set model.device to cuda or auto.",
    ),
    "a model without its GPU": (
        {"model": {"device": "cuda"}},
        "model.device is cuda, but gpu.enabled is false, so pods would get no accelerator.",
    ),
    "a download of nothing": (
        {**WEIGHTS, "weights": {"mode": "download"}},
        "weights.mode download needs weights.download.repository and weights.download.revision (a commit).",
    ),
    "a download of whatever is newest": (
        {**WEIGHTS, "weights": {"mode": "download", "download": {"repository": "a/b"}}},
        "weights.download.revision (a commit).",
    ),
    "a token for no download": (
        {"weights": {"download": {"existingTokenSecret": "x"}}},
        "but weights.mode is embedded. Set it to download, or remove them.",
    ),
    "an image volume without an image": (
        {**WEIGHTS, "weights": {"mode": "image"}},
        "weights.mode image needs weights.image.reference.",
    ),
    "a model beside its mount": (
        {"model": {"source": "/modelsx"}, "weights": {"mode": "pvc"}},
        "model.source (/modelsx) is not below weights.mountPath (/models).",
    ),
    "every pod counted twice": (
        {"metrics": {"podMonitor": {"enabled": True}, "serviceMonitor": {"enabled": True}}},
        "would count every pod twice. Enable one of them.",
    ),
    "a monitor of nothing": (
        {"metrics": {"enabled": False, "podMonitor": {"enabled": True}}},
        "A monitor is enabled, but metrics.enabled is false.",
    ),
    "a route that hangs nowhere": (
        {"gateway": {"enabled": True}},
        "gateway.enabled needs gateway.parentRefs",
    ),
    "a pool without a picker": (
        {"gateway": {"inferencePool": {"enabled": True}}},
        "gateway.inferencePool.enabled needs gateway.inferencePool.endpointPicker.",
    ),
    "a gateway that cuts streams": (
        {
            "gateway": {
                "enabled": True,
                "parentRefs": [{"name": "edge"}],
                "backendTrafficPolicy": {"maxStreamDuration": "600s"},
            }
        },
        "maxStreamDuration (600s) would cut streams that limits.maxStreamSeconds (600) allows. Raise it, or",
    ),
    "one port for two": (
        {"ports": {"health": 50051}},
        "ports.grpc, ports.health and ports.metrics must differ.",
    ),
}

UNACCEPTABLE: dict[str, dict[str, Any]] = {
    "a typo at the root": {"replica": 3},
    "a typo below": {"engine": {"slot": 3}},
    "a typo far below": {"tls": {"certManager": {"issuerRef": {"nmae": "x"}}}},
    "half a pod": {"replicas": 1.5},
    "half a slot": {"engine": {"slots": 1.5}},
    "no slots": {"engine": {"slots": 0}},
    "a number as a text": {"engine": {"slots": "64"}},
    "a privileged port": {"ports": {"grpc": 443}},
    "a device that is none": {"model": {"device": "gpu"}},
    "a digest cut short": {"image": {"digest": "sha256:123"}},
    "a size without a unit": {"shmSize": "256"},
    "a scaler that is none": {"autoscaling": {"kind": "both"}},
    "more than everything": {"autoscaling": {"target": 1.2}},
    "a target of nothing": {"autoscaling": {"target": 0}},
    "a stabilization that Kubernetes refuses": {"autoscaling": {"scaleDown": {"stabilizationSeconds": 3601}}},
    "a label that is a number": {"podLabels": {"a": 1}},
    "weights from nowhere": {"weights": {"mode": "hostPath"}},
    "a mount that is no path": {"weights": {"mountPath": "models"}},
    "a digest of a file that is none": {"weights": {"download": {"digests": {"a": "b"}}}},
    "a truth in quotes": {"tls": {"enabled": "true"}},
    "an empty model": {"model": {"source": ""}},
    "sampling as a number": {"otel": {"samplerArg": 0.1}},
    "more than all traces": {"otel": {"samplerArg": "2"}},
    "settings without a section": {"settings": {"slots": 3}},
}


@pytest.mark.parametrize("what", CONTRADICTIONS)
def test_a_contradiction_is_refused_with_a_sentence(what: str, tmp_path: Path) -> None:
    values, sentence = CONTRADICTIONS[what]
    with pytest.raises(Refused) as refused:
        with_values(tmp_path, values)
    assert sentence in str(refused.value)


@pytest.mark.parametrize("helm", HELMS)
@pytest.mark.parametrize("what", UNACCEPTABLE)
def test_the_schema_refuses(what: str, helm: str, tmp_path: Path) -> None:
    with pytest.raises(Refused, match=r"(?s)values don't meet the specifications|schema"):
        with_values(tmp_path, UNACCEPTABLE[what], helm)


def test_a_grace_that_is_long_enough_is_taken(tmp_path: Path) -> None:
    found = with_values(tmp_path, {"shutdown": {"terminationGracePeriodSeconds": 220}})
    assert found


def test_every_contradiction_has_a_case(tmp_path: Path) -> None:
    said = "\n".join(_complaint(tmp_path, values) for values, _ in CONTRADICTIONS.values())
    text = (CHART / "templates" / "_validate.tpl").read_text()
    fixed = [max(re.split(r"%\w|\(|\)", line), key=len) for line in re.findall(r'fail .*?"(.*?)"', text)]
    assert len(fixed) >= 20
    assert [part for part in fixed if part not in said] == []


def _complaint(tmp_path: Path, values: dict[str, Any]) -> str:
    with pytest.raises(Refused) as refused:
        with_values(tmp_path, values)
    return str(refused.value)


def test_the_schema_is_what_the_comments_say() -> None:
    schema_of = runpy.run_path(str(ROOT / "scripts" / "chart-schema.py"))["schema_of"]
    wanted = schema_of((CHART / "values.yaml").read_text())
    assert json.loads((CHART / "values.schema.json").read_text()) == wanted, "run `make chart`"


def test_every_object_of_the_chart_is_closed() -> None:
    schema = json.loads((CHART / "values.schema.json").read_text())
    defaults = yaml.safe_load((CHART / "values.yaml").read_text())
    assert _open_objects(schema, defaults) == []


def _open_objects(schema: dict[str, Any], defaults: Any, path: str = "") -> list[str]:
    """Objects with keys of our own that would take others."""
    if not isinstance(defaults, dict) or not defaults:
        return []
    free = ["resources", "metrics.dashboard.labels"]
    found = [] if schema.get("additionalProperties") is False or path in free else [path]
    for key, value in defaults.items():
        below = schema.get("properties", {}).get(key, {})
        found += _open_objects(below, value, f"{path}.{key}".strip(".")) if below else []
    return found


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("a: {}\n", "empty object"),
        ("# -- Means.\na: []\n", "is a list"),
        ("a: 1\n", "no comment"),
        ("# @schema\n# -- Means.\na: 1\n", "either no"),
    ],
)
def test_a_value_that_says_too_little_has_no_schema(text: str, complaint: str) -> None:
    schema_of = runpy.run_path(str(ROOT / "scripts" / "chart-schema.py"))["schema_of"]
    with pytest.raises(ValueError, match=complaint):
        schema_of(text)
