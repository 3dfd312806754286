package api

import (
	"context"
	"strconv"
	"strings"

	"github.com/danielgtaylor/huma/v2"

	"kestrel.ai/server/edge"
)

var tenantColumns = []string{"id", "slug", "company_name", "owner_name", "owner_email", "owner_phone", "industry", "plan_tier", "subscription_status",
	"twilio_phone_number", "number_status", "forward_to_number", "max_monthly_calls", "current_month_calls", "price_cents", "timezone",
	"trial_ends_at", "created_at", "deleted_at"}

// tenantsCSV streams all tenants that match.
func (a *API) tenantsCSV(ctx context.Context, in listTenantsInput) (*huma.StreamResponse, error) {
	in.Limit = csvBatch
	in.Search, in.PlanTier, in.Industry = strings.Clone(in.Search), strings.Clone(in.PlanTier), strings.Clone(in.Industry)
	in.Sort, in.Order = strings.Clone(in.Sort), strings.Clone(in.Order)
	for i := range in.Status {
		in.Status[i] = strings.Clone(in.Status[i])
	}
	q := a.DB.As(edge.FromContext(ctx).SQL())
	return sendCSV(ctx, a, csvFile[Tenant]{name: "tenants", header: tenantColumns, row: Tenant.csv,
		page: func(ctx context.Context, cursor string) (*listOutput[Tenant], error) {
			in.Cursor = cursor
			return a.tenantPage(ctx, q, in)
		}})
}

func (t Tenant) csv() []string {
	return []string{t.ID.String(), t.Slug, t.CompanyName, t.OwnerName, t.OwnerEmail, text(t.OwnerPhone), t.Industry, t.PlanTier, t.SubscriptionStatus,
		text(t.TwilioPhoneNumber), text(t.NumberStatus), text(t.ForwardToNumber), number(t.MaxMonthlyCalls), strconv.Itoa(int(t.CurrentMonthCalls)),
		number(t.PriceCents), t.Timezone, moment(t.TrialEndsAt), moment(&t.CreatedAt), moment(t.DeletedAt)}
}
