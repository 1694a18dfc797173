{{/* Names, labels, and the two computed numbers that everything else hangs on. */}}

{{/* With room for what is appended: -test to the one, -headless to the other. */}}
{{- define "rhapsode.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 58 | trimSuffix "-" }}
{{- end }}

{{- define "rhapsode.fullname" -}}
{{- if .Values.fullnameOverride }}
{{- .Values.fullnameOverride | trunc 54 | trimSuffix "-" }}
{{- else if contains (include "rhapsode.name" .) .Release.Name }}
{{- .Release.Name | trunc 54 | trimSuffix "-" }}
{{- else }}
{{- printf "%s-%s" .Release.Name (include "rhapsode.name" .) | trunc 54 | trimSuffix "-" }}
{{- end }}
{{- end }}

{{- define "rhapsode.selectorLabels" -}}
app.kubernetes.io/name: {{ include "rhapsode.name" . | quote }}
app.kubernetes.io/instance: {{ .Release.Name | quote }}
{{- end }}

{{- define "rhapsode.labels" -}}
{{- include "rhapsode.labelsAnd" (list . dict) }}
{{- end }}

{{/* The usual labels and some more, each key once: what is meant for this object wins over commonLabels. */}}
{{- define "rhapsode.labelsAnd" -}}
{{- $more := merge (deepCopy (index . 1)) (index . 0).Values.commonLabels }}
{{- with index . 0 -}}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" }}
{{ include "rhapsode.selectorLabels" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
{{- end }}
{{- with $more }}
{{ toYaml . }}
{{- end }}
{{- end }}

{{- define "rhapsode.metadata" -}}
name: {{ include "rhapsode.fullname" . }}
namespace: {{ .Release.Namespace | quote }}
labels:
  {{- include "rhapsode.labels" . | nindent 2 }}
{{- end }}

{{- define "rhapsode.serviceAccountName" -}}
{{- if .Values.serviceAccount.create }}
{{- default (include "rhapsode.fullname" .) .Values.serviceAccount.name }}
{{- else }}
{{- default "default" .Values.serviceAccount.name }}
{{- end }}
{{- end }}

{{- define "rhapsode.image" -}}
{{- if .Values.image.digest }}
{{- printf "%s@%s" .Values.image.repository .Values.image.digest }}
{{- else }}
{{- printf "%s:%s" .Values.image.repository (default .Chart.AppVersion .Values.image.tag) }}
{{- end }}
{{- end }}

{{/* Least grace that lets endpoints forget the pod and utterances end. After the drain the server gives the
     engine, the last calls, the text workers and telemetry 5 s each and the two ports 1 s each: 25 with a rest. */}}
{{- define "rhapsode.leastGrace" -}}
{{- add .Values.shutdown.preStopSeconds .Values.shutdown.drainSeconds 25 }}
{{- end }}

{{- define "rhapsode.grace" -}}
{{- default (include "rhapsode.leastGrace" . | int64) .Values.shutdown.terminationGracePeriodSeconds | int64 }}
{{- end }}

{{- define "rhapsode.tlsSecret" -}}
{{- default (printf "%s-tls" (include "rhapsode.fullname" .)) .Values.tls.existingSecret }}
{{- end }}

{{/* Port of the collector; gRPC takes 443 where an address names none. */}}
{{- define "rhapsode.collectorPort" -}}
{{- regexFind ":[0-9]+(/|$)" .Values.otel.endpoint | trimPrefix ":" | trimSuffix "/" | default "443" }}
{{- end }}

{{/* Pods at least, and at most. */}}
{{- define "rhapsode.replicas" -}}
{{- ternary .Values.replicas .Values.autoscaling.minReplicas (eq .Values.autoscaling.kind "none") | int }}
{{- end }}

{{- define "rhapsode.mostReplicas" -}}
{{- ternary .Values.replicas .Values.autoscaling.maxReplicas (eq .Values.autoscaling.kind "none") | int }}
{{- end }}

{{/* Seconds between two looks of Prometheus. */}}
{{- define "rhapsode.interval" -}}
{{- $interval := .Values.metrics.podMonitor.interval }}
{{- mul (regexFind "[0-9]+" $interval | int64) (ternary 60 1 (hasSuffix "m" $interval)) }}
{{- end }}

{{/* A number of pods, or a share of them in per cent. */}}
{{- define "rhapsode.share" -}}
{{- if kindIs "string" . }}{{ . | quote }}{{ else }}{{ . | int }}{{ end }}
{{- end }}

{{/* The server's settings file: what the values say, then what `settings` adds. */}}
{{- define "rhapsode.settings" -}}
{{- $server := dict
  "host" "0.0.0.0" "port" .Values.ports.grpc "health_port" .Values.ports.health
  "reflection" .Values.grpc.reflection
  "load_reports" .Values.grpc.loadReports
  "drain_seconds" .Values.shutdown.drainSeconds
  "max_stream_seconds" .Values.limits.maxStreamSeconds
  "max_concurrent_streams" .Values.grpc.maxConcurrentStreams
  "max_connection_age" .Values.grpc.maxConnectionAge
  "keepalive_time" .Values.grpc.keepaliveTime }}
{{- $model := dict "source" .Values.model.source "device" .Values.model.device "threads" .Values.model.threads }}
{{- if .Values.voices.existingClaim }}
{{- $_ := set $model "voices" "/voices" }}
{{- end }}
{{- $engine := dict
  "slots" .Values.engine.slots "max_waiting" .Values.engine.maxWaiting
  "max_ahead" .Values.engine.maxAheadSeconds "hang_seconds" .Values.engine.hangSeconds }}
{{- $limits := dict "max_characters" .Values.limits.maxCharacters }}
{{- $security := dict }}
{{- if .Values.tls.enabled }}
{{- $_ := set $security "certificate" "/etc/rhapsode/tls/tls.crt" }}
{{- $_ := set $security "private_key" "/etc/rhapsode/tls/tls.key" }}
{{- if .Values.tls.clientCaSecret }}
{{- $_ := set $security "client_ca" "/etc/rhapsode/client-ca/ca.crt" }}
{{- end }}
{{- end }}
{{- if .Values.auth.enabled }}
{{- $_ := set $security "api_keys" "/etc/rhapsode/auth/api-keys" }}
{{- /* The gateway looks after the health of pods on their main port, and has no key. */}}
{{- if and .Values.gateway.enabled .Values.gateway.backendTrafficPolicy.enabled }}
{{- $_ := set $security "open_health" true }}
{{- end }}
{{- end }}
{{- $telemetry := dict "log_format" "json" }}
{{- $tree := dict "server" $server "model" $model "engine" $engine "limits" $limits "telemetry" $telemetry }}
{{- if $security }}{{ $_ := set $tree "security" $security }}{{ end }}
{{- include "rhapsode.toml" (mergeOverwrite $tree (deepCopy .Values.settings)) }}
{{- end }}

{{/* Sections as TOML. Helm's own toToml writes every whole number as 64.0; JSON's numbers and strings are TOML's too. */}}
{{- define "rhapsode.toml" -}}
{{- range $section, $keys := . }}
[{{ $section }}]
{{- range $key, $value := $keys }}
{{- if not (kindIs "map" $value) }}
{{ $key }} = {{ toJson $value }}
{{- end }}
{{- end }}
{{- range $key, $value := $keys }}
{{- if kindIs "map" $value }}
{{ include "rhapsode.toml" (dict (printf "%s.%s" $section $key) $value) | trim }}
{{- end }}
{{- end }}
{{ end }}
{{- end }}

{{- define "rhapsode.container.securityContext" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
runAsNonRoot: true
runAsUser: 10001
runAsGroup: 10001
capabilities:
  drop: [ALL]
seccompProfile:
  type: RuntimeDefault
{{- end }}
