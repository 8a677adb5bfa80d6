//go:build tools

// Package tools pins Envoy Gateway and the Gateway API for the test cluster.
package tools

import (
	_ "github.com/envoyproxy/gateway/cmd/envoy-gateway"
)
