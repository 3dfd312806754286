// Package sandbox stands in for Twilio, Resend and OpenAI at the wire: it answers their APIs, so that the real SDKs and
// Kestrel's adapters are what runs in development and in tests. It also has a control API and a page, to look at what was
// sent, to play a customer, and to make the vendors fail on demand.
//
// It is not part of the production build.
package sandbox

import (
	"cmp"
	"context"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"kestrel.ai/server/sandbox/openai"
)

// Defaults for the credentials, used where Options leaves them empty.
const (
	DefaultAccountSID = "AC00000000000000000000000000000000"
	DefaultAuthToken  = "sandboxtwilioauthtoken0000000000"
	DefaultResendKey  = "re_sandbox"
	DefaultOpenAIKey  = "sk-sandbox"
)

// maxKept bounds every list the sandbox keeps in memory; the oldest entries go first.
const maxKept = 10_000

// Options configures a Sandbox; the zero value works.
type Options struct {
	// AccountSID and AuthToken are the Twilio credentials it accepts, and signs webhooks with.
	AccountSID, AuthToken string
	// ResendKey is the Resend API key it accepts.
	ResendKey string
	// OpenAI configures the model; its Key is DefaultOpenAIKey unless given, its clock Now.
	OpenAI openai.Options
	// StateFile keeps numbers, mails, messages and calls across restarts, a kill included. Empty: in memory only.
	StateFile string
	// Hosts are the Host names, without port, that may reach the page and the control API.
	// Empty: 127.0.0.1, ::1, localhost and sandbox.localhost.
	Hosts []string
	// Now is the clock, time.Now by default.
	Now func() time.Time
	// Seed makes the numbers on offer and the SIDs: the same seed gives the same ones.
	Seed uint64
	// Speed plays calls faster than a phone line: 2 is twice as fast. 0 is 1.
	Speed float64
	// URL is where vendors' clients reach the sandbox, for the URLs that it gives away; by default as the first request did.
	URL string
	// WebhookTimeout is how long a webhook's answer may take; 0 is Twilio's 15 s.
	WebhookTimeout time.Duration
	// WebhookClient delivers webhooks. The default reaches loopback addresses only and resolves *.localhost itself.
	WebhookClient *http.Client
}

// Sandbox is an http.Handler that speaks for the vendors. Safe for concurrent use.
type Sandbox struct {
	accountSID, authToken, resendKey string

	hosts    map[string]bool
	now      func() time.Time
	seed     uint64
	webhooks *http.Client
	market   *market
	page     page
	model    *openai.Server
	handler  http.Handler
	speed    float64
	base     atomic.Value // string: scheme and host of the URLs that are given away
	closing  chan struct{}
	close    sync.Once
	life     context.Context // of everything that runs by itself
	kill     context.CancelFunc
	calls    sync.WaitGroup // what runs by itself

	eventFaults atomic.Int32 // how many faults of realtime events were ever armed: none is the usual case, and quick

	mu       sync.Mutex
	state    state
	file     *stateFile
	inFlight map[string]bool // Resend idempotency keys being worked on
	faults   []*Fault
	requests []Request
	legs     map[string]*leg // calls that go on, by SID
	rooms    map[string]*room
	phones   map[string]Phone
	media    []recorded
}

// New is Open for options that cannot fail: without a StateFile it never does; with a bad one it panics.
func New(o Options) *Sandbox {
	s, err := Open(o)
	if err != nil {
		panic(err)
	}
	return s
}

// Open makes a sandbox, reading StateFile if there is one. It fails when the file cannot be read or written, or is not ours.
func Open(o Options) (*Sandbox, error) {
	s := &Sandbox{
		accountSID: or(o.AccountSID, DefaultAccountSID),
		authToken:  or(o.AuthToken, DefaultAuthToken),
		resendKey:  or(o.ResendKey, DefaultResendKey),
		hosts:      map[string]bool{},
		now:        o.Now,
		seed:       o.Seed,
		webhooks:   o.WebhookClient,
		market:     newMarket(o.Seed),
		page:       newPage(),
		closing:    make(chan struct{}),
		inFlight:   map[string]bool{},
		speed:      cmp.Or(o.Speed, 1),
		legs:       map[string]*leg{},
		rooms:      map[string]*room{},
		phones:     map[string]Phone{},
	}
	s.life, s.kill = context.WithCancel(context.Background())
	s.base.Store(o.URL)
	if s.now == nil {
		s.now = time.Now
	}
	if s.webhooks == nil {
		s.webhooks = loopbackClient(cmp.Or(o.WebhookTimeout, 15*time.Second))
	}
	o.OpenAI.Key = or(o.OpenAI.Key, DefaultOpenAIKey)
	o.OpenAI.Fault = s.realtimeFault
	if o.OpenAI.Now == nil {
		o.OpenAI.Now = s.now
	}
	s.model = openai.New(o.OpenAI)
	if len(o.Hosts) == 0 {
		o.Hosts = []string{"127.0.0.1", "::1", "localhost", "sandbox.localhost"}
	}
	for _, h := range o.Hosts {
		s.hosts[strings.ToLower(h)] = true
	}
	if o.StateFile != "" {
		file, saved, err := openStateFile(o.StateFile)
		if err != nil {
			return nil, err
		}
		s.file, s.state = file, saved
	}
	s.handler = s.routes()
	return s, nil
}

// ServeHTTP implements http.Handler.
func (s *Sandbox) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.base.CompareAndSwap("", "http://"+r.Host)
	s.handler.ServeHTTP(w, r)
}

// Close ends calls and requests that wait, and closes the state file. No webhook is sent any more.
func (s *Sandbox) Close() error {
	s.close.Do(func() {
		close(s.closing)
		s.mu.Lock()
		s.kill()
		s.mu.Unlock()
	})
	s.calls.Wait()
	s.webhooks.CloseIdleConnections()
	s.model.Close()
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.file.close()
}

// spawn runs fn by itself, unless the sandbox is closed.
func (s *Sandbox) spawn(fn func()) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.life.Err() != nil {
		return false
	}
	s.calls.Go(fn)
	return true
}

func (s *Sandbox) routes() http.Handler {
	mux := http.NewServeMux()
	const account = "/2010-04-01/Accounts/{account}"
	twilio := func(pattern string, h twilioHandler) { mux.Handle(pattern, s.vendor("twilio", s.twilio(h))) }
	twilio("GET /2010-04-01/Accounts/{file}", s.fetchAccount)
	twilio("GET "+account+"/AvailablePhoneNumbers.json", s.listCountries)
	twilio("GET "+account+"/AvailablePhoneNumbers/{file}", s.fetchCountry)
	twilio("GET "+account+"/AvailablePhoneNumbers/{country}/Local.json", s.searchLocal)
	twilio("GET "+account+"/AvailablePhoneNumbers/{country}/TollFree.json", s.searchTollFree)
	twilio("GET "+account+"/IncomingPhoneNumbers.json", s.listNumbers)
	twilio("POST "+account+"/IncomingPhoneNumbers.json", s.createNumber)
	twilio("GET "+account+"/IncomingPhoneNumbers/{file}", s.fetchNumber)
	twilio("POST "+account+"/IncomingPhoneNumbers/{file}", s.updateNumber)
	twilio("DELETE "+account+"/IncomingPhoneNumbers/{file}", s.deleteNumber)
	twilio("GET "+account+"/Messages.json", s.listMessages)
	twilio("POST "+account+"/Messages.json", s.createMessage)
	twilio("GET "+account+"/Messages/{file}", s.fetchMessage)
	twilio("GET "+account+"/Calls.json", s.listCalls)
	twilio("POST "+account+"/Calls.json", s.createCall)
	twilio("GET "+account+"/Calls/{file}", s.fetchCall)
	twilio("POST "+account+"/Calls/{file}", s.updateCall)
	twilio("GET "+account+"/Calls/{call}/Recordings.json", s.listRecordings)
	twilio("POST "+account+"/Calls/{call}/Recordings.json", s.createRecording)
	twilio("GET "+account+"/Calls/{call}/Recordings/{file}", s.fetchRecording)
	twilio("POST "+account+"/Calls/{call}/Recordings/{file}", s.updateRecording)
	twilio("DELETE "+account+"/Calls/{call}/Recordings/{file}", s.deleteRecording)
	twilio("GET "+account+"/Recordings.json", s.listRecordings)
	twilio("GET "+account+"/Recordings/{file}", s.fetchRecordingFile)
	twilio("DELETE "+account+"/Recordings/{file}", s.deleteRecording)
	twilio("/2010-04-01/", s.noSuchResource)

	resend := func(pattern string, h resendHandler) { mux.Handle(pattern, s.vendor("resend", s.resend(h))) }
	resend("POST /emails", s.sendEmail)
	resend("POST /emails/batch", s.sendBatch)
	resend("GET /emails", s.listEmails)
	resend("GET /emails/{id}", s.fetchEmail)
	resend("/emails", s.noSuchMethod)
	resend("/emails/", s.noSuchMethod)

	mux.HandleFunc("GET /v1/realtime", s.realtime)
	mux.Handle("POST /v1/responses", s.vendor("openai", http.HandlerFunc(s.model.Responses)))

	control := func(pattern string, h controlHandler) { mux.Handle(pattern, s.control(h)) }
	control("GET /_sandbox/emails", s.controlEmails)
	control("GET /_sandbox/emails/{id}", s.controlEmail)
	control("GET /_sandbox/numbers", s.controlNumbers)
	control("POST /_sandbox/numbers", s.controlAddNumber)
	control("POST /_sandbox/numbers/{number}", s.controlSetNumber)
	control("GET /_sandbox/messages", s.controlMessages)
	control("POST /_sandbox/messages", s.controlReceiveMessage)
	control("GET /_sandbox/calls", s.controlCalls)
	control("POST /_sandbox/calls", s.controlReceiveCall)
	control("GET /_sandbox/calls/{sid}", s.controlCall)
	control("POST /_sandbox/calls/{sid}/say", s.controlSay)
	control("POST /_sandbox/calls/{sid}/digits", s.controlDigits)
	control("POST /_sandbox/calls/{sid}/hangup", s.controlHangUp)
	control("GET /_sandbox/phones", s.controlPhones)
	control("POST /_sandbox/phones/{number}", s.controlSetPhone)
	control("GET /_sandbox/models", s.controlModels)
	control("GET /_sandbox/faults", s.controlFaults)
	control("POST /_sandbox/faults", s.controlAddFault)
	control("DELETE /_sandbox/faults", s.controlClearFaults)
	control("DELETE /_sandbox/faults/{id}", s.controlClearFaults)
	control("GET /_sandbox/requests", s.controlRequests)
	control("DELETE /_sandbox", s.controlReset)
	control("/", s.controlNotFound)

	mux.Handle("GET /_sandbox/emails/{id}/html", s.guard(http.HandlerFunc(s.serveEmailHTML)))
	mux.Handle("GET /{$}", s.guard(s.page))
	return mux
}

func or(value, fallback string) string {
	if value == "" {
		return fallback
	}
	return value
}
