package jobs

import (
	"context"
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"kestrel.ai/jobs/emails"
	"kestrel.ai/supabase/db"
)

// params is what the e-mail's template needs: the tenant's row as it is now, then the e-mail's own params over it.
func (w *emailSendWorker) params(ctx context.Context, q *db.Queries, e db.EmailToSendRow) (merged map[string]any, err error) {
	own := map[string]any{}
	if err := json.Unmarshal(e.Params, &own); err != nil {
		return nil, permanently("The e-mail's params cannot be read.")
	}
	merged = map[string]any{}
	if e.TenantID != nil {
		t, err := q.TenantForEmail(ctx, w.Now(), *e.TenantID)
		if errors.Is(err, pgx.ErrNoRows) {
			return nil, permanently("The tenant that this e-mail is about is gone.")
		}
		if err != nil {
			return nil, err
		}
		facts := w.facts(t)
		if e.Template == emails.TemplateLive && !t.NumberLive {
			return nil, permanently("The tenant has no number that is live any more.")
		}
		if err := timely(e.Template, t, own); err != nil {
			return nil, err
		}
		if !t.NumberLive && e.Template != emails.TemplateAdminNewTenant {
			delete(facts, "phone_number")
		}
		// A tenant that was closed meanwhile is written to as it was when the e-mail was asked for.
		if !slices.Contains([]string{"pending", "trial", "active"}, t.SubscriptionStatus) {
			delete(facts, "status")
		} else {
			delete(own, "status")
		}
		merged = facts
	}
	for name, value := range own {
		merged[name] = value
	}
	if linkOf(e.Params) == linkInvitation {
		merged["set_password_url"] = w.Config.Origin("") + hiddenLink // of a welcome
		merged["accept_url"] = merged["set_password_url"]             // of an invitation
	}
	return merged, nil
}

// facts are the fields of all templates that come from the database, by their names in package emails.
func (w *emailSendWorker) facts(t db.TenantForEmailRow) map[string]any {
	dashboard := w.Config.Origin(t.Slug)
	facts := map[string]any{
		"company_name": t.CompanyName, "slug": t.Slug, "status": t.SubscriptionStatus, "industry": t.Industry,
		"owner_name": t.OwnerName, "owner_email": t.OwnerEmail, "owner_phone": text(t.OwnerPhone),
		"phone_number": text(t.PhoneNumber), "forward_to": text(t.ForwardToNumber), "brand_color": text(t.BrandColor),
		"timezone": t.Timezone, "created_at": t.CreatedAt,
		"plan_name": t.PlanName, "plan_calls": t.PlanCalls, "plan_price_cents": t.PlanPriceCents,
		"trial_days": w.Config.TrialDays, "calls": t.TrialCalls, "appointments": t.Appointments,
		"calls_used": t.CurrentMonthCalls, "period_ends_at": t.PeriodEnd,
		"next_plan_name": t.NextPlanName, "next_plan_calls": t.NextPlanCalls, "next_plan_price_cents": t.NextPlanPriceCents,
		"dashboard_url": dashboard, "help_url": w.Config.Origin("") + "/docs", "billing_url": dashboard + "/usage", "upgrade_url": dashboard + "/usage",
		"admin_url": w.Config.Origin("admin") + "/tenants/" + t.Slug,
	}
	// Mail apps show images over https only; in development there is none.
	if logo := w.Storage.PublicURL(LogosBucket, text(t.LogoPath)); t.LogoPath != nil && strings.HasPrefix(logo, "https://") {
		facts["logo_url"], facts["logo_alt"] = logo, t.CompanyName
	}
	if t.MaxMonthlyCalls != nil {
		facts["calls_limit"] = *t.MaxMonthlyCalls
	}
	if t.TrialEndsAt != nil {
		facts["trial_ends_at"] = *t.TrialEndsAt
	}
	return facts
}

// timely refuses what has become untrue since it was queued: a customer whose calls are not answered gets mails about
// the account only, and a trial that was extended ends another day.
func timely(template string, t db.TenantForEmailRow, own map[string]any) error {
	live := t.SubscriptionStatus == "trial" || t.SubscriptionStatus == "active"
	switch template {
	case emails.TemplateLive, emails.TemplateUsageWarning:
		if !live {
			return permanently("The tenant is %s by now, so that this e-mail would be wrong.", t.SubscriptionStatus)
		}
	case emails.TemplateTrialEnding:
		said, _ := own["trial_ends_at"].(string)
		ends, err := time.Parse(time.RFC3339, said)
		if t.SubscriptionStatus != "trial" || err == nil && (t.TrialEndsAt == nil || !t.TrialEndsAt.Equal(ends)) {
			return permanently("The trial was extended or is over by now, so that this e-mail would be wrong.")
		}
	}
	return nil
}
