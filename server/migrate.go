package main

import (
	"context"
	"flag"
)

func runMigrate(ctx context.Context, p process) error {
	if err := p.parse(flag.NewFlagSet("migrate", flag.ContinueOnError), 0); err != nil {
		return err
	}
	_, err := LoadConfig("migrate", p.environ)
	return err
}
