//go:build tools

// Package tools pins Prometheus for the test cluster; Debian's knows no Kubernetes.
package tools

import (
	_ "github.com/prometheus/prometheus/cmd/prometheus"
	_ "github.com/prometheus/prometheus/cmd/promtool"
)
