//go:build tools

// Package tools pins CoreDNS for the test cluster.
package tools

import (
	_ "github.com/coredns/coredns"
)
