package voice_test

import (
	"bytes"
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"log/slog"
	"net"
	"os"
	"os/exec"
	"runtime"
	"runtime/debug"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/gofiber/fiber/v2"
	"github.com/google/uuid"

	"kestrel.ai/server/agent"
	"kestrel.ai/server/voice"
	"kestrel.ai/server/voice/realtime"
	"kestrel.ai/server/voice/wire"
)

var loadFor = flag.Duration("load.for", 10*time.Second, "how long BenchmarkBridge holds each number of calls")

var concurrent = []int{1, 200, 400, 600, 800, 1600}

// BenchmarkBridge holds N calls, 50 frames a second each, through Fiber, the bridge and the model's client; another
// process is Twilio and the model, which echoes every frame. It reports the round trip from Twilio to the model and
// back, what was lost, and what it cost this process.
func BenchmarkBridge(b *testing.B) {
	for _, calls := range concurrent {
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
	generator *process
	empty     int // RSS before the first call
}

// process is one of this test's own, in another role.
type process struct {
	*exec.Cmd
	in    *json.Encoder
	out   *json.Decoder
	close func() error // of its standard input
}

func (l *load) start(role string) *process {
	l.b.Helper()
	cmd := exec.Command(os.Args[0], "-test.run=^$") //nolint:gosec // this test itself
	cmd.Env = append(os.Environ(), loadRole+"="+role)
	cmd.Stderr = os.Stderr
	in, err := cmd.StdinPipe()
	l.must(err)
	out, err := cmd.StdoutPipe()
	l.must(err)
	l.must(cmd.Start())
	return &process{Cmd: cmd, in: json.NewEncoder(in), out: json.NewDecoder(out), close: in.Close}
}

// next is what a process tells next.
func (l *load) next(p *process) (o outcome) {
	l.b.Helper()
	l.must(p.out.Decode(&o))
	return o
}

// stop ends a process by the end of its input.
func (l *load) stop(p *process) {
	l.b.Helper()
	l.must(p.close())
	l.must(p.Wait())
}

// begin returns when all calls are connected and have talked for a second.
func begin(b *testing.B, calls int) *load {
	b.Helper()
	l := &load{b: b, calls: calls}
	l.generator = l.start("generator")
	ln, err := net.Listen("tcp4", "127.0.0.1:0")
	l.must(err)
	tenant := uuid.New()
	l.must(l.generator.in.Encode(order{Bridge: ln.Addr().String(), Tenant: tenant.String(), Calls: calls, For: *loadFor}))
	loops := &wire.Loops{}
	model, err := realtime.New(realtime.Config{APIKey: "sk-load", BaseURL: "http://" + l.next(l.generator).Model, Model: "echo", Transcription: "none", Dial: loops.Dial})
	l.must(err)
	l.bridge, err = voice.New(voice.Options{
		Model: model, Desk: &desk{}, Tokens: offers{everyCall(tenant)}, Recorder: discard{}, Loops: loops, Limits: voice.Limits{Calls: calls}, Log: slog.New(slog.DiscardHandler),
	})
	l.must(err)
	l.app = fiber.New(fiber.Config{DisableStartupMessage: true, ReadBufferSize: 72 << 10})
	l.app.Get("/api/voice/stream", l.bridge.Stream)
	debug.FreeOSMemory()
	l.empty = resident(b)
	go func() { _ = l.app.Listener(ln) }()
	l.next(l.generator)
	return l
}

func (l *load) must(err error) {
	l.b.Helper()
	if err != nil {
		l.b.Fatal(err)
	}
}

// end takes the generator's outcome, and everything down.
func (l *load) end() outcome {
	l.b.Helper()
	result := l.next(l.generator)
	l.stop(l.generator)
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
	report(b, result, calls, spent, took)
	b.ReportMetric(float64(grown)/1024/float64(calls), "rss-KB/call")
}

func report(b *testing.B, result outcome, calls int, spent, took time.Duration) {
	b.ReportMetric(0, "ns/op")
	b.ReportMetric(milliseconds(result.P50), "ms-p50")
	b.ReportMetric(milliseconds(result.P99), "ms-p99")
	b.ReportMetric(milliseconds(result.Worst), "ms-worst")
	b.ReportMetric(float64(result.Sent), "frames")
	b.ReportMetric(float64(result.Lost), "lost")
	b.ReportMetric(float64(spent.Milliseconds())/(float64(calls)*took.Minutes()), "cpu-ms/call-minute")
}

// BenchmarkBareRelay puts the bare relay in Kestrel's place, as a measure of what the machine allows.
func BenchmarkBareRelay(b *testing.B) {
	for _, calls := range concurrent {
		b.Run(fmt.Sprintf("calls=%d", calls), func(b *testing.B) {
			for b.Loop() {
				l := &load{b: b, calls: calls}
				relay := l.start("relay")
				l.generator = l.start("generator")
				l.must(l.generator.in.Encode(order{Bridge: l.next(relay).Bridge, Calls: calls, For: *loadFor}))
				l.must(relay.in.Encode(order{Model: l.next(l.generator).Model, Calls: calls}))
				l.next(l.generator)
				used := func() time.Duration {
					l.must(relay.in.Encode(order{}))
					return l.next(relay).CPU
				}
				began, before := time.Now(), used()
				time.Sleep(*loadFor)
				spent, took := used()-before, time.Since(began)
				result := l.next(l.generator)
				l.stop(l.generator)
				l.stop(relay)
				report(b, result, calls, spent, took)
			}
		})
	}
}

func milliseconds(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }

// BenchmarkIncomingUnderLoad rings twenty times a second, through the edge and the webhooks to the answer, while this
// process holds calls; with room for more, and with none: then each ring is sent elsewhere, and those that were admitted
// must lose nothing.
func BenchmarkIncomingUnderLoad(b *testing.B) {
	for _, c := range []struct {
		name  string
		calls int
		full  bool
	}{{"calls=0", 0, false}, {"calls=800", 800, false}, {"calls=800,full", 800, true}} {
		b.Run(c.name, func(b *testing.B) {
			for b.Loop() {
				o := newOffice(b)
				var l *load
				if c.calls > 0 {
					l = begin(b, c.calls)
				}
				if c.full {
					o.stop()
					o.lines = l.bridge
					o.start(true)
				}
				took := o.ringing(b, c.full)
				if l != nil {
					result := l.end()
					b.ReportMetric(float64(result.Sent), "frames")
					b.ReportMetric(float64(result.Lost), "lost")
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

// ringing is how long each of the rings was answered after.
func (o *office) ringing(b *testing.B, elsewhere bool) (took []time.Duration) {
	b.Helper()
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for began := time.Now(); time.Since(began) < *loadFor; <-tick.C {
		form := ringing(callSID(), aCaller, haiec)
		asked := time.Now()
		got := o.post("/api/voice/incoming?tenant=haiec", form)
		took = append(took, time.Since(asked))
		if got.status != 200 || strings.Contains(got.body, "<Stream") == elsewhere {
			b.Fatal(got.status, got.body)
		}
		o.bridge.Release(form.Get("CallSid"))
	}
	return took
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
