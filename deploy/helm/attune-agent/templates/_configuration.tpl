{{/* The agent's configuration file. What `config` says wins. A pod's name never returns, so its worker is ephemeral. */}}
{{- define "attune-agent.configuration" -}}
{{- include "attune-agent.refuseOverridden" . -}}
{{- $ours := dict
  "database" (dict "schema" .Values.databaseSchema)
  "worker" (dict "ephemeral" true "labels_file" "/opt/attune/pod/labels" "scratch_dir" "/tmp")
  "packs" (dict "transport" .Values.packs.transport)
  "artifacts" (dict "transport" .Values.artifacts.transport)
-}}
{{- toYaml (mergeOverwrite $ours (deepCopy .Values.config)) -}}
{{- end -}}

{{/* A variable wins over the file: what the chart sets as one would be ignored in `config` without a word. */}}
{{- define "attune-agent.refuseOverridden" -}}
{{- $instead := dict
  "database.url" "the Secret's key secret.databaseUrl"
  "database.schema" "databaseSchema"
  "message_queue.url" "messageQueueUrl, or the Secret's key secret.messageQueueUrl"
  "security.encryption_key" "the Secret's key secret.encryptionKey"
  "security.jwt_secret" "the Secret's key secret.jwtSecret"
  "worker.heartbeat_interval" "workerDefaults.heartbeatInterval, or heartbeatInterval of a pool"
  "worker.max_concurrent_tasks" "workerDefaults.maxConcurrentTasks, or maxConcurrentTasks of a pool"
  "worker.shutdown_timeout" "workerDefaults.stopGracePeriod, or stopGracePeriod of a pool"
  "log.level" "workerDefaults.logLevel, or logLevel of a pool"
-}}
{{- range $path, $other := $instead -}}
{{- $parts := splitList "." $path -}}
{{- $section := index $.Values.config (first $parts) -}}
{{- if and (kindIs "map" $section) (hasKey $section (last $parts)) -}}
{{- fail (printf "config.%s would be ignored: set %s" $path $other) -}}
{{- end -}}
{{- end -}}
{{- end -}}
