"""Values that cannot work: what contradicts itself, with the sentence that says so, and what is no value.

What must not live here: assertions (test_values.py).
"""

from __future__ import annotations

from typing import Any

WEIGHTS = {"model": {"source": "/models/x"}}
GPU = {"model": {"device": "cuda"}}
TLS = {"enabled": True, "existingSecret": "tls"}
ROUTE = {"enabled": True, "parentRefs": [{"name": "edge"}]}
CONTRADICTIONS: dict[str, tuple[dict[str, Any], str]] = {
    "a grace too short": (
        {"shutdown": {"terminationGracePeriodSeconds": 219}},
        "is 219, but preStop, drain and 25 s for the end need 220. Raise it, or leave it null.",
    ),
    "a hung pod that is killed in its preStop": (
        {"shutdown": {"preStopSeconds": 20}},
        "is 20, but preStop alone takes 20 of it (shutdown.preStopSeconds)",
    ),
    "a name that no Service may have": (
        {"nameOverride": "true", "fullnameOverride": "true"},
        'Objects would be called "true", but a Service\'s name',
    ),
    "a deadline before the weights are loaded": (
        {"rollout": {"progressDeadlineSeconds": 900}},
        "rollout.progressDeadlineSeconds is 900, but loading alone may take 900",
    ),
    "a rollout that cannot move": (
        {"rollout": {"maxSurge": 0, "maxUnavailable": 0}},
        "no pod could ever be replaced. Make one of them 1.",
    ),
    "a rollout that cannot move, in per cent": (
        {"rollout": {"maxSurge": "0%", "maxUnavailable": 0}},
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
    "a certificate that is renewed before it begins": (
        {"tls": {**TLS, "certManager": {"duration": "24h", "renewBefore": "24h"}}},
        "tls.certManager.renewBefore (24h) is not before the end of tls.certManager.duration (24h).",
    ),
    "keys that nobody asks for": (
        {"auth": {"existingSecret": "keys"}},
        "auth.existingSecret is set, but auth.enabled is false",
    ),
    "a client's certificate that nobody asks for": (
        {"test": {"clientSecret": "x"}},
        "test.clientSecret is set, but tls.clientCaSecret is not",
    ),
    "an authority for no certificate": (
        {"test": {"serverName": "tts.example.com"}},
        "test.ca or test.serverName is set, but tls.enabled is false",
    ),
    "two authorities": (
        {"tls": TLS, "test": {"ca": {"public": True, "secret": "x"}, "serverName": "tts.example.com"}},
        "test.ca.public trusts the public authorities, and test.ca.secret or test.ca.key another.",
    ),
    "a public authority for a private name": (
        {"tls": TLS, "test": {"ca": {"public": True}}},
        "test.ca.public needs test.serverName",
    ),
    "a GPU for a model on the processor": (
        {"gpu": {"enabled": True}},
        "gpu.enabled is true, but model.device is cpu. Set model.device to cuda or auto.",
    ),
    "a model without its GPU": (
        {"model": {"device": "cuda"}},
        "model.device is cuda, but gpu.enabled is false, so pods would get no accelerator.",
    ),
    "a claim for a device that is not wanted": (
        {"gpu": {"resourceClaimTemplate": "x"}},
        "gpu.resourceClaimTemplate is set, but gpu.enabled is false.",
    ),
    "a slice and a claim": (
        {
            **GPU,
            "gpu": {"enabled": True, "resourceClaimTemplate": "x", "resourceName": "nvidia.com/mig-1g.10gb"},
        },
        "gpu.resourceName (nvidia.com/mig-1g.10gb) and gpu.count (1) belong to device plugins.",
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
        "but weights.mode is embedded. Set it to download, or remove what is below weights.download.",
    ),
    "weights from a claim and from a download": (
        {
            **WEIGHTS,
            "weights": {"mode": "pvc", "pvc": {"existingClaim": "x"}, "download": {"repository": "a/b"}},
        },
        "A download is configured, but weights.mode is pvc.",
    ),
    "a claim beside an image volume": (
        {**WEIGHTS, "weights": {"mode": "image", "image": {"reference": "x"}, "pvc": {"existingClaim": "x"}}},
        "weights.pvc.existingClaim is set, but weights.mode is image.",
    ),
    "an image volume beside a claim": (
        {**WEIGHTS, "weights": {"mode": "pvc", "image": {"reference": "x"}}},
        "weights.image.reference is set, but weights.mode is pvc.",
    ),
    "weights that hide the server": (
        {"model": {"source": "/opt/x"}, "weights": {"mode": "pvc", "mountPath": "/opt"}},
        "weights.mountPath is /opt, which would hide /opt/rhapsode from the server.",
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
    "alerts about nothing": (
        {"metrics": {"enabled": False, "prometheusRule": {"enabled": True}}},
        "Alerts or a dashboard are enabled, but metrics.enabled is false",
    ),
    "looks too rare for alerts": (
        {"metrics": {"podMonitor": {"enabled": True, "interval": "2m"}, "prometheusRule": {"enabled": True}}},
        "metrics.podMonitor.interval is 2m: alerts, which look at five minutes at a time, and scalers",
    ),
    "looks too rare for a scaler": (
        {
            "metrics": {"serviceMonitor": {"enabled": True}, "podMonitor": {"interval": "61s"}},
            "autoscaling": {"kind": "keda"},
        },
        "metrics.podMonitor.interval is 61s: alerts",
    ),
    "a hang between two looks": (
        {
            "metrics": {"podMonitor": {"enabled": True}, "prometheusRule": {"enabled": True}},
            "engine": {"hangSeconds": 9.9},
        },
        "interval is 15s, so an engine that hangs could be ended (after twice engine.hangSeconds, 9.9)",
    ),
    "a pool without a route": (
        {"gateway": {"inferencePool": {"enabled": True, "endpointPicker": "x"}}},
        "needs a route that points to the pool. Set gateway.enabled to true.",
    ),
    "a pool that speaks no TLS": (
        {"tls": TLS, "gateway": {**ROUTE, "inferencePool": {"enabled": True, "endpointPicker": "x"}}},
        "An InferencePool speaks to pods in plain text only",
    ),
    "a route that hangs nowhere": (
        {"gateway": {"enabled": True}},
        "gateway.enabled needs gateway.parentRefs",
    ),
    "a pool without a picker": (
        {"gateway": {"inferencePool": {"enabled": True}}},
        "gateway.inferencePool.enabled needs gateway.inferencePool.endpointPicker.",
    ),
    "one port for two": (
        {"ports": {"health": 50051}},
        "ports.grpc, ports.health and ports.metrics must differ.",
    ),
    "a setting that a value decides": (
        {"settings": {"server": {"drain_seconds": 900}}},
        "settings.server.drain_seconds is decided by shutdown.drainSeconds, on which other objects rely.",
    ),
    "voices from two places": (
        {"voices": {"existingClaim": "x"}, "settings": {"model": {"voices": "/more"}}},
        "settings.model.voices is decided by voices.existingClaim",
    ),
    "settings that would not be read": (
        {"extraEnv": [{"name": "RHAPSODE_CONFIG", "value": "/x"}]},
        "extraEnv sets RHAPSODE_CONFIG, so the settings that the chart writes would not be read.",
    ),
    "a setting that a value decides, in the environment": (
        {"extraEnv": [{"name": "RHAPSODE_SERVER__PORT", "value": "1"}]},
        "extraEnv has a setting of the server that is decided by ports.grpc",
    ),
    "a label of our own": (
        {"podLabels": {"app.kubernetes.io/name": "x"}},
        "podLabels has app.kubernetes.io/name, by which the chart's own objects find each other.",
    ),
    "an annotation of our own": (
        {"podAnnotations": {"checksum/settings": "x"}},
        "podAnnotations has checksum/settings, which the chart writes itself.",
    ),
    "two volumes of one name": (
        {"extraVolumes": [{"name": "tmp", "emptyDir": {}}]},
        "There would be two volumes called tmp. Rename the one in extraVolumes.",
    ),
    "a mount of nothing": (
        {"extraVolumeMounts": [{"name": "x", "mountPath": "/x"}]},
        "extraVolumeMounts mounts x, and there is no such volume. Add it to extraVolumes.",
    ),
    "two volumes at one place": (
        {"extraVolumeMounts": [{"name": "shm", "mountPath": "/tmp"}]},
        "Two volumes would be mounted at /tmp. Choose another path for one of them.",
    ),
    "two containers of one name": (
        {"sidecars": [{"name": "rhapsode"}]},
        "There would be two containers called rhapsode. Rename the one in sidecars.",
    ),
}


def _policy(**given: Any) -> dict[str, Any]:
    """These of the gateway's policy."""
    return {"gateway": {**ROUTE, "backendTrafficPolicy": given}}


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
    "a section that is none": {"settings": {"servers": {}}},
    "a typo in the server's settings": {"settings": {"quotas": {"concurrent_stream": 3}}},
    "a setting of another type": {"settings": {"limits": {"text_workers": "many"}}},
    "a setting out of its bounds": {"settings": {"limits": {"text_workers": 0}}},
    "an option that cannot be written": {"settings": {"model": {"options": {"a b": 1}}}},
    "a typo in resources": {"resources": {"request": {"cpu": 1}}},
    "fewer pods than none": {"replicas": -1},
    "a surge of less than nothing": {"rollout": {"maxSurge": -1}},
    "a surge of some": {"rollout": {"maxSurge": "some"}},
    "more than all pods": {"rollout": {"maxUnavailable": "101%"}},
    "a budget for no pod": {"podDisruptionBudget": {"maxUnavailable": 0}},
    "a hang in no time": {"engine": {"hangSeconds": 0}},
    "more slots than the server takes": {"engine": {"slots": 4097}},
    "a name with capitals": {"fullnameOverride": "Speech"},
    "a name that begins with a digit": {"fullnameOverride": "1speech"},
    "a name that is too long": {"fullnameOverride": "s" * 55},
    "a label that is no label": {"commonLabels": {"team": "voice & sound"}},
    "an image with a blank": {"image": {"repository": "a b"}},
    "a tag with a colon": {"image": {"tag": "a:b"}},
    "a branch for a commit": {
        "model": {"source": "/models/x"},
        "weights": {"mode": "download", "download": {"repository": "a/b", "revision": "main"}},
    },
    "a private key for a public one": {"weights": {"download": {"publicKey": "-----BEGIN PRIVATE KEY-----"}}},
    "a lifetime in days": {"tls": {"certManager": {"duration": "90d"}}},
    "Prometheus without a scheme": {"autoscaling": {"prometheusAddress": "prometheus:9090"}},
    "a sampler that is none": {"otel": {"sampler": "sometimes"}},
    "an attribute that would become two": {"otel": {"resourceAttributes": {"a": "b,c=d"}}},
    "a look in no time": {"metrics": {"podMonitor": {"interval": "0s"}}},
    "looks that no number holds": {"metrics": {"podMonitor": {"interval": "9" * 30 + "s"}}},
    "runbooks nowhere": {"metrics": {"prometheusRule": {"runbookUrl": ""}}},
    "a host that is every host": {"gateway": {"hostnames": ["*"]}},
    "a life of a stream with a nought before it": _policy(maxStreamDuration="0599s"),
    "a life of a stream that no number holds": _policy(maxStreamDuration="9" * 30 + "s"),
    "a silence that the gateway's kind refuses": _policy(streamIdleTimeout="100000s"),
    "a breaker that is always open": _policy(maxParallelRequests=0),
    "a breaker that the gateway's kind refuses": _policy(maxParallelRequests=4294967296),
    "a typo in affinity": {"affinity": {"nodeAfinity": {}}},
    "a variable without a name": {"extraEnv": [{"value": "x"}]},
    "a variable that is none": {"extraEnv": [None]},
    "a variable with a number": {"extraEnv": [{"name": "A", "value": 1}]},
    "a variable of the download without a name": {"weights": {"download": {"extraEnv": [{"value": "x"}]}}},
    "a volume without a name": {"extraVolumes": [{"emptyDir": {}}]},
    "a mount without a volume": {"extraVolumeMounts": [{"mountPath": "/x"}]},
    "a mount without a place": {"extraVolumeMounts": [{"name": "tmp"}]},
    "a sidecar without a name": {"sidecars": [{"image": "x"}]},
    "a registry's secret without a name": {"imagePullSecrets": [{"nam": "x"}]},
    "a quantity in words": {"resources": {"requests": {"cpu": "two"}}},
    "a quantity below nothing": {"resources": {"limits": {"cpu": -1}}},
    "a quantity of the download in words": {
        "weights": {"download": {"resources": {"limits": {"cpu": "two"}}}}
    },
    "a lifetime that no number holds": {"tls": {"certManager": {"duration": "9" * 25 + "h"}}},
    "nothing to say": {"test": {"text": ""}},
}
