"""Where the server runs: no rights that it does not need, no ports that nobody asked for, no unknown parts.

Read from what is in git: the chart as it renders, the image's recipe, the list of packages.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import grpc
import pytest
import yaml

from tests.integration.conftest import House, house, toy_house
from tests.security.conftest import METHOD

__all__ = ["toy_house"]

ROOT = Path(__file__).resolve().parents[2]
GOLDEN = ROOT / "tests" / "chart" / "golden"
RENDERED = sorted(GOLDEN.glob("*.yaml"))
CONSTRAINTS = sorted((ROOT / "constraints").glob("*.txt"))
LISTENING = "0A"
"""The state of a socket in /proc/net/tcp."""


def objects(path: Path, *kinds: str) -> Iterator[dict[str, Any]]:
    """Objects of these kinds."""
    for each in yaml.safe_load_all(path.read_text()):
        if each and each["kind"] in kinds:
            yield each


def pods(path: Path) -> Iterator[dict[str, Any]]:
    """The specs of all pods."""
    for each in objects(path, "Deployment", "Pod", "Job"):
        yield each["spec"] if each["kind"] == "Pod" else each["spec"]["template"]["spec"]


# ---- the pod


@pytest.mark.parametrize("path", RENDERED, ids=lambda path: path.stem)
def test_a_pod_has_no_right_that_it_does_not_need(path: Path) -> None:
    specs = list(pods(path))
    assert specs
    for spec in specs:
        assert spec["automountServiceAccountToken"] is False
        pod = spec["securityContext"]
        assert (pod["runAsNonRoot"], pod["runAsUser"]) == (True, 10001)
        assert pod["seccompProfile"] == {"type": "RuntimeDefault"}
        assert not any(spec.get(name) for name in ("hostNetwork", "hostPID", "hostIPC"))
        for container in [*spec["containers"], *spec.get("initContainers", [])]:
            own = container["securityContext"]
            assert own["readOnlyRootFilesystem"] is True
            assert own["allowPrivilegeEscalation"] is False
            assert own["capabilities"] == {"drop": ["ALL"]}
            assert not own.get("privileged")


@pytest.mark.parametrize("path", RENDERED, ids=lambda path: path.stem)
def test_nothing_comes_in_or_goes_out_that_is_not_listed(path: Path) -> None:
    policies = [policy["spec"] for policy in objects(path, "NetworkPolicy")]
    selected = [policy["podSelector"]["matchLabels"] for policy in policies]
    for each in objects(path, "Deployment", "Pod"):
        pod = each if each["kind"] == "Pod" else each["spec"]["template"]
        covered = any(wanted.items() <= pod["metadata"]["labels"].items() for wanted in selected)
        assert covered != (path.stem == "everything-extra"), "that is the case that has policies turned off"
    for spec in policies:
        assert set(spec["policyTypes"]) == {"Ingress", "Egress"}
        assert all(rule["from"] and rule["ports"] for rule in spec.get("ingress", []))
        assert all(rule["ports"] for rule in spec["egress"])


def test_the_server_asks_for_names_and_nothing_else() -> None:
    server, _ = objects(GOLDEN / "default.yaml", "NetworkPolicy")
    assert {port["port"] for rule in server["spec"]["egress"] for port in rule["ports"]} == {53}


def test_secrets_are_mounted_and_never_written_into_the_settings() -> None:
    for path in RENDERED:
        for each in objects(path, "ConfigMap"):
            assert "PRIVATE KEY" not in str(each)
        for spec in pods(path):
            for container in spec["containers"]:
                said = " ".join(map(str, container.get("env", [])))
                assert not re.search(r"'value': '[^']*(?i:bearer|secret|password)", said)


# ---- the image and its parts


def test_every_part_is_known_by_its_digest() -> None:
    assert CONSTRAINTS
    for path in CONSTRAINTS:
        parts = re.split(r"\n(?=[A-Za-z0-9])", path.read_text().strip())
        for part in (part for part in parts if not part.startswith("#")):
            assert re.match(r"[A-Za-z0-9._-]+(\[[\w,-]+\])?==\S+", part), f"{path.name}: {part[:60]}"
            assert "--hash=sha256:" in part, f"{path.name}: {part[:60]}"


def test_the_image_runs_as_nobody_in_particular() -> None:
    recipe = (ROOT / "Dockerfile").read_text()
    assert re.findall(r"^USER (.*)$", recipe, re.MULTILINE) == ["10001:10001"]
    assert re.search(r"^ARG BASE_IMAGE", recipe, re.MULTILINE), "the base can be given by its digest"
    assert not re.search(r"curl .*\|\s*(ba)?sh", recipe)


# ---- the ports


def listening() -> set[int]:
    """The TCP ports that this process listens on."""
    own = set()
    for number in os.listdir("/proc/self/fd"):
        try:
            own.add(os.readlink(f"/proc/self/fd/{number}"))
        except OSError:
            continue  # it was the listing's own
    lines = [
        line.split()
        for name in ("tcp", "tcp6")
        for line in Path("/proc/net", name).read_text().splitlines()[1:]
    ]
    return {
        int(fields[1].rpartition(":")[2], 16)
        for fields in lines
        if fields[3] == LISTENING and f"socket:[{fields[9]}]" in own
    }


@pytest.mark.skipif(not Path("/proc/net/tcp").exists(), reason="the system does not tell its ports")
async def test_there_are_the_ports_that_were_asked_for_and_no_others() -> None:
    before = listening()
    async with house({"server.health_port": 0}) as running:
        assert listening() - before == {running.serving.port, running.serving.health_port}
    async with house() as running:
        assert listening() - before == {running.serving.port}
    assert listening() <= before


async def test_the_port_for_probes_has_health_and_nothing_else() -> None:
    settings = {"server.health_port": 0, "server.reflection": True}
    others = (f"{METHOD}Synthesize", f"{METHOD}ListVoices", "/grpc.reflection.v1alpha.ServerReflection/X")
    async with (
        house(settings) as running,
        grpc.aio.insecure_channel(f"127.0.0.1:{running.serving.health_port}") as channel,
    ):
        assert await running.health(channel=channel) == "SERVING"
        for method in others:
            assert await code(channel, method) is grpc.StatusCode.UNIMPLEMENTED


async def test_there_is_nothing_for_administrators_on_the_main_port(toy_house: House) -> None:
    for method in ("/grpc.channelz.v1.Channelz/GetServers", "/grpc.admin.v1.Admin/X", "/debug/pprof"):
        assert await code(toy_house.channel, method) is grpc.StatusCode.UNIMPLEMENTED


async def code(channel: grpc.aio.Channel, method: str) -> grpc.StatusCode:
    """How an empty call ends."""
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await channel.unary_unary(method)(b"", timeout=30)
    found: grpc.StatusCode = caught.value.code()
    return found
