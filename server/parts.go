package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"

	"github.com/prometheus/client_golang/prometheus"

	"kestrel.ai/supabase"
)

// partsOptions says which parts of Kestrel a process runs.
type partsOptions struct {
	web, work bool
	listener  net.Listener                // of web
	sandbox   http.Handler                // served at sandbox., in dev only
	ready     func(context.Context) error // beyond the database's answer
	metrics   prometheus.Registerer       // nil for none
}

// parts are the running parts of a process, over one database pool.
type parts struct {
	db     *supabase.DB
	cancel context.CancelFunc
	ended  chan error
	left   int
}

// startParts starts what is asked for. It returns once workers run and the listener is served; wait for the end.
func startParts(ctx context.Context, cfg Config, log *slog.Logger, o partsOptions) (*parts, error) {
	db, err := supabase.Open(ctx, cfg.AppDatabaseURL.Reveal())
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithCancel(ctx)
	p := &parts{db: db, cancel: cancel, ended: make(chan error, 3)}
	start := func(run func() error) {
		p.left++
		go func() { p.ended <- run() }()
	}
	fail := func(err error) (*parts, error) {
		cancel()
		return nil, errors.Join(err, p.wait(true))
	}
	if o.web {
		w, err := newWeb(cfg, db, o.ready, o.sandbox, o.metrics, log)
		if err != nil {
			return fail(err)
		}
		start(func() error { return w.run(ctx, o.listener) })
	}
	if o.work {
		worker, err := newWorker(cfg, db, log)
		if err != nil {
			return fail(err)
		}
		if err := worker.Start(context.WithoutCancel(ctx)); err != nil {
			return fail(fmt.Errorf("workers: %w", err))
		}
		start(func() error {
			<-ctx.Done()
			last, stop := context.WithTimeout(context.WithoutCancel(ctx), cfg.DrainTimeout)
			defer stop()
			return worker.Stop(last)
		})
	}
	return p, nil
}

// wait returns when every part has ended: by the context of startParts, by a part's failure, or at once if now.
func (p *parts) wait(now bool) error {
	if now {
		p.cancel()
	}
	var err error
	for ; p.left > 0; p.left-- {
		err = errors.Join(err, <-p.ended)
		p.cancel()
	}
	p.db.Close()
	return err
}
