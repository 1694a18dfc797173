"""What the chart promises, feature by feature, read off the parsed objects."""

from __future__ import annotations

import json
import re
import tomllib
from pathlib import Path
from typing import Any

import pytest
from rhapsode_server import config
from rhapsode_server.signature import signed_files

from tests.chart.rendering import CASES, CHART, ROOT, Object, kinds, one, pod, rendered, server, with_values

pytestmark = pytest.mark.chart

NAME = "demo-rhapsode"
SIGNATURE = Path(__file__).parents[1] / "security" / "signature" / "model.sig"


@pytest.fixture
def default() -> list[Object]:
    """The chart as it comes."""
    return rendered("default")


def arguments(container: Object) -> list[str]:
    """Its arguments."""
    found: list[str] = container["args"]
    return found


def variables(container: Object) -> dict[str, Any]:
    """Its environment: values, or where they come from."""
    return {v["name"]: v.get("value", v.get("valueFrom")) for v in container["env"]}


def settings(found: list[Object]) -> dict[str, Any]:
    """The settings file in the ConfigMap."""
    maps = [o for o in found if o["kind"] == "ConfigMap" and "settings.toml" in o["data"]]
    return tomllib.loads(maps[0]["data"]["settings.toml"])


# ---- probes and ends


def test_probes_are_native_and_on_the_health_port(default: list[Object]) -> None:
    probes = {name: server(default)[f"{name}Probe"] for name in ("startup", "readiness", "liveness")}
    assert {name: probe["grpc"] for name, probe in probes.items()} == {
        "startup": {"port": 50052, "service": "readiness"},
        "readiness": {"port": 50052, "service": "readiness"},
        "liveness": {"port": 50052, "service": "liveness"},
    }
    assert settings(default)["server"]["health_port"] == 50052


def test_loading_has_a_budget_of_a_quarter_of_an_hour(default: list[Object]) -> None:
    startup = server(default)["startupProbe"]
    budget = startup["periodSeconds"] * startup["failureThreshold"]
    assert budget == 900
    assert one(default, "Deployment")["spec"]["progressDeadlineSeconds"] > budget


def test_a_hung_pod_does_not_get_the_long_grace(default: list[Object]) -> None:
    assert server(default)["livenessProbe"]["terminationGracePeriodSeconds"] == 20
    assert server(default)["startupProbe"]["terminationGracePeriodSeconds"] == 20


def test_the_engine_is_known_to_hang_before_liveness_gives_up(default: list[Object]) -> None:
    liveness = server(default)["livenessProbe"]
    patience = liveness["periodSeconds"] * liveness["failureThreshold"]
    assert settings(default)["engine"]["hang_seconds"] < patience


def test_grace_holds_pre_stop_drain_and_end(default: list[Object]) -> None:
    sleep = server(default)["lifecycle"]["preStop"]["sleep"]["seconds"]
    drain = settings(default)["server"]["drain_seconds"]
    assert (sleep, drain) == (15, 180)
    assert pod(default)["terminationGracePeriodSeconds"] == sleep + drain + 25


def test_the_reason_of_a_failed_start_is_kept(default: list[Object]) -> None:
    assert server(default)["terminationMessagePolicy"] == "FallbackToLogsOnError"


# ---- replicas


def test_a_budget_where_there_is_more_than_one_pod(default: list[Object]) -> None:
    budget = one(default, "PodDisruptionBudget")["spec"]
    assert budget["maxUnavailable"] == 1
    assert budget["unhealthyPodEvictionPolicy"] == "AlwaysAllow"
    assert "PodDisruptionBudget" not in kinds(rendered("everything-extra"))


def test_nothing_goes_before_something_has_come(default: list[Object]) -> None:
    rollout = one(default, "Deployment")["spec"]
    assert rollout["strategy"]["rollingUpdate"] == {"maxSurge": 1, "maxUnavailable": 0}
    assert rollout["minReadySeconds"] == 10
    scarce = one(rendered("gpu"), "Deployment")["spec"]["strategy"]["rollingUpdate"]
    assert scarce == {"maxSurge": 0, "maxUnavailable": 1}


def test_pods_spread_over_zones_and_hosts(default: list[Object]) -> None:
    spread = pod(default)["topologySpreadConstraints"]
    assert [s["topologyKey"] for s in spread] == ["topology.kubernetes.io/zone", "kubernetes.io/hostname"]
    assert {(s["maxSkew"], s["whenUnsatisfiable"]) for s in spread} == {(1, "ScheduleAnyway")}
    (own,) = pod(rendered("voices"))["topologySpreadConstraints"]
    assert own["labelSelector"]["matchLabels"] == {"app.kubernetes.io/instance": "demo"}


def test_hpa_follows_the_load_of_pods_and_is_slow_to_take_one_away() -> None:
    found = rendered("hpa")
    scaler = one(found, "HorizontalPodAutoscaler")["spec"]
    assert scaler["metrics"][0]["pods"]["target"] == {"type": "AverageValue", "averageValue": "700m"}
    assert scaler["behavior"]["scaleDown"] == SLOW
    assert "replicas" not in one(found, "Deployment")["spec"], "the scaler's number would be undone by helm"


SLOW = {
    "stabilizationWindowSeconds": 600,
    "policies": [{"type": "Pods", "value": 1, "periodSeconds": 300}],
    "selectPolicy": "Min",
}


def test_keda_asks_for_running_and_queued_over_slots_and_fears_a_lost_target() -> None:
    scaler = one(rendered("keda"), "ScaledObject")["spec"]
    (trigger,) = scaler["triggers"]
    assert trigger["metricType"] == "Value"
    assert trigger["metadata"]["threshold"] == "0.6"
    assert trigger["metadata"]["ignoreNullValues"] == "false"
    names = re.findall(r"tts_\w+", trigger["metadata"]["query"])
    assert names == [
        "tts_scheduler_requests_running",
        "tts_scheduler_queue_depth",
        "tts_scheduler_slots_limit",
    ]
    assert scaler["fallback"]["behavior"] == "currentReplicasIfHigher"
    assert scaler["advanced"]["horizontalPodAutoscalerConfig"]["behavior"]["scaleDown"] == SLOW


# ---- accelerators and weights


def test_a_gpu_a_slice_and_a_claim() -> None:
    gpu, slice_, claim = (rendered(case) for case in ("gpu", "mig", "dra"))
    assert server(gpu)["resources"]["limits"]["nvidia.com/gpu"] == 1
    assert pod(gpu)["runtimeClassName"] == "nvidia"
    assert {"key": "nvidia.com/gpu", "operator": "Exists", "effect": "NoSchedule"} in pod(gpu)["tolerations"]
    assert server(slice_)["resources"]["limits"]["nvidia.com/mig-1g.10gb"] == 1
    assert server(claim)["resources"]["claims"] == [{"name": "accelerator"}]
    assert pod(claim)["resourceClaims"] == [{"name": "accelerator", "resourceClaimTemplateName": "one-gpu"}]
    assert not any("nvidia" in key for key in server(claim)["resources"]["limits"])


def volume(found: list[Object], name: str) -> Object:
    """A volume of the pod by its name."""
    (fitting,) = (v for v in pod(found)["volumes"] if v["name"] == name)
    result: Object = fitting
    return result


def test_weights_from_a_claim_existing_or_made() -> None:
    existing = volume(rendered("gpu"), "weights")["persistentVolumeClaim"]
    assert existing == {"claimName": "checkpoints", "readOnly": True}
    made = rendered("mig")
    claim = one(made, "PersistentVolumeClaim")
    assert volume(made, "weights")["persistentVolumeClaim"]["claimName"] == claim["metadata"]["name"]
    assert claim["spec"]["storageClassName"] == "fast"
    assert claim["metadata"]["annotations"] == {"helm.sh/resource-policy": "keep"}


def test_the_download_alone_sees_the_token() -> None:
    found = rendered("download")
    (download,) = pod(found)["initContainers"]
    assert arguments(download)[:4] == [
        "download",
        "microsoft/speecht5_tts",
        "--revision=30fcde30f19b87502b8435427b5f5068e401d5f6",
        "--to=/models/speecht5_tts",
    ]
    assert any(argument.startswith("--sha256=model.safetensors=") for argument in arguments(download))
    assert [m["name"] for m in server(found)["volumeMounts"] if m["name"] == "hub-token"] == []
    assert {m["name"] for m in download["volumeMounts"]} == {"weights", "tmp", "hub-token", "settings"}
    mount = next(m for m in server(found)["volumeMounts"] if m["name"] == "weights")
    assert mount["readOnly"] is True


def test_the_download_knows_whose_signature_to_ask_for(tmp_path: Path) -> None:
    found = rendered("download")
    (download,) = pod(found)["initContainers"]
    assert {"--public-key=/etc/rhapsode/settings/weights.pem", "--signature=model.sig"} <= set(
        download["args"]
    )
    maps = [o for o in found if o["kind"] == "ConfigMap" and "weights.pem" in o["data"]]
    (tmp_path / "weights.pem").write_text(maps[0]["data"]["weights.pem"])
    assert signed_files(SIGNATURE, tmp_path / "weights.pem")
    other = {"weights": {"mode": "download", "download": {"repository": "a/b", "revision": "0" * 40}}}
    unsigned = with_values(tmp_path, {"model": {"source": "/models/x"}, **other})
    assert not [a for a in pod(unsigned)["initContainers"][0]["args"] if "key" in a or "signature" in a]


def test_the_download_has_resources_and_variables_of_its_own(tmp_path: Path) -> None:
    wanted = {
        "repository": "a/b",
        "revision": "0" * 40,
        "resources": {"limits": {"memory": "3Gi"}},
        "extraEnv": [
            {"name": "HTTPS_PROXY", "value": "http://{{ .Release.Name }}-proxy:3128"},
            {"name": "HF_HOME", "value": "/tmp/elsewhere"},
        ],
    }
    values = {"model": {"source": "/models/x"}, "weights": {"mode": "download", "download": wanted}}
    found = with_values(tmp_path, {**values, "extraEnv": [{"name": "OURS", "value": "x"}]})
    (download,) = pod(found)["initContainers"]
    assert download["resources"] == {
        "requests": {"cpu": "500m", "memory": "512Mi"},
        "limits": {"memory": "3Gi"},
    }
    assert download["env"] == [
        {"name": "HTTPS_PROXY", "value": "http://demo-proxy:3128"},
        {"name": "HF_HOME", "value": "/tmp/elsewhere"},
    ]
    assert "HTTPS_PROXY" not in variables(server(found))
    (usual,) = pod(rendered("download"))["initContainers"]
    assert usual["env"] == [{"name": "HF_HOME", "value": "/tmp/hub"}]


def test_weights_from_an_image() -> None:
    assert volume(rendered("dra"), "weights")["image"]["reference"].startswith(
        "registry.example.com/weights/"
    )


def test_no_weights_where_they_are_in_the_image(default: list[Object]) -> None:
    assert not [v for v in pod(default)["volumes"] if v["name"] == "weights"]
    assert settings(default)["model"] == {"device": "cpu", "source": "ion", "threads": 2}


def test_shared_memory_has_a_limit(default: list[Object]) -> None:
    assert volume(default, "shm")["emptyDir"] == {"medium": "Memory", "sizeLimit": "256Mi"}


def test_voices_of_ones_own_are_mounted_and_a_new_revision_rolls_the_pods(default: list[Object]) -> None:
    found = rendered("voices")
    assert settings(found)["model"]["voices"] == "/voices"
    assert volume(found, "voices")["persistentVolumeClaim"] == {"claimName": "our-voices", "readOnly": True}
    assert "checksum/voices" in pod_annotations(found)
    assert "checksum/voices" not in pod_annotations(default)


def pod_annotations(found: list[Object]) -> dict[str, str]:
    """Those of the pods."""
    result: dict[str, str] = one(found, "Deployment")["spec"]["template"]["metadata"]["annotations"]
    return result


def test_other_settings_roll_the_pods_and_the_same_do_not(default: list[Object], tmp_path: Path) -> None:
    key = "checksum/settings"
    same, other = with_values(tmp_path, {"replicas": 3}), with_values(tmp_path, {"engine": {"slots": 65}})
    assert pod_annotations(same)[key] == pod_annotations(default)[key] != pod_annotations(other)[key]


# ---- security


@pytest.mark.parametrize("case", CASES)
def test_no_role_and_no_token(case: str) -> None:
    found = rendered(case)
    assert not [kind for kind in kinds(found) if "Role" in kind]
    assert pod(found)["automountServiceAccountToken"] is False
    assert pod(found)["enableServiceLinks"] is False


def test_only_what_is_listed_may_talk(default: list[Object]) -> None:
    policy = one(default, "NetworkPolicy", NAME)["spec"]
    assert policy["policyTypes"] == ["Ingress", "Egress"]
    assert [rule["ports"][0]["port"] for rule in policy["ingress"]] == ["grpc", "metrics"]
    assert [port["port"] for rule in policy["egress"] for port in rule["ports"]] == [53, 53]
    collector = one(rendered("monitoring"), "NetworkPolicy", NAME)["spec"]["egress"]
    assert [port["port"] for rule in collector for port in rule["ports"]] == [53, 53, 4317]
    (peer,) = collector[-1]["to"]
    assert peer["namespaceSelector"]["matchLabels"] == {"kubernetes.io/metadata.name": "observability"}
    hub = one(rendered("download"), "NetworkPolicy", NAME)["spec"]["egress"]
    assert [port["port"] for rule in hub for port in rule["ports"]] == [53, 53, 443]


@pytest.mark.parametrize(
    ("endpoint", "port"),
    [
        ("http://collector.observability.svc:4317", 4317),
        ("collector:14317", 14317),
        ("https://collector.example.com/", 443),
        ("http://[fd00::4:1]:4317/", 4317),
        ("http://[fd00::4:1]", 443),
    ],
)
def test_a_collector_can_be_reached_wherever_it_is(endpoint: str, port: int, tmp_path: Path) -> None:
    found = with_values(tmp_path, {"otel": {"endpoint": endpoint}})
    egress = one(found, "NetworkPolicy", NAME)["spec"]["egress"]
    assert egress[1:] == [{"ports": [{"port": port, "protocol": "TCP"}]}]


def test_keys_come_as_files_from_secrets() -> None:
    found = rendered("tls-mtls")
    secrets = {v["name"]: v["secret"] for v in pod(found)["volumes"] if "secret" in v}
    assert {name: secret["secretName"] for name, secret in secrets.items()} == {
        "tls": "speech-tls",
        "client-ca": "speech-clients",
        "auth": "speech-keys",
    }
    assert {secret["defaultMode"] for secret in secrets.values()} == {0o440}
    assert settings(found)["security"] == {
        "certificate": "/etc/rhapsode/tls/tls.crt",
        "private_key": "/etc/rhapsode/tls/tls.key",
        "client_ca": "/etc/rhapsode/client-ca/ca.crt",
        "api_keys": "/etc/rhapsode/auth/api-keys",
    }
    mounted = {mount["mountPath"] for mount in server(found)["volumeMounts"]}
    assert {"/etc/rhapsode/tls", "/etc/rhapsode/client-ca", "/etc/rhapsode/auth"} <= mounted
    assert not [m for m in server(found)["volumeMounts"] if "subPath" in m], "a subPath is never updated"


def test_a_certificate_for_all_names_of_the_services() -> None:
    certificate = one(rendered("cert-manager"), "Certificate")["spec"]
    names = certificate["dnsNames"]
    assert {NAME, f"{NAME}.voice.svc.cluster.local", f"{NAME}-headless.voice.svc", "tts.example.com"} <= set(
        names
    )
    assert certificate["secretName"] == f"{NAME}-tls"
    assert volume(rendered("cert-manager"), "tls")["secret"]["secretName"] == f"{NAME}-tls"


# ---- network


def test_two_services_one_for_all_pods_and_one_for_each(default: list[Object]) -> None:
    cluster, headless = one(default, "Service", NAME), one(default, "Service", f"{NAME}-headless")
    assert cluster["spec"]["ports"][0]["appProtocol"] == "kubernetes.io/h2c"
    assert headless["spec"]["clusterIP"] == "None"
    assert headless["spec"]["selector"] == cluster["spec"]["selector"]
    assert one(rendered("tls-mtls"), "Service", NAME)["spec"]["ports"][0]["appProtocol"] == "https"


def test_the_headless_service_has_the_port_of_the_pods_and_says_so(tmp_path: Path) -> None:
    found = with_values(tmp_path, {"service": {"port": 80}, "ports": {"grpc": 50061}})
    ports = {o["metadata"]["name"]: o["spec"]["ports"][0]["port"] for o in found if o["kind"] == "Service"}
    assert ports == {NAME: 80, f"{NAME}-headless": 50061}
    said = json.loads((CHART / "values.schema.json").read_text())["properties"]
    assert "headless" in said["ports"]["properties"]["grpc"]["description"]
    assert "`ports.grpc`" in said["service"]["properties"]["port"]["description"]


def test_the_oldest_keda_that_takes_the_scaler_is_said() -> None:
    """Its webhook refuses a fallback beside `metricType: Value` before 2.18."""
    scaler = one(rendered("keda"), "ScaledObject")["spec"]
    assert scaler["fallback"]
    assert scaler["triggers"][0]["metricType"] == "Value"
    said = json.loads((CHART / "values.schema.json").read_text())["properties"]["autoscaling"]["properties"]
    assert "KEDA (2.18 or later)" in said["kind"]["description"]
    assert "KEDA 2.18 or later" in (ROOT / "docs" / "operating.md").read_text()


def test_the_gateway_never_cuts_a_stream() -> None:
    found = rendered("gateway")
    route, policy = one(found, "GRPCRoute")["spec"], one(found, "BackendTrafficPolicy")["spec"]
    assert route["rules"][0]["backendRefs"] == [{"name": NAME, "port": 50051}]
    timeouts = policy["timeout"]["http"]
    assert timeouts["requestTimeout"] == "0s"
    assert timeouts["maxStreamDuration"] == "0s"  # none: Envoy Gateway's own meaning
    assert policy["loadBalancer"] == {"type": "LeastRequest", "slowStart": {"window": "60s"}}
    assert "retry" not in policy


@pytest.mark.parametrize(
    ("most", "each", "breaker"),
    [
        (100_000, 100, (100_000, 100_000, 2024)),
        (5000, 1, (5000, 5000, 6024)),
        (7, 2, (7, 7, 1028)),
        (4_294_967_295, 1, (4_294_967_295,) * 3),
    ],
)
def test_the_gateway_counts_streams_and_not_slots(
    tmp_path: Path, most: int, each: int, breaker: tuple[int, int, int]
) -> None:
    policy = {"maxParallelRequests": most}
    route = {"enabled": True, "parentRefs": [{"name": "door"}], "backendTrafficPolicy": policy}
    few = {"replicas": 0, "engine": {"slots": 1, "maxWaiting": 0}, "grpc": {"maxConcurrentStreams": each}}
    found = one(with_values(tmp_path, {**few, "gateway": route}), "BackendTrafficPolicy")["spec"]
    names = ("maxParallelRequests", "maxPendingRequests", "maxConnections")
    assert tuple(found["circuitBreaker"][name] for name in names) == breaker


def test_a_gateway_without_a_key_may_look_after_the_health_of_pods_that_ask_for_keys(tmp_path: Path) -> None:
    keys = {"auth": {"enabled": True, "existingSecret": "keys"}}
    door = {"gateway": {"enabled": True, "parentRefs": [{"name": "door"}]}}
    assert "open_health" not in settings(with_values(tmp_path, keys))["security"]
    assert settings(with_values(tmp_path, {**keys, **door}))["security"]["open_health"] is True


def test_a_pool_for_an_endpoint_picker() -> None:
    found = rendered("inference-pool")
    pool, route = one(found, "InferencePool")["spec"], one(found, "GRPCRoute")["spec"]
    assert pool["appProtocol"] == "kubernetes.io/h2c"
    assert pool["targetPorts"] == [{"number": 50051}]
    assert route["rules"][0]["backendRefs"][0]["kind"] == "InferencePool"


# ---- what is seen from outside


def test_tracing_is_told_where_to_and_who_it_is(default: list[Object]) -> None:
    told = variables(server(rendered("monitoring")))
    assert told["OTEL_EXPORTER_OTLP_ENDPOINT"] == "http://collector.observability.svc:4317"
    assert (told["OTEL_TRACES_SAMPLER"], told["OTEL_TRACES_SAMPLER_ARG"]) == (
        "parentbased_traceidratio",
        "0.1",
    )
    assert told["OTEL_METRICS_EXPORTER"] == "prometheus,otlp"
    assert "deployment.environment.name=production" in told["OTEL_RESOURCE_ATTRIBUTES"]
    assert told["POD_NAME"] == {"fieldRef": {"fieldPath": "metadata.name"}}
    assert "OTEL_EXPORTER_OTLP_ENDPOINT" not in variables(server(default))


def test_a_monitor_of_pods_or_of_a_service() -> None:
    assert one(rendered("monitoring"), "PodMonitor")["spec"]["podMetricsEndpoints"][0]["port"] == "metrics"
    found = rendered("service-monitor")
    chosen = one(found, "ServiceMonitor")["spec"]["selector"]["matchLabels"]
    labels = one(found, "Service", f"{NAME}-metrics")["metadata"]["labels"]
    assert chosen.items() <= labels.items()
    others = [o for o in found if o["kind"] == "Service" and o["metadata"]["name"] != f"{NAME}-metrics"]
    assert not [o for o in others if chosen.items() <= o["metadata"]["labels"].items()]


def test_helm_test_speaks_a_sentence() -> None:
    speaker = one(rendered("tls-mtls"), "Pod")
    assert speaker["metadata"]["annotations"]["helm.sh/hook"] == "test"
    said = arguments(speaker["spec"]["containers"][0])
    assert said[0] == "probe"
    assert f"--server={NAME}.voice.svc:50051" in said
    assert {"--ca=/etc/rhapsode/tls/ca.crt", "--api-keys=/etc/rhapsode/auth/api-keys"} <= set(said)
    assert "--health" in said
    assert said[-2:] == ["--", "The chart is installed and the voice is speaking."]


# ---- whatever else


def test_a_digest_wins_over_a_tag(default: list[Object]) -> None:
    assert server(default)["image"] == "rhapsode:0.1.0"
    assert server(rendered("everything-extra"))["image"] == "rhapsode@sha256:" + "1" * 64


def test_everything_further_is_added_and_evaluated() -> None:
    found = rendered("everything-extra")
    assert one(found, "ConfigMap", "demo-voices")
    assert pod_annotations(found)["example.com/release"] == "demo"
    assert variables(server(found))["RELEASE"] == "demo"
    (collector,) = pod(found)["initContainers"]
    assert collector["restartPolicy"] == "Always", "a native sidecar ends after the server"
    assert (pod(found)["priorityClassName"], pod(found)["schedulerName"]) == ("realtime", "binpacking")
    assert one(found, "Deployment")["metadata"]["labels"]["team"] == "voice"


@pytest.mark.parametrize("case", CASES)
def test_the_server_takes_its_settings(case: str, tmp_path: Path) -> None:
    maps = [o for o in rendered(case) if "settings.toml" in o.get("data", {})]
    file = tmp_path / "settings.toml"
    file.write_text(maps[0]["data"]["settings.toml"])
    tree = config.load(file, environ={})
    assert tree.server.host == "0.0.0.0"
    assert tree.engine.slots == 64
