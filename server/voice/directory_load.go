package voice

import (
	"context"
	"crypto/sha256"
	"fmt"
	"maps"
	"time"

	"github.com/google/uuid"

	"kestrel.ai/server/agent"
	"kestrel.ai/supabase/db"
)

// load reads one tenant, or all of them.
func (d *Directory) load(ctx context.Context, tenant *uuid.UUID) error {
	at := d.now()
	rows, err := d.q.VoiceTenants(ctx, tenant)
	if err != nil {
		return err
	}
	numbers, err := d.q.OwnedNumbers(ctx, tenant)
	if err != nil {
		return err
	}
	lines := make([]*Listing, 0, len(rows))
	for _, r := range rows {
		lines = append(lines, d.line(r, at))
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if tenant == nil {
		size := len(lines)
		d.ours = make(map[string]uuid.UUID, len(numbers))
		d.tenants, d.numbers, d.slugs = make(map[uuid.UUID]*Listing, size), make(map[string]*Listing, size), make(map[string]*Listing, size)
		d.loaded = true
	} else {
		d.forget(*tenant)
	}
	for _, n := range numbers {
		d.ours[n.PhoneNumber] = n.TenantID
	}
	for _, l := range lines {
		d.tenants[l.Profile.TenantID] = l
		for _, n := range l.numbers {
			d.numbers[n] = l
		}
		for _, s := range l.slugs {
			d.slugs[s] = l
		}
	}
	return nil
}

// forget takes a tenant out. A number or slug that has gone to another tenant meanwhile stays there.
func (d *Directory) forget(tenant uuid.UUID) {
	maps.DeleteFunc(d.ours, func(_ string, of uuid.UUID) bool { return of == tenant })
	old, ok := d.tenants[tenant]
	if !ok {
		return
	}
	delete(d.tenants, tenant)
	for _, n := range old.numbers {
		if d.numbers[n] == old {
			delete(d.numbers, n)
		}
	}
	for _, s := range old.slugs {
		if d.slugs[s] == old {
			delete(d.slugs, s)
		}
	}
}

func (d *Directory) line(r db.VoiceTenantsRow, at time.Time) *Listing {
	settings, read := d.settings(r)
	l := &Listing{
		read: read,
		Profile: &agent.Profile{
			TenantID: r.ID, Slug: r.Slug, CompanyName: r.CompanyName, Timezone: r.Timezone, ForwardTo: r.ForwardTo, Version: int(r.Version), Settings: settings,
		},
		Status: r.SubscriptionStatus, ForwardTo: r.ForwardTo, slugs: r.Slugs, numbers: r.Numbers, blocked: make(map[string]struct{}, len(r.Blocked)),
	}
	for _, n := range r.Blocked {
		l.blocked[n] = struct{}{}
	}
	l.usage.Store(usageOf(r.CurrentMonthCalls, r.MaxMonthlyCalls, r.PeriodEnd, at))
	return l
}

// settings completes a receptionist's settings, which takes 200 µs: those that have not changed since are kept.
func (d *Directory) settings(r db.VoiceTenantsRow) (agent.Settings, [sha256.Size]byte) {
	read := sha256.Sum256(fmt.Appendf(nil, "%q %q %s", r.Industry, r.CompanyName, r.Settings))
	d.mu.RLock()
	old, known := d.tenants[r.ID]
	d.mu.RUnlock()
	if known && old.read == read {
		return old.Profile.Settings, read
	}
	settings, wrong := agent.Complete(r.Settings, r.Industry, r.CompanyName)
	if len(wrong) > 0 {
		d.log.Warn("voice: settings of a receptionist cannot be used; the defaults stand in for them", "tenant_id", r.ID, "version", r.Version, "field", wrong[0].Field)
	}
	return settings, read
}

func (d *Directory) loadUsage(ctx context.Context, tenant *uuid.UUID) error {
	at := d.now()
	rows, err := d.q.VoiceUsage(ctx, tenant)
	if err != nil {
		return err
	}
	d.mu.RLock()
	defer d.mu.RUnlock()
	for _, r := range rows {
		if l, ok := d.tenants[r.ID]; ok {
			l.usage.Store(usageOf(r.CurrentMonthCalls, r.MaxMonthlyCalls, r.PeriodEnd, at))
		}
	}
	return nil
}

func usageOf(used int32, limit *int32, periodEnd *time.Time, at time.Time) *usage {
	u := &usage{used: int(used), limit: -1, at: at}
	if limit != nil {
		u.limit = int(*limit)
	}
	if periodEnd != nil {
		u.periodEnd = *periodEnd
	}
	return u
}
