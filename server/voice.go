package main

import (
	"context"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/gofiber/fiber/v2"
	"github.com/prometheus/client_golang/prometheus"

	"kestrel.ai/jobs/twilio"
	"kestrel.ai/server/agent"
	"kestrel.ai/server/voice"
	"kestrel.ai/server/voice/realtime"
	"kestrel.ai/server/voice/wire"
	"kestrel.ai/supabase"
	"kestrel.ai/supabase/db"
)

// phone is a process's share in calls: the webhooks, the bridge, and what they rest on.
type phone struct {
	directory *voice.Directory
	journal   *voice.Journal
	bridge    *voice.Bridge
	hooks     *voice.Hooks
}

// directoryWithin is how long serving waits for the directory: calls that come before it would go to the fallback.
const directoryWithin = 5 * time.Second

func newPhone(cfg Config, database *supabase.DB, vendor *twilio.Client, metrics prometheus.Registerer, log *slog.Logger) (*phone, error) {
	p := &phone{directory: voice.NewDirectory(database, time.Now, log)}
	var err error
	p.journal, err = voice.OpenJournal(voice.JournalOptions{
		Dir: cfg.JournalDir, MaxBytes: int64(cfg.JournalMB) << 20, Apply: voice.NewBook(database, voicePrices(cfg), p.directory).Apply, Metrics: metrics, Log: log,
	})
	if err != nil {
		return nil, fmt.Errorf("JOURNAL_DIR: %w", err)
	}
	tokens := voice.NewMinter([]byte(cfg.SessionKey.Reveal()), p.directory.Profile, voice.NewUses(database, p.journal), time.Now, log)
	desk := agent.NewDesk(database, time.Now)
	options := voice.Options{
		Desk: desk, TestDesk: func() voice.Desk { return desk.Dry() }, Tokens: tokens, Limits: voice.Limits{Calls: cfg.VoiceMaxCalls}, Log: log, Metrics: metrics, Loops: &wire.Loops{},
		Recorder: &voice.Recordings{Recorder: p.journal, Start: vendor.StartRecording, Profiles: p.directory, Base: cfg.BaseWebhookURL, Log: log},
	}
	if cfg.OpenAIConfigured() {
		if options.Model, err = newModel(cfg, options.Loops, log); err != nil {
			p.journal.Close()
			return nil, err
		}
	}
	if p.bridge, err = voice.New(options); err == nil {
		p.hooks, err = voice.NewHooks(voice.HooksOptions{
			Base: cfg.BaseWebhookURL, AuthToken: cfg.TwilioAuthToken.Reveal(), Directory: p.directory, Lines: p.bridge, Tokens: tokens, Journal: p.journal,
			DB: db.New(database.As(supabase.AsService("webhook:twilio"))), Log: log,
		})
	}
	if err != nil {
		p.journal.Close()
	}
	return p, err
}

func newModel(cfg Config, loops *wire.Loops, log *slog.Logger) (voice.Model, error) {
	return realtime.New(realtime.Config{
		APIKey: cfg.OpenAIAPIKey.Reveal(), BaseURL: cfg.OpenAIBaseURL, Model: cfg.OpenAIRealtimeModel, Voice: cfg.OpenAIVoice, Transcription: cfg.OpenAITranscriptionModel, Log: log, Dial: loops.Dial,
	})
}

func voicePrices(cfg Config) voice.Prices {
	return voice.Prices{
		IncomingMinute: cfg.CostIncomingMinute,
		InputText:      cfg.PriceInputText, InputAudio: cfg.PriceInputAudio, CachedText: cfg.PriceCachedText, CachedAudio: cfg.PriceCachedAudio,
		OutputText: cfg.PriceOutputText, OutputAudio: cfg.PriceOutputAudio, Listening: cfg.PriceTranscription,
	}
}

// register puts the webhooks and the media stream on the app.
func (p *phone) register(app fiber.Router) { p.hooks.Register(app) }

// start begins what runs beside the requests; stop ends it, with what is not in Postgres yet left on the disk.
func (p *phone) start(ctx context.Context) (stop func()) {
	ctx, cancel := context.WithCancel(ctx)
	var running sync.WaitGroup
	running.Go(func() { p.directory.Run(ctx) })
	running.Go(func() { p.journal.Run(ctx) })
	deadline := time.NewTimer(directoryWithin)
	defer deadline.Stop()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for waiting := true; waiting && !p.directory.Loaded(); {
		select {
		case <-tick.C:
		case <-deadline.C:
			waiting = false
		case <-ctx.Done():
			waiting = false
		}
	}
	return func() {
		p.journal.Settle(ctx, time.Second)
		cancel()
		running.Wait()
		p.journal.Close()
	}
}
