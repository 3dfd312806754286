//go:build !production

package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"syscall"
	"time"
)

// devOptions are `kestrel dev`'s flags.
type devOptions struct {
	addr, sandboxAddr, data string
	noSeed                  bool
}

func (p process) devOptions() (o devOptions, err error) {
	flags := flag.NewFlagSet("dev", flag.ContinueOnError)
	flags.StringVar(&o.addr, "addr", "127.0.0.1:8080", "loopback `address` of the dashboards and the API")
	flags.StringVar(&o.sandboxAddr, "sandbox-addr", "127.0.0.1:8090", "loopback `address` of the stand-ins for Twilio and Resend")
	flags.StringVar(&o.data, "data", ".kestrel", "`folder` of the database, files, keys and log")
	flags.BoolVar(&o.noSeed, "no-seed", false, "start with the platform admin and no tenants")
	if err := p.parse(flags, 0); err != nil {
		return o, err
	}
	o.data, err = filepath.Abs(o.data)
	return o, err
}

// runDev is everything in one process: embedded Postgres, Auth and Storage, the sandbox, server and workers.
func runDev(ctx context.Context, p process) error {
	o, err := p.devOptions()
	if err != nil {
		return err
	}
	started := time.Now()
	public, err := listenLoopback("addr", o.addr)
	if err != nil {
		return err
	}
	defer func() { _ = public.Close() }()
	sandboxListener, err := listenLoopback("sandbox-addr", o.sandboxAddr)
	if err != nil {
		return err
	}
	defer func() { _ = sandboxListener.Close() }()

	state, err := openDevState(o.data)
	if err != nil {
		return err
	}
	logFile, err := os.OpenFile(filepath.Join(o.data, "kestrel.log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	defer func() { _ = logFile.Close() }()
	log := newLogger(io.MultiWriter(p.stderr, logFile), Config{Env: "dev"})

	stack, err := startStack(ctx, o, state, p.environ, public.Addr(), sandboxListener, logFile, log)
	if err != nil {
		return err
	}
	defer stack.stop()
	environ := stack.environ(public.Addr())
	maps.Copy(environ, devOverrides(p.environ))
	cfg, err := LoadConfig("serve", environ)
	if err != nil {
		return err
	}

	var seeded atomic.Bool
	server, err := startParts(ctx, cfg, log, partsOptions{web: true, work: true, sandbox: stack.sandbox, listener: public, ready: func(context.Context) error {
		if !seeded.Load() {
			return errors.New("seeding")
		}
		return nil
	}})
	if err != nil {
		return err
	}
	if err := stack.seed(ctx, cfg, server.db, public.Addr().String(), o.noSeed); err != nil {
		if ctx.Err() == nil {
			err = fmt.Errorf("seed: %w", err)
		}
		return errors.Join(err, server.wait(true))
	}
	if err := stack.writeFaces(cfg, o.data); err != nil {
		return errors.Join(err, server.wait(true))
	}
	seeded.Store(true)
	log.Info("ready", "took", time.Since(started).Round(time.Millisecond), "url", cfg.Origin("admin"))
	_, _ = io.WriteString(p.stdout, stack.banner(cfg, o))
	return server.wait(false)
}

// devOverrides are the variables that a developer may set for `kestrel dev`: where the database and Supabase are.
// Vendor keys are not among them: dev never reaches a real vendor.
func devOverrides(environ map[string]string) map[string]string {
	set := map[string]string{}
	for _, name := range []string{
		"DATABASE_URL", "APP_DATABASE_URL", "LISTEN_DATABASE_URL", "SUPABASE_URL", "SUPABASE_KEY", "SUPABASE_SERVICE_KEY", "SUPABASE_JWT_SECRET",
		"SUPABASE_JWT_ALGS", "ADMIN_EMAIL", "RESEND_FROM_EMAIL", "LOG_LEVEL", "RATE_LIMIT_IP", "RATE_LIMIT_USER", "RATE_LIMIT_KEY", "DRAIN_TIMEOUT",
	} {
		if v := strings.TrimSpace(environ[name]); v != "" {
			set[name] = v
		}
	}
	return set
}

// listenLoopback refuses addresses that other machines could reach: dev has well-known passwords.
func listenLoopback(name, addr string) (net.Listener, error) {
	host, _, err := net.SplitHostPort(addr)
	if err != nil {
		return nil, fmt.Errorf("--%s %s: not an address such as 127.0.0.1:8080", name, addr)
	}
	if ip := net.ParseIP(host); host != "localhost" && (ip == nil || !ip.IsLoopback()) {
		return nil, fmt.Errorf("--%s %s: kestrel dev only listens on loopback, e.g. 127.0.0.1:8080", name, addr)
	}
	ln, err := net.Listen("tcp", addr)
	if errors.Is(err, syscall.EADDRINUSE) {
		return nil, fmt.Errorf("--%s %s: the port is in use; stop what uses it or choose another", name, addr)
	}
	if err != nil {
		return nil, fmt.Errorf("--%s %s: %w", name, addr, err)
	}
	return ln, nil
}

// faces is dev.json: where everything is, for psql, Studio and scripts.
type faces struct {
	DatabaseURL    string            `json:"database_url"`
	AppDatabaseURL string            `json:"app_database_url"`
	SupabaseURL    string            `json:"supabase_url"`
	PublishableKey string            `json:"publishable_key"`
	ServiceRoleKey string            `json:"service_role_key"`
	SandboxURL     string            `json:"sandbox_url"`
	URLs           map[string]string `json:"urls"`
}

func writeJSON(path string, v any) error {
	body, err := json.MarshalIndent(v, "", "  ")
	if err != nil {
		return err
	}
	tmp := path + ".new"
	if err := os.WriteFile(tmp, append(body, '\n'), 0o600); err != nil {
		return err
	}
	return os.Rename(tmp, path)
}

// serveHTTP serves handler on ln until the returned function stops it.
func serveHTTP(ln net.Listener, handler http.Handler) (stop func()) {
	server := &http.Server{Handler: handler, ReadHeaderTimeout: 10 * time.Second}
	go func() { _ = server.Serve(ln) }()
	return func() {
		ctx, cancel := context.WithTimeout(context.Background(), 2*time.Second)
		defer cancel()
		if server.Shutdown(ctx) != nil {
			_ = server.Close()
		}
	}
}
