"""Values that are odd and allowed come out as they were meant, once each, and never as something else."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml
from rhapsode_server.config import Settings

from tests.chart.rendering import (
    CASES,
    CHART,
    Object,
    Refused,
    kinds,
    manifest,
    one,
    pod,
    rendered,
    server,
    values_file,
    with_values,
)

pytestmark = pytest.mark.chart

AWKWARD = "a \"quoted\" 'word': {{ not a template }} # no comment\n- \\ and <more> & $(HOME) \u00e4\t%"


def settings(found: list[Object]) -> dict[str, Any]:
    """The settings file of the pods."""
    maps = [o for o in found if "settings.toml" in o.get("data", {})]
    return tomllib.loads(maps[0]["data"]["settings.toml"])


def twice(node: Any) -> list[str]:
    """Keys that a mapping below this node has more than once."""
    if isinstance(node, yaml.SequenceNode):
        return [key for each in node.value for key in twice(each)]
    if not isinstance(node, yaml.MappingNode):
        return []
    keys = [key.value for key, _ in node.value]
    below = [key for _, value in node.value for key in twice(value)]
    return [key for key in set(keys) if keys.count(key) > 1] + below


def test_words_that_yaml_takes_for_something_else_stay_words(tmp_path: Path) -> None:
    names = {
        "nameOverride": "null",
        "fullnameOverride": "speech",
        "priorityClassName": "true",
        "schedulerName": "123",
        "gpu": {"runtimeClassName": "null"},
        "serviceAccount": {"name": "1e3"},
        "voices": {"existingClaim": "on"},
        "tls": {"enabled": True, "existingSecret": "0x10", "clientCaSecret": "yes"},
        "auth": {"enabled": True, "existingSecret": "0123"},
        "model": {"source": "/models/1"},
        "weights": {"mode": "pvc", "pvc": {"storageClassName": "-"}},
    }
    found = with_values(tmp_path, names)
    spec = pod(found)
    volumes = {volume["name"]: volume for volume in spec["volumes"]}
    assert (spec["priorityClassName"], spec["schedulerName"], spec["runtimeClassName"]) == (
        "true",
        "123",
        "null",
    )
    assert one(found, "Deployment")["metadata"]["labels"]["app.kubernetes.io/name"] == "null"
    assert spec["serviceAccountName"] == one(found, "ServiceAccount")["metadata"]["name"] == "1e3"
    assert volumes["voices"]["persistentVolumeClaim"]["claimName"] == "on"
    secrets = [volumes[name]["secret"]["secretName"] for name in ("tls", "client-ca", "auth")]
    assert secrets == ["0x10", "yes", "0123"]
    assert one(found, "PersistentVolumeClaim")["spec"]["storageClassName"] == "-"


def test_a_release_and_a_namespace_of_digits(tmp_path: Path) -> None:
    found = with_values(tmp_path, {"fullnameOverride": "speech"}, release="1e3", namespace="123")
    for o in found:
        assert o["metadata"]["namespace"] == "123"
        assert o["metadata"]["labels"]["app.kubernetes.io/instance"] == "1e3"
    with pytest.raises(Refused, match="Set fullnameOverride"):
        with_values(tmp_path, {}, release="1e3")
    with pytest.raises(Refused, match="Set fullnameOverride"):
        with_values(tmp_path, {}, release="a.b")


@pytest.mark.parametrize("length", [53, 45, 44])
def test_long_names_stay_names(tmp_path: Path, length: int) -> None:
    """53 is the longest that Helm takes; a cut must not end in a dash, nor a label be too long."""
    release = ("a-" * 27)[:length]
    found = with_values(tmp_path, {"nameOverride": "n" * 70}, release=release.removesuffix("-"))
    for o in found:
        name, labels = o["metadata"]["name"], o["metadata"]["labels"]
        assert re.fullmatch(r"[a-z]([-a-z0-9]*[a-z0-9])?", name)
        assert len(name) <= 63
        assert all(len(value) <= 63 for value in labels.values())


def test_awkward_texts_come_out_as_they_went_in(tmp_path: Path) -> None:
    values = {
        "test": {"text": AWKWARD},
        "settings": {"model": {"options": {"prompt": AWKWARD}}},
        "otel": {"resourceAttributes": {"note": 'it\'s: "so" # {x}'}},
        "tls": {
            "enabled": True,
            "certManager": {"enabled": True, "issuerRef": {"name": "x"}, "dnsNames": ["*.a.b"]},
        },
    }
    found = with_values(tmp_path, values)
    assert one(found, "Pod")["spec"]["containers"][0]["args"][-2:] == ["--", AWKWARD]
    assert settings(found)["model"]["options"]["prompt"] == AWKWARD
    told = {v["name"]: v.get("value") for v in server(found)["env"]}
    assert told["OTEL_RESOURCE_ATTRIBUTES"].endswith(',note=it\'s: "so" # {x}')
    assert "*.a.b" in one(found, "Certificate")["spec"]["dnsNames"]


def test_large_numbers_are_whole(tmp_path: Path) -> None:
    values = {
        "shutdown": {"drainSeconds": 2_000_000, "terminationGracePeriodSeconds": 3_000_000},
        "rollout": {"progressDeadlineSeconds": 12_345_678},
        "limits": {"maxCharacters": 10_000_000},
        "settings": {"limits": {"voice_memory_bytes": 8_589_934_592}},
    }
    found = with_values(tmp_path, values)
    assert pod(found)["terminationGracePeriodSeconds"] == 3_000_000
    assert one(found, "Deployment")["spec"]["progressDeadlineSeconds"] == 12_345_678
    assert settings(found)["limits"] == {"max_characters": 10_000_000, "voice_memory_bytes": 8_589_934_592}
    Settings.model_validate(settings(found))


@pytest.mark.parametrize(("target", "milli"), [(0.57, "570m"), (0.29, "290m"), (1, "1000m"), (0.05, "50m")])
def test_a_target_is_not_rounded_down(tmp_path: Path, target: float, milli: str) -> None:
    found = with_values(tmp_path, {"autoscaling": {"kind": "hpa", "target": target}})
    assert (
        one(found, "HorizontalPodAutoscaler")["spec"]["metrics"][0]["pods"]["target"]["averageValue"] == milli
    )


def test_no_sleep_is_no_action(tmp_path: Path) -> None:
    """Kubernetes before 1.34 refuses a sleep of 0 s."""
    found = with_values(tmp_path, {"shutdown": {"preStopSeconds": 0}})
    assert "lifecycle" not in server(found)
    assert pod(found)["terminationGracePeriodSeconds"] == 205


def test_a_budget_wherever_there_may_be_two_pods(tmp_path: Path) -> None:
    scaled = {"autoscaling": {"kind": "hpa", "minReplicas": 1, "maxReplicas": 3}}
    assert "PodDisruptionBudget" in kinds(with_values(tmp_path, scaled))
    for replicas in (0, 1):
        assert "PodDisruptionBudget" not in kinds(with_values(tmp_path, {"replicas": replicas}))


def test_extra_variables_win_and_are_there_once(tmp_path: Path) -> None:
    extra = [
        {"name": "OTEL_SERVICE_NAME", "value": "speech"},
        {"name": "RHAPSODE_QUOTAS__CONCURRENT_STREAMS", "value": "4"},
    ]
    variables = [v["name"] for v in server(with_values(tmp_path, {"extraEnv": extra}))["env"]]
    assert len(variables) == len(set(variables))
    assert variables[-2:] == [v["name"] for v in extra]
    assert variables.index("POD_NAME") < variables.index("OTEL_RESOURCE_ATTRIBUTES")


def test_labels_of_ones_own_are_everywhere_and_once(tmp_path: Path) -> None:
    values = {
        "commonLabels": {"team": "voice", "tier": "back"},
        "podLabels": {"tier": "front"},
        "metrics": {
            "podMonitor": {"enabled": True, "labels": {"tier": "monitor"}},
            "prometheusRule": {"enabled": True, "labels": {"team": "alerts"}},
            "dashboard": {"enabled": True},
        },
    }
    found = with_values(tmp_path, values)
    assert {o["metadata"]["labels"]["team"] for o in found if o["kind"] != "PrometheusRule"} == {"voice"}
    assert one(found, "PrometheusRule")["metadata"]["labels"]["team"] == "alerts"
    assert one(found, "PodMonitor")["metadata"]["labels"]["tier"] == "monitor"
    assert one(found, "Deployment")["spec"]["template"]["metadata"]["labels"]["tier"] == "front"


@pytest.mark.parametrize("case", CASES)
def test_no_key_is_there_twice(case: str) -> None:
    text = manifest("helm3", "--values", str(values_file(case)))
    assert [key for node in yaml.compose_all(text) for key in twice(node)] == []


def test_what_is_there_twice_is_seen() -> None:
    assert twice(yaml.compose("a: [{b: {c: 1, d: 2, c: 3}}]")) == ["c"]


# ---- the server's settings: one source of truth

BECAUSE = {
    "server.host": "a pod is called from outside",
    "server.health_port": "probes speak neither TLS nor keys",
    "server.drain_seconds": "a rollout waits for long utterances; somebody at a terminal does not",
    "server.max_stream_seconds": "who stalls holds a slot that a crowd waits for",
    "model.device": "what pods ask for is written down, not found out",
    "model.threads": "as many as the pod asks for, not as the node has",
    "engine.slots": "the scaler's signal needs a number",
    "engine.max_waiting": "half the slots: with more pods, a full one sends callers to another sooner",
    "telemetry.log_format": "a collector reads the lines",
}
"""Where a pod differs from the server's own default, and why."""


def test_a_pod_is_as_the_server_is_by_itself_but_for_reasons() -> None:
    defaults = Settings().model_dump()
    ours = settings(rendered("default"))
    different = {
        f"{section}.{key}"
        for section, keys in ours.items()
        for key, value in keys.items()
        if value != defaults[section][key]
    }
    assert different == set(BECAUSE)


def test_whatever_the_chart_writes_cannot_be_written_again_in_settings() -> None:
    free = {"telemetry.log_format", "telemetry.log_level", "security.open_health", "model.options"}
    written = {
        f"{s}.{k}" for case in CASES for s, keys in settings(rendered(case)).items() for k in keys
    } - free
    template = (CHART / "templates" / "_clashes.tpl").read_text()
    decided = set(re.findall(r"^((?:server|model|engine|limits|security)\.\w+): ", template, re.MULTILINE))
    assert written == decided
