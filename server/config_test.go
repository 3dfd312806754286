package main

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"log/slog"
	"maps"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// enough is the least environment in which serve starts.
func enough() map[string]string {
	return map[string]string{
		"BASE_DOMAIN":          "kestrel.ai",
		"APP_DATABASE_URL":     "postgres://kestrel_app:pw@db.example:5432/postgres",
		"SUPABASE_URL":         "https://abcd.supabase.co/",
		"SUPABASE_KEY":         "sb_publishable_x",
		"SUPABASE_SERVICE_KEY": "sb_secret_x",
		"SESSION_KEY":          strings.Repeat("k", 32),
	}
}

func legacyKey(role string) string {
	return "e30." + base64.RawURLEncoding.EncodeToString([]byte(`{"role":"`+role+`"}`)) + ".c2ln"
}

func TestLoadConfigDerives(t *testing.T) {
	t.Parallel()
	environ := enough()
	environ["TRUSTED_PROXIES"] = "172.16.0.0/12, fdaa::/16"
	environ["LOG_LEVEL"] = ""
	cfg, err := LoadConfig("serve", environ)
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]any{
		"webhooks":   cfg.BaseWebhookURL,
		"supabase":   cfg.SupabaseURL,
		"listen":     cfg.ListenDatabaseURL.Reveal(),
		"algs":       strings.Join(cfg.SupabaseJWTAlgs, " "),
		"level":      cfg.LogLevel,
		"proxies":    fmt.Sprint(cfg.TrustedProxies),
		"production": cfg.Production(),
		"vendors":    cfg.TwilioConfigured() || cfg.ResendConfigured() || cfg.OpenAIConfigured(),
		"apex":       cfg.Origin(""),
		"costs":      []float64{cfg.CostNumberMonth, cfg.CostIncomingMinute, cfg.CostOutgoingMinute, cfg.CostSMS},
	}
	want := map[string]any{
		"webhooks":   "https://api.kestrel.ai",
		"supabase":   "https://abcd.supabase.co",
		"listen":     environ["APP_DATABASE_URL"],
		"algs":       "ES256 RS256",
		"level":      slog.LevelInfo,
		"proxies":    "[172.16.0.0/12 fdaa::/16]",
		"production": true,
		"vendors":    false,
		"apex":       "https://kestrel.ai",
		"costs":      []float64{1.15, 0.0085, 0.014, 0.0083},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

func TestLoadConfigTakesBothKeyStyles(t *testing.T) {
	t.Parallel()
	environ := enough()
	environ["SUPABASE_KEY"], environ["SUPABASE_SERVICE_KEY"] = legacyKey("anon"), legacyKey("service_role")
	environ["SUPABASE_JWT_SECRET"] = "legacy"
	cfg, err := LoadConfig("work", environ)
	if err != nil {
		t.Fatal(err)
	}
	if got := strings.Join(cfg.SupabaseJWTAlgs, " "); got != "ES256 RS256 HS256" {
		t.Errorf("algorithms are %q", got)
	}
}

func TestOriginNamesThePort(t *testing.T) {
	t.Parallel()
	environ := enough()
	maps.Copy(environ, map[string]string{"BASE_DOMAIN": "localhost", "PUBLIC_SCHEME": "http", "PUBLIC_PORT": "8080", "KESTREL_ENV": "dev"})
	cfg, err := LoadConfig("serve", environ)
	if err != nil {
		t.Fatal(err)
	}
	if got := cfg.Origin("haiec"); got != "http://haiec.localhost:8080" {
		t.Error(got)
	}
}

func TestLoadConfigNamesTheVariableAndTheMend(t *testing.T) {
	t.Parallel()
	tests := []struct{ name, value, want string }{
		{"BASE_DOMAIN", "", "BASE_DOMAIN is not set; serve needs it: "},
		{"BASE_DOMAIN", "https://kestrel.ai", "must be a bare domain"},
		{"KESTREL_ENV", "prod", "must be dev or production"},
		{"LOG_LEVEL", "loud", "LOG_LEVEL must be debug, info, warn or error"},
		{"PUBLIC_SCHEME", "ftp", "must be https or http"},
		{"PUBLIC_PORT", "70000", "PUBLIC_PORT must be a port number"},
		{"ADDR", "8080", "must be host:port or :port"},
		{"APP_DATABASE_URL", "mysql://hunter2@db", "must be postgres://"},
		{"APP_DATABASE_URL", "postgres://u:hunter2%zz@db", "percent-encoded"},
		{"SUPABASE_URL", "abcd.supabase.co", "must be an http(s) URL"},
		{"SUPABASE_KEY", "sb_secret_hunter2", "holds a secret key"},
		{"SUPABASE_KEY", legacyKey("service_role"), "holds a secret key"},
		{"SUPABASE_SERVICE_KEY", legacyKey("anon"), "holds a public key"},
		{"SUPABASE_JWT_ALGS", "none", "must list only ES256, RS256 and HS256"},
		{"SUPABASE_JWT_ALGS", "HS256", "SUPABASE_JWT_SECRET is not set"},
		{"TWILIO_ACCOUNT_SID", "SKhunter2", "starts with AC"},
		{"TWILIO_AUTH_TOKEN", "hunter2", "TWILIO_ACCOUNT_SID is not set"},
		{"RESEND_API_KEY", "hunter2", "RESEND_FROM_EMAIL is not set"},
		{"ADMIN_EMAIL", "nobody", "must be an e-mail address"},
		{"TRUSTED_PROXIES", "10.0.0.0", "TRUSTED_PROXIES must be networks such as"},
		{"SESSION_KEY", "hunter2", "must have 32 characters"},
		{"RATE_LIMIT_IP", "0", "must be more than zero"},
		{"DRAIN_TIMEOUT", "25", "DRAIN_TIMEOUT must be a duration such as 25s"},
		{"COST_SMS", "-1", "must not be negative"},
	}
	for _, test := range tests {
		t.Run(test.name+"="+test.value, func(t *testing.T) {
			t.Parallel()
			environ := enough()
			environ[test.name] = test.value
			_, err := LoadConfig("serve", environ)
			if err == nil || !strings.Contains(err.Error(), test.want) {
				t.Fatalf("got %v, want …%s…", err, test.want)
			}
			if strings.Contains(err.Error(), "hunter2") {
				t.Errorf("the error repeats a secret: %v", err)
			}
		})
	}
}

func TestSecretsArePrintedNowhere(t *testing.T) {
	t.Parallel()
	environ := enough()
	environ["TWILIO_ACCOUNT_SID"], environ["TWILIO_AUTH_TOKEN"] = "AC1", "hunter2"
	cfg, err := LoadConfig("serve", environ)
	if err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%d"} {
		fmt.Fprintf(&out, verb, cfg)
		fmt.Fprintf(&out, verb, cfg.TwilioAuthToken)
	}
	if err := json.NewEncoder(&out).Encode(cfg); err != nil {
		t.Fatal(err)
	}
	slog.New(slog.NewTextHandler(&out, nil)).Info("config", "cfg", cfg, "token", cfg.TwilioAuthToken)
	slog.New(slog.NewJSONHandler(&out, nil)).Info("config", "cfg", cfg, "token", cfg.TwilioAuthToken)
	for _, secret := range []string{"hunter2", fmt.Sprintf("%x", "hunter2"), ":pw@", "kkkk"} {
		if strings.Contains(out.String(), secret) {
			t.Errorf("%s was printed in %s", secret, &out)
		}
	}
	if cfg.TwilioAuthToken.Reveal() != "hunter2" {
		t.Error("Reveal does not give the value")
	}
}

func TestEveryVariableIsDocumented(t *testing.T) {
	t.Parallel()
	rules := checks()
	commands := []string{"serve", "work", "migrate", "admin"}
	for _, v := range variables() {
		if v.Name == "" || v.Doc == "" {
			t.Errorf("%+v has no name or no doc", v)
		}
		if v.check != "" && rules[v.check] == nil {
			t.Errorf("%s names the unknown check %q", v.Name, v.check)
		}
		for _, command := range v.Needs {
			if !slices.Contains(commands, command) {
				t.Errorf("%s is needed by the unknown command %q", v.Name, command)
			}
		}
	}
}

func TestReadmeHasTheEnvironmentTable(t *testing.T) {
	t.Parallel()
	readme, err := os.ReadFile("../README.md")
	if err != nil {
		t.Fatal(err)
	}
	const begin, end = "<!-- kestrel help env -->\n", "<!-- end -->"
	_, rest, found := strings.Cut(string(readme), begin)
	table, _, closed := strings.Cut(rest, end)
	if !found || !closed {
		t.Fatalf("README.md has no table between %q and %q", begin, end)
	}
	if diff := cmp.Diff(environmentTable(), table); diff != "" {
		t.Errorf("README.md's environment table is stale: run `make readme`\n%s", diff)
	}
}
