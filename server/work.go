package main

import (
	"context"
	"flag"

	"github.com/prometheus/client_golang/prometheus"
)

// runWork works jobs until SIGTERM, then lets the running ones finish.
func runWork(ctx context.Context, p process) error {
	if err := p.parse(flag.NewFlagSet("work", flag.ContinueOnError), 0); err != nil {
		return err
	}
	cfg, err := LoadConfig("work", p.environ)
	if err != nil {
		return err
	}
	return p.runParts(ctx, cfg, partsOptions{work: true})
}

// runParts is serve and work: the parts until ctx ends, with metrics beside them.
func (p process) runParts(ctx context.Context, cfg Config, o partsOptions) error {
	log := newLogger(p.stdout, cfg)
	registry := prometheus.NewRegistry()
	o.metrics = registry
	running, err := startParts(ctx, cfg, log, o)
	if err != nil {
		return err
	}
	defer serveMetrics(cfg.MetricsAddr, registry, running.db, log)()
	log.Info("started", "version", version, "web", o.web, "work", o.work)
	return running.wait(false)
}
