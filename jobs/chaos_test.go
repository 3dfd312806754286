package jobs_test

import (
	"bufio"
	"bytes"
	"context"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"

	"kestrel.ai/jobs"
	"kestrel.ai/jobs/twilio"
	"kestrel.ai/server/sandbox"
)

var (
	kills = flag.Int("chaos.kills", 20, "how many workers TestChaos kills")
	seed  = flag.Uint64("chaos.seed", 1, "seed of TestChaos's moments and faults")
)

// workerEnv makes the test binary a worker process: app URL, vendors' URL and Supabase's, separated by spaces.
const workerEnv = "KESTREL_CHAOS_WORKER"

func TestMain(m *testing.M) {
	if urls := strings.Fields(os.Getenv(workerEnv)); len(urls) == 3 {
		if err := runWorker(urls); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	os.Exit(m.Run())
}

// runWorker works until its input ends: when it is told to stop, or its parent has died.
func runWorker(urls []string) error {
	ctx := context.Background()
	d, err := deps(ctx, urls[0], urls[1], urls[2])
	if err != nil {
		return err
	}
	d.Log = slog.New(slog.DiscardHandler)
	d.Config.Tuning.Settle = time.Second
	// Shorter than the sandbox's longest delay, so that requests do time out.
	if d.Twilio, err = twilio.New(twilio.Config{
		AccountSID: sandbox.DefaultAccountSID, AuthToken: sandbox.DefaultAuthToken, BaseURL: urls[1], Timeout: 600 * time.Millisecond,
	}); err != nil {
		return err
	}
	client, err := jobs.New(d)
	if err != nil {
		return err
	}
	if err := client.Start(ctx); err != nil {
		return err
	}
	fmt.Println("ready")
	_, _ = io.Copy(io.Discard, os.Stdin)
	return client.Stop(ctx)
}

type process struct {
	cmd   *exec.Cmd
	stdin io.Closer
}

func (w *world) process() process {
	w.t.Helper()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), workerEnv+"="+strings.Join([]string{w.db.AppURL + "&pool_max_conns=6", w.vendors, w.supabase}, " "))
	cmd.Stderr = os.Stderr
	stdin, err := cmd.StdinPipe()
	must(w.t, err)
	stdout, err := cmd.StdoutPipe()
	must(w.t, err)
	must(w.t, cmd.Start())
	if line, err := bufio.NewReader(stdout).ReadString('\n'); err != nil || line != "ready\n" {
		w.t.Fatalf("worker said %q, %v", line, err)
	}
	return process{cmd, stdin}
}

func (p process) kill() {
	_ = p.cmd.Process.Kill()
	_ = p.cmd.Wait()
}

// slow is a vendor that finishes what it was asked even when the asker is gone, and sometimes takes its time before:
// a purchase may take effect after the worker that sent it was killed and the next one has looked.
func slow(next http.Handler, rng *rand.Rand) http.Handler {
	var mu sync.Mutex
	return http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		r = r.WithContext(context.WithoutCancel(r.Context()))
		r.Body = io.NopCloser(bytes.NewReader(body))
		mu.Lock()
		wait := time.Duration(rng.IntN(30)) * time.Millisecond
		if rng.IntN(4) == 0 {
			wait += time.Duration(rng.IntN(150)) * time.Millisecond
		}
		mu.Unlock()
		time.Sleep(wait)
		next.ServeHTTP(rw, r)
	})
}

var chaosFaults = []sandbox.Fault{
	{Match: buying, AfterCommit: true},                             // the connection breaks after the effect
	{Match: buying, AfterCommit: true, DelayMS: 900},               // time-out after the effect
	{Match: buying, AfterCommit: true, Status: 500},                // failure after the effect
	{Match: buying, Status: 500},                                   // and before it
	{Match: buying, Status: 429},                                   //
	{Match: buying, Status: 400, Code: "21422"},                    // the number is gone
	{Match: "GET *IncomingPhoneNumbers.json", Status: 503},         // the look-up fails
	{Match: "POST *IncomingPhoneNumbers/*", Status: 500, Count: 2}, // the webhooks fail
	{Service: "resend", Match: "POST /emails", AfterCommit: true},  //
	{Service: "resend", Match: "POST /emails", Status: 500},        //
	{Service: "resend", Match: "POST /emails", Status: 429},        //
	{Service: "resend", Match: "POST /emails", Status: 500, AfterCommit: true, DelayMS: 50},
}

// Workers are killed at random moments while the vendors fail in every way; in the end every purchase has its one
// number or failed without one, Twilio has no number that nobody knows, and every e-mail was sent once.
func TestChaos(t *testing.T) {
	w := newWorld(t)
	rng := rand.New(rand.NewPCG(*seed, 2))
	vendors := httptest.NewServer(slow(w.sandbox, rand.New(rand.NewPCG(*seed, 3))))
	t.Cleanup(vendors.Close)
	w.vendors = vendors.URL
	codes := []string{"857", "617", "212", "415", "312"}

	intents, hit, began := map[uuid.UUID]string{}, map[string]bool{}, time.Now()
	open := func() int { return scan[int](w, `select count(*) from jobs where state in ('queued', 'running')`) }
	for n := 0; n < *kills; {
		for range 1 + rng.IntN(2) {
			slug := fmt.Sprintf("tenant-%d", len(intents))
			what := codes[rng.IntN(len(codes))]
			if rng.IntN(3) == 0 {
				what = w.unclaimed(what)
			}
			intents[w.buy(w.tenant(slug), what, true)] = slug
		}
		for range rng.IntN(4) {
			w.fault(chaosFaults[rng.IntN(len(chaosFaults))])
		}
		workers := []process{w.process()}
		if rng.IntN(3) == 0 {
			workers = append(workers, w.process())
		}
		// Left alone with too much to do, workers that die young never get anywhere.
		if open() > 24 {
			w.until("less to do", func() bool { return open() < 8 })
		}
		for _, p := range workers {
			time.Sleep(time.Duration(rng.IntN(300)) * time.Millisecond)
			p.kill()
			n++
		}
		for _, interrupted := range scan[[]string](w, `select coalesce(array_agg(id || ' ' || attempt || ' ' || step), '{}') from jobs where kind = 'number_purchase' and state = 'running'`) {
			hit[interrupted] = true
		}
	}
	last := w.process()
	w.until("quiet", func() bool {
		return scan[int](w, `select count(*) from jobs where state in ('queued', 'running')`) == 0
	})
	must(t, last.stdin.Close())
	must(t, last.cmd.Wait())
	w.checkChaos(intents)
	t.Logf("seed %d: %d kills, %d purchases interrupted by them, %d purchases (%d done, %d failed without a number), %d requests to buy, %d jobs, %d e-mails, %s",
		*seed, *kills, len(hit), len(intents), scan[int](w, `select count(*) from number_purchases where state = 'done'`),
		scan[int](w, `select count(*) from number_purchases where state = 'failed'`), w.requests("POST", "IncomingPhoneNumbers.json"),
		scan[int](w, `select count(*) from jobs`), len(w.sandbox.Emails()), time.Since(began).Round(time.Second))
}

// unclaimed is a number for sale that no purchase is after.
func (w *world) unclaimed(code string) string {
	w.t.Helper()
	for nth := 19; nth >= 0; nth-- {
		number := w.forSale(code, nth)
		if scan[int](w, `select count(*) from number_purchases where phone_number = $1`, number) == 0 {
			return number
		}
	}
	return code
}

func (w *world) checkChaos(intents map[uuid.UUID]string) {
	t := w.t
	named := map[string]int{}
	for _, n := range w.sandbox.Numbers() {
		id := n.FriendlyName[strings.LastIndex(n.FriendlyName, " ")+1:]
		named[id]++
		known := scan[int](w, `select count(*) from number_purchases p join phone_numbers n on n.phone_number = p.phone_number and n.provider_sid = p.provider_sid
			where p.id::text = $1 and p.state = 'done' and n.status = 'ready' and n.provider_sid = $2 and n.tenant_id = p.tenant_id`, id, n.SID)
		if known != 1 {
			t.Errorf("orphan: Twilio has %s (%s), which no purchase has", n.PhoneNumber, n.FriendlyName)
		}
	}
	keys := map[string]int{}
	for _, e := range w.sandbox.Emails() {
		if keys[e.IdempotencyKey]++; keys[e.IdempotencyKey] > 1 {
			t.Errorf("e-mail sent twice: %s to %v", e.Subject, e.To)
		}
	}
	for id, slug := range intents {
		state := scan[string](w, `select state from number_purchases where id = $1`, id)
		want := map[string]int{"done": 1}[state]
		if named[id.String()] != want {
			t.Errorf("purchase %s is %s and has %d numbers", id, state, named[id.String()])
		}
		to := slug + "@example.com"
		same(t, slug+": e-mails", []int{len(w.mails(to, "Welcome to Kestrel")), len(w.mails(to, "You're Live!"))}, []int{1, want})
		if state == "failed" {
			reason := scan[string](w, `select reason from number_purchases where id = $1`, id)
			if !strings.Contains(reason, "Somebody else has taken this number") {
				t.Errorf("purchase %s failed: %s", id, reason)
			}
		}
	}
	same(t, "e-mails to the admin", len(w.mails(adminEmail, "New tenant")), len(intents))
	same(t, "e-mails not sent", scan[int](w, `select count(*) from email_log where status <> 'sent'`), 0)
	same(t, "sent but not in the log", len(keys)-scan[int](w, `select count(*) from email_log`), 0)
	same(t, "tenants not live", scan[int](w, `select count(*) from number_purchases p join tenants t on t.id = p.tenant_id where p.state = 'done' and t.subscription_status <> 'trial'`), 0)
	same(t, "wrong webhooks", scan[int](w, `select count(*) from phone_numbers n join tenants t on t.id = n.tenant_id
		where n.webhooks ->> 'voice_url' is distinct from '`+webhookBase+`/api/voice/incoming?tenant=' || t.slug`), 0)
}
