package voice

import (
	"context"
	"encoding/json"
	"log/slog"
	"runtime"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"kestrel.ai/server/agent"
	"kestrel.ai/server/voice/wire"
)

// Options is what a Bridge works with.
type Options struct {
	Model    Model // nil where no key is configured: Prepare answers ErrUnavailable
	Desk     Desk
	TestDesk func() Desk // for one test call: it answers as Desk does and keeps nothing; nil refuses test calls
	Tokens   Tokens
	Recorder Recorder
	Limits   Limits
	Log      *slog.Logger
	Metrics  prometheus.Registerer // nil for none
	Loops    *wire.Loops           // nil for none: a goroutine reads each socket
}

// Desk runs the agent's tools; *agent.Desk is one. Use ends soon after ctx does, and using a tool again with the same
// call and tool call has the same effect, once.
type Desk interface {
	Use(ctx context.Context, p *agent.Profile, c agent.Call, toolCallID, name string, arguments json.RawMessage) agent.Result
}

// Tokens opens what a stream brings: it says whose call it is, once per token.
type Tokens interface {
	Open(ctx context.Context, token string) (Offer, error)
}

// Offer is a call that the agent is to answer.
type Offer struct {
	Call    agent.Call
	Profile *agent.Profile
	Desk    Desk // nil: the bridge's
}

// Limits are the bridge's own bounds; a tenant's are in its settings. Zero values mean the defaults in brackets.
type Limits struct {
	Calls        int           // at once in this process [400 for each processor: see the README's figures]
	StreamWithin time.Duration // from the webhook to the stream, the token's life [60 s]
	StartWithin  time.Duration // from the socket's opening to its start frame [10 s]
	Refusals     int           // dials that fail in a row, after which callers are not made to wait for the model [3]
	DialWithin   time.Duration // for the model to be ready, each of two tries [5 s]
	EarlyAudio   int           // base64 bytes kept while the model is not ready, the newest [64 KB: 6 s]
	SessionLife  time.Duration // of one model session before the next takes over [55 min]; the vendor ends it at 60
	ModelSilent  time.Duration // a model that was asked and says nothing is asked again, then given up [8 s]
	StreamSilent time.Duration // Twilio sends 50 frames a second; without any it is gone [15 s]
	FillerAfter  time.Duration // how long a tool may leave the caller in silence [700 ms]
	ToolWithin   time.Duration // for a tool that names no time-out [10 s]
	Farewell     time.Duration // for last words to be said and heard [12 s]
	BriefSpeech  time.Duration // an interruption shorter than this may be none: its words decide [600 ms]
	WordsWithin  time.Duration // for those words to arrive [1 s]
	Digits       time.Duration // pause after which keys pressed are passed on [1.2 s]
	Warning      time.Duration // before a call's longest time, the agent says so [60 s]
}

func (l Limits) withDefaults() Limits {
	durations := []struct {
		at *time.Duration
		d  time.Duration
	}{
		{&l.StreamWithin, time.Minute}, {&l.StartWithin, 10 * time.Second}, {&l.DialWithin, 5 * time.Second},
		{&l.SessionLife, 55 * time.Minute}, {&l.ModelSilent, 8 * time.Second}, {&l.StreamSilent, 15 * time.Second},
		{&l.FillerAfter, 700 * time.Millisecond}, {&l.ToolWithin, 10 * time.Second}, {&l.Farewell, 12 * time.Second},
		{&l.BriefSpeech, 600 * time.Millisecond}, {&l.WordsWithin, time.Second}, {&l.Digits, 1200 * time.Millisecond},
		{&l.Warning, time.Minute},
	}
	for _, v := range durations {
		if *v.at == 0 {
			*v.at = v.d
		}
	}
	if l.Calls == 0 {
		l.Calls = 400 * runtime.GOMAXPROCS(0)
	}
	if l.Refusals == 0 {
		l.Refusals = 3
	}
	if l.EarlyAudio == 0 {
		l.EarlyAudio = 64 << 10
	}
	return l
}
