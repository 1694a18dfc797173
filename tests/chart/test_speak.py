"""The pod of `helm test`: it can start where the server can, and trusts whom it is told to trust."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.chart.rendering import Object, notes, one, pod, with_values

pytestmark = pytest.mark.chart

TLS = {"enabled": True, "existingSecret": "ours"}
KEYS = ("serviceAccountName", "imagePullSecrets", "nodeSelector", "tolerations")


def speaker(tmp_path: Path, values: dict[str, Any]) -> Object:
    """The specification of the pod of `helm test`."""
    found: Object = one(with_values(tmp_path, values), "Pod")["spec"]
    return found


def test_it_starts_where_the_server_starts(tmp_path: Path) -> None:
    values = {
        "imagePullSecrets": [{"name": "registry"}],
        "nodeSelector": {"kubernetes.io/arch": "amd64"},
        "tolerations": [{"key": "voice", "operator": "Exists"}],
        "model": {"device": "cuda"},
        "gpu": {"enabled": True},
    }
    server, said = pod(with_values(tmp_path, values)), speaker(tmp_path, values)
    assert {key: said[key] for key in KEYS} == {key: server[key] for key in KEYS}
    assert len(said["tolerations"]) == 2
    assert "nvidia.com/gpu" not in str(said["containers"])


@pytest.mark.parametrize(
    ("test", "secret", "key"),
    [
        ({}, "ours", "ca.crt"),
        ({"ca": {"key": "tls.crt"}}, "ours", "tls.crt"),
        ({"ca": {"secret": "authority", "key": "root.pem"}}, "authority", "root.pem"),
    ],
)
def test_it_trusts_the_authority_in_a_secret(
    tmp_path: Path, test: dict[str, Any], secret: str, key: str
) -> None:
    said = speaker(tmp_path, {"tls": TLS, "test": test})
    assert "--ca=/etc/rhapsode/tls/ca.crt" in said["containers"][0]["args"]
    (volume,) = (v["secret"] for v in said["volumes"] if v["name"] == "tls")
    assert (volume["secretName"], volume["items"]) == (secret, [{"key": key, "path": "ca.crt"}])


def test_it_trusts_the_public_authorities(tmp_path: Path) -> None:
    said = speaker(tmp_path, {"tls": TLS, "test": {"ca": {"public": True}, "serverName": "tts.example.com"}})
    arguments = said["containers"][0]["args"]
    assert {"--tls", "--server-name=tts.example.com"} <= set(arguments)
    assert not [argument for argument in arguments if argument.startswith("--ca")]
    assert "tls" not in [volume["name"] for volume in said["volumes"] + said["containers"][0]["volumeMounts"]]


def test_the_notes_say_whom_it_trusts(tmp_path: Path) -> None:
    assert "trusts the ca.crt in the secret ours" in notes(tmp_path, {"tls": TLS})
    assert "ca.crt in the secret" not in notes(tmp_path, {"tls": TLS, "test": {"ca": {"key": "tls.crt"}}})
    assert "ca.crt in the secret" not in notes(tmp_path, {})
