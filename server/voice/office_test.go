package voice_test

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"reflect"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gofiber/fiber/v2"
	"github.com/google/uuid"
	"github.com/jackc/pgx/v5/pgxpool"

	"kestrel.ai/jobs/twilio"
	"kestrel.ai/server/agent"
	"kestrel.ai/server/edge"
	"kestrel.ai/server/sandbox"
	"kestrel.ai/server/voice"
	"kestrel.ai/server/voice/realtime"
	"kestrel.ai/subdomain"
	"kestrel.ai/supabase"
	"kestrel.ai/supabase/db"
	"kestrel.ai/supabase/supabasetest"
)

// office is a process's whole telephone side over a real Postgres that can be cut off, with the sandbox at the other end.
type office struct {
	t         testing.TB
	admin     *pgxpool.Pool // reaches Postgres past the line that can be cut
	db        *supabase.DB
	line      *severable
	sandbox   *sandbox.Sandbox
	twilio    *twilio.Client
	vendor    string
	dir       string
	directory *voice.Directory
	journal   *voice.Journal
	bridge    *voice.Bridge
	lines     voice.Lines // nil is bridge
	tokens    *voice.Minter
	base      string // of the api. host
	log       logbook
	stop      func()
}

// logbook is what the process logged so far, of warnings and worse.
type logbook struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (l *logbook) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(p)
}

func (l *logbook) count(part string) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return strings.Count(l.text.String(), part)
}

const (
	haiec       = "+18573825169"
	haiecOwner  = "+16175550100"
	sessionKey  = "0123456789abcdef0123456789abcdef"
	aCaller     = "+16175550123"
	noModel     = "no model"
	prettyQuick = 20 * time.Second
)

// newOffice has HAIEC in it, active, with its number, and an owner who can be forwarded to.
func newOffice(t testing.TB, without ...string) *office {
	t.Helper()
	database := supabasetest.New(t)
	o := &office{t: t, admin: database.Admin, line: newSeverable(t, database.AppURL), dir: t.TempDir(), sandbox: sandbox.New(sandbox.Options{Speed: 8})}
	vendor := httptest.NewServer(o.sandbox)
	o.vendor = vendor.URL
	t.Cleanup(vendor.Close)
	var err error
	o.twilio, err = twilio.New(twilio.Config{AccountSID: sandbox.DefaultAccountSID, AuthToken: sandbox.DefaultAuthToken, BaseURL: vendor.URL})
	o.must(err)
	o.db, err = supabase.Open(t.Context(), o.line.url)
	o.must(err)
	t.Cleanup(o.db.Close)
	o.start(len(without) == 0)
	t.Cleanup(func() { o.stop() })
	o.company("haiec", haiec, haiecOwner)
	return o
}

// start begins the process; o.stop ends it, and another may be started over the same journal.
func (o *office) start(withModel bool) {
	o.t.Helper()
	log := slog.New(slog.NewTextHandler(io.MultiWriter(o.t.Output(), &o.log), &slog.HandlerOptions{Level: slog.LevelWarn}))
	socket, err := net.Listen("tcp", "127.0.0.1:0")
	o.must(err)
	o.base = fmt.Sprintf("http://api.localhost:%d", socket.Addr().(*net.TCPAddr).Port)
	o.directory = voice.NewDirectory(o.db, time.Now, log)
	book := voice.NewBook(o.db, voice.Prices{IncomingMinute: 0.0085, OutputAudio: 64, InputAudio: 32}, o.directory)
	o.journal, err = voice.OpenJournal(voice.JournalOptions{Dir: o.dir, Apply: book.Apply, Log: log})
	o.must(err)
	o.tokens = voice.NewMinter([]byte(sessionKey), o.directory.Profile, voice.NewUses(o.db, o.journal), time.Now, log)
	options := voice.Options{
		Desk: agent.NewDesk(o.db, time.Now), Tokens: o.tokens, Log: log,
		Recorder: &voice.Recordings{Recorder: o.journal, Start: o.twilio.StartRecording, Profiles: o.directory, Base: o.base, Log: log},
	}
	if withModel {
		options.Model, err = realtime.New(realtime.Config{APIKey: sandbox.DefaultOpenAIKey, BaseURL: o.vendor + "/v1", Model: "gpt-realtime-2.1", Voice: "marin", Transcription: "gpt-4o-mini-transcribe", Log: log})
		o.must(err)
	}
	o.bridge, err = voice.New(options)
	o.must(err)
	lines := o.lines
	if lines == nil {
		lines = o.bridge
	}
	hooks, err := voice.NewHooks(voice.HooksOptions{
		Base: o.base, AuthToken: sandbox.DefaultAuthToken, Directory: o.directory, Lines: lines, Tokens: o.tokens, Journal: o.journal,
		DB: db.New(o.db.As(supabase.AsService("webhook:twilio"))), Log: log,
	})
	o.must(err)
	identities := edge.NewDatabase(o.db)
	gate, err := edge.New(edge.Config{Hosts: subdomain.Hosts{Base: "localhost"}, Scheme: "http", Dev: true, Log: log}, edge.Deps{
		Tenants: subdomain.NewCache(supabase.NewRouting(o.db), subdomain.CacheOptions{}), Tokens: nobody{}, Directory: identities, Tickets: identities,
	})
	o.must(err)
	app := fiber.New(gate.FiberConfig())
	app.Use(gate.Handle)
	hooks.Register(app)
	listener := supabase.NewListener(o.line.url, slog.New(slog.DiscardHandler))
	listener.Subscribe(o.directory.Heard)
	ctx, cancel := context.WithCancel(context.Background())
	var running sync.WaitGroup
	running.Go(func() { listener.Run(ctx) })
	running.Go(func() { o.directory.Run(ctx) })
	running.Go(func() { o.journal.Run(ctx) })
	running.Go(func() { _ = app.Listener(socket) })
	o.stop = sync.OnceFunc(func() {
		last, end := context.WithTimeout(context.Background(), 2*time.Second)
		defer end()
		_ = o.bridge.Drain(last)
		_ = app.ShutdownWithContext(last)
		o.journal.Settle(ctx, time.Second)
		cancel()
		running.Wait()
		o.journal.Close()
	})
	o.until("the directory is loaded", o.directory.Loaded)
}

type nobody struct{}

func (nobody) Verify(context.Context, string) (*supabase.Claims, error) {
	return nil, supabase.ErrToken
}

func (o *office) must(err error) {
	o.t.Helper()
	if err != nil {
		o.t.Fatal(err)
	}
}

// company makes an active tenant with a live number whose webhooks are set, and waits until the directory has it.
func (o *office) company(slug, number, forwardTo string) uuid.UUID {
	o.t.Helper()
	id := value[uuid.UUID](o, `insert into tenants (slug, company_name, owner_email, subscription_status, forward_to_number, plan_tier) values ($1, upper($1), 'owner@' || $1 || '.test', 'active', nullif($2, ''), 'starter') returning id`, slug, forwardTo)
	o.exec(`insert into phone_numbers (tenant_id, phone_number, status, is_primary) values ($1, $2, 'ready', true)`, id, number)
	hooks := twilio.WebhooksFor(o.base, slug, "")
	_, err := o.sandbox.AddNumber(sandbox.Number{PhoneNumber: number, VoiceURL: hooks.Voice, VoiceMethod: "POST", StatusCallback: hooks.Status, StatusCallbackMethod: "POST", SMSURL: hooks.SMS, SMSMethod: "POST"})
	o.must(err)
	o.until(slug+" is in the directory", func() bool { _, known := o.directory.ByNumber(number); return known })
	return id
}

// settings publishes what the tenant wants otherwise than usual, and waits until the directory has it.
func (o *office) settings(slug, settings string) {
	o.t.Helper()
	o.exec(`update agent_versions set settings = $2::jsonb where tenant_id = (select id from tenants where slug = $1) and state = 'published'`, slug, settings)
	if value[int](o, `select count(*)::int from agent_versions where tenant_id = (select id from tenants where slug = $1)`, slug) == 0 {
		o.exec(`insert into agent_versions (tenant_id, version, state, settings) select id, 1, 'published', $2::jsonb from tenants where slug = $1`, slug, settings)
	}
	industry := value[string](o, `select coalesce(industry, '') from tenants where slug = $1`, slug)
	want, wrong := agent.Complete([]byte(settings), industry, value[string](o, `select company_name from tenants where slug = $1`, slug))
	if len(wrong) > 0 {
		o.t.Fatal(wrong)
	}
	o.until("the directory has the settings", func() bool {
		l, _ := o.directory.BySlug(slug)
		return reflect.DeepEqual(l.Profile.Settings, want)
	})
}

func (o *office) exec(sql string, args ...any) {
	o.t.Helper()
	_, err := o.admin.Exec(context.Background(), sql, args...)
	o.must(err)
}

func value[T any](o *office, sql string, args ...any) (v T) {
	o.t.Helper()
	o.must(o.admin.QueryRow(context.Background(), sql, args...).Scan(&v))
	return v
}

func (o *office) until(what string, holds func() bool) { o.t.Helper(); until(o.t, what, holds) }

// until waits for what is told by asking.
func until(t testing.TB, what string, holds func() bool) {
	t.Helper()
	deadline := time.Now().Add(prettyQuick)
	for !holds() {
		if time.Now().After(deadline) {
			t.Fatalf("waited in vain until %s", what)
		}
		time.Sleep(5 * time.Millisecond)
	}
}

// row waits until the query, of a truth, is true.
func (o *office) row(sql string, args ...any) {
	o.t.Helper()
	o.until(sql, func() bool { return value[bool](o, "select coalesce(("+sql+"), false)", args...) })
}

var sids struct {
	sync.Mutex
	n int
}

// callSID is one that no other call has.
func callSID() string {
	sids.Lock()
	defer sids.Unlock()
	sids.n++
	return fmt.Sprintf("CA%032x", sids.n)
}

func ringing(sid, from, to string) url.Values {
	return url.Values{"CallSid": {sid}, "AccountSid": {sandbox.DefaultAccountSID}, "From": {from}, "To": {to}, "CallStatus": {"ringing"}, "Direction": {"inbound"}, "ApiVersion": {"2010-04-01"}}
}

func statusOf(sid, status string, seconds int) url.Values {
	form := ringing(sid, aCaller, haiec)
	form.Set("CallStatus", status)
	if seconds > 0 {
		form.Set("CallDuration", strconv.Itoa(seconds))
	}
	return form
}

type reply struct {
	status int
	body   string
}

// post sends a webhook as Twilio does; alter may spoil it after it has been signed.
func (o *office) post(target string, form url.Values, alter ...func(*http.Request)) reply {
	o.t.Helper()
	if strings.HasPrefix(target, "/") {
		target = o.base + target
	}
	req, err := http.NewRequestWithContext(context.Background(), http.MethodPost, target, strings.NewReader(form.Encode()))
	o.must(err)
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded; charset=UTF-8")
	req.Header.Set("X-Twilio-Signature", twilio.Sign(sandbox.DefaultAuthToken, target, form))
	req.Host = req.URL.Host
	req.URL.Host = "127.0.0.1:" + req.URL.Port()
	for _, a := range alter {
		a(req)
	}
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}, Timeout: prettyQuick}
	resp, err := client.Do(req)
	o.must(err)
	defer func() { _ = resp.Body.Close() }()
	body, err := io.ReadAll(resp.Body)
	o.must(err)
	return reply{resp.StatusCode, string(body)}
}

// announce begins a webhook with a body of this many bytes, sends none of it, and returns the status of the answer.
func (o *office) announce(target string, size int) int {
	o.t.Helper()
	base, err := url.Parse(o.base)
	o.must(err)
	conn, err := net.Dial("tcp", "127.0.0.1:"+base.Port())
	o.must(err)
	defer func() { _ = conn.Close() }()
	_, err = fmt.Fprintf(conn, "POST %s HTTP/1.1\r\nHost: %s\r\nContent-Type: application/x-www-form-urlencoded\r\nContent-Length: %d\r\n\r\n", target, base.Host, size)
	o.must(err)
	resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
	o.must(err)
	_ = resp.Body.Close()
	return resp.StatusCode
}

// rows counts everything that a call or text leaves behind.
func (o *office) rows() int {
	return value[int](o, `select ((select count(*) from call_logs) + (select count(*) from messages) + (select count(*) from private.voice_events) + (select count(*) from private.stream_uses))::int`)
}

// A severable line to Postgres: cut, connections break and new ones are refused, as when the server is stopped.
type severable struct {
	url, target string
	mu          sync.Mutex
	ln          net.Listener
	conns       map[net.Conn]struct{}
	running     sync.WaitGroup
}

func newSeverable(t testing.TB, target string) *severable {
	t.Helper()
	u, err := url.Parse(target)
	if err != nil {
		t.Fatal(err)
	}
	s := &severable{target: u.Host, conns: map[net.Conn]struct{}{}}
	if s.ln, err = net.Listen("tcp", "127.0.0.1:0"); err != nil {
		t.Fatal(err)
	}
	u.Host = s.ln.Addr().String()
	s.url = u.String()
	s.running.Go(func() { s.accept(s.ln) })
	t.Cleanup(func() { s.cut(); s.running.Wait() })
	return s
}

func (s *severable) accept(ln net.Listener) {
	for {
		conn, err := ln.Accept()
		if err != nil {
			return
		}
		far, err := net.Dial("tcp", s.target)
		if err != nil {
			_ = conn.Close()
			continue
		}
		s.mu.Lock()
		s.conns[conn], s.conns[far] = struct{}{}, struct{}{}
		s.mu.Unlock()
		for _, pair := range [2][2]net.Conn{{conn, far}, {far, conn}} {
			s.running.Go(func() {
				_, _ = io.Copy(pair[0], pair[1])
				_, _ = pair[0].Close(), pair[1].Close()
			})
		}
	}
}

// cut stops Postgres, as far as the process can tell.
func (s *severable) cut() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.ln != nil {
		_ = s.ln.Close()
		s.ln = nil
	}
	for conn := range s.conns {
		_ = conn.Close()
	}
	clear(s.conns)
}

// mend starts it again, at the same address.
func (s *severable) mend(t testing.TB) {
	t.Helper()
	u, err := url.Parse(s.url)
	if err != nil {
		t.Fatal(err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.ln, err = net.Listen("tcp", u.Host); err != nil {
		t.Fatal(errors.Join(errors.New("the address was taken meanwhile"), err))
	}
	ln := s.ln
	s.running.Go(func() { s.accept(ln) })
}
