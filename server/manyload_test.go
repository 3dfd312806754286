//go:build !production

package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5/pgconn"
)

// manyCall is a call as the test knows it, apart from the database.
type manyCall struct {
	tenant        uuid.UUID
	seconds, cost int
	counts        bool
}

// ledger is what was asked for, kept beside the database.
type ledger struct {
	mu      sync.Mutex
	tenants []uuid.UUID
	slugs   []string
	calls   map[string]*manyCall
	batches []uuid.UUID // e-mails
	events  int         // of calls, as sent
}

func (l *ledger) any(rng *rand.Rand) (uuid.UUID, bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.tenants) == 0 {
		return uuid.Nil, false
	}
	return l.tenants[rng.IntN(len(l.tenants))], true
}

// refusal is a rule's answer in SQL, as opposed to a failure.
func refusal(err error) bool {
	var pg *pgconn.PgError
	return errors.As(err, &pg) && (strings.HasPrefix(pg.Code, "KS4") || pg.Code == "23505")
}

func (f *fleet) exec(sql string, args ...any) bool {
	_, err := f.db.Admin.Exec(context.Background(), sql, args...)
	if err != nil && !refusal(err) {
		f.t.Errorf("%s: %v", sql, err)
	}
	return err == nil
}

// create makes a tenant and orders its number.
func (f *fleet) create(rng *rand.Rand) {
	slug := fmt.Sprintf("many-%08x", rng.Uint32())
	status, answer := f.ask(rng, "/api/admin/tenants", map[string]any{"company_name": "Company " + slug, "slug": slug, "owner_email": slug + "@example.com"})
	// The process may have died between its commit and its answer.
	if status != 201 && !(status == 409 && strings.Contains(string(answer), "_taken")) && status != 0 {
		f.t.Errorf("create: %d %s", status, answer)
		return
	}
	var id uuid.UUID
	if err := f.db.Admin.QueryRow(context.Background(), `select id from tenants where slug = $1`, slug).Scan(&id); err != nil {
		f.t.Errorf("%s was answered %d and is not there: %v", slug, status, err)
		return
	}
	f.ledger.mu.Lock()
	f.ledger.tenants, f.ledger.slugs = append(f.ledger.tenants, id), append(f.ledger.slugs, slug)
	f.ledger.mu.Unlock()
	code := []string{"857", "617", "212", "415", "312"}[rng.IntN(5)]
	if status, answer := f.ask(rng, "/api/admin/tenants/"+id.String()+"/provision", map[string]any{"area_code": code, "activate": true}); status != 202 && status != 409 {
		f.t.Errorf("provision: %d %s", status, answer)
	}
	time.Sleep(time.Duration(rng.IntN(400)) * time.Millisecond)
}

// call plays one call's webhooks: each may come twice, late, before its elder, or in a transaction that is lost and sent again.
func (f *fleet) call(rng *rand.Rand) {
	tenant, ok := f.ledger.any(rng)
	if !ok {
		time.Sleep(20 * time.Millisecond)
		return
	}
	sid := "CA" + strings.ReplaceAll(uuid.NewString(), "-", "")
	c := &manyCall{tenant: tenant, seconds: 1 + rng.IntN(300), cost: rng.IntN(9000)}
	kind := rng.IntN(8)
	test, blocked, spoke := kind == 0, kind == 1, rng.IntN(10)
	c.counts = !test && !blocked && spoke > 0
	const row = `insert into call_logs (tenant_id, call_sid, started_at, is_test, is_blocked) values ($1, $2, now(), $3, $4) on conflict (call_sid) do nothing`
	type event struct {
		sql  string
		args []any
	}
	events := []event{
		{`update call_logs set agent_seconds = greatest(agent_seconds, $2) where call_sid = $1`, []any{sid, spoke}},
		{`update call_logs set status = 'completed', ended_at = now(), duration_seconds = $2 where call_sid = $1`, []any{sid, c.seconds}},
		{`update call_logs set cost_micros = $2 where call_sid = $1`, []any{sid, c.cost}},
	}
	events = append(events, events[rng.IntN(3)], events[rng.IntN(3)])
	rng.Shuffle(len(events), func(i, j int) { events[i], events[j] = events[j], events[i] })
	outlasts := rng.IntN(12) == 0 // the period it began in
	for n, e := range events {
		if outlasts && n == len(events)-1 {
			f.over(tenant, 0)
			time.Sleep(time.Second)
		}
		for sent := false; !sent; {
			tx, err := f.db.Admin.Begin(context.Background())
			if err != nil {
				f.t.Error(err)
				return
			}
			// Any webhook may be the first that arrives.
			_, err = tx.Exec(context.Background(), row, tenant, sid, test, blocked)
			if err == nil {
				_, err = tx.Exec(context.Background(), e.sql, e.args...)
			}
			switch {
			case err != nil:
				f.t.Errorf("%s: %v", e.sql, err)
				_ = tx.Rollback(context.Background())
			case rng.IntN(12) == 0: // its process dies
				_ = tx.Rollback(context.Background())
			default:
				if err, sent = tx.Commit(context.Background()), true; err != nil {
					f.t.Error(err)
				}
			}
			f.ledger.mu.Lock()
			f.ledger.events++
			f.ledger.mu.Unlock()
		}
	}
	f.ledger.mu.Lock()
	f.ledger.calls[sid] = c
	f.ledger.mu.Unlock()
}

// edit changes a tenant's status, as an admin and in Studio.
func (f *fleet) edit(rng *rand.Rand) {
	tenant, ok := f.ledger.any(rng)
	if ok {
		switch rng.IntN(7) {
		case 0:
			f.exec(`update tenants set is_active = false where id = $1`, tenant)
		case 1:
			f.exec(`update tenants set is_active = true where id = $1`, tenant)
		case 2:
			f.exec(`update tenants set subscription_status = (array['trial', 'active', 'suspended', 'cancelled'])[$2] where id = $1`, tenant, 1+rng.IntN(4))
		case 3:
			f.exec(`update tenants set plan_tier = (array['starter', 'professional', 'premium'])[$2] where id = $1`, tenant, 1+rng.IntN(3))
		case 4:
			f.exec(`update tenants set slug = slug || 'x' where id = $1 and length(slug) < 16`, tenant)
		default:
			action := []string{"activate", "suspend"}[rng.IntN(2)]
			if status, answer := f.ask(rng, "/api/admin/tenants/"+tenant.String()+"/"+action, nil); status != 200 && status != 409 {
				f.t.Errorf("%s: %d %s", action, status, answer)
			}
		}
	}
	time.Sleep(time.Duration(rng.IntN(60)) * time.Millisecond)
}

// expire ends a usage period in a moment, as if its month were over: calls go on meanwhile, and the next begins.
func (f *fleet) expire(rng *rand.Rand) {
	if tenant, ok := f.ledger.any(rng); ok {
		f.over(tenant, rng.IntN(500))
	}
	time.Sleep(time.Duration(50+rng.IntN(200)) * time.Millisecond)
}

func (f *fleet) over(tenant uuid.UUID, inMS int) {
	f.exec(`with t as materialized (select id from tenants where id = $1 for no key update)
			update tenant_usage u set period_end = now() + $2 * interval '1 millisecond' from t
			where u.tenant_id = t.id and u.is_current and u.closed_at is null and u.period_start < now() and u.period_end > now() + interval '1 day'`, tenant, inMS)
}

// members come and go; the last owner must stay.
func (f *fleet) members(rng *rand.Rand) {
	if tenant, ok := f.ledger.any(rng); ok {
		switch rng.IntN(4) {
		case 0:
			f.exec(`insert into tenant_users (tenant_id, email, role) values ($1, $2, 'owner')`, tenant, fmt.Sprintf("m%08x@example.com", rng.Uint32()))
		case 1:
			f.exec(`update tenant_users set role = 'viewer' where id = (select id from tenant_users where tenant_id = $1 order by random() limit 1)`, tenant)
		default:
			f.exec(`delete from tenant_users where id = (select id from tenant_users where tenant_id = $1 order by random() limit 1)`, tenant)
		}
	}
	time.Sleep(time.Duration(rng.IntN(30)) * time.Millisecond)
}

// bulk orders something for many tenants, at a web process or as a job.
func (f *fleet) bulk(rng *rand.Rand) {
	f.ledger.mu.Lock()
	ids := append([]uuid.UUID{}, f.ledger.tenants...)
	f.ledger.mu.Unlock()
	rng.Shuffle(len(ids), func(i, j int) { ids[i], ids[j] = ids[j], ids[i] })
	if ids = ids[:len(ids)/2]; len(ids) > 0 {
		batch := uuid.New()
		order := map[string]any{"ids": ids, "batch_id": batch, "action": "suspend", "reason": "Not paid"}
		switch rng.IntN(4) {
		case 0:
			order["action"] = "activate"
			delete(order, "reason")
		case 1:
			delete(order, "reason")
			order["action"], order["plan_tier"] = "change_plan", []string{"starter", "premium"}[rng.IntN(2)]
		case 2:
			delete(order, "reason")
			order["action"], order["subject"], order["text"] = "email", "News "+batch.String(), "We have news."
			f.ledger.mu.Lock()
			f.ledger.batches = append(f.ledger.batches, batch)
			f.ledger.mu.Unlock()
		}
		if rng.IntN(3) == 0 {
			action := order["action"]
			params, _ := json.Marshal(order)
			f.exec(`select private.bulk_order($1, $2, $3, $4, true)`, batch, action, params, ids)
		} else {
			// Whoever ordered it asks until nothing waits.
			for range 20 {
				status, answer := f.ask(rng, "/api/admin/tenants/bulk", order)
				if status != 200 {
					f.t.Errorf("bulk: %d %s", status, answer)
					break
				}
				if strings.Contains(string(answer), `"waiting":0`) {
					break
				}
			}
		}
	}
	time.Sleep(time.Duration(300+rng.IntN(900)) * time.Millisecond)
}
