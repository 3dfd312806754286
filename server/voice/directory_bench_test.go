package voice_test

import (
	"context"
	"fmt"
	"log/slog"
	"runtime"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"kestrel.ai/server/voice"
	"kestrel.ai/supabase"
	"kestrel.ai/supabase/supabasetest"
)

// BenchmarkDirectory holds 10,000 tenants in memory: how long they take to load, what each weighs, what a webhook's look-up
// costs, and how soon one tenant's change is known.
func BenchmarkDirectory(b *testing.B) {
	const tenants = 10_000
	ctx, cancel := context.WithCancel(b.Context())
	defer cancel()
	database := supabasetest.New(b)
	super, err := pgx.Connect(ctx, database.SuperuserURL)
	must := func(err error) {
		b.Helper()
		if err != nil {
			b.Fatal(err)
		}
	}
	must(err)
	defer func() { _ = super.Close(context.Background()) }()
	for _, sql := range []string{
		`set session_replication_role = replica`, // what follows a new tenant is not what is measured
		fmt.Sprintf(`insert into tenants (slug, company_name, owner_email, subscription_status, industry, forward_to_number) select 'tenant-' || i, 'Company ' || i, 'o' || i || '@example.com', 'active', 'hvac', '+1415' || (5550000 + i) from generate_series(1, %d) i`, tenants),
		`insert into tenant_slugs (slug, tenant_id) select slug, id from tenants`,
		`insert into phone_numbers (tenant_id, phone_number, status, is_primary) select id, '+1617' || (5500000 + substr(slug, 8)::int), 'ready', true from tenants`,
		`insert into agent_versions (tenant_id, version, state, settings) select id, 1, 'published', '{"greeting": "Thank you for calling.", "services": [{"name": "Heating repair"}]}' from tenants`,
		`analyze`,
	} {
		_, err := super.Exec(ctx, sql)
		must(err)
	}
	pool, err := supabase.Open(ctx, database.AppURL)
	must(err)
	defer pool.Close()
	weight := func() float64 {
		var m runtime.MemStats
		runtime.GC()
		runtime.ReadMemStats(&m)
		return float64(m.HeapAlloc)
	}
	before, began := weight(), time.Now()
	d := voice.NewDirectory(pool, time.Now, slog.New(slog.DiscardHandler))
	var running sync.WaitGroup
	running.Go(func() { d.Run(ctx) })
	defer running.Wait()
	defer cancel()
	for !d.Loaded() {
		time.Sleep(time.Millisecond)
	}
	loaded := time.Since(began)
	first, _ := d.ByNumber("+16175505000")
	began = time.Now()
	d.Heard(supabase.Change{Topic: supabase.Reset})
	for now := first; now == first; now, _ = d.ByNumber("+16175505000") {
		time.Sleep(time.Millisecond)
	}
	again := time.Since(began)
	heavy := weight() - before
	l, known := d.ByNumber("+16175505000")
	if !known {
		b.Fatal("a number is missing")
	}
	id := l.Profile.TenantID
	began = time.Now()
	const changes = 50
	for range changes {
		old, _ := d.Profile(id)
		d.Heard(supabase.Change{Topic: "voice", ID: id})
		for now, _ := d.Profile(id); now == old; now, _ = d.Profile(id) {
			runtime.Gosched()
		}
	}
	changed := time.Since(began) / changes
	b.Run("lookup", func(b *testing.B) {
		for b.Loop() {
			if _, known := d.ByNumber("+16175505000"); !known {
				b.Fatal("unknown")
			}
		}
	})
	b.Run("load", func(b *testing.B) {
		for b.Loop() { //nolint:revive // measured above, once
		}
		b.ReportMetric(loaded.Seconds()*1000, "ms/load")
		b.ReportMetric(again.Seconds()*1000, "ms/reload")
		b.ReportMetric(heavy/tenants, "B/tenant")
		b.ReportMetric(float64(changed.Microseconds()), "us/change")
		b.ReportMetric(0, "ns/op")
	})
}
