package voice_test

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/gobwas/ws"
	"github.com/gofiber/fiber/v2"
	"github.com/google/uuid"

	"kestrel.ai/server/agent"
	"kestrel.ai/server/voice"
	"kestrel.ai/server/voice/realtime"
	"kestrel.ai/server/voice/wire"
)

// TestThousandCalls opens and ends a thousand calls over real sockets, with the webhook, the stream, the model's readiness
// and the end in every order, the end in each of its ways. Goroutines, sockets and heap are then where they were.
func TestThousandCalls(t *testing.T) {
	w := newWorks(t)
	orders := permutations("PSME") // webhook, stream, model, end
	ways := []string{"stop", "cut", "model", "release"}
	if c, err := wire.Dial(t.Context(), "ws://"+w.addr+"/nothing", nil, nil); err == nil { // Fiber's own goroutines run now
		t.Error("served")
		_ = c.Close()
	}
	goroutines, sockets, _ := w.count()
	made := w.calls(orders, ways, 0)
	_, _, heap := w.count() // with the pools that are made once and kept
	for made < 1000 {
		made += w.calls(orders, ways, made)
	}
	if had := int(w.ended.Load()); had < made {
		t.Errorf("the bridge had %d calls of %d", had, made)
	}
	var after [3]int
	deadline := time.Now().Add(time.Minute)
	for {
		after[0], after[1], after[2] = w.count()
		if after[0] <= goroutines && after[1] <= sockets && after[2] <= heap+1<<20 {
			t.Logf("%d calls: goroutines %d → %d, sockets %d → %d, heap %d → %d KB", made, goroutines, after[0], sockets, after[1], heap>>10, after[2]>>10)
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("after %d calls: goroutines %d → %d, sockets %d → %d, heap %d → %d KB", made, goroutines, after[0], sockets, after[1], heap>>10, after[2]>>10)
		}
		time.Sleep(20 * time.Millisecond)
	}
}

// works is a bridge behind Fiber on a real port, and a model behind another.
type works struct {
	t      *testing.T
	bridge *voice.Bridge
	addr   string
	ended  tally
	offers sync.Map // token → voice.Offer
	gates  sync.Map // the model's peer address → *gate
}

// gate lets a model's session become ready, and closes it.
type gate struct{ ready, cut chan struct{} }

type gateKey struct{}

// gated hands the call's gate to the dialler of its model.
type gated struct {
	voice.Model
	gates *sync.Map // CallID → *gate
}

func (g gated) Dial(ctx context.Context, s voice.Session) (voice.Conversation, error) {
	at, _ := g.gates.Load(s.CallID)
	return g.Model.Dial(context.WithValue(ctx, gateKey{}, at), s)
}

func newWorks(t *testing.T) *works {
	w := &works{t: t}
	models, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	loops := &wire.Loops{}
	model, err := realtime.New(realtime.Config{
		APIKey: "sk-test", BaseURL: "http://" + models.Addr().String(), Model: "m", Transcription: "t",
		Dial: func(ctx context.Context, network, addr string) (net.Conn, error) {
			conn, err := loops.Dial(ctx, network, addr)
			if err == nil {
				w.gates.Store(conn.LocalAddr().String(), ctx.Value(gateKey{}))
			}
			return conn, err
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	w.bridge, err = voice.New(voice.Options{
		Model: gated{model, &w.gates}, Desk: &desk{}, Tokens: w, Recorder: &w.ended, Loops: loops, Log: slog.New(slog.NewTextHandler(io.Discard, nil)),
		Limits: voice.Limits{Refusals: 1 << 30}, // models that are cut off while they connect are no reason to refuse the next call
	})
	if err != nil {
		t.Fatal(err)
	}
	app := fiber.New(fiber.Config{DisableStartupMessage: true})
	app.Server().MaxIdleWorkerDuration = 50 * time.Millisecond
	app.Get("/api/voice/stream", w.bridge.Stream)
	ln, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	w.addr = ln.Addr().String()
	var running sync.WaitGroup
	running.Go(func() { _ = app.Listener(ln) })
	running.Go(func() {
		for {
			conn, err := models.Accept()
			if err != nil {
				return
			}
			running.Go(func() { w.model(conn) })
		}
	})
	t.Cleanup(func() {
		if err := w.bridge.Drain(t.Context()); err != nil && w.bridge.Len() > 0 {
			t.Error(err)
		}
		_ = app.Shutdown()
		_ = models.Close()
		running.Wait()
	})
	return w
}

type discard struct{}

func (discard) Record(voice.Event) {}

// tally counts the calls that the bridge had and has let go of.
type tally struct{ atomic.Int64 }

func (n *tally) Record(e voice.Event) {
	if e.Type == voice.CallEnded {
		n.Add(1)
	}
}

func (w *works) Open(_ context.Context, token string) (voice.Offer, error) {
	o, ok := w.offers.Load(token)
	if !ok {
		return voice.Offer{}, io.EOF
	}
	return o.(voice.Offer), nil
}

// model is the vendor's end of one socket: ready when its gate says so, closed when it says so.
func (w *works) model(conn net.Conn) {
	defer func() { _ = conn.Close() }()
	r := bufio.NewReader(conn)
	if _, err := r.Peek(1); err != nil { // its dialler was called off
		return
	}
	at, _ := w.gates.Load(conn.RemoteAddr().String())
	g := at.(*gate)
	gone := make(chan struct{})
	defer close(gone)
	go func() {
		select {
		case <-g.cut:
			_ = conn.Close()
		case <-gone:
		}
	}()
	if _, err := ws.Upgrade(struct {
		io.Reader
		io.Writer
	}{r, conn}); err != nil {
		return
	}
	c := wire.Server(conn)
	if _, err := c.Read(); err != nil {
		return
	}
	for told := g.ready; ; told = nil {
		if told != nil {
			select {
			case <-told:
			case <-g.cut:
			}
			_ = c.Write([]byte(`{"type":"session.updated"}`))
		}
		if _, err := c.Read(); err != nil {
			return
		}
		_ = c.Write([]byte(`{"type":"response.output_audio.delta","event_id":"e","response_id":"r","item_id":"i","output_index":0,"content_index":0,"delta":"AAAA"}`))
	}
}

// calls makes one call of each order and way at the same time, and returns when the bridge is empty.
func (w *works) calls(orders, ways []string, round int) int {
	profile := everyCall(uuid.New())
	var group sync.WaitGroup
	n := 0
	for _, order := range orders {
		for _, way := range ways {
			sid := fmt.Sprintf("CA%d.%d", round, n)
			n++
			group.Go(func() { w.call(profile, sid, order, way) })
		}
	}
	group.Wait()
	for deadline := time.Now().Add(30 * time.Second); w.bridge.Len() > 0; time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			w.t.Fatalf("%d calls are left", w.bridge.Len())
		}
	}
	return n
}

func (w *works) call(profile *agent.Profile, sid, order, way string) {
	o := voice.Offer{Profile: profile, Call: agent.Call{ID: uuid.New(), SID: sid, StartedAt: time.Now()}}
	g := &gate{ready: make(chan struct{}), cut: make(chan struct{})}
	w.gates.Store(o.Call.ID.String(), g)
	w.offers.Store(sid, o)
	var stream *wire.Conn
	readers := make(chan struct{})
	close(readers)
	for _, step := range order {
		switch step {
		case 'P':
			_ = w.bridge.Prepare(o)
		case 'S':
			stream, readers = w.stream(profile, sid)
		case 'M':
			close(g.ready)
		case 'E':
			w.finish(g, stream, sid, way)
		}
	}
	if way != "model" {
		close(g.cut)
	}
	if stream != nil {
		_ = stream.Close()
	}
	<-readers
	w.bridge.Release(sid)
}

// stream opens the call's media stream and says a word.
func (w *works) stream(profile *agent.Profile, sid string) (*wire.Conn, chan struct{}) {
	c, err := wire.Dial(w.t.Context(), "ws://"+w.addr+"/api/voice/stream", nil, nil)
	if err != nil {
		w.t.Error(err)
		return nil, nil
	}
	p := &phone{t: w.t, conn: c}
	p.start(sid, profile.TenantID.String(), sid)
	p.say("AAECAwQF")
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		for {
			if _, err := c.Read(); err != nil {
				return
			}
		}
	}()
	return c, ended
}

func (w *works) finish(g *gate, stream *wire.Conn, sid, way string) {
	switch {
	case way == "model":
		close(g.cut)
	case way == "release":
		w.bridge.Release(sid)
	case stream == nil: // hung up before there was a stream
	case way == "stop":
		_ = stream.Write([]byte(`{"event":"stop","streamSid":"MZ1"}`))
	default:
		_ = stream.Close()
	}
}

// count is of goroutines, open files and bytes of heap.
func (w *works) count() (goroutines, sockets, heap int) {
	runtime.GC()
	files, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		w.t.Fatal(err)
	}
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return runtime.NumGoroutine(), len(files), int(m.HeapAlloc)
}

func permutations(of string) []string {
	if len(of) < 2 {
		return []string{of}
	}
	var all []string
	for i := range of {
		for _, rest := range permutations(of[:i] + of[i+1:]) {
			all = append(all, of[i:i+1]+rest)
		}
	}
	return all
}

// everyCall is a tenant whose lines are never busy.
func everyCall(tenant uuid.UUID) *agent.Profile {
	settings := agent.Defaults("hvac", "HAIEC")
	settings.Limits.ConcurrentCalls = 0
	return &agent.Profile{TenantID: tenant, CompanyName: "HAIEC", Timezone: "UTC", Settings: settings}
}
