"""Real Kubernetes for tests and demos: a control plane alone, or a whole node, without Docker."""
