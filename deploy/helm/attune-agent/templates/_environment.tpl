{{/* Variables that every program of the chart gets: where the servers are. A missing key is an event of the pod. */}}
{{- define "attune-agent.servers" -}}
{{- $secret := .Values.secret -}}
- name: ATTUNE__DATABASE__URL
  valueFrom: {secretKeyRef: {name: {{ $secret.name | quote }}, key: {{ $secret.databaseUrl | quote }}}}
- name: ATTUNE__MESSAGE_QUEUE__URL
{{- if .Values.messageQueueUrl }}
  value: {{ .Values.messageQueueUrl | quote }}
{{- else }}
  valueFrom: {secretKeyRef: {name: {{ $secret.name | quote }}, key: {{ $secret.messageQueueUrl | quote }}}}
{{- end }}
- name: ATTUNE__SECURITY__ENCRYPTION_KEY
  valueFrom: {secretKeyRef: {name: {{ $secret.name | quote }}, key: {{ $secret.encryptionKey | quote }}, optional: true}}
- name: ATTUNE__SECURITY__JWT_SECRET
  valueFrom: {secretKeyRef: {name: {{ $secret.name | quote }}, key: {{ $secret.jwtSecret | quote }}, optional: true}}
{{- end -}}

{{/* What one pool's containers get beside that. The drain ends five seconds before the kubelet kills. */}}
{{- define "attune-agent.workerEnvironment" -}}
{{ include "attune-agent.servers" .root }}
- name: ATTUNE_WORKER_NAME
  valueFrom: {fieldRef: {fieldPath: metadata.name}}
- name: ATTUNE__WORKER__ORIGIN__POD
  valueFrom: {fieldRef: {fieldPath: metadata.name}}
- name: ATTUNE__WORKER__ORIGIN__NAMESPACE
  valueFrom: {fieldRef: {fieldPath: metadata.namespace}}
- name: ATTUNE__WORKER__ORIGIN__NODE
  valueFrom: {fieldRef: {fieldPath: spec.nodeName}}
- name: ATTUNE_WORKER_TYPE
  value: container
- name: ATTUNE_STOP_GRACE_PERIOD
  value: {{ .worker.stopGracePeriod | quote }}
- name: ATTUNE__WORKER__SHUTDOWN_TIMEOUT
  value: {{ sub (int .worker.stopGracePeriod) 5 | quote }}
- name: ATTUNE__WORKER__HEARTBEAT_INTERVAL
  value: {{ .worker.heartbeatInterval | quote }}
- name: ATTUNE__WORKER__MAX_CONCURRENT_TASKS
  value: {{ .worker.maxConcurrentTasks | quote }}
- name: ATTUNE__LOG__LEVEL
  value: {{ .worker.logLevel | quote }}
{{- with .worker.runtimes }}
- name: ATTUNE_WORKER_RUNTIMES
  value: {{ join "," . | quote }}
{{- end }}
{{- with .root.Values.apiUrl }}
- name: ATTUNE_API_URL
  value: {{ . | quote }}
{{- end }}
{{- if kindIs "map" .worker.env }}
{{- range $name, $value := .worker.env }}
- name: {{ $name }}
  value: {{ $value | quote }}
{{- end }}
{{- else }}
{{- with .worker.env }}
{{ toYaml . }}
{{- end }}
{{- end }}
{{- end -}}
