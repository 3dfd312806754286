package main

import (
	"context"
	"flag"
)

func runServe(ctx context.Context, p process) error {
	if err := p.parse(flag.NewFlagSet("serve", flag.ContinueOnError), 0); err != nil {
		return err
	}
	_, err := LoadConfig("serve", p.environ)
	return err
}
