//go:build tools

// Package tools pins Argo Rollouts, the peer of a benchmark, for the test cluster.
package tools

import (
	_ "github.com/argoproj/argo-rollouts/cmd/rollouts-controller"
)
