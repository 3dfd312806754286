package api

import (
	"bufio"
	"context"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humafiber"
	"github.com/google/uuid"
	"github.com/valyala/fasthttp"

	"kestrel.ai/server/edge"
	"kestrel.ai/supabase"
	"kestrel.ai/supabase/db"
)

const (
	// longestCall is after how long a call that nobody ended is not shown as live any more.
	longestCall = 4 * time.Hour
	// overlap is how far back a stream reads again: events are numbered when they are written, and may be committed in
	// another order.
	overlap = 10 * time.Second
)

// LiveCall is a call that is going on.
type LiveCall struct {
	ID         uuid.UUID  `json:"id" format:"uuid"`
	CallSID    string     `json:"call_sid" example:"CA0123456789abcdef0123456789abcdef"`
	FromNumber *string    `json:"from_number" example:"+16175551234"`
	ToNumber   *string    `json:"to_number" example:"+18573825169"`
	StartedAt  time.Time  `json:"started_at"`
	AnsweredAt *time.Time `json:"answered_at" doc:"null while the receptionist is being reached"`
	IsTest     bool       `json:"is_test" example:"false"`
	ContactID  *uuid.UUID `json:"contact_id" nullable:"true"`
}

const liveCallsDoc doc = `List live calls
Those that are with the receptionist now, newest first, a hundred at most.`

func (a *API) liveCalls(ctx context.Context, _ *struct{}) (*listOutput[LiveCall], error) {
	live, err := a.callsNow(ctx, a.query(ctx), tenantOf(ctx))
	return whole(live), err
}

func (a *API) callsNow(ctx context.Context, q *db.Queries, tenant uuid.UUID) ([]LiveCall, error) {
	rows, err := q.ListLiveCalls(ctx, tenant, a.Now().Add(-longestCall))
	return each(rows, func(r db.ListLiveCallsRow) LiveCall {
		return LiveCall{ID: r.ID, CallSID: r.CallSid, FromNumber: r.FromNumber, ToNumber: r.ToNumber, StartedAt: r.StartedAt, AnsweredAt: r.AnsweredAt,
			IsTest: r.IsTest, ContactID: r.ContactID}
	}), err
}

type callEventsInput struct {
	LastEventID string `header:"Last-Event-ID" maxLength:"36" doc:"Resume after this event, on any machine"`
}

const callEventsDoc doc = `Follow live calls
Server-sent events: live with the calls that are going on, then started, answered, turn with its text, tool, ended, closed
and so on as they happen, each with its call_id. One may come twice; its id tells. The
stream ends after a quarter of an hour: resume it after the last id. Browsers read it with fetch
(EventSource cannot send a Bearer), or use a ticket.`

const callEventsExample = "event: live\ndata: {\"calls\":[]}\n\nid: 019d2f4e-6c1a-7c3e-9b0a-2f6d1c4e8a51\nevent: turn\ndata: {\"call_id\":\"019d2f4e-6c1a-7c3e-9b0a-2f6d1c4e8a50\",\"speaker\":\"caller\",\"text\":\"My furnace makes a noise.\"}\n\n"

func (a *API) callEvents(ctx context.Context, in *callEventsInput) (*huma.StreamResponse, error) {
	last, err := lastEvent(in.LastEventID)
	if err != nil {
		return nil, err
	}
	scope := edge.FromContext(ctx)
	s := &callStream{api: a, tenant: scope.Tenant.ID, last: last, query: db.New(a.DB.As(scope.SQL())), sent: map[uuid.UUID]time.Time{}}
	return &huma.StreamResponse{Body: func(hc huma.Context) {
		hc.SetStatus(200)
		hc.SetHeader("Content-Type", "text/event-stream")
		hc.SetHeader("X-Accel-Buffering", "no")
		humafiber.Unwrap(hc).Context().SetBodyStreamWriter(fasthttp.StreamWriter(func(w *bufio.Writer) {
			ctx, closed := a.Edge.Streams().Open(scope)
			defer closed()
			s.w = w
			if err := s.run(ctx); err != nil && ctx.Err() == nil {
				a.Log.DebugContext(ctx, "event stream ended", "request_id", scope.RequestID, "error", err)
			}
		}))
	}}, nil
}

func lastEvent(sent string) (last uuid.UUID, err error) {
	if sent == "" {
		return uuid.Nil, nil
	}
	if last, err = uuid.Parse(sent); err != nil {
		return last, edge.NewProblem(422, "invalid", "Last-Event-ID is not one of this stream's.").At("Last-Event-ID", "is not an event's id").Because(err)
	}
	return last, nil
}

// callStream writes a tenant's call events to one client.
type callStream struct {
	api    *API
	tenant uuid.UUID
	last   uuid.UUID               // the newest event that the client has
	sent   map[uuid.UUID]time.Time // those of the overlap
	query  *db.Queries
	w      *bufio.Writer
}

func (s *callStream) run(ctx context.Context) error {
	woken := make(chan struct{}, 1)
	if s.api.Listener != nil {
		defer s.api.Listener.Subscribe(func(c supabase.Change) {
			if c.Topic == supabase.Reset || c.Topic == "event" && c.Tenant == s.tenant {
				select {
				case woken <- struct{}{}:
				default:
				}
			}
		})()
	}
	resumed := s.last != uuid.Nil
	if !resumed {
		// What has happened already is in the list of live calls, which is read after it.
		s.last = since(s.api.Now())
		if err := s.drain(ctx, func(db.ListCallEventsRow) error { return nil }); err != nil {
			return err
		}
	}
	if err := s.live(ctx); err != nil {
		return err
	}
	heartbeat, poll := time.NewTicker(s.api.Config.Heartbeat), time.NewTicker(s.api.Config.Poll)
	defer heartbeat.Stop()
	defer poll.Stop()
	over := time.After(s.api.Config.StreamLife)
	for {
		if err := s.drain(ctx, s.send); err != nil {
			return err
		}
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-over:
			return nil
		case <-woken:
		case <-poll.C:
		case <-heartbeat.C:
			if _, err := fmt.Fprint(s.w, ": still here\n\n"); err != nil {
				return err
			}
			if err := s.w.Flush(); err != nil {
				return err
			}
		}
	}
}

func (s *callStream) live(ctx context.Context) error {
	calls, err := s.api.callsNow(ctx, s.query, s.tenant)
	if err != nil {
		return err
	}
	data, err := json.Marshal(map[string]any{"calls": calls})
	if err != nil {
		return err
	}
	if _, err := fmt.Fprintf(s.w, "event: live\ndata: %s\n\n", data); err != nil {
		return err
	}
	return s.w.Flush()
}

// drain passes what is new to each, from the overlap on.
func (s *callStream) drain(ctx context.Context, each func(db.ListCallEventsRow) error) error {
	after := since(eventTime(s.last).Add(-overlap))
	for id, at := range s.sent {
		if at.Before(eventTime(after)) {
			delete(s.sent, id)
		}
	}
	for {
		rows, err := s.query.ListCallEvents(ctx, &s.tenant, after)
		if err != nil || len(rows) == 0 {
			return err
		}
		for _, r := range rows {
			after = r.ID
			if _, known := s.sent[r.ID]; known || r.ID == s.last {
				continue
			}
			if err := each(r); err != nil {
				return err
			}
			s.sent[r.ID] = eventTime(r.ID)
			if strings.Compare(r.ID.String(), s.last.String()) > 0 {
				s.last = r.ID
			}
		}
	}
}

func (s *callStream) send(r db.ListCallEventsRow) error {
	data := map[string]any{}
	if err := json.Unmarshal(r.Data, &data); err != nil {
		return err
	}
	data["call_id"], data["at"] = r.SubjectID, r.CreatedAt
	body, err := json.Marshal(data)
	if err != nil {
		return err
	}
	if _, err := fmt.Fprintf(s.w, "id: %s\nevent: %s\ndata: %s\n\n", r.ID, strings.TrimPrefix(r.Type, "call."), body); err != nil {
		return err
	}
	return s.w.Flush()
}

// since is the least UUIDv7 of a time.
func since(t time.Time) (id uuid.UUID) {
	var ms [8]byte
	binary.BigEndian.PutUint64(ms[:], uint64(max(t.UnixMilli(), 0))) //nolint:gosec // not negative
	copy(id[:6], ms[2:])
	id[6], id[8] = 0x70, 0x80
	return id
}

// eventTime is when a UUIDv7 was made.
func eventTime(id uuid.UUID) time.Time {
	var ms [8]byte
	copy(ms[2:], id[:6])
	return time.UnixMilli(int64(binary.BigEndian.Uint64(ms[:]))) //nolint:gosec // 48 bits
}
