//go:build tools

// Names what is built beside main.go, so that `go mod tidy` keeps it.
package main

import _ "helm.sh/helm/v3/cmd/helm"
