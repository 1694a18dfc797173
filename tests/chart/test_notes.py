"""What Helm says after an install: how to try it, and what is risky in the values that were chosen."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from tests.chart.rendering import CHART, notes

pytestmark = pytest.mark.chart

DOOR = {"enabled": True, "parentRefs": [{"name": "x"}]}
RISKS: dict[str, tuple[dict[str, Any], str]] = {
    "nobody": ({"replicas": 0}, "replicas is 0"),
    "one": ({"replicas": 1}, "one pod only"),
    "no budget": ({"podDisruptionBudget": {"enabled": False}}, "there is no disruption budget"),
    "a budget for all": (
        {"podDisruptionBudget": {"maxUnavailable": 2}},
        "podDisruptionBudget.maxUnavailable is 2",
    ),
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
        "gateway.backendTrafficPolicy.maxStreamDuration is set, so every stream that goes on for longer than"
        " 601s is cut",
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
    "alerts to be had": ({}, "metrics.prometheusRule.enabled gives ten alerts"),
    "no network policy": ({"networkPolicy": {"enabled": False}}, "there is no network policy"),
    "a connection that stays": (
        {"service": {"headless": False}},
        "each client's connection stays on one pod",
    ),
    "a look inside": ({"grpc": {"reflection": True}}, "server reflection is on"),
    "a test without a certificate": (
        {"tls": {"enabled": True, "existingSecret": "x", "clientCaSecret": "y"}},
        "`helm test` will be refused",
    ),
    "a test that trusts what may not be there": (
        {"tls": {"enabled": True, "existingSecret": "x"}},
        "`helm test` trusts the ca.crt in the secret",
    ),
    "TLS behind a gateway": (
        {"tls": {"enabled": True, "existingSecret": "x"}, "gateway": DOOR},
        "It needs a BackendTLSPolicy",
    ),
    "alerts about nothing": (
        {"metrics": {"prometheusRule": {"enabled": True}}},
        "alerts are installed and no monitor is",
    ),
    "a scaler that knows no load": (
        {"autoscaling": {"kind": "keda"}},
        "autoscaling.kind is keda and there is no monitor",
    ),
    "a rollout of all pods at once, said once": (
        {"replicas": 3, "rollout": {"maxUnavailable": 3}},
        "so a rollout may take all pods at once",
    ),
    "blind": ({"metrics": {"enabled": False}}, "metrics are off"),
}


CLOSED = {"enabled": True, "existingSecret": "x"}
CLAIM = {"existingClaim": "x"}
COMMIT = {"repository": "a/b", "revision": "0" * 40}
CALM: dict[str, tuple[dict[str, Any], str]] = {
    "TLS": ({"tls": CLOSED}, "TLS is off"),
    "keys": ({"auth": CLOSED}, "anyone who reaches the port may speak"),
    "a policy": ({}, "there is no network policy"),
    "two": ({"replicas": 2}, "one pod only"),
    "one without a budget": (
        {"replicas": 1, "podDisruptionBudget": {"enabled": False}},
        "there is no disruption budget",
    ),
    "a budget for one": ({}, "podDisruptionBudget.maxUnavailable is"),
    "a claim that is there": (
        {"model": {"source": "/models/x"}, "weights": {"mode": "pvc", "pvc": CLAIM}},
        "begins empty",
    ),
    **{
        f"a claim of many nodes, {mode}": (
            {"model": {"source": "/models/x"}, "weights": {"mode": "pvc", "pvc": {"accessModes": [mode]}}},
            "pods on other nodes do not start",
        )
        for mode in ("ReadWriteMany", "ReadOnlyMany")
    },
    **{
        f"a download that is known by {key}": (
            {
                "model": {"source": "/models/x"},
                "weights": {"mode": "download", "download": {**COMMIT, key: value}},
            },
            "held to no digest and no signature",
        )
        for key, value in {
            "digests": {"a": "0" * 64},
            "publicKey": "-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n",
        }.items()
    },
    "one pod and a budget for one": ({"replicas": 1}, "podDisruptionBudget.maxUnavailable is"),
    "TLS for everybody": ({"tls": CLOSED}, "`helm test` will be refused"),
    "nobody is away": (
        {"replicas": 0, "rollout": {"maxUnavailable": 1}},
        "so a rollout may take all pods at once",
    ),
    **{
        f"a test that was told whom to trust by {of}": (
            {"tls": CLOSED, "test": {"ca": ca}},
            "`helm test` trusts the ca.crt in the secret",
        )
        for of, ca in {"a secret": {"secret": "x"}, "a key": {"key": "other.crt"}}.items()
    },
    "no image volume": ({}, "unless the feature gate ImageVolume"),
    "a gateway for all": ({"service": {"headless": False}, "gateway": DOOR}, "connection stays on one pod"),
    "one pod for all": ({"service": {"headless": False}, "replicas": 1}, "connection stays on one pod"),
    "no look inside": ({}, "server reflection is on"),
    "a test with a certificate": (
        {"tls": {**CLOSED, "clientCaSecret": "y"}, "test": {"clientSecret": "z"}},
        "`helm test` will be refused",
    ),
    "TLS without a gateway": ({"tls": CLOSED}, "It needs a BackendTLSPolicy"),
    "a gateway in plain text": ({"gateway": DOOR}, "It needs a BackendTLSPolicy"),
    "a gateway that is let in": (
        {"gateway": DOOR, "networkPolicy": {"clients": [{"namespaceSelector": {}}]}},
        "networkPolicy.clients",
    ),
    "a gateway and no policy": (
        {"gateway": DOOR, "networkPolicy": {"enabled": False}},
        "networkPolicy.clients",
    ),
    "no gateway": ({"gateway": {"backendTrafficPolicy": {"enabled": False}}}, "ends every stream after 15 s"),
    "metrics": ({}, "metrics are off"),
    "alerts": ({"metrics": {"prometheusRule": {"enabled": True}}}, "prometheusRule.enabled gives ten alerts"),
    "no alerts to be had": ({"metrics": {"enabled": False}}, "prometheusRule.enabled gives ten alerts"),
}
"""Values one step beside a risk, and the words that would be wrong there."""


@pytest.mark.parametrize("what", RISKS)
def test_the_notes_warn(what: str, tmp_path: Path) -> None:
    values, words = RISKS[what]
    assert words in notes(tmp_path, values)


@pytest.mark.parametrize("what", CALM)
def test_the_notes_are_silent_one_step_beside(what: str, tmp_path: Path) -> None:
    values, words = CALM[what]
    assert any(words in risk for _, risk in RISKS.values()), "words that some row warns with"
    assert words not in notes(tmp_path, values)


def test_the_notes_of_the_defaults_are_these_three(tmp_path: Path) -> None:
    said = re.findall(r"^(?:WARNING|NOTE): (.{12})", notes(tmp_path, {}), re.MULTILINE)
    assert said == ["TLS is off. ", "anyone who r", "metrics.prom"]


def test_nothing_risky_is_nothing_said(tmp_path: Path) -> None:
    watched = {"prometheusRule": {"enabled": True}, "podMonitor": {"enabled": True}}
    trusted = {"ca": {"public": True}, "serverName": "tts.example.com"}
    said = notes(tmp_path, {"tls": CLOSED, "auth": CLOSED, "metrics": watched, "test": trusted})
    assert re.findall(r"^(?:WARNING|NOTE)", said, re.MULTILINE) == []


def test_every_warning_has_a_row() -> None:
    text = (CHART / "templates" / "NOTES.txt").read_text()
    said = [words for _, words in RISKS.values()]
    warnings = re.findall(r"^(?:WARNING|NOTE): (.+)", text, re.MULTILINE)
    assert len(warnings) > 20
    assert [line for line in warnings if not any(_is_of(words, line) for words in said)] == []


def _is_of(words: str, line: str) -> bool:
    """Whether a row's words are this line's: what templates write may stand for anything."""
    fixed = [part.strip() for part in re.split(r"\{\{.*?\}\}", line)]
    return any(words in part or (len(part) > 20 and part in words) for part in fixed)


def test_what_is_not_risky_is_not_said(tmp_path: Path) -> None:
    said = notes(tmp_path, {"gateway": DOOR, "rollout": {"maxUnavailable": "99%"}})
    for words in ("15 s", "maxStreamDuration", "preStopSeconds", "drainSeconds", "maxUnavailable"):
        assert words not in said
    for monitor in ("podMonitor", "serviceMonitor"):
        seen = {monitor: {"enabled": True}, "prometheusRule": {"enabled": True}}
        said = notes(tmp_path, {"metrics": seen, "autoscaling": {"kind": "keda"}})
        assert "monitor is" not in said
        assert "no monitor" not in said


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
