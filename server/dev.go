//go:build !production

package main

import (
	"context"
	"flag"
)

func runDev(ctx context.Context, p process) error {
	return p.parse(flag.NewFlagSet("dev", flag.ContinueOnError), 0)
}
