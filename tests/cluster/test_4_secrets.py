"""A certificate and a key are changed: both are taken without a restart, and a running stream goes on."""

from __future__ import annotations

import json
import shutil
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cluster.conftest import PYTHON, TOY
from tests.cluster.kubernetes import Cluster, CommandFailed, until
from tests.cluster.report import Report

pytestmark = pytest.mark.cluster

RELEASE = "secured"
SECTION = "Secrets, changed without a restart"
OLD_KEY, NEW_KEY = "the-old-key-of-alice", "the-new-key-of-alice"


def certificate(folder: Path, name: str, namespace: str) -> dict[str, str]:
    """A certificate that signs itself, for the release's Service, as a secret of type kubernetes.io/tls."""
    if shutil.which("openssl") is None:
        pytest.skip("openssl is not installed")
    crt, key = folder / f"{name}.crt", folder / f"{name}.key"
    made = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
    made += ["-days", "2", "-subj", f"/CN={name}", "-keyout", str(key), "-out", str(crt)]
    made += ["-addext", f"subjectAltName=DNS:{RELEASE}-rhapsode.{namespace}.svc"]
    subprocess.run(made, check=True, capture_output=True)
    return {"tls.crt": crt.read_text(), "tls.key": key.read_text(), "ca.crt": crt.read_text()}


@pytest.fixture(scope="module")
def secured(cluster: Cluster, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A pod that serves TLS and asks for keys; gives the folder with its certificates."""
    folder = tmp_path_factory.mktemp("certificates")
    cluster.secret("server", certificate(folder, "first", cluster.namespace), "kubernetes.io/tls")
    cluster.secret("keys", {"api-keys": f"alice:{OLD_KEY}\n"})
    security = {
        "tls": {"enabled": True, "existingSecret": "server"},
        "auth": {"enabled": True, "existingSecret": "keys"},
    }
    cluster.install(RELEASE, {**TOY, "replicas": 1, **security})
    cluster.ready(RELEASE, 1)
    yield folder
    cluster.uninstall(RELEASE)


def attempt(cluster: Cluster, caller: str, authority: str, key: str) -> str:
    """What a new connection is told: "spoken", or the error's name."""
    target = f"{RELEASE}-rhapsode.{cluster.namespace}.svc:50051"
    return cluster.inside(caller, PYTHON, "/scripts/attempt.py", target, authority, key).strip()


def test_helm_test_passes_with_tls_and_keys(cluster: Cluster, secured: Path, report: Report) -> None:
    assert "Succeeded" in cluster.helm("test", RELEASE, "--timeout", "180s")


def test_certificate_and_key_are_changed(
    cluster: Cluster, caller: str, secured: Path, report: Report
) -> None:
    first = (secured / "first.crt").read_text()
    (before,) = cluster.ready(RELEASE, 1)
    assert attempt(cluster, caller, first, OLD_KEY) == "spoken"
    assert attempt(cluster, caller, first, NEW_KEY) == "Unauthenticated"
    with long_stream(cluster, caller, first) as running:
        key_took = change_key(cluster, caller, first)
        certificate_took = change_certificate(cluster, caller, secured)
        assert attempt(cluster, caller, first, NEW_KEY) == "ServerUnreachable"
        told, wrong = running.communicate(timeout=300)
    assert json.loads(told)["complete"], wrong
    (after,) = cluster.ready(RELEASE, 1)
    assert (after.name, after.restarts) == (before.name, 0)
    report.tell(
        SECTION,
        f"API key known after {key_took:.0f} s, certificate after {certificate_took:.0f} s; no restart; a"
        " stream that ran all the while was whole",
    )


def change_key(cluster: Cluster, caller: str, authority: str) -> float:
    """As operating.md says: the new key beside the old, then without. Seconds until the new one was known."""
    cluster.secret("keys", {"api-keys": f"alice:{OLD_KEY}\nalice:{NEW_KEY}\n"})
    began = time.monotonic()
    until("the new key is known", lambda: attempt(cluster, caller, authority, NEW_KEY) == "spoken" or None)
    took = time.monotonic() - began
    cluster.secret("keys", {"api-keys": f"alice:{NEW_KEY}\n"})
    old = "Unauthenticated"
    until("the old key is forgotten", lambda: attempt(cluster, caller, authority, OLD_KEY) == old or None)
    return took


def change_certificate(cluster: Cluster, caller: str, folder: Path) -> float:
    """Another certificate in the same secret. Seconds until new connections were shown it."""
    files = certificate(folder, "second", cluster.namespace)
    cluster.secret("server", files, "kubernetes.io/tls")
    began, new = time.monotonic(), files["ca.crt"]
    until("the new certificate is shown", lambda: attempt(cluster, caller, new, NEW_KEY) == "spoken" or None)
    return time.monotonic() - began


def long_stream(cluster: Cluster, caller: str, authority: str) -> subprocess.Popen[str]:
    """A stream of some minutes, which prints whether it was whole."""
    target = f"{RELEASE}-rhapsode.{cluster.namespace}.svc:50051"
    command = ["kubectl", "--namespace", cluster.namespace, "exec", caller, "--", PYTHON]
    command += ["/scripts/attempt.py", target, authority, OLD_KEY, "--long"]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def test_without_tls_nobody_gets_in(cluster: Cluster, caller: str, secured: Path, report: Report) -> None:
    target = f"{RELEASE}-rhapsode.{cluster.namespace}.svc:50051"
    with pytest.raises(CommandFailed):
        cluster.inside(caller, "/opt/rhapsode/bin/rhapsode", "probe", "--server", target, "--timeout", "10")
