package voice

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"math"
	"sync"
	"time"

	"github.com/google/uuid"

	"kestrel.ai/jobs/twilio"
	"kestrel.ai/supabase"
	"kestrel.ai/supabase/db"
)

// Prices are what calls cost us, in US dollars: per minute begun, and per million tokens.
type Prices struct {
	IncomingMinute                                                                     float64
	InputText, InputAudio, CachedText, CachedAudio, OutputText, OutputAudio, Listening float64
}

// Book writes events into Postgres: it is what a Journal applies.
type Book struct {
	q         *db.Queries
	prices    Prices
	directory *Directory
}

// NewBook writes as the service role; the directory, which may be nil, hears of calls that count.
func NewBook(d *supabase.DB, prices Prices, directory *Directory) *Book {
	return &Book{q: db.New(d.As(supabase.AsService("webhook:twilio"))), prices: prices, directory: directory}
}

// Apply takes one event, exactly once by its id.
func (b *Book) Apply(ctx context.Context, e Event) error {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	data := b.priced(e)
	if len(data) == 0 {
		data = json.RawMessage("{}")
	}
	_, err := b.q.RecordCallEvent(ctx, db.RecordCallEventParams{
		ID: e.ID, Type: e.Type, TenantID: e.TenantID, CallID: e.CallID, CallSid: e.CallSID, At: e.At, Data: data,
	})
	if err == nil && b.directory != nil && e.Type == CallEnded {
		b.directory.Used(e.TenantID)
	}
	return err
}

// priced adds cost_micros to the events that cost something.
func (b *Book) priced(e Event) json.RawMessage {
	micros := int64(0)
	switch e.Type {
	case CallStatus:
		var s StatusChange
		if json.Unmarshal(e.Data, &s) != nil {
			return e.Data
		}
		micros = b.prices.Carrier(s.Duration)
	case CallEnded:
		var ended Ended
		if json.Unmarshal(e.Data, &ended) != nil {
			return e.Data
		}
		micros = b.prices.Model(ended.Usage)
	default:
		return e.Data
	}
	fields := map[string]json.RawMessage{}
	if micros == 0 || json.Unmarshal(e.Data, &fields) != nil {
		return e.Data
	}
	fields["cost_micros"], _ = json.Marshal(micros)
	data, err := json.Marshal(fields)
	if err != nil {
		return e.Data
	}
	return data
}

// Carrier is the telephone network's part of a call of so many seconds, in millionths of a dollar.
func (p Prices) Carrier(seconds int) int64 {
	return int64(math.Round(math.Ceil(float64(seconds)/60) * p.IncomingMinute * 1e6))
}

// Model is the model's part, in millionths of a dollar. Cached tokens are among the input's.
func (p Prices) Model(u Usage) int64 {
	dollarsPerMillion := float64(u.InputText-u.CachedText)*p.InputText + float64(u.InputAudio-u.CachedAudio)*p.InputAudio +
		float64(u.CachedText)*p.CachedText + float64(u.CachedAudio)*p.CachedAudio +
		float64(u.OutputText)*p.OutputText + float64(u.OutputAudio)*p.OutputAudio + float64(u.Transcribing)*p.Listening
	return int64(math.Round(dollarsPerMillion))
}

// Recordings --------------------------------------------------------------------------------------------------------

// Recordings is a Recorder that, on the way, has calls recorded once the agent has answered them.
type Recordings struct {
	Recorder
	Start    func(ctx context.Context, callSID, callback string) error
	Profiles *Directory
	Base     string // public URL of the api. host
	Log      *slog.Logger

	once  sync.Once
	slots chan struct{}
}

const (
	recordingTries  = 3
	recordingsAtOne = 32 // being started at once
)

// Record passes the event on.
func (r *Recordings) Record(e Event) {
	r.Recorder.Record(e)
	if e.Type != CallAnswered || len(e.CallSID) != 34 || e.CallSID[:2] != "CA" {
		return
	}
	profile, ok := r.Profiles.Profile(e.TenantID)
	if !ok || !profile.Settings.Recording.Enabled {
		return
	}
	r.once.Do(func() { r.slots = make(chan struct{}, recordingsAtOne) })
	select {
	case r.slots <- struct{}{}:
		go func() {
			defer func() { <-r.slots }()
			r.start(e.TenantID, e.CallID, e.CallSID, HookURL(r.Base, "/api/voice/recording", profile.Slug, "kind", "call"))
		}()
	default:
		r.Log.Error("voice: a call is not recorded: Twilio is slow to start the others", "call_id", e.CallID, "tenant_id", e.TenantID)
	}
}

func (r *Recordings) start(tenant, call uuid.UUID, sid, callback string) {
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	var err error
	for try := range recordingTries {
		// What may have taken effect is not repeated: the caller would be recorded twice.
		if err = r.Start(ctx, sid, callback); err == nil || errors.Is(err, twilio.ErrOutcomeUnknown) || ctx.Err() != nil {
			break
		}
		select {
		case <-ctx.Done():
		case <-time.After(time.Duration(try+1) * 500 * time.Millisecond):
		}
	}
	if err != nil {
		r.Log.Error("voice: a call is not recorded", "call_id", call, "tenant_id", tenant, "error", err)
	}
}
