//go:build !production

package main

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
)

func manyValue[T any](f *fleet, sql string, args ...any) (v T) {
	f.t.Helper()
	if err := f.db.Admin.QueryRow(context.Background(), sql, args...).Scan(&v); err != nil {
		f.t.Fatalf("%s: %v", sql, err)
	}
	return v
}

// quiet waits until nothing is left to do.
func (f *fleet) quiet() {
	f.t.Helper()
	for deadline := time.Now().Add(2 * time.Minute); ; time.Sleep(50 * time.Millisecond) {
		open := manyValue[string](f, `select coalesce(string_agg(kind || ' ' || state || ' ' || coalesce(reason, ''), '; '), '') from (select * from jobs where state in ('queued', 'running') limit 20) j`)
		left := manyValue[int](f, `select (select count(*) from email_log where status in ('queued', 'sending')) + (select count(*) from tenant_usage where closed_at is null and period_end <= now())`)
		if open == "" && left == 0 {
			return
		}
		if time.Now().After(deadline) {
			f.t.Fatalf("not quiet: %s, and %d e-mails or periods", open, left)
		}
	}
}

// none fails on the first rows that a query finds: each is a broken promise.
func (f *fleet) none(what, sql string) {
	f.t.Helper()
	rows, _ := f.db.Admin.Query(context.Background(), `select to_jsonb(x)::text from (`+sql+`) x limit 3`)
	found, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		f.t.Fatalf("%s: %v", what, err)
	}
	for _, row := range found {
		f.t.Errorf("%s: %s", what, row)
	}
}

func (f *fleet) check() {
	f.checkNumbers()
	f.checkEmails()
	f.checkCalls()
	for what, sql := range map[string]string{
		"a job that did not end":            `select kind, state, step, reason from jobs where state not in ('done', 'failed')`,
		"River has a job nobody knows":      `select r.kind, r.state from river.river_job r where r.state not in ('completed', 'cancelled', 'discarded') and r.args ? 'job_id'`,
		"not one open term":                 `select t.slug, count(p.id) from tenants t left join tenant_plans p on p.tenant_id = t.id and p.valid_to is null group by t.slug having count(p.id) <> 1`,
		"a term that is not the tenant's":   `select t.slug, t.plan_tier, t.subscription_status, p.plan_tier as term, p.status from tenants t join tenant_plans p on p.tenant_id = t.id and p.valid_to is null where (p.plan_tier, p.status) <> (t.plan_tier, t.subscription_status)`,
		"terms with a gap or an overlap":    `select * from (select tenant_id, valid_to, lead(valid_from) over (partition by tenant_id order by valid_from) as next from tenant_plans) p where next is distinct from valid_to and (next is not null or valid_to is not null)`,
		"an illegal transition":             `select changes from activity_log where table_name = 'tenants' and action <> 'tenant.created' and changes ? 'subscription_status' and not private.may_become(changes -> 'subscription_status' ->> 0, changes -> 'subscription_status' ->> 1)`,
		"is_active that is not the status":  `select slug from tenants where is_active <> (subscription_status in ('trial', 'active'))`,
		"live without ever having a number": `select slug from tenants t where subscription_status in ('trial', 'active') and not exists (select from phone_numbers n where n.tenant_id = t.id)`,
		"a tenant without an owner":         `select slug from tenants t where not exists (select from tenant_users m where m.tenant_id = t.id and m.role = 'owner')`,
		"a purchase that did not end":       `select state, reason from number_purchases where state = 'open'`,
		"a bulk order left waiting":         `select order_id, tenant_id from bulk_items where outcome = 'waiting'`,
		"two primary numbers":               `select tenant_id from phone_numbers where is_primary group by tenant_id having count(*) > 1`,
		"a slug that is not its tenant's":   `select t.slug from tenants t where not exists (select from tenant_slugs s where s.slug = t.slug and s.tenant_id = t.id and s.retired_at is null)`,
		"a webhook of another name":         `select n.phone_number, t.slug, n.webhooks from phone_numbers n join tenants t on t.id = n.tenant_id where n.status = 'ready' and n.webhooks ->> 'voice_url' is distinct from 'https://api.kestrel.test/api/voice/incoming?tenant=' || t.slug`,
		"a tenant nobody asked for":         fmt.Sprintf(`select count(*) from tenants having count(*) <> %d`, len(f.ledger.tenants)),
	} {
		f.none(what, sql)
	}
}

// checkNumbers: one number per intent that is done, none for the others, and Twilio has no more.
func (f *fleet) checkNumbers() {
	owned := map[string]int{}
	for _, n := range f.sandbox.Numbers() {
		intent := n.FriendlyName[strings.LastIndex(n.FriendlyName, " ")+1:]
		owned[intent]++
		if known := manyValue[int](f, `select count(*) from number_purchases p join phone_numbers n on n.phone_number = p.phone_number and n.provider_sid = p.provider_sid
			where p.id::text = $1 and p.state = 'done' and n.provider_sid = $2 and n.tenant_id = p.tenant_id`, intent, n.SID); known != 1 {
			f.t.Errorf("orphan: Twilio has %s (%s), which no purchase has", n.PhoneNumber, n.FriendlyName)
		}
	}
	rows, _ := f.db.Admin.Query(context.Background(), `select id, state from number_purchases`)
	var id uuid.UUID
	var state string
	if _, err := pgx.ForEachRow(rows, []any{&id, &state}, func() error {
		if want := map[string]int{"done": 1}[state]; owned[id.String()] != want {
			f.t.Errorf("purchase %s is %s and has %d numbers", id, state, owned[id.String()])
		}
		return nil
	}); err != nil {
		f.t.Fatal(err)
	}
}

// checkEmails: what the outbox says was sent was sent, once, and nothing else.
func (f *fleet) checkEmails() {
	sent := map[string]int{}
	for _, e := range f.sandbox.Emails() {
		if sent[e.IdempotencyKey]++; sent[e.IdempotencyKey] > 1 {
			f.t.Errorf("e-mail sent twice: %s to %v", e.Subject, e.To)
		}
	}
	rows, _ := f.db.Admin.Query(context.Background(), `select id, status, template || ' ' || to_email || ' ' || coalesce(error, '') from email_log`)
	var id uuid.UUID
	var status, about string
	n := 0
	if _, err := pgx.ForEachRow(rows, []any{&id, &status, &about}, func() error {
		n++
		if want := map[string]int{"sent": 1}[status]; sent["kestrel/"+id.String()] != want {
			f.t.Errorf("e-mail %s is %s and was sent %d times", about, status, sent["kestrel/"+id.String()])
		}
		return nil
	}); err != nil {
		f.t.Fatal(err)
	}
	if len(sent) > n {
		f.t.Errorf("%d e-mails sent, %d in the log", len(sent), n)
	}
	f.none("not one welcome and one notice", `select t.slug, e.template, count(e.id) from tenants t cross join (values ('welcome'), ('admin_new_tenant')) w (template)
		left join email_log e on e.tenant_id = t.id and e.template = w.template group by t.slug, e.template having count(e.id) <> 1`)
	f.none("a bulk e-mail too many or too few", `select i.order_id, i.tenant_id, i.outcome from bulk_items i join bulk_orders o on o.id = i.order_id and o.action = 'email'
		where (select count(*) from email_log e where e.dedupe_key = 'bulk:' || i.order_id || ':' || i.tenant_id) <> case when i.outcome = 'changed' then 1 else 0 end`)
}

// checkCalls recounts usage from the test's own ledger.
func (f *fleet) checkCalls() {
	type total struct{ calls, seconds, cost int }
	want := map[uuid.UUID]total{}
	for _, c := range f.ledger.calls {
		if c.counts {
			t := want[c.tenant]
			want[c.tenant] = total{t.calls + 1, t.seconds + c.seconds, t.cost + c.cost}
		}
	}
	if stored := manyValue[int](f, `select count(*) from call_logs`); stored != len(f.ledger.calls) {
		f.t.Errorf("%d calls are stored, %d were made", stored, len(f.ledger.calls))
	}
	rows, _ := f.db.Admin.Query(context.Background(), `select tenant_id, sum(calls + late_calls)::int, sum(seconds + late_seconds)::int, sum(cost_micros + late_cost_micros)::int from tenant_usage group by tenant_id`)
	var id uuid.UUID
	var got total
	if _, err := pgx.ForEachRow(rows, []any{&id, &got.calls, &got.seconds, &got.cost}, func() error {
		if got != want[id] {
			f.t.Errorf("usage of %s is %+v, want %+v", id, got, want[id])
		}
		return nil
	}); err != nil {
		f.t.Fatal(err)
	}
	f.none("a period that was not closed once, or closed before it was over", `select u.id, u.period_start, u.period_end, u.closed_at, count(e.id) from tenant_usage u
		left join events e on e.subject_id = u.id and e.type = 'usage.closed' group by u.id having count(e.id) <> (u.closed_at is not null)::int or u.closed_at < u.period_end`)
	f.none("what was announced of a period and what it closed with", `select u.id from tenant_usage u join events e on e.subject_id = u.id and e.type = 'usage.closed'
		where (e.data ->> 'calls')::int <> u.calls + u.adjusted_calls or (e.data ->> 'seconds')::int <> u.seconds`)
	f.none("periods with a gap", `select * from (select tenant_id, period_end, lead(period_start) over (partition by tenant_id order by period_start) as next from tenant_usage) u where next <> period_end`)
	if closed := manyValue[int](f, `select count(*) from tenant_usage where closed_at is not null`); closed == 0 {
		f.t.Error("no period was over")
	}
	f.none("no period that is now", `select t.slug from tenants t where not exists (select from tenant_usage u where u.tenant_id = t.id and u.is_current and now() >= u.period_start and now() < u.period_end)`)
	f.none("a counter that is not its period's", `select t.slug, t.current_month_calls, u.calls from tenants t join tenant_usage u on u.tenant_id = t.id and now() >= u.period_start and now() < u.period_end
		where t.current_month_calls <> u.calls + u.adjusted_calls`)
}

func (f *fleet) figures() string {
	return manyValue[string](f, `select format('%s tenants, %s purchases (%s failed without a number), %s jobs (failed: %s), %s e-mails, %s changes of status, %s bulk orders at %s tenants (%s refused), %s calls in %s events, %s counted, of those %s late; %s periods closed',
		(select count(*) from tenants), (select count(*) from number_purchases), (select count(*) from number_purchases where state = 'failed'), (select count(*) from jobs),
		(select coalesce(string_agg(kind || ' ' || n || ' ×: ' || reason, ' '), 'none') from (select kind, reason, count(*) as n from jobs where state = 'failed' group by kind, reason) j), (select count(*) from email_log where status = 'sent'),
		(select count(*) from activity_log where table_name = 'tenants' and changes ? 'subscription_status'), (select count(*) from bulk_orders), (select count(*) from bulk_items),
		(select count(*) from bulk_items where outcome = 'refused'), (select count(*) from call_logs), $1::int, (select sum(calls + late_calls) from tenant_usage),
		(select sum(late_calls) from tenant_usage), (select count(*) from tenant_usage where closed_at is not null))`, f.ledger.events)
}
