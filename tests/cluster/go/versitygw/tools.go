//go:build tools

// Package tools pins versitygw, an S3 server over a folder, for the test cluster.
package tools

import (
	_ "github.com/versity/versitygw/cmd/versitygw"
)
