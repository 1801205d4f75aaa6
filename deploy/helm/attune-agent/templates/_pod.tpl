{{/* The pod of one pool: `root` is the chart's scope, `worker` the completed entry. */}}
{{- define "attune-agent.pod" -}}
{{- $values := .root.Values -}}
{{- $agent := $values.images.agent -}}
metadata:
  labels:
    {{- include "attune-agent.workerSelector" . | nindent 4 }}
    app.kubernetes.io/part-of: attune
    {{- with mergeOverwrite (dict) $values.commonLabels .worker.labels }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
  annotations:
    checksum/configuration: {{ include "attune-agent.configuration" .root | sha256sum }}
    {{- with .worker.annotations }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
spec:
  serviceAccountName: {{ include "attune-agent.serviceAccountName" .root }}
  automountServiceAccountToken: false
  enableServiceLinks: false
  terminationGracePeriodSeconds: {{ .worker.stopGracePeriod }}
  securityContext:
    {{- toYaml $values.podSecurityContext | nindent 4 }}
  {{- if $values.hostNetwork }}
  hostNetwork: true
  {{- end }}
  {{- with $values.dnsPolicy }}
  dnsPolicy: {{ . }}
  {{- end }}
  {{- with concat $values.imagePullSecrets .worker.imagePullSecrets }}
  imagePullSecrets:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- range $key := list "nodeSelector" "tolerations" "affinity" "topologySpreadConstraints" }}
  {{- with index $.worker $key }}
  {{ $key }}:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- end }}
  {{- range $key := list "runtimeClassName" "priorityClassName" }}
  {{- with index $.worker $key }}
  {{ $key }}: {{ . }}
  {{- end }}
  {{- end }}
  initContainers:
    - name: install-agent
      image: {{ include "attune-agent.image" (dict "root" .root "image" $agent) }}
      imagePullPolicy: {{ $agent.pullPolicy }}
      command: ["/attune-agent", "install", "/opt/attune/bin"]
      terminationMessagePolicy: FallbackToLogsOnError
      resources:
        {{- toYaml $values.initResources | nindent 8 }}
      securityContext:
        {{- toYaml $values.securityContext | nindent 8 }}
      volumeMounts:
        - {name: agent, mountPath: /opt/attune/bin}
    {{- with $values.packs.image }}
    - name: copy-packs
      image: {{ . }}
      imagePullPolicy: {{ $values.packs.imagePullPolicy }}
      command: ["cp", "-R", {{ printf "%s/." $values.packs.path | quote }}, "/opt/attune/packs/"]
      terminationMessagePolicy: FallbackToLogsOnError
      resources:
        {{- toYaml $values.initResources | nindent 8 }}
      securityContext:
        {{- toYaml $values.securityContext | nindent 8 }}
      volumeMounts:
        - {name: packs, mountPath: /opt/attune/packs}
    {{- end }}
  containers:
    - name: worker
      image: {{ .worker.image | quote }}
      imagePullPolicy: {{ .worker.imagePullPolicy }}
      command: ["/opt/attune/bin/attune-agent"]
      terminationMessagePolicy: FallbackToLogsOnError
      securityContext:
        {{- toYaml $values.securityContext | nindent 8 }}
      {{- with .worker.resources }}
      resources:
        {{- toYaml . | nindent 8 }}
      {{- end }}
      env:
        {{- include "attune-agent.workerEnvironment" . | nindent 8 }}
      {{- with .worker.envFrom }}
      envFrom:
        {{- toYaml . | nindent 8 }}
      {{- end }}
      {{- /* Asked by the launcher itself: no shell and no Python starts. */}}
      {{- with .worker.probes.startup }}
      startupProbe:
        exec: {command: ["/opt/attune/bin/attune-agent", "health"]}
        {{- toYaml . | nindent 8 }}
      {{- end }}
      {{- with .worker.probes.readiness }}
      readinessProbe:
        exec: {command: ["/opt/attune/bin/attune-agent", "health"]}
        {{- toYaml . | nindent 8 }}
      {{- end }}
      {{- with .worker.probes.liveness }}
      livenessProbe:
        exec: {command: ["/opt/attune/bin/attune-agent", "health", "--live"]}
        {{- toYaml . | nindent 8 }}
      {{- end }}
      volumeMounts:
        - {name: agent, mountPath: /opt/attune/bin, readOnly: true}
        - {name: configuration, mountPath: /opt/attune/config, readOnly: true}
        - {name: pod, mountPath: /opt/attune/pod, readOnly: true}
        - {name: packs, mountPath: /opt/attune/packs, readOnly: true}
        - {name: runtime-envs, mountPath: /opt/attune/runtime_envs}
        - {name: artifacts, mountPath: /opt/attune/artifacts}
        - {name: tmp, mountPath: /tmp}
        {{- with .worker.volumeMounts }}
        {{- toYaml . | nindent 8 }}
        {{- end }}
  volumes:
    - name: agent
      emptyDir: {sizeLimit: {{ $values.agentVolume.sizeLimit }}}
    - name: configuration
      configMap: {name: {{ include "attune-agent.fullname" .root }}}
    - name: pod
      downwardAPI:
        items:
          - path: labels
            fieldRef: {fieldPath: metadata.labels}
    {{- include "attune-agent.volume" (dict "name" "packs" "value" $values.packs) | nindent 4 }}
    {{- include "attune-agent.volume" (dict "name" "runtime-envs" "value" $values.runtimeEnvs) | nindent 4 }}
    {{- include "attune-agent.volume" (dict "name" "artifacts" "value" $values.artifacts) | nindent 4 }}
    - name: tmp
      emptyDir: {sizeLimit: {{ $values.tmp.sizeLimit }}}
    {{- with .worker.volumes }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
{{- end -}}

{{/* A claim where one is named, else a directory of the pod. */}}
{{- define "attune-agent.volume" -}}
- name: {{ .name }}
{{- if .value.existingClaim }}
  persistentVolumeClaim: {claimName: {{ .value.existingClaim | quote }}}
{{- else if .value.sizeLimit }}
  emptyDir: {sizeLimit: {{ .value.sizeLimit }}}
{{- else }}
  emptyDir: {}
{{- end }}
{{- end -}}
