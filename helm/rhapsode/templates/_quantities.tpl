{{/* What is asked for and given: quantities that contradict each other, variables that undo what values say. */}}

{{/* A quantity of Kubernetes as a number to compare by: 500m is 0.5, 2Gi is 2147483648. */}}
{{- define "rhapsode.quantity" -}}
{{- $number := regexFind "^[0-9.]+([eE][-+]?[0-9]+)?" (toString .) }}
{{- $factors := dict "" 1.0 "m" 0.001 "k" 1e3 "M" 1e6 "G" 1e9 "T" 1e12 "P" 1e15 "E" 1e18 "Ki" 1024.0 "Mi" 1048576.0 "Gi" 1073741824.0 "Ti" 1099511627776.0 "Pi" 1125899906842624.0 "Ei" 1152921504606846976.0 }}
{{- mulf (float64 $number) (get $factors (trimPrefix $number (toString .))) }}
{{- end }}

{{- define "rhapsode.quantityClashes" -}}
{{- if .Values.gpu.enabled }}
{{- range $kind, $asked := .Values.resources }}
{{- if hasKey (default dict $asked) $.Values.gpu.resourceName }}
{{- fail (printf "resources.%s has %s, which gpu.enabled asks for; how many is gpu.count. Remove it from resources." $kind $.Values.gpu.resourceName) }}
{{- end }}
{{- end }}
{{- end }}
{{- range $where, $resources := dict "resources" .Values.resources "weights.download.resources" .Values.weights.download.resources }}
{{- $limits := default dict $resources.limits }}
{{- range $what, $request := $resources.requests }}
{{- if hasKey $limits $what }}
{{- $limit := get $limits $what }}
{{- if gt (include "rhapsode.quantity" $request | float64) (include "rhapsode.quantity" $limit | float64) }}
{{- fail (printf "%s asks for more %s (%v) than its limit (%v). Raise the limit, or ask for less." $where $what $request $limit) }}
{{- end }}
{{- end }}
{{- end }}
{{- end }}
{{- end }}

{{- define "rhapsode.variableClashes" -}}
{{- range $where, $variables := dict "extraEnv" .Values.extraEnv "weights.download.extraEnv" .Values.weights.download.extraEnv }}
{{- $names := list }}
{{- range tpl (toYaml $variables) $ | fromYamlArray }}
{{- if has .name $names }}
{{- fail (printf "%s has %s twice. Remove one of them." $where .name) }}
{{- end }}
{{- $names = append $names .name }}
{{- end }}
{{- end }}
{{- if .Values.metrics.enabled }}
{{- range tpl (toYaml .Values.extraEnv) . | fromYamlArray }}
{{- if has .name (list "OTEL_EXPORTER_PROMETHEUS_HOST" "OTEL_EXPORTER_PROMETHEUS_PORT") }}
{{- fail (printf "extraEnv sets %s, but where metrics are served is decided by ports.metrics, on which other objects rely. Remove it from extraEnv." .name) }}
{{- end }}
{{- $value := default "" .value | toString | nospace | lower }}
{{- if or (and (eq .name "OTEL_METRICS_EXPORTER") (not (has "prometheus" (splitList "," $value)))) (and (eq .name "OTEL_SDK_DISABLED") (eq $value "true")) }}
{{- fail (printf "extraEnv sets %s, so that Prometheus gets nothing, but metrics.enabled is true. Remove it from extraEnv, or set metrics.enabled to false." .name) }}
{{- end }}
{{- end }}
{{- end }}
{{- end }}
