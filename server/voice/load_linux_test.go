package voice_test

import (
	"bytes"
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"os/exec"
	"runtime"
	"runtime/debug"
	"slices"
	"strconv"
	"syscall"
	"testing"
	"time"

	"github.com/gofiber/fiber/v2"
	"github.com/google/uuid"

	"kestrel.ai/server/agent"
	"kestrel.ai/server/voice"
	"kestrel.ai/server/voice/realtime"
)

var loadFor = flag.Duration("load.for", 10*time.Second, "how long BenchmarkBridge holds each number of calls")

// BenchmarkBridge holds N calls, 50 frames a second each, through Fiber, the bridge and the model's client; another
// process is Twilio and the model, which echoes every frame. It reports the round trip from Twilio to the model and
// back, what was lost, and what it cost this process.
func BenchmarkBridge(b *testing.B) {
	for _, calls := range []int{1, 200, 800, 1600} {
		b.Run(fmt.Sprintf("calls=%d", calls), func(b *testing.B) {
			for b.Loop() {
				hold(b, calls)
			}
		})
	}
}

// load is a bridge that holds calls, and the other process.
type load struct {
	b         *testing.B
	calls     int
	bridge    *voice.Bridge
	app       *fiber.App
	generator *exec.Cmd
	in        io.Closer
	told      *json.Decoder
	empty     int // RSS before the first call
}

// begin returns when all calls are connected and have talked for a second.
func begin(b *testing.B, calls int) *load {
	b.Helper()
	l := &load{b: b, calls: calls, generator: exec.Command(os.Args[0], "-test.run=^$")} //nolint:gosec // this test itself
	l.generator.Env = append(os.Environ(), generatorRole+"=1")
	l.generator.Stderr = os.Stderr
	in, err := l.generator.StdinPipe()
	l.must(err)
	out, err := l.generator.StdoutPipe()
	l.must(err)
	l.in, l.told = in, json.NewDecoder(out)
	ln, err := net.Listen("tcp4", "127.0.0.1:0")
	l.must(err)
	l.must(l.generator.Start())
	tenant := uuid.New()
	l.must(json.NewEncoder(in).Encode(order{Bridge: ln.Addr().String(), Tenant: tenant.String(), Calls: calls, For: *loadFor}))
	model, err := realtime.New(realtime.Config{APIKey: "sk-load", BaseURL: "http://" + l.next().Model, Model: "echo", Transcription: "none"})
	l.must(err)
	l.bridge, err = voice.New(voice.Options{
		Model: model, Desk: &desk{}, Tokens: offers{everyCall(tenant)}, Recorder: discard{}, Limits: voice.Limits{Calls: calls}, Log: slog.New(slog.DiscardHandler),
	})
	l.must(err)
	l.app = fiber.New(fiber.Config{DisableStartupMessage: true, ReadBufferSize: 72 << 10})
	l.app.Get("/api/voice/stream", l.bridge.Stream)
	debug.FreeOSMemory()
	l.empty = resident(b)
	go func() { _ = l.app.Listener(ln) }()
	l.next()
	return l
}

func (l *load) must(err error) {
	l.b.Helper()
	if err != nil {
		l.b.Fatal(err)
	}
}

func (l *load) next() (o outcome) {
	l.b.Helper()
	l.must(l.told.Decode(&o))
	return o
}

// end takes the generator's outcome, and everything down.
func (l *load) end() outcome {
	l.b.Helper()
	result := l.next()
	_ = l.in.Close()
	l.must(l.generator.Wait())
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	l.must(l.bridge.Drain(ctx))
	l.must(l.app.Shutdown())
	return result
}

func hold(b *testing.B, calls int) {
	l := begin(b, calls)
	began, used := time.Now(), cpu(b)
	time.Sleep(*loadFor)
	spent, took := cpu(b)-used, time.Since(began)
	grown := resident(b) - l.empty
	result := l.end()
	b.ReportMetric(0, "ns/op")
	b.ReportMetric(milliseconds(result.P50), "ms-p50")
	b.ReportMetric(milliseconds(result.P99), "ms-p99")
	b.ReportMetric(milliseconds(result.Worst), "ms-worst")
	b.ReportMetric(float64(result.Sent), "frames")
	b.ReportMetric(float64(result.Lost), "lost")
	b.ReportMetric(float64(spent.Milliseconds())/(float64(calls)*took.Minutes()), "cpu-ms/call-minute")
	b.ReportMetric(float64(grown)/1024/float64(calls), "rss-KB/call")
}

func milliseconds(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }

// BenchmarkIncomingUnderLoad rings twenty times a second, through the edge and the webhooks to the answer, while this process
// holds calls.
func BenchmarkIncomingUnderLoad(b *testing.B) {
	for _, calls := range []int{0, 800} {
		b.Run(fmt.Sprintf("calls=%d", calls), func(b *testing.B) {
			for b.Loop() {
				o := newOffice(b)
				var l *load
				if calls > 0 {
					l = begin(b, calls)
				}
				var took []time.Duration
				tick := time.NewTicker(50 * time.Millisecond)
				for began := time.Now(); time.Since(began) < *loadFor; <-tick.C {
					form := ringing(callSID(), aCaller, haiec)
					asked := time.Now()
					if got := o.post("/api/voice/incoming?tenant=haiec", form); got.status != 200 {
						b.Fatal(got.status, got.body)
					}
					took = append(took, time.Since(asked))
					o.bridge.Release(form.Get("CallSid"))
				}
				tick.Stop()
				if l != nil {
					b.ReportMetric(float64(l.end().Lost), "lost")
				}
				slices.Sort(took)
				b.ReportMetric(0, "ns/op")
				b.ReportMetric(milliseconds(took[len(took)/2]), "ms-p50")
				b.ReportMetric(milliseconds(took[len(took)*99/100]), "ms-p99")
				b.ReportMetric(milliseconds(took[len(took)-1]), "ms-worst")
			}
		})
	}
}

// offers takes any CallSID as its own token.
type offers struct{ profile *agent.Profile }

func (o offers) Open(_ context.Context, token string) (voice.Offer, error) {
	return voice.Offer{Profile: o.profile, Call: agent.Call{ID: uuid.New(), SID: token, Channel: agent.ChannelCall, StartedAt: time.Now()}}, nil
}

func cpu(t testing.TB) time.Duration {
	t.Helper()
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		t.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// resident is this process's RSS in bytes.
func resident(t testing.TB) int {
	t.Helper()
	runtime.GC()
	raw, err := os.ReadFile("/proc/self/statm")
	if err != nil {
		t.Fatal(err)
	}
	pages, err := strconv.Atoi(string(bytes.Fields(raw)[1]))
	if err != nil {
		t.Fatal(err)
	}
	return pages * os.Getpagesize()
}
