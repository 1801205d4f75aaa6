{{/* The agent's configuration file. What `config` says wins. A pod's name never returns, so its worker is ephemeral. */}}
{{- define "attune-agent.configuration" -}}
{{- $ours := dict
  "database" (dict "schema" .Values.databaseSchema)
  "worker" (dict "ephemeral" true "labels_file" "/opt/attune/pod/labels" "scratch_dir" "/tmp")
  "packs" (dict "transport" .Values.packs.transport)
  "artifacts" (dict "transport" .Values.artifacts.transport)
-}}
{{- toYaml (mergeOverwrite $ours (deepCopy .Values.config)) -}}
{{- end -}}
