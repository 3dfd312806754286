package agent

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"runtime/debug"
	"strings"
	"sync"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/nyaruka/phonenumbers"

	"kestrel.ai/supabase"
	"kestrel.ai/supabase/db"
)

// Desk does what the tools ask for, in the tenant's data.
type Desk struct {
	db  *supabase.DB
	now func() time.Time
	dry *dryRun // nil: what is done stays
}

// NewDesk works in db; now tells the time by which slots are past.
func NewDesk(db *supabase.DB, now func() time.Time) *Desk { return &Desk{db: db, now: now} }

// Dry is a desk for one conversation that keeps nothing: each tool runs in a transaction of its own, on top of what the
// conversation did before, and is rolled back at once, so that no caller ever waits for a rehearsal.
func (d *Desk) Dry() *Desk { return &Desk{db: d.db, now: d.now, dry: &dryRun{}} }

type dryRun struct {
	mu   sync.Mutex
	done []func(*task) any
}

var errRehearsed = errors.New("rehearsed")

// task is one tool call at work.
type task struct {
	ctx  context.Context
	q    *db.Queries
	tx   pgx.Tx // of a rehearsal
	p    *Profile
	c    Call
	key  string // the tool call's, within all calls
	id   *uuid.UUID
	now  time.Time
	args json.RawMessage
	act  Action
}

// failure is an answer that says what went wrong, and what the model can do about it.
type failure struct {
	Error    string   `json:"error"`
	NextFree []Moment `json:"next_free,omitempty"`
	Which    []Moment `json:"which,omitempty"`
	Known    any      `json:"appointments,omitempty"`
}

// tools maps a name to its work. A read leaves nothing that a later tool would have to find again.
func tools() map[string]func(*task) any {
	return map[string]func(*task) any{
		toolAvailability: (*task).availability, toolBook: (*task).book, toolReschedule: (*task).reschedule, toolCancel: (*task).cancel,
		toolMessage: (*task).takeMessage, toolTransfer: (*task).transfer, toolEmergency: (*task).emergency, toolHistory: (*task).history, toolEnd: (*task).end,
	}
}

// Use runs one tool. It never fails: what goes wrong is in the answer, in words the model can act on. Using a tool again
// with the same call and toolCallID gives the same effect, once.
func (d *Desk) Use(ctx context.Context, p *Profile, c Call, toolCallID, name string, arguments json.RawMessage) (result Result) {
	defer func() {
		if r := recover(); r != nil {
			slog.Error("agent: tool panicked", "tool", name, "call_id", c.ID, "panic", r, "stack", string(debug.Stack()))
			result = answer(failure{Error: "This did not work. Offer to take a message."}, Action{})
		}
	}()
	work := tools()[name]
	limit := 5 * time.Second
	offered := false
	for _, t := range p.Tools(c) {
		if t.Name == name {
			offered, limit = true, t.Timeout
		}
	}
	if work == nil || !offered {
		return answer(failure{Error: "There is no such tool here."}, Action{})
	}
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	t := &task{ctx: ctx, p: p, c: c, now: d.now(), args: arguments}
	if toolCallID != "" {
		t.key = c.ID.String() + ":" + toolCallID
	}
	out := d.run(t, work)
	return answer(out, t.act)
}

func answer(out any, act Action) Result {
	raw, err := json.Marshal(out)
	if err != nil {
		return Result{Output: `{"error":"This did not work. Offer to take a message."}`}
	}
	return Result{Output: string(raw), Action: act}
}

func (d *Desk) run(t *task, work func(*task) any) any {
	scope := supabase.AsService("agent:" + t.c.ID.String()).At(t.p.TenantID)
	scope.ActorLabel = "receptionist"
	if d.dry == nil {
		t.q = db.New(d.db.As(scope))
		return work(t)
	}
	d.dry.mu.Lock()
	defer d.dry.mu.Unlock()
	id := uuid.NewSHA1(t.c.ID, []byte(t.key)) // the same whenever it is done over
	var out any
	err := d.db.Tx(t.ctx, scope, func(tx pgx.Tx) error {
		for _, before := range d.dry.done {
			replay := *t
			replay.q, replay.tx = db.New(tx), tx
			before(&replay)
		}
		t.q, t.tx, t.id = db.New(tx), tx, &id
		out = work(t)
		return errRehearsed
	})
	if !errors.Is(err, errRehearsed) {
		return t.broken(err)
	}
	if _, failed := out.(failure); !failed {
		args, key, now := t.args, t.key, t.now
		d.dry.done = append(d.dry.done, func(again *task) any {
			again.args, again.key, again.now, again.id = args, key, now, &id
			return work(again)
		})
	}
	return out
}

// attempt runs what SQL may refuse: in a rehearsal, a refusal must not end the transaction.
func (t *task) attempt(fn func(*db.Queries) error) error {
	if t.tx == nil {
		return fn(t.q)
	}
	return pgx.BeginFunc(t.ctx, t.tx, func(inner pgx.Tx) error { return fn(db.New(inner)) })
}

// broken turns an error into words. The public texts of our own SQL are the model's too; anything else stays in the log.
func (t *task) broken(err error) failure {
	var pg *pgconn.PgError
	if errors.As(err, &pg) && strings.HasPrefix(pg.Code, "KS") {
		return failure{Error: pg.Message}
	}
	slog.ErrorContext(t.ctx, "agent: tool failed", "call_id", t.c.ID, "tenant_id", t.p.TenantID, "error", err)
	return failure{Error: "This did not work just now. Try once more; if it fails again, offer to take a message."}
}

// decode reads the tool's arguments into v.
func (t *task) decode(v any) *failure {
	if len(t.args) > 32<<10 || json.Unmarshal(t.args, v) != nil {
		return &failure{Error: "The arguments are not what the tool takes."}
	}
	return nil
}

// phone reads a number that the caller said; empty is the one they call from, which may be unknown.
func (t *task) phone(said string) (string, *failure) {
	said = strings.TrimSpace(said)
	if said == "" {
		return t.c.From, nil
	}
	n, err := phonenumbers.Parse(said, "US")
	if err != nil || !phonenumbers.IsPossibleNumber(n) {
		return "", &failure{Error: "That is not a complete phone number. Ask for it again, digit by digit."}
	}
	return phonenumbers.Format(n, phonenumbers.E164), nil
}

// clip keeps texts within what the columns hold, without control characters.
func clip(s string, most int) string {
	s = strings.Map(func(r rune) rune {
		if r < ' ' && r != '\n' && r != '\t' || r == 0x7f {
			return -1
		}
		return r
	}, strings.ToValidUTF8(strings.TrimSpace(s), ""))
	if r := []rune(s); len(r) > most {
		return string(r[:most])
	}
	return s
}
