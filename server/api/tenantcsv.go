package api

import (
	"bufio"
	"context"
	"encoding/csv"
	"strconv"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humafiber"
	"github.com/valyala/fasthttp"

	"kestrel.ai/server/edge"
)

const csvBatch = 500

var csvHeader = []string{"id", "slug", "company_name", "owner_name", "owner_email", "owner_phone", "industry", "plan_tier", "subscription_status",
	"twilio_phone_number", "number_status", "forward_to_number", "max_monthly_calls", "current_month_calls", "price_cents", "timezone",
	"trial_ends_at", "created_at", "deleted_at"}

// tenantsCSV streams all tenants that match, a batch at a time. The stream ends early, and with it the connection,
// when the caller's right ends or the database fails: the status is long sent by then.
func (a *API) tenantsCSV(ctx context.Context, in listTenantsInput) (*huma.StreamResponse, error) {
	in.Limit = csvBatch
	in.Search, in.PlanTier, in.Industry = strings.Clone(in.Search), strings.Clone(in.PlanTier), strings.Clone(in.Industry)
	in.Sort, in.Order, in.Cursor = strings.Clone(in.Sort), strings.Clone(in.Order), ""
	for i := range in.Status {
		in.Status[i] = strings.Clone(in.Status[i])
	}
	scope := edge.FromContext(ctx)
	first, err := a.tenantPage(ctx, a.DB.As(scope.SQL()), in)
	if err != nil {
		return nil, err
	}
	return &huma.StreamResponse{Body: func(hc huma.Context) {
		hc.SetStatus(200)
		hc.SetHeader("Content-Type", "text/csv; charset=utf-8")
		hc.SetHeader("Content-Disposition", `attachment; filename="tenants-`+a.Now().UTC().Format(time.DateOnly)+`.csv"`)
		humafiber.Unwrap(hc).Context().SetBodyStreamWriter(fasthttp.StreamWriter(func(w *bufio.Writer) {
			ctx, closed := a.Edge.Streams().Open(scope)
			defer closed()
			if err := a.writeCSV(ctx, w, scope, in, first); err != nil {
				a.Log.WarnContext(ctx, "CSV ended early", "request_id", scope.RequestID, "error", err)
			}
		}))
	}}, nil
}

func (a *API) writeCSV(ctx context.Context, w *bufio.Writer, scope edge.Scope, in listTenantsInput, page *listOutput[Tenant]) error {
	out := csv.NewWriter(w)
	_ = out.Write(csvHeader)
	for {
		for _, t := range page.Body.Items {
			_ = out.Write(t.csv()) // the error stays until Flush
		}
		if out.Flush(); out.Error() != nil {
			return out.Error()
		}
		if err := w.Flush(); err != nil {
			return err
		}
		if page.Body.Next == nil {
			return nil
		}
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		in.Cursor = *page.Body.Next
		var err error
		if page, err = a.tenantPage(ctx, a.DB.As(scope.SQL()), in); err != nil {
			return err
		}
	}
}

func (t Tenant) csv() []string {
	row := []string{t.ID.String(), t.Slug, t.CompanyName, t.OwnerName, t.OwnerEmail, text(t.OwnerPhone), t.Industry, t.PlanTier, t.SubscriptionStatus,
		text(t.TwilioPhoneNumber), text(t.NumberStatus), text(t.ForwardToNumber), number(t.MaxMonthlyCalls), strconv.Itoa(int(t.CurrentMonthCalls)),
		number(t.PriceCents), t.Timezone, moment(t.TrialEndsAt), moment(&t.CreatedAt), moment(t.DeletedAt)}
	for i := range row {
		row[i] = inert(row[i])
	}
	return row
}

// inert keeps spreadsheets from taking a cell for a formula (https://owasp.org/www-community/attacks/CSV_Injection).
// A phone number with its + is a number to them and stays as it is.
func inert(cell string) string {
	if cell != "" && strings.ContainsRune("=+-@\t\r\n|%", rune(cell[0])) && !e164Form.MatchString(cell) {
		return "'" + cell
	}
	return cell
}

func text(s *string) string {
	if s == nil {
		return ""
	}
	return *s
}

func number(n *int32) string {
	if n == nil {
		return ""
	}
	return strconv.Itoa(int(*n))
}

func moment(t *time.Time) string {
	if t == nil {
		return ""
	}
	return t.UTC().Format(time.RFC3339)
}
