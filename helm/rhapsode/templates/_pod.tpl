{{/* The longer parts of the pod: environment, volumes, weights, accelerator, spread. */}}

{{- define "rhapsode.env" -}}
{{- include "rhapsode.envAnd" (list . (include "rhapsode.ownEnv" . | fromYamlArray) .Values.extraEnv) }}
{{- end }}

{{/* What is given further wins, and each name is there once: of two, Kubernetes' patches lose one. */}}
{{- define "rhapsode.envAnd" -}}
{{- $extra := tpl (toYaml (index . 2)) (index . 0) | fromYamlArray }}
{{- $set := list }}
{{- range $extra }}{{ $set = append $set .name }}{{ end }}
{{- range index . 1 }}
{{- if not (has .name $set) }}
{{ list . | toYaml }}
{{- end }}
{{- end }}
{{- with $extra }}
{{ toYaml . }}
{{- end }}
{{- end }}

{{- define "rhapsode.ownEnv" -}}
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
  value: {{ include "rhapsode.resourceAttributes" . | quote }}
{{- with .Values.otel }}
{{- if .endpoint }}
- name: OTEL_EXPORTER_OTLP_ENDPOINT
  value: {{ .endpoint | quote }}
- name: OTEL_EXPORTER_OTLP_PROTOCOL
  value: {{ .protocol | quote }}
- name: OTEL_TRACES_SAMPLER
  value: {{ .sampler | quote }}
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
{{- end }}

{{- define "rhapsode.resourceAttributes" -}}
k8s.pod.name=$(POD_NAME),k8s.namespace.name=$(POD_NAMESPACE),k8s.node.name=$(NODE_NAME),service.version={{ .Chart.AppVersion }}
{{- range $key, $value := .Values.otel.resourceAttributes }},{{ $key }}={{ $value }}{{ end }}
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
    resourceClaimTemplateName: {{ .Values.gpu.resourceClaimTemplate | quote }}
{{- end }}
{{- end }}

{{- define "rhapsode.volumeMounts" -}}
{{- include "rhapsode.ownMounts" . }}
{{- with .Values.extraVolumeMounts }}
{{ tpl (toYaml .) $ }}
{{- end }}
{{- end }}

{{- define "rhapsode.ownMounts" -}}
- name: settings
  mountPath: /etc/rhapsode/settings
  readOnly: true
- name: tmp
  mountPath: /tmp
- name: shm
  mountPath: /dev/shm
{{- if ne .Values.weights.mode "embedded" }}
- name: weights
  mountPath: {{ .Values.weights.mountPath | quote }}
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
{{- end }}

{{- define "rhapsode.volumes" -}}
{{- include "rhapsode.ownVolumes" . }}
{{- with .Values.extraVolumes }}
{{ tpl (toYaml .) $ }}
{{- end }}
{{- end }}

{{- define "rhapsode.ownVolumes" -}}
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
    claimName: {{ default (printf "%s-weights" (include "rhapsode.fullname" .)) .Values.weights.pvc.existingClaim | quote }}
    readOnly: true
  {{- else if eq .Values.weights.mode "download" }}
  emptyDir:
    sizeLimit: {{ .Values.weights.download.sizeLimit }}
  {{- else }}
  image:
    reference: {{ .Values.weights.image.reference | quote }}
    pullPolicy: {{ .Values.weights.image.pullPolicy }}
  {{- end }}
{{- end }}
{{- if .Values.tls.enabled }}
- name: tls
  secret:
    secretName: {{ include "rhapsode.tlsSecret" . | quote }}
    defaultMode: 0440
{{- if .Values.tls.clientCaSecret }}
- name: client-ca
  secret:
    secretName: {{ .Values.tls.clientCaSecret | quote }}
    defaultMode: 0440
{{- end }}
{{- end }}
{{- with .Values.voices.existingClaim }}
- name: voices
  persistentVolumeClaim:
    claimName: {{ . | quote }}
    readOnly: true
{{- end }}
{{- with .Values.weights.download.existingTokenSecret }}
- name: hub-token
  secret:
    secretName: {{ . | quote }}
    defaultMode: 0440
{{- end }}
{{- if .Values.auth.enabled }}
- name: auth
  secret:
    secretName: {{ .Values.auth.existingSecret | quote }}
    defaultMode: 0440
{{- end }}
{{- end }}

{{/* The download alone sees the token; sidecars are init containers that stay, and so end last. */}}
{{- define "rhapsode.initContainers" -}}
{{- if or .Values.sidecars (eq .Values.weights.mode "download") }}
initContainers:
  {{- if eq .Values.weights.mode "download" }}
  - name: download
    image: {{ include "rhapsode.image" . | quote }}
    imagePullPolicy: {{ .Values.image.pullPolicy }}
    args:
      - download
      - {{ .Values.weights.download.repository | quote }}
      - --revision={{ .Values.weights.download.revision }}
      - {{ printf "--to=%s" .Values.model.source | quote }}
      {{- if .Values.weights.download.existingTokenSecret }}
      - --token-file=/etc/rhapsode/hub/token
      {{- end }}
      {{- if .Values.weights.download.publicKey }}
      - --public-key=/etc/rhapsode/settings/weights.pem
      - {{ printf "--signature=%s" .Values.weights.download.signature | quote }}
      {{- end }}
      {{- range $file, $digest := .Values.weights.download.digests }}
      - {{ printf "--sha256=%s=%s" $file $digest | quote }}
      {{- end }}
    securityContext:
      {{- include "rhapsode.container.securityContext" . | nindent 6 }}
    env:
      {{- $own := list (dict "name" "HF_HOME" "value" "/tmp/hub") }}
      {{- include "rhapsode.envAnd" (list . $own .Values.weights.download.extraEnv) | trim | nindent 6 }}
    resources:
      {{- toYaml .Values.weights.download.resources | nindent 6 }}
    volumeMounts:
      - name: weights
        mountPath: {{ .Values.weights.mountPath | quote }}
      - name: tmp
        mountPath: /tmp
      {{- if .Values.weights.download.publicKey }}
      - name: settings
        mountPath: /etc/rhapsode/settings
        readOnly: true
      {{- end }}
      {{- if .Values.weights.download.existingTokenSecret }}
      - name: hub-token
        mountPath: /etc/rhapsode/hub
        readOnly: true
      {{- end }}
  {{- end }}
  {{- range .Values.sidecars }}
  - restartPolicy: Always
    {{- tpl (toYaml (omit . "restartPolicy")) $ | nindent 4 }}
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

{{/* On which nodes the image may run: the server, and the pod of `helm test`. */}}
{{- define "rhapsode.nodes" -}}
{{- with .Values.nodeSelector -}}
nodeSelector:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- if or .Values.tolerations .Values.gpu.enabled }}
tolerations:
  {{- if .Values.gpu.enabled }}
  - key: nvidia.com/gpu
    operator: Exists
    effect: NoSchedule
  {{- end }}
  {{- with .Values.tolerations }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
{{- end }}
{{- end }}
