{{/* Things that would be there twice, of which Kubernetes or YAML would silently take one, or refuse both. */}}

{{/* What values decide about the server, and which value: `settings` may say the rest. */}}
{{- define "rhapsode.decided" -}}
server.host: nothing, pods listen on every address
server.port: ports.grpc
server.health_port: ports.health
server.reflection: grpc.reflection
server.load_reports: grpc.loadReports
server.drain_seconds: shutdown.drainSeconds
server.max_stream_seconds: limits.maxStreamSeconds
server.max_concurrent_streams: grpc.maxConcurrentStreams
server.max_connection_age: grpc.maxConnectionAge
server.keepalive_time: grpc.keepaliveTime
model.source: model.source
model.device: model.device
model.threads: model.threads
engine.slots: engine.slots
engine.max_waiting: engine.maxWaiting
engine.max_ahead: engine.maxAheadSeconds
engine.hang_seconds: engine.hangSeconds
limits.max_characters: limits.maxCharacters
security.certificate: tls.enabled and its secret
security.private_key: tls.enabled and its secret
security.client_ca: tls.clientCaSecret
security.api_keys: auth.existingSecret
{{- if .Values.voices.existingClaim }}
model.voices: voices.existingClaim
{{- end }}
{{- end }}

{{- define "rhapsode.clashes" -}}
{{- $decided := include "rhapsode.decided" . | fromYaml }}
{{- range $section, $keys := .Values.settings }}
{{- range $key, $_ := $keys }}
{{- with get $decided (printf "%s.%s" $section $key) }}
{{- fail (printf "settings.%s.%s is decided by %s, on which other objects rely. Remove it from settings." $section $key .) }}
{{- end }}
{{- end }}
{{- end }}

{{- range tpl (toYaml .Values.extraEnv) . | fromYamlArray }}
{{- if eq .name "RHAPSODE_CONFIG" }}
{{- fail "extraEnv sets RHAPSODE_CONFIG, so the settings that the chart writes would not be read. Use settings." }}
{{- end }}
{{- with get $decided (.name | trimPrefix "RHAPSODE_" | lower | replace "__" ".") }}
{{- fail (printf "extraEnv has a setting of the server that is decided by %s, on which other objects rely. Remove it from extraEnv." .) }}
{{- end }}
{{- end }}

{{- $labels := list "helm.sh/chart" "app.kubernetes.io/name" "app.kubernetes.io/instance" "app.kubernetes.io/version" "app.kubernetes.io/managed-by" "app.kubernetes.io/component" }}
{{- $given := dict "commonLabels" .Values.commonLabels "podLabels" .Values.podLabels "metrics.podMonitor.labels" .Values.metrics.podMonitor.labels "metrics.prometheusRule.labels" .Values.metrics.prometheusRule.labels "metrics.dashboard.labels" .Values.metrics.dashboard.labels }}
{{- range $where, $map := $given }}
{{- range $labels }}
{{- if hasKey $map . }}
{{- fail (printf "%s has %s, by which the chart's own objects find each other. Choose another label." $where .) }}
{{- end }}
{{- end }}
{{- end }}
{{- range list "checksum/settings" "checksum/voices" "kubectl.kubernetes.io/default-container" }}
{{- if hasKey $.Values.podAnnotations . }}
{{- fail (printf "podAnnotations has %s, which the chart writes itself. Remove it." .) }}
{{- end }}
{{- end }}

{{- $volumes := list }}
{{- range concat (include "rhapsode.ownVolumes" . | fromYamlArray) (tpl (toYaml .Values.extraVolumes) . | fromYamlArray) }}
{{- if has .name $volumes }}
{{- fail (printf "There would be two volumes called %s. Rename the one in extraVolumes." .name) }}
{{- end }}
{{- $volumes = append $volumes .name }}
{{- end }}
{{- $places := list }}
{{- range concat (include "rhapsode.ownMounts" . | fromYamlArray) (tpl (toYaml .Values.extraVolumeMounts) . | fromYamlArray) }}
{{- if not (has .name $volumes) }}
{{- fail (printf "extraVolumeMounts mounts %s, and there is no such volume. Add it to extraVolumes." .name) }}
{{- end }}
{{- if has (clean .mountPath) $places }}
{{- fail (printf "Two volumes would be mounted at %s. Choose another path for one of them." .mountPath) }}
{{- end }}
{{- $places = append $places (clean .mountPath) }}
{{- end }}

{{- $containers := list "rhapsode" "download" }}
{{- range tpl (toYaml .Values.sidecars) . | fromYamlArray }}
{{- if has .name $containers }}
{{- fail (printf "There would be two containers called %s. Rename the one in sidecars." .name) }}
{{- end }}
{{- $containers = append $containers .name }}
{{- end }}
{{- end }}
