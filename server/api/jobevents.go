package api

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humafiber"
	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/valyala/fasthttp"

	"kestrel.ai/server/edge"
	"kestrel.ai/supabase"
	"kestrel.ai/supabase/db"
)

type jobEventsInput struct {
	ID          id     `path:"id" doc:"The job's id"`
	LastEventID string `header:"Last-Event-ID" maxLength:"36" doc:"Resume after this event, on any machine"`
}

const jobEventsDoc doc = `Follow a job
Server-sent events: queued, searching, buying, configuring, and at last done or failed with its reason; then the stream
ends. Browsers read it with fetch (EventSource cannot send a Bearer), or use a ticket.`

const jobEventsExample = "id: 019d2f4e-6c1a-7c3e-9b0a-2f6d1c4e8a51\nevent: buying\ndata: {\"state\":\"running\",\"step\":\"buying\",\"attempt\":1}\n\n"

func (a *API) jobEvents(ctx context.Context, in *jobEventsInput) (*huma.StreamResponse, error) {
	last, err := lastEvent(in.LastEventID)
	if err != nil {
		return nil, err
	}
	scope := edge.FromContext(ctx)
	job, err := a.query(ctx).FindJob(ctx, in.ID.UUID)
	if errors.Is(err, pgx.ErrNoRows) {
		return nil, errNoJob
	}
	if err != nil {
		return nil, err
	}
	follow := &follower{api: a, job: Job(job), last: last, query: db.New(a.DB.As(scope.SQL()))}
	return &huma.StreamResponse{Body: func(hc huma.Context) {
		hc.SetStatus(200)
		hc.SetHeader("Content-Type", "text/event-stream")
		hc.SetHeader("X-Accel-Buffering", "no")
		humafiber.Unwrap(hc).Context().SetBodyStreamWriter(fasthttp.StreamWriter(func(w *bufio.Writer) {
			ctx, closed := a.Edge.Streams().Open(scope)
			defer closed()
			follow.w = w
			if err := follow.run(ctx); err != nil && ctx.Err() == nil {
				a.Log.DebugContext(ctx, "event stream ended", "request_id", scope.RequestID, "error", err)
			}
		}))
	}}, nil
}

// follower writes one job's events to one client.
type follower struct {
	api   *API
	job   Job
	last  uuid.UUID // the event that the client has
	final bool      // that event told of an end
	query *db.Queries
	w     *bufio.Writer
}

// run returns when the job has ended, the client is gone, or its right to the stream is. A client that goes is
// noticed by the next write, a heartbeat at the latest.
func (f *follower) run(ctx context.Context) error {
	woken, job := make(chan struct{}, 1), f.job.ID
	if f.api.Listener != nil {
		defer f.api.Listener.Subscribe(func(c supabase.Change) {
			if c.Topic == supabase.Reset || c.Topic == "event" && c.ID == job {
				select {
				case woken <- struct{}{}:
				default:
				}
			}
		})()
	}
	heartbeat, poll := time.NewTicker(f.api.Config.Heartbeat), time.NewTicker(f.api.Config.Poll)
	defer heartbeat.Stop()
	defer poll.Stop()
	if f.last == uuid.Nil {
		// The job's own id comes before those of its events: a client may resume after it.
		if err := f.send(f.job.ID, "queued", json.RawMessage(`{"state":"queued","step":"queued"}`)); err != nil {
			return err
		}
	} else if err := f.comment("resumed"); err != nil {
		return err
	}
	for {
		ended, err := f.drain(ctx)
		if ended || err != nil {
			return err
		}
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-woken:
		case <-poll.C:
		case <-heartbeat.C:
			if err := f.comment("still here"); err != nil {
				return err
			}
		}
	}
}

// drain writes what has happened since; ended tells that nothing more will.
func (f *follower) drain(ctx context.Context) (ended bool, err error) {
	after := f.last
	if after == uuid.Nil {
		after = f.job.ID
	}
	for {
		events, err := f.query.ListEvents(ctx, f.job.ID, after)
		if err != nil {
			return false, err
		}
		for _, e := range events {
			name := f.name(e)
			if err := f.send(e.ID, name, e.Data); err != nil {
				return false, err
			}
			after, f.last, f.final = e.ID, e.ID, name == "done" || name == "failed"
		}
		if len(events) == 0 {
			break
		}
	}
	// An end and its event are committed together, so a job that has ended has no event left but what the next
	// reading shows; one that was retried goes on.
	was := f.job.ended()
	r, err := f.query.FindJob(ctx, f.job.ID)
	if err != nil {
		return false, err
	}
	f.job = Job(r)
	switch {
	case !f.job.ended():
		return false, nil
	case f.final:
		return true, nil
	case !was:
		return f.drain(ctx)
	}
	// Its events are gone, or the client has had them all.
	data, err := json.Marshal(map[string]any{"state": f.job.State, "step": f.job.Step, "reason": f.job.Reason, "attempt": f.job.Attempt})
	if err != nil {
		return false, err
	}
	return true, f.send(after, f.job.State, data)
}

// name is an event's without its namespace; the last step of a job is called by its state.
func (f *follower) name(e db.ListEventsRow) string {
	var data struct{ State string }
	_ = json.Unmarshal(e.Data, &data) // written by private.job_step
	if data.State == "done" || data.State == "failed" {
		return data.State
	}
	return strings.TrimPrefix(e.Type, "job.")
}

func (f *follower) send(id uuid.UUID, name string, data json.RawMessage) error {
	if _, err := fmt.Fprintf(f.w, "id: %s\nevent: %s\ndata: %s\n\n", id, name, strings.ReplaceAll(string(data), "\n", " ")); err != nil {
		return err
	}
	return f.w.Flush()
}

func (f *follower) comment(text string) error {
	if _, err := fmt.Fprintf(f.w, ": %s\n\n", text); err != nil {
		return err
	}
	return f.w.Flush()
}
