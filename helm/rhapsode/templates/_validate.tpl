{{/* Contradictions that no schema can see. Each stops the install with a sentence that says what to change. */}}
{{- define "rhapsode.validate" -}}
{{- $least := int (include "rhapsode.leastGrace" .) }}
{{- $grace := int (include "rhapsode.grace" .) }}
{{- if lt $grace $least }}
{{- fail (printf "shutdown.terminationGracePeriodSeconds is %d, but preStop, drain and 25 s for the end need %d. Raise it, or leave it null." $grace $least) }}
{{- end }}
{{- $startup := int (mul .Values.probes.startup.periodSeconds .Values.probes.startup.failureThreshold) }}
{{- if le (int .Values.rollout.progressDeadlineSeconds) $startup }}
{{- fail (printf "rollout.progressDeadlineSeconds is %d, but loading alone may take %d (probes.startup). Raise it." (int .Values.rollout.progressDeadlineSeconds) $startup) }}
{{- end }}
{{- if and (eq (toString .Values.rollout.maxSurge) "0") (eq (toString .Values.rollout.maxUnavailable) "0") }}
{{- fail "rollout.maxSurge and rollout.maxUnavailable are both 0, so no pod could ever be replaced. Make one of them 1." }}
{{- end }}
{{- if gt (int .Values.autoscaling.minReplicas) (int .Values.autoscaling.maxReplicas) }}
{{- fail (printf "autoscaling.minReplicas (%d) is more than autoscaling.maxReplicas (%d)." (int .Values.autoscaling.minReplicas) (int .Values.autoscaling.maxReplicas)) }}
{{- end }}
{{- if and (eq .Values.autoscaling.kind "keda") (not .Values.autoscaling.prometheusAddress) }}
{{- fail "autoscaling.kind is keda, but autoscaling.prometheusAddress is empty. Give the address of Prometheus." }}
{{- end }}
{{- if and (ne .Values.autoscaling.kind "none") (not .Values.metrics.enabled) }}
{{- fail "autoscaling needs the metrics of the pods. Set metrics.enabled to true." }}
{{- end }}
{{- if .Values.tls.enabled }}
{{- if and (not .Values.tls.existingSecret) (not .Values.tls.certManager.enabled) }}
{{- fail "tls.enabled needs a key: set tls.existingSecret, or tls.certManager.enabled." }}
{{- end }}
{{- if and .Values.tls.certManager.enabled (not .Values.tls.existingSecret) (not .Values.tls.certManager.issuerRef.name) }}
{{- fail "tls.certManager.enabled needs tls.certManager.issuerRef.name." }}
{{- end }}
{{- else if or .Values.tls.clientCaSecret .Values.tls.existingSecret .Values.tls.certManager.enabled }}
{{- fail "A TLS secret, a client CA or cert-manager is configured, but tls.enabled is false. Set it to true, or remove them." }}
{{- end }}
{{- if and .Values.auth.enabled (not .Values.auth.existingSecret) }}
{{- fail "auth.enabled needs auth.existingSecret with the key api-keys." }}
{{- end }}
{{- if and .Values.test.clientSecret (not .Values.tls.clientCaSecret) }}
{{- fail "test.clientSecret is set, but tls.clientCaSecret is not, so nobody asks for a certificate. Set both, or remove it." }}
{{- end }}
{{- if and .Values.gpu.enabled (eq .Values.model.device "cpu") }}
{{- fail "gpu.enabled is true, but model.device is cpu. Set model.device to cuda or auto." }}
{{- end }}
{{- if and (hasPrefix "cuda" .Values.model.device) (not .Values.gpu.enabled) }}
{{- fail "model.device is cuda, but gpu.enabled is false, so pods would get no accelerator. Set gpu.enabled to true." }}
{{- end }}
{{- if and (eq .Values.weights.mode "download") (or (not .Values.weights.download.repository) (not .Values.weights.download.revision)) }}
{{- fail "weights.mode download needs weights.download.repository and weights.download.revision (a commit)." }}
{{- end }}
{{- if and (ne .Values.weights.mode "download") (or .Values.weights.download.existingTokenSecret .Values.weights.download.digests) }}
{{- fail (printf "A token or digests for a download are configured, but weights.mode is %s. Set it to download, or remove them." .Values.weights.mode) }}
{{- end }}
{{- if and (eq .Values.weights.mode "image") (not .Values.weights.image.reference) }}
{{- fail "weights.mode image needs weights.image.reference." }}
{{- end }}
{{- if and (ne .Values.weights.mode "embedded") (not (hasPrefix (printf "%s/" .Values.weights.mountPath) .Values.model.source)) }}
{{- fail (printf "weights.mode is %s, but model.source (%s) is not below weights.mountPath (%s)." .Values.weights.mode .Values.model.source .Values.weights.mountPath) }}
{{- end }}
{{- if and .Values.metrics.podMonitor.enabled .Values.metrics.serviceMonitor.enabled }}
{{- fail "metrics.podMonitor and metrics.serviceMonitor would count every pod twice. Enable one of them." }}
{{- end }}
{{- if and (or .Values.metrics.podMonitor.enabled .Values.metrics.serviceMonitor.enabled) (not .Values.metrics.enabled) }}
{{- fail "A monitor is enabled, but metrics.enabled is false. Set it to true." }}
{{- end }}
{{- if and .Values.gateway.enabled (not .Values.gateway.parentRefs) }}
{{- fail "gateway.enabled needs gateway.parentRefs: the gateways that the route hangs on." }}
{{- end }}
{{- if and .Values.gateway.inferencePool.enabled (not .Values.gateway.inferencePool.endpointPicker) }}
{{- fail "gateway.inferencePool.enabled needs gateway.inferencePool.endpointPicker." }}
{{- end }}
{{- $stream := .Values.gateway.backendTrafficPolicy.maxStreamDuration | trimSuffix "s" | int }}
{{- if and .Values.gateway.enabled .Values.gateway.backendTrafficPolicy.enabled $stream (le $stream (int .Values.limits.maxStreamSeconds)) }}
{{- fail (printf "gateway.backendTrafficPolicy.maxStreamDuration (%ds) would cut streams that limits.maxStreamSeconds (%d) allows. Raise it, or set it to 0s." $stream (int .Values.limits.maxStreamSeconds)) }}
{{- end }}
{{- $ports := list .Values.ports.grpc .Values.ports.health .Values.ports.metrics }}
{{- if ne (len ($ports | uniq)) 3 }}
{{- fail "ports.grpc, ports.health and ports.metrics must differ." }}
{{- end }}
{{- end }}
