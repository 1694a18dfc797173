"""What Helm says after an install: how to try it, and what is risky in the values that were chosen."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.chart.rendering import notes

pytestmark = pytest.mark.chart

DOOR = {"enabled": True, "parentRefs": [{"name": "x"}]}
RISKS: dict[str, tuple[dict[str, Any], str]] = {
    "nobody": ({"replicas": 0}, "replicas is 0"),
    "one": ({"replicas": 1}, "one pod only"),
    "no budget": ({"podDisruptionBudget": {"enabled": False}}, "there is no disruption budget"),
    "a budget for all": ({"podDisruptionBudget": {"maxUnavailable": 2}}, "may take all pods at once"),
    "a gateway outside": (
        {"gateway": DOOR},
        "networkPolicy.clients",
    ),
    "no keys": ({}, "anyone who reaches the port may speak"),
    "no TLS": ({}, "TLS is off"),
    "an empty claim": ({"model": {"source": "/models/x"}, "weights": {"mode": "pvc"}}, "begins empty"),
    "a claim of one node": (
        {
            "model": {"source": "/models/x"},
            "weights": {"mode": "pvc", "pvc": {"accessModes": ["ReadWriteOnce"]}},
        },
        "pods on other nodes do not start",
    ),
    "a download of whatever comes": (
        {
            "model": {"source": "/models/x"},
            "weights": {"mode": "download", "download": {"repository": "a/b", "revision": "0" * 40}},
        },
        "held to no digest and no signature",
    ),
    "an image volume": (
        {"model": {"source": "/models/x"}, "weights": {"mode": "image", "image": {"reference": "x"}}},
        "unless the feature gate ImageVolume",
    ),
    "a gateway with Envoy's own limits": (
        {"gateway": {**DOOR, "backendTrafficPolicy": {"enabled": False}}},
        "Envoy's own default ends every stream after 15 s",
    ),
    "a gateway that cuts streams": (
        {"gateway": {**DOOR, "backendTrafficPolicy": {"maxStreamDuration": "601s"}}},
        "every stream that goes on for longer than 601s is cut",
    ),
    "a pod that goes before anybody knows": (
        {"shutdown": {"preStopSeconds": 0}},
        "shutdown.preStopSeconds is 0, so",
    ),
    "a drain that cuts a sentence": (
        {"shutdown": {"drainSeconds": 1}},
        "shutdown.drainSeconds is 1, so",
    ),
    "a rollout of all pods at once": (
        {"rollout": {"maxUnavailable": "100%"}},
        "rollout.maxUnavailable is 100%, so a rollout may take all pods at once",
    ),
    "a rollout of all pods at once, in numbers": (
        {"rollout": {"maxUnavailable": 2}},
        "rollout.maxUnavailable is 2, so a rollout may take all pods at once",
    ),
    "blind": ({"metrics": {"enabled": False}}, "metrics are off"),
}


@pytest.mark.parametrize("what", RISKS)
def test_the_notes_warn(what: str, tmp_path: Path) -> None:
    values, words = RISKS[what]
    assert words in notes(tmp_path, values)


def test_what_is_not_risky_is_not_said(tmp_path: Path) -> None:
    said = notes(tmp_path, {"gateway": DOOR, "rollout": {"maxUnavailable": "99%"}})
    for words in ("15 s", "maxStreamDuration", "preStopSeconds", "drainSeconds", "maxUnavailable"):
        assert words not in said


def test_the_notes_say_how_to_try_it(tmp_path: Path) -> None:
    plain = notes(tmp_path, {})
    assert "port-forward service/demo-rhapsode 50051:50051" in plain
    assert "grpcurl -plaintext" in plain
    closed = notes(
        tmp_path,
        {
            "tls": {"enabled": True, "existingSecret": "x"},
            "auth": {"enabled": True, "existingSecret": "keys"},
        },
    )
    assert "grpcurl -cacert ca.crt -authority demo-rhapsode -H 'authorization: Bearer KEY'" in closed
    assert "rhapsode say" not in closed, "its certificate does not hold for localhost"
