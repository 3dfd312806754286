package api_test

import (
	"context"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/valyala/fasthttp"

	"kestrel.ai/server/api/apitest"
	"kestrel.ai/supabase"
)

// BenchmarkNewestCalls reads the newest 20 calls of a tenant under row-level security: through the API, from request
// bytes to answer bytes, and by pgx alone, with the same scope and the same SQL. Both run in turns; the ratio of their
// times is printed as api/pgx.
func BenchmarkNewestCalls(b *testing.B) {
	w := apitest.New(b)
	c := w.Company("haiec", "+18573825169")
	w.Calls(c.ID, 5000)
	w.Exec(`analyze`)
	serve := w.App.Handler()
	ctx := &fasthttp.RequestCtx{}
	request := func() {
		ctx.Request.Reset()
		ctx.Response.Reset()
		ctx.Request.SetRequestURI("/api/tenant/calls?limit=20")
		ctx.Request.Header.SetHost("haiec.kestrel.ai")
		ctx.Request.Header.Set("Authorization", c.Viewer.Headers["Authorization"])
		serve(ctx)
		if ctx.Response.StatusCode() != 200 {
			b.Fatal(string(ctx.Response.Body()))
		}
	}
	claims := []byte(`{"sub":"` + c.Viewer.UserID.String() + `","role":"authenticated"}`)
	queryer := w.DB.As(supabase.AsPerson(claims, c.Viewer.UserID, "viewer@haiec.test").At(c.ID))
	newest := time.Date(9999, 1, 1, 0, 0, 0, 0, time.UTC)
	query := func() {
		rows, err := queryer.Query(context.Background(), newestCalls, c.ID, newest, uuid.Max, 21)
		if err != nil {
			b.Fatal(err)
		}
		calls, err := pgx.CollectRows(rows, pgx.RowToStructByPos[call])
		if err != nil || len(calls) != 21 {
			b.Fatal(len(calls), err)
		}
	}
	for range 50 {
		request()
		query()
	}
	var api, alone time.Duration
	b.ResetTimer()
	b.ReportAllocs()
	for range b.N {
		start := time.Now()
		request()
		middle := time.Now()
		query()
		api, alone = api+middle.Sub(start), alone+time.Since(middle)
	}
	b.ReportMetric(float64(api)/float64(alone), "api/pgx")
	b.ReportMetric(float64(api.Microseconds())/float64(b.N), "api-µs")
	b.ReportMetric(float64(alone.Microseconds())/float64(b.N), "pgx-µs")
}

type call struct {
	ID                            uuid.UUID
	Direction                     string
	From, To                      *string
	Status                        string
	StartedAt                     time.Time
	EndedAt                       *time.Time
	DurationSeconds, AgentSeconds int32
	Outcome, Summary, Sentiment   *string
	IsTest, IsBlocked             bool
	ContactID                     *uuid.UUID
	HasRecording                  bool
}

const newestCalls = `select id, direction, from_number, to_number, status, started_at, ended_at, duration_seconds, agent_seconds, outcome, summary, sentiment,
  is_test, is_blocked, contact_id, (recording_path is not null)::boolean as has_recording
from call_logs where tenant_id = $1 and (started_at, id) < ($2::timestamptz, $3::uuid)
order by started_at desc, id desc limit $4`
