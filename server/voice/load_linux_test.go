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

func hold(b *testing.B, calls int) {
	tenant := uuid.New()
	generator := exec.Command(os.Args[0], "-test.run=^$") //nolint:gosec // this test itself
	generator.Env = append(os.Environ(), generatorRole+"=1")
	generator.Stderr = os.Stderr
	in, err := generator.StdinPipe()
	if err != nil {
		b.Fatal(err)
	}
	out, err := generator.StdoutPipe()
	if err != nil {
		b.Fatal(err)
	}
	ln, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	if err := generator.Start(); err != nil {
		b.Fatal(err)
	}
	defer func() { _ = generator.Wait() }()
	if err := json.NewEncoder(in).Encode(order{Bridge: ln.Addr().String(), Tenant: tenant.String(), Calls: calls, For: *loadFor}); err != nil {
		b.Fatal(err)
	}
	told := json.NewDecoder(out)
	next := func() (o outcome) {
		if err := told.Decode(&o); err != nil {
			b.Fatal("generator: ", err)
		}
		return o
	}
	model, err := realtime.New(realtime.Config{APIKey: "sk-load", BaseURL: "http://" + next().Model, Model: "echo", Transcription: "none"})
	if err != nil {
		b.Fatal(err)
	}
	bridge, err := voice.New(voice.Options{
		Model: model, Desk: &desk{}, Tokens: offers{everyCall(tenant)}, Recorder: &events{},
		Limits: voice.Limits{Calls: calls}, Log: slog.New(slog.NewTextHandler(io.Discard, nil)),
	})
	if err != nil {
		b.Fatal(err)
	}
	app := fiber.New(fiber.Config{DisableStartupMessage: true, ReadBufferSize: 72 << 10})
	app.Get("/api/voice/stream", bridge.Stream)
	debug.FreeOSMemory()
	empty := resident(b)
	go func() { _ = app.Listener(ln) }()
	next() // connected and warm
	began, used := time.Now(), cpu(b)
	time.Sleep(*loadFor)
	spent, took := cpu(b)-used, time.Since(began)
	grown := resident(b) - empty
	result := next()
	_ = in.Close()
	b.ReportMetric(0, "ns/op")
	b.ReportMetric(float64(result.P50.Microseconds())/1000, "ms-p50")
	b.ReportMetric(float64(result.P99.Microseconds())/1000, "ms-p99")
	b.ReportMetric(float64(result.Worst.Microseconds())/1000, "ms-worst")
	b.ReportMetric(float64(result.Sent), "frames")
	b.ReportMetric(float64(result.Lost), "lost")
	b.ReportMetric(float64(spent.Milliseconds())/(float64(calls)*took.Minutes()), "cpu-ms/call-minute")
	b.ReportMetric(float64(grown)/1024/float64(calls), "rss-KB/call")
	if err := generator.Wait(); err != nil {
		b.Error(err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	if err := bridge.Drain(ctx); err != nil {
		b.Error(err)
	}
	if err := app.Shutdown(); err != nil {
		b.Error(err)
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
