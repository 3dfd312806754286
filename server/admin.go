package main

import (
	"context"
	"flag"
)

func runAdmin(ctx context.Context, p process) error {
	if err := p.parse(flag.NewFlagSet("admin", flag.ContinueOnError), 0); err != nil {
		return err
	}
	_, err := LoadConfig("admin", p.environ)
	return err
}
