package api_test

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"kestrel.ai/server/api"
	"kestrel.ai/server/api/apitest"
)

// The series equals a recount kept beside the edits: tenants that sign up, change plan and status, are deleted and
// restored, over thirty days.
func TestSeriesIsWhatHappened(t *testing.T) {
	t.Parallel()
	w := apitest.New(t)
	staff := w.Staff("admin@kestrel.ai")
	rng := rand.New(rand.NewPCG(1, 7))
	prices := map[string]int64{"starter": 9900, "professional": 29900, "premium": 59900}
	tiers := []string{"starter", "professional", "premium"}
	type customer struct {
		tier, status string
		price        int64
		deleted      bool
	}
	var customers []*customer
	w.Exec(`alter table tenant_plans drop constraint tenant_plans_no_overlap`) // the days move one row at a time
	w.Exec(`alter table tenant_usage drop constraint tenant_usage_no_overlap`)
	type day struct{ mrr, tenants, signUps int64 }
	var days []day
	const length = 30
	for n := range length {
		today := day{}
		for range rng.IntN(3) {
			c := &customer{tier: tiers[rng.IntN(3)], status: "pending"}
			c.price = prices[c.tier]
			w.Exec(`with t as (insert into tenants (slug, company_name, owner_email, plan_tier) values ($1, 'Co', $1 || '@co.test', $2) returning id)
				insert into phone_numbers (tenant_id, phone_number, status) select id, '+1617555' || $3, 'ready' from t`, fmt.Sprintf("co-%d", len(customers)), c.tier, fmt.Sprintf("%04d", len(customers)))
			customers, today.signUps = append(customers, c), today.signUps+1
		}
		if n == 12 { // new terms cost more; running ones do not
			w.Exec(`update plans set price_cents = 33300 where tier = 'professional'`)
			prices["professional"] = 33300
		}
		for i, c := range customers {
			slug := fmt.Sprintf("co-%d", i)
			switch next := map[string]string{"pending": "trial", "trial": "active", "active": "suspended", "suspended": "active"}[c.status]; rng.IntN(6) {
			case 0, 1:
				if !c.deleted {
					w.Exec(`update tenants set subscription_status = $2 where slug = $1`, slug, next)
					c.status = next
				}
			case 2:
				if tier := tiers[rng.IntN(3)]; !c.deleted && tier != c.tier {
					w.Exec(`update tenants set plan_tier = $2 where slug = $1`, slug, tier)
					c.tier, c.price = tier, prices[tier]
				}
			case 3:
				if c.deleted {
					w.Exec(`update tenants set deleted_at = null where slug = $1`, slug)
					c.deleted = false
				} else if rng.IntN(4) == 0 && n == length-1 {
					w.Exec(`delete from tenants where slug = $1`, slug)
					c.deleted = true
				}
			}
		}
		for _, c := range customers {
			if !c.deleted {
				today.tenants++
				if c.status == "active" {
					today.mrr += c.price
				}
			}
		}
		days = append(days, today)
		if n < length-1 { // a day goes by
			w.Exec(`alter table tenants disable trigger user`)
			w.Exec(`update tenants set created_at = created_at - interval '1 day', deleted_at = deleted_at - interval '1 day'`)
			w.Exec(`alter table tenants enable trigger user`)
			w.Exec(`update tenant_plans set valid_from = valid_from - interval '1 day', valid_to = valid_to - interval '1 day'`)
		}
	}
	s := apitest.JSON[api.PlatformStats](t, staff.Do("GET", "/api/admin/stats?days=400", nil))
	if len(s.Series) != 400 || s.MRRCents != days[length-1].mrr {
		t.Fatalf("%d days, MRR %d, want %d", len(s.Series), s.MRRCents, days[length-1].mrr)
	}
	first := time.Now().UTC().AddDate(0, 0, 1-length).Format(time.DateOnly)
	for n, got := range s.Series[400-length:] {
		if want := days[n]; got.MRRCents != want.mrr || got.Tenants != want.tenants || got.SignUps != want.signUps || n == 0 && got.Day != first {
			t.Errorf("day %d, %s: %+v, want %+v", n, got.Day, got, want)
		}
	}
	if empty := s.Series[0]; empty.MRRCents != 0 || empty.Tenants != 0 {
		t.Errorf("before everything: %+v", empty)
	}
	short := apitest.JSON[api.PlatformStats](t, staff.Do("GET", "/api/admin/stats?days=7", nil))
	for n, got := range short.Series {
		if got != s.Series[393+n] {
			t.Errorf("in 7 days %+v, in 400 %+v", got, s.Series[393+n])
		}
	}
}
