{{/* The longer parts of the pod: environment, volumes, weights, accelerator, spread. */}}

{{- define "rhapsode.env" -}}
- name: RHAPSODE_CONFIG
  value: /etc/rhapsode/settings/settings.toml
- name: POD_NAME
  valueFrom:
    fieldRef:
      fieldPath: metadata.name
- name: POD_NAMESPACE
  valueFrom:
    fieldRef:
      fieldPath: metadata.namespace
- name: NODE_NAME
  valueFrom:
    fieldRef:
      fieldPath: spec.nodeName
- name: OTEL_SERVICE_NAME
  value: {{ include "rhapsode.fullname" . }}
- name: OTEL_RESOURCE_ATTRIBUTES
  value: k8s.pod.name=$(POD_NAME),k8s.namespace.name=$(POD_NAMESPACE),k8s.node.name=$(NODE_NAME),service.version={{ .Chart.AppVersion }}
    {{- range $key, $value := .Values.otel.resourceAttributes }},{{ $key }}={{ $value }}{{ end }}
{{- with .Values.otel }}
{{- if .endpoint }}
- name: OTEL_EXPORTER_OTLP_ENDPOINT
  value: {{ .endpoint }}
- name: OTEL_EXPORTER_OTLP_PROTOCOL
  value: {{ .protocol }}
- name: OTEL_TRACES_SAMPLER
  value: {{ .sampler }}
- name: OTEL_TRACES_SAMPLER_ARG
  value: {{ .samplerArg | quote }}
{{- end }}
{{- end }}
{{- if .Values.metrics.enabled }}
- name: OTEL_METRICS_EXPORTER
  value: prometheus{{ if .Values.otel.endpoint }},otlp{{ end }}
- name: OTEL_EXPORTER_PROMETHEUS_HOST
  value: 0.0.0.0
- name: OTEL_EXPORTER_PROMETHEUS_PORT
  value: {{ .Values.ports.metrics | quote }}
{{- end }}
{{- with .Values.extraEnv }}
{{ tpl (toYaml .) $ }}
{{- end }}
{{- end }}

{{- define "rhapsode.resources" -}}
{{- $resources := deepCopy .Values.resources }}
{{- if and .Values.gpu.enabled (not .Values.gpu.resourceClaimTemplate) }}
{{- $limits := default dict $resources.limits }}
{{- $_ := set $limits .Values.gpu.resourceName .Values.gpu.count }}
{{- $_ := set $resources "limits" $limits }}
{{- else if .Values.gpu.enabled }}
{{- $_ := set $resources "claims" (list (dict "name" "accelerator")) }}
{{- end }}
{{- toYaml $resources }}
{{- end }}

{{- define "rhapsode.resourceClaims" -}}
{{- if and .Values.gpu.enabled .Values.gpu.resourceClaimTemplate }}
resourceClaims:
  - name: accelerator
    resourceClaimTemplateName: {{ .Values.gpu.resourceClaimTemplate }}
{{- end }}
{{- end }}

{{- define "rhapsode.volumeMounts" -}}
- name: settings
  mountPath: /etc/rhapsode/settings
  readOnly: true
- name: tmp
  mountPath: /tmp
- name: shm
  mountPath: /dev/shm
{{- if ne .Values.weights.mode "embedded" }}
- name: weights
  mountPath: {{ .Values.weights.mountPath }}
  readOnly: true
{{- end }}
{{- if .Values.tls.enabled }}
- name: tls
  mountPath: /etc/rhapsode/tls
  readOnly: true
{{- if .Values.tls.clientCaSecret }}
- name: client-ca
  mountPath: /etc/rhapsode/client-ca
  readOnly: true
{{- end }}
{{- end }}
{{- if .Values.voices.existingClaim }}
- name: voices
  mountPath: /voices
  readOnly: true
{{- end }}
{{- if .Values.auth.enabled }}
- name: auth
  mountPath: /etc/rhapsode/auth
  readOnly: true
{{- end }}
{{- with .Values.extraVolumeMounts }}
{{ tpl (toYaml .) $ }}
{{- end }}
{{- end }}

{{- define "rhapsode.volumes" -}}
- name: settings
  configMap:
    name: {{ include "rhapsode.fullname" . }}
- name: tmp
  emptyDir:
    sizeLimit: 256Mi
- name: shm
  emptyDir:
    medium: Memory
    sizeLimit: {{ .Values.shmSize }}
{{- if ne .Values.weights.mode "embedded" }}
- name: weights
  {{- if eq .Values.weights.mode "pvc" }}
  persistentVolumeClaim:
    claimName: {{ default (printf "%s-weights" (include "rhapsode.fullname" .)) .Values.weights.pvc.existingClaim }}
    readOnly: true
  {{- else if eq .Values.weights.mode "download" }}
  emptyDir:
    sizeLimit: {{ .Values.weights.download.sizeLimit }}
  {{- else }}
  image:
    reference: {{ .Values.weights.image.reference }}
    pullPolicy: {{ .Values.weights.image.pullPolicy }}
  {{- end }}
{{- end }}
{{- if .Values.tls.enabled }}
- name: tls
  secret:
    secretName: {{ include "rhapsode.tlsSecret" . }}
    defaultMode: 0440
{{- if .Values.tls.clientCaSecret }}
- name: client-ca
  secret:
    secretName: {{ .Values.tls.clientCaSecret }}
    defaultMode: 0440
{{- end }}
{{- end }}
{{- with .Values.voices.existingClaim }}
- name: voices
  persistentVolumeClaim:
    claimName: {{ . }}
    readOnly: true
{{- end }}
{{- with .Values.weights.download.existingTokenSecret }}
- name: hub-token
  secret:
    secretName: {{ . }}
    defaultMode: 0440
{{- end }}
{{- if .Values.auth.enabled }}
- name: auth
  secret:
    secretName: {{ .Values.auth.existingSecret }}
    defaultMode: 0440
{{- end }}
{{- with .Values.extraVolumes }}
{{ tpl (toYaml .) $ }}
{{- end }}
{{- end }}

{{/* The download alone sees the token; sidecars are init containers that stay, and so end last. */}}
{{- define "rhapsode.initContainers" -}}
{{- if or .Values.sidecars (eq .Values.weights.mode "download") }}
initContainers:
  {{- if eq .Values.weights.mode "download" }}
  - name: download
    image: {{ include "rhapsode.image" . }}
    imagePullPolicy: {{ .Values.image.pullPolicy }}
    args:
      - download
      - {{ .Values.weights.download.repository }}
      - --revision={{ .Values.weights.download.revision }}
      - --to={{ .Values.model.source }}
      {{- if .Values.weights.download.existingTokenSecret }}
      - --token-file=/etc/rhapsode/hub/token
      {{- end }}
      {{- range $file, $digest := .Values.weights.download.digests }}
      - --sha256={{ $file }}={{ $digest }}
      {{- end }}
    securityContext:
      {{- include "rhapsode.container.securityContext" . | nindent 6 }}
    env:
      - name: HF_HOME
        value: /tmp/hub
    resources:
      requests:
        cpu: 500m
        memory: 512Mi
      limits:
        memory: 1Gi
    volumeMounts:
      - name: weights
        mountPath: {{ .Values.weights.mountPath }}
      - name: tmp
        mountPath: /tmp
      {{- if .Values.weights.download.existingTokenSecret }}
      - name: hub-token
        mountPath: /etc/rhapsode/hub
        readOnly: true
      {{- end }}
  {{- end }}
  {{- range .Values.sidecars }}
  - restartPolicy: Always
    {{- tpl (toYaml .) $ | nindent 4 }}
  {{- end }}
{{- end }}
{{- end }}

{{- define "rhapsode.spread" -}}
{{- if .Values.topologySpreadConstraints }}
{{- tpl (toYaml .Values.topologySpreadConstraints) . }}
{{- else }}
{{- range list "topology.kubernetes.io/zone" "kubernetes.io/hostname" }}
- maxSkew: 1
  topologyKey: {{ . }}
  whenUnsatisfiable: ScheduleAnyway
  labelSelector:
    matchLabels:
      {{- include "rhapsode.selectorLabels" $ | nindent 6 }}
{{- end }}
{{- end }}
{{- end }}
