{{/* Contradictions that no schema can see. Each stops the install with a sentence that says what to change.
     Names that are there twice are in _clashes.tpl. */}}
{{- define "rhapsode.validate" -}}
{{- $name := include "rhapsode.fullname" . }}
{{- if or (not (regexMatch "^[a-z]([-a-z0-9]*[a-z0-9])?$" $name)) (regexMatch "^(true|false|null|yes|no|on|off|y|n)$" $name) }}
{{- fail (printf "Objects would be called %q, but a Service's name has small letters, digits and dashes, begins with a letter, and is no word that YAML takes for something else. Set fullnameOverride." $name) }}
{{- end }}
{{- $preStop := int64 .Values.shutdown.preStopSeconds }}
{{- $short := int64 .Values.probes.liveness.terminationGracePeriodSeconds }}
{{- if le $short $preStop }}
{{- fail (printf "probes.liveness.terminationGracePeriodSeconds is %d, but preStop alone takes %d of it (shutdown.preStopSeconds), so a hung pod would be killed before it can say where it hangs. Raise it." $short $preStop) }}
{{- end }}
{{- $least := int (include "rhapsode.leastGrace" .) }}
{{- $grace := int (include "rhapsode.grace" .) }}
{{- if lt $grace $least }}
{{- fail (printf "shutdown.terminationGracePeriodSeconds is %d, but preStop, drain and 25 s for the end need %d. Raise it, or leave it null." $grace $least) }}
{{- end }}
{{- $startup := int (mul .Values.probes.startup.periodSeconds .Values.probes.startup.failureThreshold) }}
{{- if le (int .Values.rollout.progressDeadlineSeconds) $startup }}
{{- fail (printf "rollout.progressDeadlineSeconds is %d, but loading alone may take %d (probes.startup). Raise it." (int .Values.rollout.progressDeadlineSeconds) $startup) }}
{{- end }}
{{- if le (int .Values.rollout.progressDeadlineSeconds) (int .Values.rollout.minReadySeconds) }}
{{- fail (printf "rollout.progressDeadlineSeconds is %d, but a new pod counts only after rollout.minReadySeconds (%d). Raise the deadline." (int .Values.rollout.progressDeadlineSeconds) (int .Values.rollout.minReadySeconds)) }}
{{- end }}
{{- if and (has (toString .Values.rollout.maxSurge) (list "0" "0%" "00%")) (has (toString .Values.rollout.maxUnavailable) (list "0" "0%" "00%")) }}
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
{{- if le (.Values.tls.certManager.duration | trimSuffix "h" | int64) (.Values.tls.certManager.renewBefore | trimSuffix "h" | int64) }}
{{- fail (printf "tls.certManager.renewBefore (%s) is not before the end of tls.certManager.duration (%s). Make it shorter." .Values.tls.certManager.renewBefore .Values.tls.certManager.duration) }}
{{- end }}
{{- else if or .Values.tls.clientCaSecret .Values.tls.existingSecret .Values.tls.certManager.enabled }}
{{- fail "A TLS secret, a client CA or cert-manager is configured, but tls.enabled is false. Set it to true, or remove them." }}
{{- end }}
{{- if and .Values.auth.enabled (not .Values.auth.existingSecret) }}
{{- fail "auth.enabled needs auth.existingSecret with the key api-keys." }}
{{- end }}
{{- if and .Values.auth.existingSecret (not .Values.auth.enabled) }}
{{- fail "auth.existingSecret is set, but auth.enabled is false, so nobody would be asked for a key. Set it to true, or remove the secret." }}
{{- end }}
{{- if and .Values.test.clientSecret (not .Values.tls.clientCaSecret) }}
{{- fail "test.clientSecret is set, but tls.clientCaSecret is not, so nobody asks for a certificate. Set both, or remove it." }}
{{- end }}
{{- with .Values.test }}
{{- if and (or .ca.secret (ne .ca.key "ca.crt") .ca.public .serverName) (not $.Values.tls.enabled) }}
{{- fail "test.ca or test.serverName is set, but tls.enabled is false, so there is no certificate to judge. Set it to true, or remove them." }}
{{- end }}
{{- if and .ca.public (or .ca.secret (ne .ca.key "ca.crt")) }}
{{- fail "test.ca.public trusts the public authorities, and test.ca.secret or test.ca.key another. Set one or the other." }}
{{- end }}
{{- if and .ca.public (not .serverName) }}
{{- fail "test.ca.public needs test.serverName: no public authority signs the name of a service." }}
{{- end }}
{{- end }}
{{- if and .Values.gpu.enabled (eq .Values.model.device "cpu") }}
{{- fail "gpu.enabled is true, but model.device is cpu. Set model.device to cuda or auto." }}
{{- end }}
{{- if and (hasPrefix "cuda" .Values.model.device) (not .Values.gpu.enabled) }}
{{- fail "model.device is cuda, but gpu.enabled is false, so pods would get no accelerator. Set gpu.enabled to true." }}
{{- end }}
{{- if and .Values.gpu.resourceClaimTemplate (not .Values.gpu.enabled) }}
{{- fail "gpu.resourceClaimTemplate is set, but gpu.enabled is false. Set it to true, or remove the template." }}
{{- end }}
{{- if and .Values.gpu.resourceClaimTemplate (or (ne .Values.gpu.resourceName "nvidia.com/gpu") (ne (int .Values.gpu.count) 1)) }}
{{- fail (printf "gpu.resourceClaimTemplate already says which device a pod gets; gpu.resourceName (%s) and gpu.count (%d) belong to device plugins. Set one or the other." .Values.gpu.resourceName (int .Values.gpu.count)) }}
{{- end }}
{{- if and (eq .Values.weights.mode "download") (or (not .Values.weights.download.repository) (not .Values.weights.download.revision)) }}
{{- fail "weights.mode download needs weights.download.repository and weights.download.revision (a commit)." }}
{{- end }}
{{- with .Values.weights }}
{{- if and (ne .mode "download") (or .download.repository .download.revision .download.existingTokenSecret .download.digests .download.publicKey .download.extraEnv) }}
{{- fail (printf "A download is configured, but weights.mode is %s. Set it to download, or remove what is below weights.download." .mode) }}
{{- end }}
{{- if and (ne .mode "pvc") .pvc.existingClaim }}
{{- fail (printf "weights.pvc.existingClaim is set, but weights.mode is %s. Set it to pvc, or remove the claim." .mode) }}
{{- end }}
{{- if and (ne .mode "image") .image.reference }}
{{- fail (printf "weights.image.reference is set, but weights.mode is %s. Set it to image, or remove the reference." .mode) }}
{{- end }}
{{- if ne .mode "embedded" }}
{{- $mount := .mountPath }}
{{- if ne (clean $mount) $mount }}
{{- fail (printf "weights.mountPath is %s. Write it without . and .., such as /models." $mount) }}
{{- end }}
{{- range list "/tmp" "/opt/rhapsode" }}
{{- if hasPrefix (printf "%s/" $mount) (printf "%s/" .) }}
{{- fail (printf "weights.mountPath is %s, which would hide %s from the server. Choose another path, such as /models." $mount .) }}
{{- end }}
{{- end }}
{{- range list "/bin" "/boot" "/dev" "/etc" "/lib" "/lib32" "/lib64" "/libx32" "/opt/rhapsode" "/proc" "/run" "/sbin" "/sys" "/usr" "/var/run" }}
{{- if hasPrefix (printf "%s/" .) (printf "%s/" $mount) }}
{{- fail (printf "weights.mountPath is %s, but what is in %s belongs to the system or to the server. Choose another path, such as /models." $mount .) }}
{{- end }}
{{- end }}
{{- end }}
{{- end }}
{{- if and (eq .Values.weights.mode "image") (not .Values.weights.image.reference) }}
{{- fail "weights.mode image needs weights.image.reference." }}
{{- end }}
{{- $below := printf "%s/" .Values.weights.mountPath }}
{{- if and (ne .Values.weights.mode "embedded") (not (and (hasPrefix $below .Values.model.source) (hasPrefix $below (printf "%s/" (clean .Values.model.source))))) }}
{{- fail (printf "weights.mode is %s, but model.source (%s) is not below weights.mountPath (%s)." .Values.weights.mode .Values.model.source .Values.weights.mountPath) }}
{{- end }}
{{- if and .Values.metrics.podMonitor.enabled .Values.metrics.serviceMonitor.enabled }}
{{- fail "metrics.podMonitor and metrics.serviceMonitor would count every pod twice. Enable one of them." }}
{{- end }}
{{- if and (or .Values.metrics.podMonitor.enabled .Values.metrics.serviceMonitor.enabled) (not .Values.metrics.enabled) }}
{{- fail "A monitor is enabled, but metrics.enabled is false. Set it to true." }}
{{- end }}
{{- if and (or .Values.metrics.prometheusRule.enabled .Values.metrics.dashboard.enabled) (not .Values.metrics.enabled) }}
{{- fail "Alerts or a dashboard are enabled, but metrics.enabled is false, so they would be about nothing. Set it to true." }}
{{- end }}
{{- $interval := include "rhapsode.interval" . | int64 }}
{{- if or .Values.metrics.podMonitor.enabled .Values.metrics.serviceMonitor.enabled }}
{{- if and (or .Values.metrics.prometheusRule.enabled (ne .Values.autoscaling.kind "none")) (gt $interval 60) }}
{{- fail (printf "metrics.podMonitor.interval is %s: alerts, which look at five minutes at a time, and scalers would see nothing or what is long past. Make it 1m or less." .Values.metrics.podMonitor.interval) }}
{{- end }}
{{- if and .Values.metrics.prometheusRule.enabled (gt (float64 $interval) (mulf .Values.engine.hangSeconds 1.5)) }}
{{- fail (printf "metrics.podMonitor.interval is %s, so an engine that hangs could be ended (after twice engine.hangSeconds, %v) before Prometheus has seen it. Make it at most %v s, or raise engine.hangSeconds." .Values.metrics.podMonitor.interval .Values.engine.hangSeconds (mulf .Values.engine.hangSeconds 1.5)) }}
{{- end }}
{{- end }}
{{- if and .Values.gateway.enabled (not .Values.gateway.parentRefs) }}
{{- fail "gateway.enabled needs gateway.parentRefs: the gateways that the route hangs on." }}
{{- end }}
{{- if and .Values.gateway.inferencePool.enabled (not .Values.gateway.inferencePool.endpointPicker) }}
{{- fail "gateway.inferencePool.enabled needs gateway.inferencePool.endpointPicker." }}
{{- end }}
{{- if and .Values.gateway.inferencePool.enabled (not .Values.gateway.enabled) }}
{{- fail "gateway.inferencePool.enabled needs a route that points to the pool. Set gateway.enabled to true." }}
{{- end }}
{{- if and .Values.gateway.inferencePool.enabled .Values.tls.enabled }}
{{- fail "An InferencePool speaks to pods in plain text only (appProtocol kubernetes.io/h2c), but tls.enabled is true. Disable one of them." }}
{{- end }}
{{- $ports := list .Values.ports.grpc .Values.ports.health .Values.ports.metrics }}
{{- if ne (len ($ports | uniq)) 3 }}
{{- fail "ports.grpc, ports.health and ports.metrics must differ." }}
{{- end }}
{{- include "rhapsode.clashes" . }}
{{- include "rhapsode.quantityClashes" . }}
{{- include "rhapsode.variableClashes" . }}
{{- end }}
