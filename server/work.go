package main

import (
	"context"
	"flag"
)

func runWork(ctx context.Context, p process) error {
	if err := p.parse(flag.NewFlagSet("work", flag.ContinueOnError), 0); err != nil {
		return err
	}
	_, err := LoadConfig("work", p.environ)
	return err
}
