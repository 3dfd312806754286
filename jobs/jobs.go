// Package jobs does Kestrel's work in the background: buying and configuring numbers, e-mails, what follows a new
// tenant. SQL enqueues every job in the transaction of the row it is about (private.enqueue); here they are worked.
// A job carries ids only, may run again at any point, and commits its result together with its completion.
package jobs

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/riverqueue/river"
	"github.com/riverqueue/river/riverdriver/riverpgxv5"
	"github.com/riverqueue/river/rivertype"

	"kestrel.ai/jobs/openai"
	"kestrel.ai/jobs/resend"
	"kestrel.ai/jobs/twilio"
	"kestrel.ai/supabase"
)

// Twilio is what jobs need of *twilio.Client.
type Twilio interface {
	Search(context.Context, twilio.SearchQuery) ([]twilio.AvailableNumber, error)
	Buy(context.Context, twilio.BuyParams) (twilio.OwnedNumber, error)
	FindByNumber(ctx context.Context, number string) (twilio.OwnedNumber, bool, error)
	Fetch(ctx context.Context, sid string) (twilio.OwnedNumber, error)
	SetWebhooks(ctx context.Context, sid string, w twilio.Webhooks) (twilio.OwnedNumber, error)
	Release(ctx context.Context, sid string) error
	SendSMS(ctx context.Context, from, to, body, statusURL string) (twilio.Message, error)
	OpenRecording(ctx context.Context, sid string, channels int) (audio io.ReadCloser, size int64, err error)
	DeleteRecording(ctx context.Context, sid string) error
	List(ctx context.Context, each func(page []twilio.OwnedNumber) error) error
	FetchCall(ctx context.Context, sid string) (twilio.Call, error)
	ListCalls(ctx context.Context, since time.Time, each func(page []twilio.Call) error) error
	MonthlyCents(number string) int
}

// Resend is what jobs need of *resend.Client.
type Resend interface {
	Send(ctx context.Context, e resend.Email, idempotencyKey string) (id string, err error)
}

// Auth is what jobs need of *supabase.Auth.
type Auth interface {
	EnsureUser(ctx context.Context, email string) (id uuid.UUID, unused bool, err error)
	DeleteUser(ctx context.Context, id uuid.UUID) error
}

// Storage is what jobs need of *supabase.Storage.
type Storage interface {
	EnsureBucket(ctx context.Context, bucket string, public bool) error
	Upload(ctx context.Context, bucket, path, contentType string, body []byte) error
	PublicURL(bucket, path string) string
	UploadFrom(ctx context.Context, bucket, path, contentType string, body io.Reader, size int64) error
	Download(ctx context.Context, bucket, path string) (io.ReadCloser, bool, error)
	Remove(ctx context.Context, bucket string, paths ...string) error
	RemoveFolder(ctx context.Context, bucket, folder string) error
}

// OpenAI is what jobs need of *openai.Client.
type OpenAI interface {
	Configured() bool
	Model() string
	Respond(ctx context.Context, r openai.Request) (openai.Answer, error)
	Structured(ctx context.Context, r openai.Request, name string, schema json.RawMessage) (answer json.RawMessage, micros int64, err error)
}

// Config is what jobs know of the outside.
type Config struct {
	WebhookBase string                    // BASE_WEBHOOK_URL
	Origin      func(label string) string // scheme, host and port of a label under the base domain; "" is the apex
	AdminEmail  string                    // who is told of new tenants; empty tells nobody
	TrialDays   int                       // 0 means 14, as in SQL
	// IncomingMinute is what a minute of an incoming call costs, in US dollars.
	IncomingMinute float64
	TrialGrace     time.Duration // from a trial's end until the tenant is suspended
	SessionURL     string        // Postgres as kestrel_app on a session connection, if DB's is a transaction pooler's
	Tuning         Tuning
}

// Tuning is for tests and unusual machines; zero values mean what is said here.
type Tuning struct {
	Workers     int           // jobs at once; 10
	JobTimeout  time.Duration // one try of a job; 2 min
	SoftStop    time.Duration // how long Stop lets jobs finish; 20 s
	Poll        time.Duration // how often the queue is read without a notification; 1 s
	RetryBase   time.Duration // wait after the first failure, doubled by each further one; 1 s
	RetryMax    time.Duration // longest such wait; 1 h
	RescueEvery time.Duration // how often jobs of dead workers are looked for; 5 s
	Settle      time.Duration // how long a purchase that Twilio did not confirm may still take effect; 45 s
	Housekeep   time.Duration // how often lost jobs and expired rows are looked for; 1 min
	Departures  time.Duration // how often purges that are due and exports that have expired are looked for; 1 h
	Sweep       time.Duration // how often numbers that nobody has are looked for; 1 h
	Reset       time.Duration // how often usage periods that have ended are closed; 1 h
	Reconcile   time.Duration // how often calls are looked for whose end nobody reported; 1 min
	Lifecycle   time.Duration // how often trials and waiting tenants are looked at; 15 min
	Retention   time.Duration // how often recordings that have been kept long enough are looked for; 1 h
	AnalysisDue time.Duration // how long after a call its analysis is waited for before the owner is told; 90 s
	VoicemailIn time.Duration // how long after a call its voicemail is waited for before it counts as missed; 30 s
}

func (t Tuning) withDefaults() Tuning {
	set := func(d *time.Duration, fallback time.Duration) {
		if *d == 0 {
			*d = fallback
		}
	}
	if t.Workers == 0 {
		t.Workers = 10
	}
	set(&t.JobTimeout, 2*time.Minute)
	set(&t.SoftStop, 20*time.Second)
	set(&t.Poll, time.Second)
	set(&t.RetryBase, time.Second)
	set(&t.RetryMax, time.Hour)
	set(&t.RescueEvery, 5*time.Second)
	set(&t.Settle, 45*time.Second)
	set(&t.Housekeep, time.Minute)
	set(&t.Sweep, time.Hour)
	set(&t.Departures, time.Hour)
	set(&t.Reset, time.Hour)
	set(&t.Lifecycle, 15*time.Minute)
	set(&t.Reconcile, time.Minute)
	set(&t.Retention, time.Hour)
	set(&t.AnalysisDue, 90*time.Second)
	set(&t.VoicemailIn, 30*time.Second)
	return t
}

// Deps is everything a Client works with. Now and Log may be nil.
type Deps struct {
	DB        *supabase.DB
	Twilio    Twilio
	Resend    Resend
	Auth      Auth
	Storage   Storage
	OpenAI    OpenAI
	Reception Reception
	Config    Config
	Now       func() time.Time
	Log       *slog.Logger
}

// Client works jobs. Any number of processes may run one.
type Client struct {
	river   *river.Client[pgx.Tx]
	leases  *leases
	rescuer *rescuer
	stop    context.CancelFunc
	stopped chan struct{}
}

// New registers the workers; Start begins. It fails on a Config that cannot work, and does not connect.
func New(d Deps) (*Client, error) {
	if d.Now == nil {
		d.Now = time.Now
	}
	if d.Log == nil {
		d.Log = slog.Default()
	}
	if d.Config.TrialDays == 0 {
		d.Config.TrialDays = 14
	}
	if d.Reception == nil || d.OpenAI == nil {
		return nil, errors.New("jobs: Reception and OpenAI are needed")
	}
	if d.Config.Origin == nil || d.Config.WebhookBase == "" {
		return nil, errors.New("jobs: Origin and WebhookBase are needed")
	}
	d.Config.Tuning = d.Config.Tuning.withDefaults()
	t := d.Config.Tuning

	own := d.DB.Pool().Config().ConnConfig
	session := own.Copy()
	if d.Config.SessionURL != "" {
		var err error
		if session, err = pgx.ParseConfig(d.Config.SessionURL); err != nil {
			return nil, fmt.Errorf("jobs: session URL: %w", err)
		}
	}
	session.RuntimeParams["application_name"] = "kestrel job leases"
	leases := newLeases(session, d.Log)
	retries := newRetries(t)
	id := "kestrel_" + uuid.NewString()

	workers := river.NewWorkers()
	river.AddWorker(workers, &numberPurchaseWorker{Deps: d})
	river.AddWorker(workers, &numberVerifyWorker{Deps: d})
	river.AddWorker(workers, &webhookConfigureWorker{Deps: d})
	river.AddWorker(workers, &numberReleaseWorker{Deps: d})
	river.AddWorker(workers, &tenantCreatedWorker{Deps: d})
	river.AddWorker(workers, &emailSendWorker{Deps: d})
	river.AddWorker(workers, &fallbackPublishWorker{Deps: d})
	river.AddWorker(workers, &tenantExportWorker{Deps: d})
	river.AddWorker(workers, &tenantImportWorker{Deps: d})
	river.AddWorker(workers, &callerEraseWorker{Deps: d})
	river.AddWorker(workers, &tenantPurgeWorker{Deps: d})
	river.AddWorker(workers, &loginDeleteWorker{Deps: d})
	river.AddWorker(workers, &departuresWorker{Deps: d})
	river.AddWorker(workers, &housekeepingWorker{Deps: d})
	river.AddWorker(workers, &numberSweepWorker{Deps: d})
	river.AddWorker(workers, &orphanReleaseWorker{Deps: d})
	river.AddWorker(workers, &tenantsBulkWorker{Deps: d})
	river.AddWorker(workers, &usageResetWorker{Deps: d})
	river.AddWorker(workers, &lifecycleWorker{Deps: d})
	river.AddWorker(workers, &requestNoticeWorker{Deps: d})
	river.AddWorker(workers, &callReconcileWorker{Deps: d})
	river.AddWorker(workers, &appointmentConfirmWorker{Deps: d})
	river.AddWorker(workers, &messageSendWorker{Deps: d})
	river.AddWorker(workers, &recordingFetchWorker{Deps: d})
	river.AddWorker(workers, &recordingRetentionWorker{Deps: d})
	river.AddWorker(workers, &callAnalyzeWorker{Deps: d})
	river.AddWorker(workers, &callNotifyWorker{Deps: d})
	river.AddWorker(workers, &messageNotifyWorker{Deps: d})
	river.AddWorker(workers, &smsAnswerWorker{Deps: d})
	river.AddWorker(workers, &scenarioRunWorker{Deps: d})

	client, err := river.NewClient(riverpgxv5.New(d.DB.Pool()), &river.Config{
		ID:                  id,
		Schema:              "river",
		Queues:              map[string]river.QueueConfig{river.QueueDefault: {MaxWorkers: t.Workers}},
		Workers:             workers,
		FetchOnlyKnownKinds: true,
		FetchCooldown:       min(50*time.Millisecond, t.Poll),
		FetchPollInterval:   t.Poll,
		PollOnly:            session.Host != own.Host || session.Port != own.Port, // no LISTEN through a transaction pooler
		JobTimeout:          t.JobTimeout,
		SoftStopTimeout:     t.SoftStop,
		RetryPolicy:         retries,
		Middleware:          []rivertype.Middleware{&recorder{Deps: d, leases: leases, retries: retries}},
		PeriodicJobs: []*river.PeriodicJob{
			periodic(Housekeeping{}, t.Housekeep), periodic(NumberSweep{}, t.Sweep), periodic(Departures{}, t.Departures), periodic(UsageReset{}, t.Reset), periodic(Lifecycle{}, t.Lifecycle), periodic(CallReconcile{}, t.Reconcile),
			periodic(RecordingRetention{}, t.Retention),
		},
		Logger: d.Log,
	})
	if err != nil {
		return nil, fmt.Errorf("jobs: %w", err)
	}
	return &Client{river: client, leases: leases, rescuer: newRescuer(d, id), stopped: make(chan struct{})}, nil
}

// periodic asks at the start and every so often: a platform that is deployed every hour still gets round to what is
// hourly. What is due is the job's own question, so that a missed or doubled run does no harm.
func periodic(args river.JobArgs, every time.Duration) *river.PeriodicJob {
	return river.NewPeriodicJob(river.PeriodicInterval(every), func() (river.JobArgs, *river.InsertOpts) {
		return args, &river.InsertOpts{MaxAttempts: 1}
	}, &river.PeriodicJobOpts{RunOnStart: true})
}

// Start works jobs until Stop, whatever becomes of ctx. It fails when the queue cannot be reached.
func (c *Client) Start(ctx context.Context) error {
	ctx, c.stop = context.WithCancel(context.WithoutCancel(ctx))
	if err := c.river.Start(context.WithoutCancel(ctx)); err != nil {
		c.stop()
		close(c.stopped)
		return fmt.Errorf("jobs: %w", err)
	}
	go func() {
		defer close(c.stopped)
		go c.leases.watch(ctx)
		c.rescuer.run(ctx)
	}()
	return nil
}

// Stop takes no new jobs, lets the running ones finish for Tuning.SoftStop, then cancels them: they run again later.
func (c *Client) Stop(ctx context.Context) error {
	err := c.river.Stop(ctx)
	c.stop()
	<-c.stopped
	c.leases.close()
	return err
}

// River is for the queue's web page.
func (c *Client) River() *river.Client[pgx.Tx] { return c.river }
