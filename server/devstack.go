//go:build !production

package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"kestrel.ai/jobs/emails"
	"kestrel.ai/jobs/resend"
	"kestrel.ai/server/sandbox"
	"kestrel.ai/subdomain"
	"kestrel.ai/supabase"
	"kestrel.ai/supabase/local"
)

// devStack is what stands in for the outside world in dev: Supabase (Postgres, Auth, Storage) and the vendors.
type devStack struct {
	state       *devState
	sandbox     *sandbox.Sandbox
	keys        local.Keys
	databaseURL string // role postgres
	appURL      string // role kestrel_app
	supabaseURL string
	sandboxURL  string
	stops       []func()
}

func (s *devStack) onStop(f func()) { s.stops = append(s.stops, f) }

func (s *devStack) stop() {
	for i := len(s.stops) - 1; i >= 0; i-- {
		s.stops[i]()
	}
	s.stops = nil
}

// startStack starts what environ does not put elsewhere: DATABASE_URL replaces the embedded Postgres, SUPABASE_URL
// the embedded Auth and Storage.
func startStack(ctx context.Context, o devOptions, state *devState, environ map[string]string, public net.Addr, sandboxListener net.Listener, pgLog io.Writer, log *slog.Logger) (_ *devStack, err error) {
	s := &devStack{state: state, sandboxURL: "http://" + sandboxListener.Addr().String()}
	defer func() {
		if err != nil {
			s.stop()
		}
	}()
	s.sandbox, err = sandbox.Open(sandbox.Options{
		AccountSID: state.TwilioSID, AuthToken: state.TwilioToken, ResendKey: state.ResendKey,
		StateFile: filepath.Join(o.data, "sandbox.jsonl"), URL: s.sandboxURL,
	})
	if err != nil {
		return nil, err
	}
	s.onStop(func() { _ = s.sandbox.Close() })
	s.onStop(serveHTTP(sandboxListener, s.sandbox))

	super, err := s.startDatabase(ctx, o, environ, pgLog)
	if err != nil {
		return nil, err
	}
	if environ["SUPABASE_URL"] != "" {
		return s, nil
	}
	if super == "" {
		return nil, errors.New("DATABASE_URL is set and SUPABASE_URL is not: the embedded Auth keeps its users in the embedded Postgres; set both or neither")
	}
	return s, s.startSupabase(ctx, o, super, public, log)
}

// startDatabase returns the superuser's URL of the embedded Postgres, "" for somebody else's database.
func (s *devStack) startDatabase(ctx context.Context, o devOptions, environ map[string]string, log io.Writer) (super string, err error) {
	if s.databaseURL = environ["DATABASE_URL"]; s.databaseURL == "" {
		pg, err := local.StartPostgres(ctx, local.PostgresOptions{Dir: filepath.Join(o.data, "postgres"), Binaries: local.Binaries(supabaseFolder()), Log: log})
		if err != nil {
			return "", err
		}
		s.onStop(func() {
			last, cancel := context.WithTimeout(context.Background(), 15*time.Second)
			defer cancel()
			_ = pg.Stop(last)
		})
		super, s.databaseURL = pg.URL(local.Superuser, "postgres"), pg.URL("postgres", "postgres")
		conn, err := pgx.Connect(ctx, super)
		if err != nil {
			return "", err
		}
		err = errors.Join(local.InstallAuth(ctx, conn), local.InstallStorage(ctx, conn), conn.Close(ctx))
		if err != nil {
			return "", err
		}
	}
	if _, err := supabase.Migrate(ctx, s.databaseURL); err != nil {
		return "", err
	}
	if s.appURL = environ["APP_DATABASE_URL"]; s.appURL != "" {
		return super, nil
	}
	u, err := url.Parse(s.databaseURL)
	if err != nil {
		return "", errors.New("DATABASE_URL is not a postgres:// URL")
	}
	u.User = url.UserPassword("kestrel_app", s.state.AppPassword)
	s.appURL = u.String()
	conn, err := pgx.Connect(ctx, s.databaseURL)
	if err != nil {
		return "", err
	}
	return super, errors.Join(supabase.SetAppPassword(ctx, conn, s.state.AppPassword), conn.Close(ctx))
}

// startSupabase serves Auth and Storage on a port of their own, the same one at every start: it is in links and
// tokens.
func (s *devStack) startSupabase(ctx context.Context, o devOptions, super string, public net.Addr, log *slog.Logger) error {
	key, err := local.LoadOrCreateKey(filepath.Join(o.data, "signing-key.pem"))
	if err != nil {
		return err
	}
	s.keys = local.Keys{Publishable: s.state.PublishableKey, Secret: s.state.SecretKey}
	if s.state.ServiceRoleJWT == "" {
		if s.state.AnonJWT, err = key.RoleJWT("anon", time.Now()); err != nil {
			return err
		}
		if s.state.ServiceRoleJWT, err = key.RoleJWT("service_role", time.Now()); err != nil {
			return err
		}
	}
	s.keys.AnonJWT, s.keys.ServiceJWT = s.state.AnonJWT, s.state.ServiceRoleJWT
	ln, err := net.Listen("tcp", "127.0.0.1:"+strconv.Itoa(s.state.SupabasePort))
	if err != nil {
		if ln, err = net.Listen("tcp", "127.0.0.1:0"); err != nil {
			return err
		}
	}
	s.supabaseURL = "http://" + ln.Addr().String()
	s.state.SupabasePort = ln.Addr().(*net.TCPAddr).Port
	if err := s.state.save(); err != nil {
		return err
	}
	pool, err := pgxpool.New(ctx, super)
	if err != nil {
		return err
	}
	s.onStop(pool.Close)
	mailer, err := s.mailer()
	if err != nil {
		return err
	}
	hosts := subdomain.Hosts{Base: "localhost"}
	mux := http.NewServeMux()
	mux.Handle("/auth/v1/", local.NewAuth(local.AuthOptions{
		Pool: pool, BaseURL: s.supabaseURL, SiteURL: devOrigin(public, ""), Key: key, Keys: s.keys, Mailer: mailer, Log: log,
		RedirectAllow: func(to string) bool {
			u, err := url.Parse(to)
			if err != nil {
				return false
			}
			_, _, err = hosts.Parse(u.Host)
			return err == nil
		},
	}))
	files, err := local.NewStorage(local.StorageOptions{Pool: pool, Dir: filepath.Join(o.data, "storage"), BaseURL: s.supabaseURL, Key: key, Keys: s.keys, MaxBytes: 5 << 30, Log: log})
	if err != nil {
		return err
	}
	mux.Handle("/storage/v1/", files)
	s.onStop(serveHTTP(ln, mux))
	return nil
}

// mailer sends Auth's mails the way Kestrel's own go: rendered by jobs/emails, through Resend's API.
func (s *devStack) mailer() (func(context.Context, local.Mail) error, error) {
	client, err := resend.New(resend.Config{APIKey: s.state.ResendKey, From: devSender, BaseURL: s.sandboxURL})
	if err != nil {
		return nil, err
	}
	return func(ctx context.Context, m local.Mail) error {
		email := resend.Email{To: m.To, Subject: m.Subject, HTML: m.HTML, Text: m.Text}
		content := emails.AuthEmail{URL: m.Link, Code: m.OTP}
		var params emails.Params
		switch m.Kind {
		case "recovery":
			params = emails.AuthRecovery{AuthEmail: content}
		case "magiclink":
			params = emails.AuthMagicLink{AuthEmail: content}
		case "signup":
			params = emails.AuthConfirm{AuthEmail: content}
		case "invite":
			params = emails.AuthInvite{AuthEmail: content}
		}
		if params != nil {
			rendered, err := emails.Render(params.Template(), params)
			if err != nil {
				return err
			}
			email.Subject, email.HTML, email.Text = rendered.Subject, rendered.HTML, rendered.Text
		}
		_, err := client.Send(ctx, email, "auth/"+m.Kind+"/"+m.TokenHash)
		return err
	}, nil
}

const devSender = "hello@kestrel.ai"

// environ is the environment of the parts: the same variables as in production, pointing at the stand-ins.
func (s *devStack) environ(public net.Addr) map[string]string {
	_, port, _ := net.SplitHostPort(public.String())
	return map[string]string{
		"KESTREL_ENV": "dev", "BASE_DOMAIN": "localhost", "PUBLIC_SCHEME": "http", "PUBLIC_PORT": port, "ADDR": public.String(),
		"DATABASE_URL": s.databaseURL, "APP_DATABASE_URL": s.appURL,
		"SUPABASE_URL": s.supabaseURL, "SUPABASE_KEY": s.keys.Publishable, "SUPABASE_SERVICE_KEY": s.keys.Secret,
		"TWILIO_ACCOUNT_SID": s.state.TwilioSID, "TWILIO_AUTH_TOKEN": s.state.TwilioToken, "TWILIO_BASE_URL": s.sandboxURL,
		"RESEND_API_KEY": s.state.ResendKey, "RESEND_BASE_URL": s.sandboxURL, "RESEND_FROM_EMAIL": devSender, "ADMIN_EMAIL": devAdmin,
		"OPENAI_API_KEY": sandbox.DefaultOpenAIKey, "OPENAI_BASE_URL": s.sandboxURL + "/v1", "JOURNAL_DIR": filepath.Join(s.state.dir, "journal"),
		"SESSION_KEY": s.state.SessionKey, "METRICS_ADDR": "127.0.0.1:0", "DRAIN_TIMEOUT": "5s",
		// One person's browser, tests and scripts share one address.
		"RATE_LIMIT_IP": "30000", "RATE_LIMIT_AUTH": "600", "RATE_LIMIT_ONBOARDING": "300",
	}
}

func devOrigin(public net.Addr, label string) string {
	_, port, _ := net.SplitHostPort(public.String())
	if label != "" {
		label += "."
	}
	return "http://" + label + "localhost:" + port
}

// supabaseFolder is the repository's, from where `make dev` runs or beside the binary's folder.
func supabaseFolder() string {
	if _, err := os.Stat("supabase/package.json"); err == nil {
		return "supabase"
	}
	self, err := os.Executable()
	if err != nil {
		return "supabase"
	}
	return filepath.Join(filepath.Dir(self), "..", "supabase")
}

func (s *devStack) writeFaces(cfg Config, data string) error {
	return writeJSON(filepath.Join(data, "dev.json"), faces{
		DatabaseURL: s.databaseURL, AppDatabaseURL: s.appURL, SupabaseURL: cfg.SupabaseURL, PublishableKey: cfg.SupabaseKey,
		ServiceRoleKey: cmp.Or(s.keys.ServiceJWT, cfg.SupabaseServiceKey.Reveal()), SandboxURL: s.sandboxURL,
		URLs: map[string]string{
			"apex": cfg.Origin(""), "admin": cfg.Origin("admin"), "api": cfg.Origin("api"), "haiec": cfg.Origin("haiec"), "sandbox": cfg.Origin("sandbox"),
		},
	})
}

func (s *devStack) banner(cfg Config, o devOptions) string {
	var b strings.Builder
	line := func(name, value string) { fmt.Fprintf(&b, "  %-10s %s\n", name, value) }
	b.WriteString("\nKestrel is ready.\n\n")
	line("admin", cfg.Origin("admin")+"    "+devAdmin+" / "+devAdminPassword)
	if !o.noSeed {
		line("haiec", cfg.Origin("haiec")+"    "+devOwner+" / "+devOwnerPassword)
	}
	line("landing", cfg.Origin(""))
	line("docs", cfg.Origin("")+"/docs")
	line("sandbox", cfg.Origin("sandbox")+"    (a phone, e-mails, numbers, faults; API at "+s.sandboxURL+")")
	line("api", cfg.Origin("api"))
	line("details", filepath.Join(o.data, "dev.json"))
	b.WriteString("\nCtrl-C stops everything; data stays.\n\n")
	return b.String()
}
