{{/* The names and labels of everything in the chart. */}}

{{- define "attune-agent.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 40 | trimSuffix "-" -}}
{{- end -}}

{{- define "attune-agent.fullname" -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride | trunc 40 | trimSuffix "-" -}}
{{- else if contains (include "attune-agent.name" .) .Release.Name -}}
{{- .Release.Name | trunc 40 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name (include "attune-agent.name" .) | trunc 40 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}

{{- define "attune-agent.selector" -}}
app.kubernetes.io/name: {{ include "attune-agent.name" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end -}}

{{- define "attune-agent.labels" -}}
{{ include "attune-agent.selector" . }}
app.kubernetes.io/part-of: attune
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" }}
{{- with .Values.commonLabels }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{- define "attune-agent.serviceAccountName" -}}
{{- if .Values.serviceAccount.create -}}
{{- default (include "attune-agent.fullname" .) .Values.serviceAccount.name -}}
{{- else -}}
{{- default "default" .Values.serviceAccount.name -}}
{{- end -}}
{{- end -}}

{{/* The name of one image of `images`: its tag is the chart's appVersion where none is given. */}}
{{- define "attune-agent.image" -}}
{{- printf "%s:%s" .image.repository (default .root.Chart.AppVersion .image.tag) -}}
{{- end -}}

{{/* The part of an object's name that a pool gives: lower case, no underscores. */}}
{{- define "attune-agent.workerName" -}}
{{- printf "%s-worker-%s" (include "attune-agent.fullname" .root) (.worker.name | lower | replace "_" "-") | trunc 52 | trimSuffix "-" -}}
{{- end -}}

{{/* All pools, each completed by `workerDefaults`, as YAML. Two of one name would be one Deployment: refused. */}}
{{- define "attune-agent.workers" -}}
{{- $root := . -}}
{{- $seen := dict -}}
{{- $workers := list -}}
{{- range concat .Values.workers .Values.actionWorkers -}}
{{- $worker := mergeOverwrite (deepCopy $root.Values.workerDefaults) (deepCopy .) -}}
{{- /* The two kinds of strategy have no key in common: one replaces the other. */ -}}
{{- with .strategy }}{{- $_ := set $worker "strategy" . }}{{- end -}}
{{- $name := include "attune-agent.workerName" (dict "root" $root "worker" $worker) -}}
{{- if hasKey $seen $name -}}
{{- fail (printf "workers: %q and %q would both be the Deployment %s; give one of them another name" (get $seen $name) $worker.name $name) -}}
{{- end -}}
{{- $_ := set $seen $name $worker.name -}}
{{- $workers = append $workers (set $worker "fullname" $name) -}}
{{- end -}}
{{- toYaml (dict "workers" $workers) -}}
{{- end -}}

{{- define "attune-agent.workerSelector" -}}
{{ include "attune-agent.selector" .root }}
app.kubernetes.io/component: worker
attune.io/pool: {{ .worker.name | lower | replace "_" "-" | trunc 63 | trimSuffix "-" }}
{{- end -}}
