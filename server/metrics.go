package main

import (
	"log/slog"
	"net"
	"net/http"
	"net/http/pprof"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"kestrel.ai/supabase"
)

// serveMetrics answers /metrics and pprof on the private address until stop. A port in use is no reason not to serve
// customers: it is logged.
func serveMetrics(addr string, registry *prometheus.Registry, db *supabase.DB, log *slog.Logger) (stop func()) {
	ln, err := net.Listen("tcp", addr)
	if err != nil {
		log.Error("METRICS_ADDR cannot be listened on; no metrics", "error", err)
		return func() {}
	}
	gauge := func(name, help string, value func() float64) {
		registry.MustRegister(prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: name, Help: help}, value))
	}
	registry.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	gauge("kestrel_db_connections", "Open database connections.", func() float64 { return float64(db.Pool().Stat().TotalConns()) })
	gauge("kestrel_db_connections_in_use", "Database connections that run something.", func() float64 { return float64(db.Pool().Stat().AcquiredConns()) })
	mux := http.NewServeMux()
	mux.Handle("/metrics", promhttp.HandlerFor(registry, promhttp.HandlerOpts{}))
	mux.HandleFunc("/debug/pprof/", pprof.Index)
	mux.HandleFunc("/debug/pprof/profile", pprof.Profile)
	mux.HandleFunc("/debug/pprof/symbol", pprof.Symbol)
	mux.HandleFunc("/debug/pprof/trace", pprof.Trace)
	server := &http.Server{Handler: mux, ReadHeaderTimeout: 5 * time.Second}
	go func() { _ = server.Serve(ln) }()
	return func() { _ = server.Close() }
}
