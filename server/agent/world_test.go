package agent_test

import (
	"context"
	"encoding/json"
	"fmt"
	"testing"
	"time"

	"github.com/google/uuid"

	"kestrel.ai/server/agent"
	"kestrel.ai/supabase"
	"kestrel.ai/supabase/supabasetest"
)

// shop is one tenant with its receptionist, and a desk on a real database.
type shop struct {
	t  *testing.T
	on *supabasetest.Database
	db *supabase.DB
	id uuid.UUID
	*agent.Profile
	*agent.Desk
	now time.Time
}

// thursday is when tests take place: open, in November, on standard time.
var thursday = time.Date(2026, time.November, 26, 15, 0, 0, 0, time.UTC) // 10:00 in New York

func newShop(t *testing.T) *shop {
	t.Helper()
	s := &shop{t: t, on: supabasetest.New(t), now: thursday}
	s.exec(`insert into tenants (slug, company_name, owner_email, industry, subscription_status, timezone) values ('haiec', 'HAIEC', 'admin@haiec.com', 'hvac', 'trial', 'America/New_York')`)
	s.scan(&s.id, `select id from tenants`)
	db, err := supabase.Open(context.Background(), s.on.AppURL+"&pool_max_conns=20")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(db.Close)
	s.db, s.Desk = db, agent.NewDesk(db, func() time.Time { return s.now })
	s.load()
	return s
}

func (s *shop) load() {
	s.t.Helper()
	p, err := agent.Load(context.Background(), s.db.As(supabase.AsService("test").At(s.id)), s.id, agent.Published)
	if err != nil {
		s.t.Fatal(err)
	}
	s.Profile = p
}

func (s *shop) exec(sql string, args ...any) {
	s.t.Helper()
	if _, err := s.on.Admin.Exec(context.Background(), sql, args...); err != nil {
		s.t.Fatal(err)
	}
}

func (s *shop) scan(to any, sql string, args ...any) {
	s.t.Helper()
	if err := s.on.Admin.QueryRow(context.Background(), sql, args...).Scan(to); err != nil {
		s.t.Fatal(err)
	}
}

func (s *shop) count(sql string, args ...any) (n int) {
	s.t.Helper()
	s.scan(&n, "select count(*) from "+sql, args...)
	return n
}

func newCall(from string) agent.Call {
	id, _ := uuid.NewV7()
	return agent.Call{ID: id, SID: "CA" + id.String(), From: from, To: "+18573825169", Channel: agent.ChannelCall, StartedAt: thursday}
}

// reply is what the tests read of any tool's answer.
type reply struct {
	Error         string         `json:"error"`
	Status        string         `json:"status"`
	AppointmentID string         `json:"appointment_id"`
	StartsAt      string         `json:"starts_at"`
	Say           string         `json:"say"`
	Timezone      string         `json:"timezone"`
	Confirmation  string         `json:"confirmation"`
	Note          string         `json:"note"`
	Free          []agent.Moment `json:"free"`
	NextFree      []agent.Moment `json:"next_free"`
	Which         []agent.Moment `json:"which"`
	Known         bool           `json:"known"`
	Name          string         `json:"name"`
	Appointments  []struct {
		ID     string `json:"appointment_id"`
		Status string `json:"status"`
	} `json:"appointments"`
	Action agent.Action `json:"-"`
}

var toolCalls = func() func() string {
	next := make(chan string)
	go func() {
		for i := 0; ; i++ {
			next <- fmt.Sprintf("call_%d", i)
		}
	}()
	return func() string { return <-next }
}()

func use(t *testing.T, d *agent.Desk, p *agent.Profile, c agent.Call, id, tool, args string) reply {
	t.Helper()
	result := d.Use(context.Background(), p, c, id, tool, json.RawMessage(args))
	var r reply
	if err := json.Unmarshal([]byte(result.Output), &r); err != nil {
		t.Fatalf("%s answered %s: %v", tool, result.Output, err)
	}
	r.Action = result.Action
	return r
}

// use runs a tool on a new tool call.
func (s *shop) use(c agent.Call, tool, args string) reply {
	s.t.Helper()
	return use(s.t, s.Desk, s.Profile, c, toolCalls(), tool, args)
}

func booking(at, name string) string {
	return fmt.Sprintf(`{"starts_at":%q,"service":"Maintenance tune-up","name":%q,"phone":"","address":"1 Main St","notes":""}`, at, name)
}
