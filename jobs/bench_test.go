package jobs_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"

	"kestrel.ai/jobs"
	"kestrel.ai/supabase"
	"kestrel.ai/supabase/supabasetest"
)

// BenchmarkReset closes the periods of 10,000 tenants that are due at once, while calls come in: how long it takes in all,
// and how long a call's insert waits at most.
func BenchmarkReset(b *testing.B) {
	const tenants = 10_000
	ctx := context.Background()
	fixture := supabasetest.New(b)
	db, err := supabase.Open(ctx, fixture.AppURL)
	check(b, err)
	b.Cleanup(db.Close)
	pool, err := pgxpool.New(ctx, fixture.SuperuserURL)
	check(b, err)
	b.Cleanup(pool.Close)
	// Rows only: what follows a new tenant is not what is measured.
	tx, err := pool.Begin(ctx)
	check(b, err)
	for _, sql := range []string{
		`set local session_replication_role = replica`,
		fmt.Sprintf(`insert into tenants (slug, company_name, owner_email, subscription_status, timezone, billing_anchor, max_monthly_calls, is_active)
			select 'tenant-' || i, 'Tenant ' || i, 'owner' || i || '@example.com', 'active', 'UTC', 1, 500, true from generate_series(1, %d) i`, tenants),
	} {
		_, err := tx.Exec(ctx, sql)
		check(b, err)
	}
	check(b, tx.Commit(ctx))

	month := time.Date(2024, 1, 1, 0, 0, 0, 0, time.UTC)
	for b.Loop() {
		b.StopTimer()
		for _, sql := range []string{`update call_logs set usage_id = null`, `delete from tenant_usage`, `insert into tenant_usage (tenant_id, period_start, period_end, calls, is_current)
			select id, '2024-01-01 00:00+00', '2024-02-01 00:00+00', 40, true from tenants`, `analyze`} {
			_, err := fixture.Admin.Exec(ctx, sql)
			check(b, err)
		}
		quiet := slices.Max(ring(ctx, b, pool, month, time.Second, nil))
		b.StartTimer()

		done := make(chan struct{})
		var waits []time.Duration
		var callers sync.WaitGroup
		callers.Go(func() { waits = ring(ctx, b, pool, month.AddDate(0, 1, 0), time.Hour, done) })
		began := time.Now()
		closed, err := jobs.ResetUsage(ctx, db, month.AddDate(0, 1, 0))
		took := time.Since(began)
		close(done)
		callers.Wait()
		check(b, err)
		if closed != tenants {
			b.Fatalf("closed %d periods, want %d", closed, tenants)
		}
		slices.Sort(waits)
		b.ReportMetric(took.Seconds(), "s/10000tenants")
		b.ReportMetric(float64(waits[len(waits)-1].Microseconds())/1000, "ms/longest-call")
		b.ReportMetric(float64(waits[len(waits)/2].Microseconds())/1000, "ms/median-call")
		b.ReportMetric(float64(quiet.Microseconds())/1000, "ms/longest-call-alone")
		b.Logf("%d tenants reset in %s; %d calls meanwhile, the longest insert %s, the median %s (longest with no reset: %s)",
			tenants, took.Round(time.Millisecond), len(waits), waits[len(waits)-1].Round(time.Microsecond), waits[len(waits)/2].Round(time.Microsecond), quiet.Round(time.Microsecond))
	}
}

// ring inserts one call after the other, of any tenant, and returns how long each took.
func ring(ctx context.Context, b *testing.B, pool *pgxpool.Pool, at time.Time, during time.Duration, done <-chan struct{}) (took []time.Duration) {
	end := time.Now().Add(during)
	for n := 0; time.Now().Before(end); n++ {
		select {
		case <-done:
			return took
		default:
		}
		began := time.Now()
		_, err := pool.Exec(ctx, `insert into call_logs (tenant_id, call_sid, started_at, agent_seconds, duration_seconds)
			select id, 'CA' || md5(random()::text), $2, 5, 20 from tenants where slug = $1`, fmt.Sprintf("tenant-%d", 1+rand.IntN(10_000)), at)
		took = append(took, time.Since(began))
		if err != nil {
			b.Error(err)
			return took
		}
	}
	return took
}

func check(b *testing.B, err error) {
	b.Helper()
	if err != nil {
		b.Fatal(err)
	}
}
