"""Workers on a real Kubernetes: run by ``make test-kubernetes`` on a cluster of its own or on one that is named."""
