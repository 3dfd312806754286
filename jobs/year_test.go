package jobs_test

import (
	"context"
	"flag"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"kestrel.ai/jobs"
	"kestrel.ai/supabase"
	"kestrel.ai/supabase/supabasetest"
)

var yearSeed = flag.Uint64("year.seed", 1, "seed of TestYear's calls")

// year is a simulated one: the clock, the platform, and what it must come to.
type year struct {
	t       *testing.T
	fixture *supabasetest.Database
	db      *supabase.DB
	rng     *rand.Rand
	from    time.Time
	tenants []*yearTenant
	due     map[int][]func(*pgx.Batch) // by hour
	calls   int
	edits   int
}

const (
	yearDays    = 376
	yearTenancy = 200
	yearPace    = 0.9 // calls an hour, over all tenants
)

// The worker is down for 40 days twice, over each change of the clocks.
func workerIsUp(day int) bool { return !(day >= 55 && day < 95) && !(day >= 275 && day < 315) }

// TestYear lets 200 tenants live through a leap year and more, hour by hour. Calls and messages come late, twice and in
// pieces. In the end every period was closed once and in order, every warning and trial's mail went out once, and all
// sums are those of the recount.
func TestYear(t *testing.T) {
	t.Parallel()
	began := time.Now()
	y := newYear(t)
	asked, closed := 0, 0
	for hour := range yearDays * 24 {
		at := y.from.Add(time.Duration(hour) * time.Hour)
		if workerIsUp(hour / 24) {
			closed += y.work(at, hour)
			asked++
		}
		y.happen(at, hour)
		if hour%(24*25) == 0 {
			y.counters(at)
			_, err := y.fixture.Admin.Exec(context.Background(), `analyze`) // as autovacuum would, which these databases are too short-lived for
			must(t, err)
		}
	}
	y.settle()
	if closed < yearTenancy*12 || asked < 7000 {
		t.Errorf("only %d periods closed, only %d hours asked", closed, asked)
	}
	t.Logf("seed %d: %d calls, %d edits, %d periods closed, %d hours asked, in %s", *yearSeed, y.calls, y.edits, closed, asked, time.Since(began).Round(time.Second))
}

func newYear(t *testing.T) *year {
	ctx := context.Background()
	y := &year{t: t, fixture: supabasetest.New(t), rng: rand.New(rand.NewPCG(*yearSeed, 7)), from: time.Date(2024, 1, 10, 0, 0, 0, 0, time.UTC), due: map[int][]func(*pgx.Batch){}}
	var err error
	y.db, err = supabase.Open(ctx, y.fixture.AppURL+"&pool_max_conns=4")
	must(t, err)
	t.Cleanup(y.db.Close)
	y.tenants = yearTenants(t, y.rng, yearTenancy, y.from, y.from.AddDate(0, 0, yearDays))
	for _, plan := range yearPlans {
		_, err := y.fixture.Admin.Exec(ctx, `update plans set monthly_calls = $2 where tier = $1`, plan.tier, plan.limit)
		must(t, err)
	}
	for i, one := range y.tenants {
		limit := &one.limit
		if !one.own {
			limit = nil
		}
		status, ends := "active", (*time.Time)(nil)
		if !one.trial.IsZero() {
			status, ends = "trial", &one.trial
		}
		must(t, y.fixture.Admin.QueryRow(ctx, `insert into tenants (slug, company_name, owner_email, subscription_status, timezone, billing_anchor, max_monthly_calls, trial_ends_at, plan_tier)
			values ($1, $1, $1 || '@example.com', $2, $3, $4, $5, $6, 'starter') returning id`, fmt.Sprintf("tenant-%d", i), status, one.zone.String(), one.anchor, limit, ends).Scan(&one.id))
	}
	// Who is to be on trial again needs a number.
	_, err = y.fixture.Admin.Exec(ctx, `insert into phone_numbers (tenant_id, phone_number, status) select id, '+1617555' || lpad(split_part(slug, '-', 2), 4, '0'), 'ready' from tenants where subscription_status = 'trial'`)
	must(t, err)
	// They began when the year does, not when the test runs.
	_, err = y.fixture.Admin.Exec(ctx, `delete from tenant_usage`)
	must(t, err)
	_, err = y.fixture.Admin.Exec(ctx, `select private.show_usage(t.id, (private.usage_at(t.id, $1)).id) from tenants t`, y.from)
	must(t, err)
	return y
}

// work is what the periodic jobs do in an hour, sometimes in two processes at once.
func (y *year) work(at time.Time, hour int) (closed int) {
	y.t.Helper()
	ctx := context.Background()
	lives := hour%6 == 0
	for _, one := range y.tenants {
		closed += one.reset(at)
		if lives && one.live && !one.trial.IsZero() {
			if left := one.trial.Sub(at); left > 0 && left <= 72*time.Hour {
				one.mails["trial_ending:"+one.id.String()+":"+one.trial.Format("2006-01-02T15:04:05")] = true
			} else if left <= 0 {
				one.live = false
			}
		}
	}
	processes := 1
	if hour%24 == 0 {
		processes = 2
	}
	var did atomic.Int64
	var wait sync.WaitGroup
	for range processes {
		wait.Go(func() {
			n, err := jobs.ResetUsage(ctx, y.db, at)
			did.Add(int64(n))
			if err == nil && lives {
				_, err = jobs.AdvanceLives(ctx, y.db, at, 0, "")
			}
			if err != nil {
				y.t.Errorf("%s: %v", at, err)
			}
		})
	}
	wait.Wait()
	if int(did.Load()) != closed {
		y.t.Fatalf("%s: closed %d periods, want %d", at, did.Load(), closed)
	}
	return closed
}

// happen sends what calls and messages bring in an hour.
func (y *year) happen(at time.Time, hour int) {
	for range int(yearPace*2*y.rng.Float64() + 0.5) {
		y.ring(at, hour)
	}
	if y.rng.IntN(6) == 0 {
		y.edit(at, hour)
	}
	batch := &pgx.Batch{}
	for _, do := range y.due[hour] {
		do(batch)
	}
	delete(y.due, hour)
	if batch.Len() > 0 {
		must(y.t, y.fixture.Admin.SendBatch(context.Background(), batch).Close())
	}
}

// later is in how many hours something reaches us: mostly now, at times in days, rarely in weeks.
func (y *year) later() int {
	switch n := y.rng.IntN(100); {
	case n < 88:
		return 0
	case n < 97:
		return y.rng.IntN(48)
	}
	return y.rng.IntN(45 * 24)
}

func (y *year) on(hour int, do func(*pgx.Batch)) { y.due[hour] = append(y.due[hour], do) }

// edit changes something about one tenant: where its periods begin, its plan, its trial.
func (y *year) edit(at time.Time, hour int) {
	one := y.tenants[y.rng.IntN(len(y.tenants))]
	y.edits++
	switch y.rng.IntN(4) {
	case 0:
		anchor := 1 + y.rng.IntN(31)
		y.on(hour, func(b *pgx.Batch) {
			b.Queue(`update tenants set billing_anchor = $2 where id = $1`, one.id, anchor)
			one.move(anchor, one.zone)
		})
	case 1:
		zone, err := time.LoadLocation(yearZones[y.rng.IntN(len(yearZones))])
		must(y.t, err)
		y.on(hour, func(b *pgx.Batch) {
			b.Queue(`update tenants set timezone = $2 where id = $1`, one.id, zone.String())
			one.move(one.anchor, zone)
		})
	case 2:
		plan := y.rng.IntN(len(yearPlans))
		y.on(hour, func(b *pgx.Batch) {
			b.Queue(`update tenants set plan_tier = $2 where id = $1`, one.id, yearPlans[plan].tier)
			if limit := yearPlans[plan].limit; plan != one.plan && !one.own && limit != one.limit {
				one.limit = limit
				one.told(one.shown)
			}
			one.plan = plan
		})
	case 3:
		one = y.tenants[10*y.rng.IntN(len(y.tenants)/10)]
		ends := at.Add(time.Duration(1+y.rng.IntN(20*24)) * time.Hour)
		y.on(hour, func(b *pgx.Batch) {
			b.Queue(`select private.extend_trial($1, $2)`, one.id, ends)
			one.trial, one.live = ends, true
		})
	}
}

// ring makes one call, one message, or one change of a limit.
func (y *year) ring(at time.Time, hour int) {
	one := y.tenants[y.rng.IntN(len(y.tenants))]
	started := at.Add(-time.Duration(y.rng.IntN(3600)) * time.Second)
	if started.Before(y.from) {
		return
	}
	switch n := y.rng.IntN(100); {
	case n < 3:
		limit := one.limit%9 + 2
		y.on(hour, func(b *pgx.Batch) {
			b.Queue(`update tenants set max_monthly_calls = $2 where id = $1`, one.id, limit)
			one.own, one.limit = true, limit
			one.told(one.shown)
		})
		return
	case n < 20:
		body, parts := "On my way.", 1
		if y.rng.IntN(3) == 0 {
			body, parts = strings.Repeat("Grüße aus Köln. ", 12), 2
		}
		y.on(hour+y.later(), func(b *pgx.Batch) {
			b.Queue(`insert into messages (tenant_id, direction, from_number, to_number, body, cost_micros, created_at) values ($1, 'inbound', '+16175550100', '+16175550101', $2, 7500, $3)`, one.id, body, started)
			if p := &one.periods[one.at(started)]; p.Closed.IsZero() {
				p.SMS, p.Cost = p.SMS+parts, p.Cost+7500
			} else {
				p.LateSMS, p.LateCost = p.LateSMS+parts, p.LateCost+7500
			}
		})
		return
	}
	y.calls++
	c := &yearCall{tenant: one, sid: "CA" + fmt.Sprint(y.calls), started: started, never: y.rng.IntN(20) == 0, period: -1}
	agent, seconds, cost := y.rng.IntN(200), y.rng.IntN(300), y.rng.IntN(100_000)
	insert := func(b *pgx.Batch) {
		b.Queue(`insert into call_logs (tenant_id, call_sid, started_at, agent_seconds, duration_seconds, cost_micros, is_test) values ($1, $2, $3, $4, $5, $6, $7) on conflict (call_sid) do nothing`,
			one.id, c.sid, c.started, c.agent, c.seconds, c.cost, c.never)
	}
	came := hour + y.later()
	if y.rng.IntN(3) > 0 { // all at once
		y.on(came, func(b *pgx.Batch) {
			c.agent, c.seconds, c.cost = agent, seconds, cost
			insert(b)
			c.answered()
		})
	} else { // in pieces
		y.on(came, insert)
		came += y.later()
		y.on(came, func(b *pgx.Batch) {
			c.agent, c.seconds, c.cost = agent, seconds, cost
			b.Queue(`update call_logs set agent_seconds = $2, duration_seconds = $3, cost_micros = $4 where call_sid = $1`, c.sid, agent, seconds, cost)
			c.answered()
		})
	}
	if y.rng.IntN(4) == 0 { // said twice
		y.on(came+y.later(), insert)
	}
	if y.rng.IntN(4) == 0 { // and more of it
		y.on(came+y.later(), func(b *pgx.Batch) {
			b.Queue(`update call_logs set duration_seconds = $2, cost_micros = $3 where call_sid = $1`, c.sid, seconds+60, cost+1000)
			c.corrected(seconds+60, cost+1000)
		})
	}
}

// counters holds the brief's column against the recount.
func (y *year) counters(at time.Time) {
	y.t.Helper()
	shown := map[uuid.UUID]int{}
	rows, err := y.fixture.Admin.Query(context.Background(), `select id, current_month_calls from tenants`)
	must(y.t, err)
	var id uuid.UUID
	var calls int
	_, err = pgx.ForEachRow(rows, []any{&id, &calls}, func() error { shown[id] = calls; return nil })
	must(y.t, err)
	for _, one := range y.tenants {
		if want := one.periods[one.shown].Calls; shown[one.id] != want {
			y.t.Errorf("%s at %s: current_month_calls is %d, want %d", one.id, at, shown[one.id], want)
		}
	}
}

// settle holds every row against the recount.
func (y *year) settle() {
	t, ctx := y.t, context.Background()
	t.Helper()
	rows, err := y.fixture.Admin.Query(ctx, `select tenant_id, period_start, period_end, calls, late_calls, seconds, sms, cost_micros, late_seconds, late_sms, late_cost_micros, coalesce(closed_at, '0001-01-01 00:00+00'),
		(select count(*) from events e where e.subject_id = u.id and e.type = 'usage.closed') from tenant_usage u order by tenant_id, period_start`)
	must(t, err)
	got := map[uuid.UUID][]yearPeriod{}
	var id uuid.UUID
	var p yearPeriod
	var times int
	_, err = pgx.ForEachRow(rows, []any{&id, &p.Start, &p.End, &p.Calls, &p.Late, &p.Seconds, &p.SMS, &p.Cost, &p.LateSeconds, &p.LateSMS, &p.LateCost, &p.Closed, &times}, func() error {
		if closed := p.Closed.Year() > 1; closed != (times == 1) || times > 1 {
			t.Errorf("%s: the period from %s was closed %d times", id, p.Start, times)
		}
		p.Start, p.End, p.Closed = p.Start.UTC(), p.End.UTC(), p.Closed.UTC()
		got[id] = append(got[id], p)
		return nil
	})
	must(t, err)
	total, late, mails := 0, 0, 0
	for _, one := range y.tenants {
		want := one.periods
		if len(got[one.id]) < len(want) { // the last has not been opened yet
			want = want[:len(got[one.id])]
		}
		same(t, one.id.String()+" "+one.zone.String(), got[one.id], want)
		for _, p := range one.periods {
			total, late = total+p.Calls, late+p.Late
		}
		mails += len(one.mails)
		keys := map[string]bool{}
		rows, err := y.fixture.Admin.Query(ctx, `select dedupe_key from email_log where tenant_id = $1 and template in ('usage_warning', 'trial_ending')`, one.id)
		must(t, err)
		var key string
		_, err = pgx.ForEachRow(rows, []any{&key}, func() error { keys[key] = true; return nil })
		must(t, err)
		same(t, one.id.String()+": mails", keys, one.mails)
	}
	scan := func(sql string) (n int) {
		must(t, y.fixture.Admin.QueryRow(ctx, sql).Scan(&n))
		return n
	}
	same(t, "calls counted, of those late", []int{scan(`select count(*) from call_logs where usage_id is not null`), scan(`select sum(late_calls) from tenant_usage`)}, []int{total + late, late})
	same(t, "closed out of order", scan(`select count(*) from (select period_start < lag(period_start) over (partition by u.tenant_id order by e.id) as wrong
		from events e join tenant_usage u on u.id = e.subject_id where e.type = 'usage.closed') x where wrong`), 0)
	same(t, "of all calls and messages, seconds, parts and cost", scan(`select count(*) from (select sum(u.seconds + u.late_seconds), sum(u.sms + u.late_sms), sum(u.cost_micros + u.late_cost_micros) from tenant_usage u
		except select (select sum(duration_seconds) from call_logs where usage_id is not null), (select sum(segments) from messages),
		(select sum(cost_micros) from call_logs where usage_id is not null) + (select sum(cost_micros) from messages)) x`), 0)
	same(t, "periods with a gap before them", scan(`select count(*) from (select period_start <> lag(period_end) over (partition by tenant_id order by period_start) as wrong from tenant_usage) x where wrong`), 0)
	same(t, "terms that are not the tenant's", scan(`select count(*) from tenants t left join tenant_plans p on p.tenant_id = t.id and p.valid_to is null
		where (p.plan_tier, p.status, coalesce(t.call_limit_override, p.monthly_calls)) is distinct from (t.plan_tier, t.subscription_status, t.max_monthly_calls)`), 0)
	same(t, "trials that go on", scan(`select count(*) from tenants where subscription_status = 'trial' and trial_ends_at < '2025-01-19'`), 0)
	t.Logf("%d calls counted, %d late, %d mails", total, late, mails)
	if late == 0 || mails < 300 {
		t.Errorf("too tame a year: %d late, %d mails", late, mails)
	}
}
