package main

import (
	"context"
	"flag"
	"net"
)

// runServe answers HTTP until SIGTERM, then drains.
func runServe(ctx context.Context, p process) error {
	if err := p.parse(flag.NewFlagSet("serve", flag.ContinueOnError), 0); err != nil {
		return err
	}
	cfg, err := LoadConfig("serve", p.environ)
	if err != nil {
		return err
	}
	ln, err := net.Listen("tcp", cfg.Addr)
	if err != nil {
		return err
	}
	defer func() { _ = ln.Close() }()
	return p.runParts(ctx, cfg, partsOptions{web: true, listener: ln})
}
