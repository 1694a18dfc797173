"""On a real Kubernetes: `make test-cluster`."""
