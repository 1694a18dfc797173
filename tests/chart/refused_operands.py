"""Every operand of every condition that refuses values, every path, label and word that is refused: a row.

refused.py has one row for each sentence; here is what else leads to it, and ACCEPTED are values one step away
from a refusal, so that no condition can lose a part unseen.
What must not live here: assertions (test_values.py).
"""

from __future__ import annotations

from typing import Any

from tests.chart.refused import GPU, ROUTE, TLS, WEIGHTS

Row = tuple[dict[str, Any], str]
COMMIT = {"repository": "a/b", "revision": "0" * 40}
CLAIM = {"enabled": True, "resourceClaimTemplate": "x"}
PODS = {"podMonitor": {"enabled": True}}
PEM = "-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n"


def _mounted(path: str, source: str = "") -> dict[str, Any]:
    return {"model": {"source": source or f"{path}/x"}, "weights": {"mode": "pvc", "mountPath": path}}


def _variables(*names: str, value: str = "x") -> dict[str, Any]:
    return {"extraEnv": [{"name": name, "value": value} for name in names]}


def _resources(request: object, limit: object, what: str = "memory") -> dict[str, Any]:
    return {"resources": {"requests": {what: request}, "limits": {what: limit}}}


def _looks(interval: str, **metrics: Any) -> dict[str, Any]:
    return {"metrics": {"podMonitor": {"enabled": True, "interval": interval}, **metrics}}


WORDS = ("true", "false", "null", "yes", "no", "on", "off", "y", "n")
LABELS = tuple(
    f"app.kubernetes.io/{name}" for name in ("name", "instance", "version", "managed-by", "component")
)
PLACES: dict[str, Any] = {
    "commonLabels": lambda labels: {"commonLabels": labels},
    "podLabels": lambda labels: {"podLabels": labels},
    **{
        f"metrics.{kind}.labels": lambda labels, kind=kind: {"metrics": {kind: {"labels": labels}}}
        for kind in ("podMonitor", "prometheusRule", "dashboard")
    },
}
SYSTEM = (
    *("/bin", "/boot", "/dev", "/etc", "/lib", "/lib32", "/lib64", "/libx32", "/opt/rhapsode", "/proc"),
    *("/run", "/sbin", "/sys", "/usr", "/var/run"),
)
DOWNLOADS: dict[str, Any] = {
    **COMMIT,
    "existingTokenSecret": "x",
    "digests": {"a": "0" * 64},
    "publicKey": PEM,
    "extraEnv": [{"name": "HTTPS_PROXY", "value": "http://proxy:3128"}],
}
MORE = [
    *(("1001m", 1), ("1.1k", 1000), ("1001k", "1M"), ("1001M", "1G"), ("1001G", "1T"), ("1001T", "1P")),
    *(("1001P", "1E"), ("1025", "1Ki"), ("1025Ki", "1Mi"), ("1025Mi", "1Gi"), ("1025Gi", "1Ti")),
    *(("1025Ti", "1Pi"), ("1025Pi", "1Ei"), ("2e3", "1999"), (4294967297, "4Gi"), (".6", "500m")),
]
"""Of each unit, a request that is just above its limit."""

OPERANDS: dict[str, Row] = {
    **{
        f"test.{key} without TLS": ({"test": test}, "test.ca or test.serverName is set")
        for key, test in {
            "ca.secret": {"ca": {"secret": "x"}},
            "ca.key": {"ca": {"key": "tls.crt"}},
            "ca.public": {"ca": {"public": True}},
        }.items()
    },
    "a public authority and the key of another": (
        {"tls": TLS, "test": {"ca": {"public": True, "key": "tls.crt"}, "serverName": "tts.example.com"}},
        "test.ca.public trusts the public authorities",
    ),
    "looks too rare for an HPA": (
        {**_looks("2m"), "autoscaling": {"kind": "hpa"}},
        "metrics.podMonitor.interval is 2m: alerts",
    ),
    "a hang between two looks at a service": (
        {
            "metrics": {"serviceMonitor": {"enabled": True}, "prometheusRule": {"enabled": True}},
            "engine": {"hangSeconds": 2},
        },
        "Make it at most 3 s, or raise engine.hangSeconds.",
    ),
    **{f"a Service called {word}": ({"fullnameOverride": word}, f'called "{word}"') for word in WORDS},
    **{
        f"no surge ({surge}) and nobody away ({away})": (
            {"rollout": {"maxSurge": surge, "maxUnavailable": away}},
            "no pod could ever be replaced.",
        )
        for surge, away in [("0%", "0%"), ("00%", 0), (0, "0%"), (0, "00%")]
    },
    "a deadline before a pod counts": (
        {"rollout": {"minReadySeconds": 1200}},
        "is 1200, but a new pod counts only after rollout.minReadySeconds (1200). Raise the deadline.",
    ),
    "KEDA without metrics": (
        {"autoscaling": {"kind": "keda"}, "metrics": {"enabled": False}},
        "autoscaling needs the metrics of the pods.",
    ),
    "cert-manager without TLS": (
        {"tls": {"certManager": {"enabled": True, "issuerRef": {"name": "x"}}}},
        "or cert-manager is configured, but tls.enabled is false.",
    ),
    "the second GPU of none": (
        {"model": {"device": "cuda:1"}},
        "model.device is cuda, but gpu.enabled is false",
    ),
    **{
        f"a test with {of} that judges no certificate": (
            {"test": test},
            "test.ca or test.serverName is set, but tls.enabled is false",
        )
        for of, test in {
            "a secret": {"ca": {"secret": "x"}},
            "a key": {"ca": {"key": "other.crt"}},
            "the public authorities": {"ca": {"public": True}},
        }.items()
    },
    "the public authorities and a key": (
        {"tls": TLS, "test": {"ca": {"public": True, "key": "other.crt"}, "serverName": "tts.example.com"}},
        "test.ca.public trusts the public authorities, and test.ca.secret or test.ca.key another.",
    ),
    "two GPUs and a claim": (
        {**GPU, "gpu": {**CLAIM, "count": 2}},
        "gpu.resourceName (nvidia.com/gpu) and gpu.count (2) belong to device plugins.",
    ),
    "a download of no repository": (
        {**WEIGHTS, "weights": {"mode": "download", "download": {"revision": "0" * 40}}},
        "weights.mode download needs weights.download.repository",
    ),
    **{
        f"{key} of no download": (
            {"weights": {"download": {key: value}}},
            "A download is configured, but weights.mode is embedded.",
        )
        for key, value in DOWNLOADS.items()
    },
    "a claim beside embedded weights": (
        {"weights": {"pvc": {"existingClaim": "x"}}},
        "weights.pvc.existingClaim is set, but weights.mode is embedded.",
    ),
    "an image volume beside embedded weights": (
        {"weights": {"image": {"reference": "x"}}},
        "weights.image.reference is set, but weights.mode is embedded.",
    ),
    "weights over /tmp": (
        _mounted("/tmp"),
        "weights.mountPath is /tmp, which would hide /tmp from the server.",
    ),
    **{f"weights over {folder}": (_mounted(folder), f"weights.mountPath is {folder}, ") for folder in SYSTEM},
    **{
        f"weights in {folder}": (
            _mounted(f"{folder}/x86_64"),
            f"weights.mountPath is {folder}/x86_64, but what is in {folder} belongs to the system",
        )
        for folder in SYSTEM
    },
    "weights in the folder above": (
        _mounted("/models/.."),
        "weights.mountPath is /models/... Write it without",
    ),
    "weights in the same folder": (
        _mounted("/models/./a"),
        "weights.mountPath is /models/./a. Write it without",
    ),
    "a model that is its mount": (
        _mounted("/models", "/models"),
        "model.source (/models) is not below weights.mountPath (/models).",
    ),
    "a model above its mount": (
        _mounted("/models", "/models/../etc/x"),
        "model.source (/models/../etc/x) is not below weights.mountPath (/models).",
    ),
    "a service monitor of nothing": (
        {"metrics": {"enabled": False, "serviceMonitor": {"enabled": True}}},
        "A monitor is enabled, but metrics.enabled is false.",
    ),
    "a dashboard about nothing": (
        {"metrics": {"enabled": False, "dashboard": {"enabled": True}}},
        "Alerts or a dashboard are enabled, but metrics.enabled is false",
    ),
    "one port for gRPC and metrics": ({"ports": {"metrics": 50051}}, "ports.metrics must differ."),
    "one port for health and metrics": ({"ports": {"metrics": 50052}}, "ports.metrics must differ."),
    **{
        f"{label} of our own": (
            {"podLabels": {label: "x"}},
            f"podLabels has {label}, by which the chart's own",
        )
        for label in (*LABELS, "helm.sh/chart")
    },
    **{
        f"a label of our own in {place}": (
            make({"app.kubernetes.io/name": "x"}),
            f"{place} has app.kubernetes.io/name, by which the chart's own",
        )
        for place, make in PLACES.items()
    },
    **{
        f"{key} of our own": (
            {"podAnnotations": {key: "x"}},
            f"podAnnotations has {key}, which the chart writes itself.",
        )
        for key in ("checksum/settings", "checksum/voices", "kubectl.kubernetes.io/default-container")
    },
    "two further volumes of one name": (
        {"extraVolumes": [{"name": "x", "emptyDir": {}}, {"name": "x", "emptyDir": {}}]},
        "There would be two volumes called x.",
    ),
    "two volumes at one place, written otherwise": (
        {"extraVolumeMounts": [{"name": "shm", "mountPath": "/tmp/"}]},
        "Two volumes would be mounted at /tmp/.",
    ),
    "two further volumes at one place": (
        {"extraVolumeMounts": [{"name": "shm", "mountPath": "/a"}, {"name": "tmp", "mountPath": "/a"}]},
        "Two volumes would be mounted at /a.",
    ),
    "a sidecar called as the download": (
        {"sidecars": [{"name": "download"}]},
        "two containers called download.",
    ),
    "two sidecars of one name": ({"sidecars": [{"name": "x"}, {"name": "x"}]}, "two containers called x."),
    **{
        f"a GPU among {kind}": (
            {**GPU, "gpu": {"enabled": True}, "resources": {kind: {"nvidia.com/gpu": 3}}},
            f"resources.{kind} has nvidia.com/gpu, which gpu.enabled asks for; how many is gpu.count.",
        )
        for kind in ("requests", "limits")
    },
    "a slice among limits": (
        {
            **GPU,
            "gpu": {"enabled": True, "resourceName": "nvidia.com/mig-1g.10gb"},
            "resources": {"limits": {"nvidia.com/mig-1g.10gb": 1}},
        },
        "resources.limits has nvidia.com/mig-1g.10gb",
    ),
    **{
        f"a request of {request} under a limit of {limit}": (
            _resources(request, limit),
            "resources asks for more memory (",
        )
        for request, limit in MORE
    },
    "a processor under its limit": (
        _resources("2500m", 2, "cpu"),
        "resources asks for more cpu (2500m) than its",
    ),
    "a download under its limit": (
        {
            **WEIGHTS,
            "weights": {
                "mode": "download",
                "download": {**COMMIT, "resources": {"limits": {"memory": "256Mi"}}},
            },
        },
        "weights.download.resources asks for more memory (512Mi) than its limit (256Mi).",
    ),
    "a variable that is there twice": (
        _variables("A", "B", "A"),
        "extraEnv has A twice. Remove one of them.",
    ),
    "a variable of the download that is there twice": (
        {
            **WEIGHTS,
            "weights": {
                "mode": "download",
                "download": {**COMMIT, "extraEnv": _variables("A", "A")["extraEnv"]},
            },
        },
        "weights.download.extraEnv has A twice. Remove one of them.",
    ),
    **{
        f"{name} beside ports.metrics": (
            _variables(name, value="9999"),
            f"extraEnv sets {name}, but where metrics are served is decided by ports.metrics",
        )
        for name in ("OTEL_EXPORTER_PROMETHEUS_HOST", "OTEL_EXPORTER_PROMETHEUS_PORT")
    },
    **{
        f"{name}={value} beside metrics": (
            _variables(name, value=value),
            f"extraEnv sets {name}, so that Prometheus gets nothing, but metrics.enabled is true.",
        )
        for name, value in [
            ("OTEL_METRICS_EXPORTER", "none"),
            ("OTEL_METRICS_EXPORTER", "otlp"),
            ("OTEL_METRICS_EXPORTER", ""),
            ("OTEL_SDK_DISABLED", "true"),
            ("OTEL_SDK_DISABLED", " True"),
        ]
    },
}

SENTENCES = (
    "a deadline before a pod counts",
    "weights in /usr",
    "weights in the folder above",
    "a GPU among limits",
    "a processor under its limit",
    "a variable that is there twice",
    "OTEL_EXPORTER_PROMETHEUS_PORT beside ports.metrics",
    "OTEL_METRICS_EXPORTER=none beside metrics",
)
"""Rows whose sentence is in no row of refused.py."""

ACCEPTED: dict[str, dict[str, Any]] = {
    "looks as rare as alerts and scalers bear": {
        **_looks("60s", prometheusRule={"enabled": True}),
        "engine": {"hangSeconds": 40},
        "autoscaling": {"kind": "keda"},
    },
    "looks of a monitor alone, however rare": _looks("5m"),
    "alerts by a scrape configuration of one's own": {
        "metrics": {"prometheusRule": {"enabled": True}, "podMonitor": {"interval": "5m"}},
        "engine": {"hangSeconds": 2},
    },
    "a name in the certificate, and our own authority": {
        "tls": TLS,
        "test": {"ca": {"secret": "x", "key": "y"}, "serverName": "tts.example.com"},
    },
    "the gateway's longest times": {
        "gateway": {
            **ROUTE,
            "backendTrafficPolicy": {"maxStreamDuration": "99999s", "streamIdleTimeout": "0s"},
        }
    },
    "nobody scales, and Prometheus has no address": {"autoscaling": {"prometheusAddress": ""}},
    "a secret beside cert-manager, which needs no issuer then": {
        "tls": {**TLS, "certManager": {"enabled": True}}
    },
    "whatever device there is": {"model": {"device": "auto"}},
    "a GPU, if there is one": {"model": {"device": "auto"}, "gpu": {"enabled": True}},
    "embedded weights, wherever others would be": {"weights": {"mountPath": "/usr/../lib"}},
    "weights beside a folder of the system": _mounted("/usrx"),
    "weights in /tmp": _mounted("/tmp/models"),
    "weights at the root of their volume": _mounted("/models", "/models/"),
    "a name that begins with a word of YAML": {"fullnameOverride": "yes-we-speak"},
    "a deadline one second after a pod counts": {"rollout": {"minReadySeconds": 1199}},
    "a surge alone": {"rollout": {"maxSurge": "10%", "maxUnavailable": "0%"}},
    "pods away alone": {"rollout": {"maxSurge": "0%", "maxUnavailable": "10%"}},
    "a picker that is not asked": {"gateway": {**ROUTE, "inferencePool": {"endpointPicker": "x"}}},
    "a GPU that the values give": {"resources": {"limits": {"nvidia.com/gpu": 1}}},
    "a request of all that is allowed": _resources("4096Mi", "4Gi"),
    "a request of a thing without a limit": {"resources": {"requests": {"ephemeral-storage": "1Gi"}}},
    "no limits": {"resources": {"limits": None}},
    "two exporters": _variables("OTEL_METRICS_EXPORTER", value="otlp, Prometheus"),
    "telemetry that is not off": _variables("OTEL_SDK_DISABLED", value="false"),
    "another variable that is true": _variables("A", value="true"),
    "a test that trusts an authority of its own": {
        "tls": TLS,
        "test": {"ca": {"secret": "x", "key": "other.crt"}, "serverName": "tts.example.com"},
    },
    "a test that trusts the public authorities": {
        "tls": TLS,
        "test": {"ca": {"public": True}, "serverName": "tts.example.com"},
    },
    "an exporter where metrics are off": {
        **_variables("OTEL_METRICS_EXPORTER", value="otlp"),
        "metrics": {"enabled": False},
    },
    "a port where metrics are off": {
        **_variables("OTEL_EXPORTER_PROMETHEUS_PORT", value="9999"),
        "metrics": {"enabled": False},
    },
    "a claim and no name of a resource": {**GPU, "gpu": CLAIM},
    "another monitor": {"metrics": {**PODS, "serviceMonitor": {"enabled": False}}},
}
