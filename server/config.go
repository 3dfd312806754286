package main

import (
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/caarlos0/env/v11"
)

// Config is everything Kestrel reads from its environment. Nothing else in the program reads an environment variable.
//
// The tags are the documentation: `doc` is printed by `kestrel help env` and in the README, `need` lists the
// commands that cannot run without the variable, `check` names a rule of configchecks.go, and `want` says what a
// value looks like when it cannot be parsed.
//
// A vendor without keys is not an error: its features answer 503 until it is configured.
type Config struct {
	Env          string     `env:"KESTREL_ENV" envDefault:"production" check:"environment" doc:"dev or production. Production demands a second factor of platform admins and logs JSON."`
	LogLevel     slog.Level `env:"LOG_LEVEL" envDefault:"info" want:"debug, info, warn or error" doc:"Least level that is logged: debug, info, warn or error."`
	BaseDomain   string     `env:"BASE_DOMAIN" need:"serve,work" check:"domain" doc:"The apex that every host hangs under, e.g. kestrel.ai; localhost in dev."`
	PublicScheme string     `env:"PUBLIC_SCHEME" envDefault:"https" check:"scheme" doc:"Scheme of links and cookies: https, or http in dev."`
	PublicPort   uint16     `env:"PUBLIC_PORT" envDefault:"0" want:"a port number" doc:"Port in links; 0 is the scheme's own."`
	Addr         string     `env:"ADDR" envDefault:":8080" check:"listen" doc:"Address that serve listens on."`
	MetricsAddr  string     `env:"METRICS_ADDR" envDefault:"127.0.0.1:9090" check:"listen" doc:"Private address of /metrics and pprof: never expose it."`

	DatabaseURL       Secret `env:"DATABASE_URL" need:"migrate" check:"postgres" doc:"Postgres as the role postgres, on a direct or session connection: migrations and scripts only."`
	AppDatabaseURL    Secret `env:"APP_DATABASE_URL" need:"serve,work,admin" check:"postgres" doc:"Postgres as the role kestrel_app, which can read nothing without a scope. pool_max_conns=N in it sizes the pool."`
	ListenDatabaseURL Secret `env:"LISTEN_DATABASE_URL" check:"postgres" doc:"A session or direct URL as kestrel_app for LISTEN, when APP_DATABASE_URL is a transaction pooler. Default: APP_DATABASE_URL."`

	SupabaseURL        string   `env:"SUPABASE_URL" need:"serve,work" check:"url" doc:"The Supabase project, e.g. https://abcd.supabase.co."`
	SupabaseKey        string   `env:"SUPABASE_KEY" need:"serve,work" check:"public_key" doc:"Its public key: sb_publishable_… or the legacy anon JWT."`
	SupabaseServiceKey Secret   `env:"SUPABASE_SERVICE_KEY" need:"serve,work" check:"service_key" doc:"Its secret key: sb_secret_… or the legacy service_role JWT."`
	SupabaseJWTSecret  Secret   `env:"SUPABASE_JWT_SECRET" doc:"Legacy HS256 secret, only for projects that still sign with it."`
	SupabaseJWTAlgs    []string `env:"SUPABASE_JWT_ALGS" check:"jwt_algs" doc:"Algorithms a token may be signed with, of ES256, RS256 and HS256. Default: ES256,RS256, and HS256 when SUPABASE_JWT_SECRET is set."`

	TwilioAccountSID string `env:"TWILIO_ACCOUNT_SID" check:"twilio_sid" doc:"Twilio account, AC…"`
	TwilioAuthToken  Secret `env:"TWILIO_AUTH_TOKEN" doc:"Twilio auth token: calls the API and checks webhook signatures."`
	TwilioBaseURL    string `env:"TWILIO_BASE_URL" check:"url" doc:"Replaces Twilio's API address (the sandbox sets it)."`
	BaseWebhookURL   string `env:"BASE_WEBHOOK_URL" check:"url" doc:"Where Twilio reaches Kestrel. Default: the api. host of BASE_DOMAIN."`

	ResendAPIKey    Secret `env:"RESEND_API_KEY" doc:"Resend key, re_…"`
	ResendBaseURL   string `env:"RESEND_BASE_URL" check:"url" doc:"Replaces Resend's API address (the sandbox sets it)."`
	ResendFromEmail string `env:"RESEND_FROM_EMAIL" check:"email" doc:"Sender of every e-mail, at a domain verified with Resend."`
	AdminEmail      string `env:"ADMIN_EMAIL" check:"email" doc:"Who is told of signups and of what failed."`

	OpenAIAPIKey  Secret `env:"OPENAI_API_KEY" doc:"OpenAI key, sk-…"`
	OpenAIBaseURL string `env:"OPENAI_BASE_URL" check:"url" doc:"Replaces OpenAI's API address, https://api.openai.com/v1 (the sandbox sets it)."`

	OpenAIRealtimeModel      string `env:"OPENAI_REALTIME_MODEL" envDefault:"gpt-realtime-2.1" doc:"Model that speaks with callers."`
	OpenAITranscriptionModel string `env:"OPENAI_TRANSCRIPTION_MODEL" envDefault:"gpt-4o-mini-transcribe" doc:"Model that writes down what callers say. OpenAI shuts gpt-4o-mini-transcribe down on 26 February 2027; its successors are priced by the minute."`
	OpenAIAnalysisModel      string `env:"OPENAI_ANALYSIS_MODEL" envDefault:"gpt-5.4-mini" doc:"Model that reads transcripts and answers texts."`
	OpenAIVoice              string `env:"OPENAI_VOICE" envDefault:"marin" doc:"Voice of receptionists that have chosen none."`
	VoiceMaxCalls            int    `env:"VOICE_MAX_CALLS" envDefault:"0" want:"a whole number" check:"not_negative" doc:"Calls that one process takes at a time; more are forwarded or sent to voicemail. 0: 400 for each processor."`
	JournalDir               string `env:"JOURNAL_DIR" doc:"Folder in which events of calls wait for Postgres. On a volume they survive the machine, else the process. Default: kestrel-journal in the folder for temporary files."`
	JournalMB                int    `env:"JOURNAL_MAX_MB" envDefault:"256" want:"a whole number" check:"positive" doc:"Most it may hold; then the oldest events are dropped, loudly."`

	SessionKey          Secret         `env:"SESSION_KEY" need:"serve" check:"long" doc:"Signs cookies; the same on every web process: openssl rand -hex 32."`
	TrustedProxies      []netip.Prefix `env:"TRUSTED_PROXIES" want:"networks such as 172.16.0.0/12,fdaa::/16" doc:"Networks whose CLIENT_IP_HEADER and REQUEST_ID_HEADER are believed."`
	ClientIPHeader      string         `env:"CLIENT_IP_HEADER" envDefault:"Fly-Client-IP" check:"header" doc:"Header in which a trusted proxy puts the caller's address."`
	RequestIDHeader     string         `env:"REQUEST_ID_HEADER" envDefault:"Fly-Request-Id" check:"header" doc:"Header in which a trusted proxy puts the request's id."`
	RateLimitIP         int            `env:"RATE_LIMIT_IP" envDefault:"600" want:"a whole number" check:"positive" doc:"Requests a minute from one address, per process."`
	RateLimitUser       int            `env:"RATE_LIMIT_USER" envDefault:"600" want:"a whole number" check:"positive" doc:"Requests a minute by one signed-in person, per process."`
	RateLimitKey        int            `env:"RATE_LIMIT_KEY" envDefault:"600" want:"a whole number" check:"positive" doc:"Requests a minute with one API key, per process."`
	RateLimitAuth       int            `env:"RATE_LIMIT_AUTH" envDefault:"60" want:"a whole number" check:"positive" doc:"Sign-ins, signups and recoveries a minute from one address, per process."`
	RateLimitOnboarding int            `env:"RATE_LIMIT_ONBOARDING" envDefault:"30" want:"a whole number" check:"positive" doc:"Onboarding requests a minute from one address, per process."`
	DrainTimeout        time.Duration  `env:"DRAIN_TIMEOUT" envDefault:"25s" want:"a duration such as 25s" check:"positive" doc:"How long requests, calls and jobs may finish after SIGTERM; calls that are left are handed over up to 3 s before its end. Keep it under the platform's kill time-out."`

	TrialGrace time.Duration `env:"TRIAL_GRACE" envDefault:"0s" want:"a duration such as 24h" check:"not_negative" doc:"How long after a trial's end calls are still answered, before the tenant is suspended."`

	// What vendors charge, for our own reckoning; no tenant is billed by it. As published, read on 24 November 2026:
	// developers.openai.com/api/docs/models/gpt-realtime-2.1 and …/gpt-4o-mini-transcribe for what is spoken, resellers' lists
	// (docs.venice.ai, openrouter.ai) for gpt-5.4-mini, Twilio's US price of texts of October 2026 as quoted by API Evangelist.
	// Twilio's prices of numbers and minutes could not be looked up: compare twilio.com/en-us/voice/pricing/us.
	CostNumberMonth     float64 `env:"COST_NUMBER_MONTH" envDefault:"1.15" want:"US dollars, e.g. 1.15" check:"cost" doc:"US dollars a local phone number costs per month. Not verified."`
	CostTollFreeMonth   float64 `env:"COST_TOLL_FREE_MONTH" envDefault:"2.15" want:"US dollars, e.g. 2.15" check:"cost" doc:"US dollars a toll-free phone number costs per month. Not verified."`
	CostIncomingMinute  float64 `env:"COST_INCOMING_MINUTE" envDefault:"0.0085" want:"US dollars, e.g. 0.0085" check:"cost" doc:"US dollars per minute of an incoming call. Not verified."`
	CostOutgoingMinute  float64 `env:"COST_OUTGOING_MINUTE" envDefault:"0.014" want:"US dollars, e.g. 0.014" check:"cost" doc:"US dollars per minute of an outgoing call. Not verified."`
	PriceInputText      float64 `env:"OPENAI_PRICE_INPUT_TEXT" envDefault:"4" want:"US dollars, e.g. 4" check:"cost" doc:"US dollars per million text tokens the realtime model reads."`
	PriceInputAudio     float64 `env:"OPENAI_PRICE_INPUT_AUDIO" envDefault:"32" want:"US dollars, e.g. 32" check:"cost" doc:"US dollars per million audio tokens it hears."`
	PriceCachedText     float64 `env:"OPENAI_PRICE_CACHED_TEXT" envDefault:"0.4" want:"US dollars, e.g. 0.4" check:"cost" doc:"US dollars per million text tokens it has read before."`
	PriceCachedAudio    float64 `env:"OPENAI_PRICE_CACHED_AUDIO" envDefault:"0.4" want:"US dollars, e.g. 0.4" check:"cost" doc:"US dollars per million audio tokens it has heard before."`
	PriceOutputText     float64 `env:"OPENAI_PRICE_OUTPUT_TEXT" envDefault:"24" want:"US dollars, e.g. 24" check:"cost" doc:"US dollars per million text tokens it writes."`
	PriceOutputAudio    float64 `env:"OPENAI_PRICE_OUTPUT_AUDIO" envDefault:"64" want:"US dollars, e.g. 64" check:"cost" doc:"US dollars per million audio tokens it speaks."`
	PriceAnalysisInput  float64 `env:"OPENAI_PRICE_ANALYSIS_INPUT" envDefault:"0.75" want:"US dollars, e.g. 0.75" check:"cost" doc:"US dollars per million tokens that OPENAI_ANALYSIS_MODEL reads. By resellers' lists: OpenAI's own was not at hand."`
	PriceAnalysisCached float64 `env:"OPENAI_PRICE_ANALYSIS_CACHED" envDefault:"0.075" want:"US dollars, e.g. 0.075" check:"cost" doc:"US dollars per million tokens it has read before."`
	PriceAnalysisOutput float64 `env:"OPENAI_PRICE_ANALYSIS_OUTPUT" envDefault:"4.5" want:"US dollars, e.g. 4.5" check:"cost" doc:"US dollars per million tokens it writes."`
	PriceTranscription  float64 `env:"OPENAI_PRICE_TRANSCRIPTION" envDefault:"2.2" want:"US dollars, e.g. 2.2" check:"cost" doc:"US dollars per million tokens of writing down what callers say. OpenAI asks 1.25 for those that go in and 5 for those that come out: the mean at 3 to 1, which is an estimate."`
	CostSMS             float64 `env:"COST_SMS" envDefault:"0.0083" want:"US dollars, e.g. 0.0083" check:"cost" doc:"US dollars per text message, carriers' fees apart."`
}

// LoadConfig parses and validates environ for one command ("serve", "work", …). An empty variable counts as unset.
// The error has one line for each variable that is wrong, naming it and how to mend it, and never its value where
// that is a secret.
func LoadConfig(command string, environ map[string]string) (Config, error) {
	set := make(map[string]string, len(environ))
	for name, value := range environ {
		if value = strings.TrimSpace(value); value != "" {
			set[name] = value
		}
	}
	for _, v := range variables() {
		if v.list {
			set[v.Name] = strings.ReplaceAll(set[v.Name], " ", "")
		}
	}
	cfg, err := env.ParseAsWithOptions[Config](env.Options{Environment: set})
	if err != nil {
		return Config{}, parseProblems(err)
	}
	var problems []error
	rules := checks()
	for _, v := range variables() {
		problem := ""
		switch {
		case set[v.Name] == "" && slices.Contains(v.Needs, command):
			problem = "is not set; " + command + " needs it: " + v.Doc
		case set[v.Name] != "" && v.check != "":
			problem = rules[v.check](set[v.Name])
		}
		if problem != "" {
			problems = append(problems, fmt.Errorf("%s %s", v.Name, problem))
		}
	}
	problems = append(problems, cfg.halves()...)
	if len(problems) > 0 {
		return Config{}, errors.Join(problems...)
	}
	cfg.derive()
	return cfg, nil
}

// derive fills in what has a default that depends on another variable.
func (c *Config) derive() {
	c.SupabaseURL = strings.TrimRight(c.SupabaseURL, "/")
	c.BaseDomain = strings.ToLower(c.BaseDomain)
	if c.ListenDatabaseURL == "" {
		c.ListenDatabaseURL = c.AppDatabaseURL
	}
	if len(c.SupabaseJWTAlgs) == 0 {
		c.SupabaseJWTAlgs = []string{"ES256", "RS256"}
		if c.SupabaseJWTSecret != "" {
			c.SupabaseJWTAlgs = append(c.SupabaseJWTAlgs, "HS256")
		}
	}
	if c.BaseWebhookURL == "" && c.BaseDomain != "" {
		c.BaseWebhookURL = c.Origin("api")
	}
	c.BaseWebhookURL = strings.TrimRight(c.BaseWebhookURL, "/")
	if c.JournalDir == "" {
		c.JournalDir = filepath.Join(os.TempDir(), "kestrel-journal")
	}
}

// Origin is the scheme and host (and port, where not the scheme's own) of a label under the base domain, without a
// trailing slash; the empty label is the apex.
func (c Config) Origin(label string) string {
	host := c.BaseDomain
	if label != "" {
		host = label + "." + host
	}
	if c.PublicPort != 0 {
		host = fmt.Sprintf("%s:%d", host, c.PublicPort)
	}
	return c.PublicScheme + "://" + host
}

// Production reports whether the strict rules (second factor for admins, secure cookies) hold.
func (c Config) Production() bool { return c.Env == "production" }

// TwilioConfigured reports whether numbers can be bought and webhooks verified.
func (c Config) TwilioConfigured() bool { return c.TwilioAccountSID != "" && c.TwilioAuthToken != "" }

// ResendConfigured reports whether e-mails can be sent.
func (c Config) ResendConfigured() bool { return c.ResendAPIKey != "" && c.ResendFromEmail != "" }

// OpenAIConfigured reports whether the agent can answer calls.
func (c Config) OpenAIConfigured() bool { return c.OpenAIAPIKey != "" }
