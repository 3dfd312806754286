package api

import (
	"cmp"
	"context"
	"fmt"
	"strconv"
	"strings"

	"github.com/danielgtaylor/huma/v2"

	"kestrel.ai/server/edge"
	"kestrel.ai/supabase/db"
)

type listTenantsInput struct {
	PageInput
	Search   string   `query:"search" maxLength:"120" doc:"In name, slug, e-mail, and any of the tenant's phone numbers" example:"haiec"`
	Status   []string `query:"status" maxItems:"5" enum:"pending,trial,active,suspended,cancelled" doc:"One or more, separated by commas"`
	PlanTier string   `query:"plan_tier" maxLength:"31" example:"professional"`
	Industry string   `query:"industry" maxLength:"60" example:"hvac"`
	Deleted  bool     `query:"deleted" doc:"List the deleted ones instead"`
	Overdue  bool     `query:"overdue" doc:"Only those pending for more than 48 hours"`
	Sort     string   `query:"sort" enum:"created_at,company_name,slug,current_month_calls,subscription_status,plan_tier,updated_at" default:"created_at"`
	Order    string   `query:"order" enum:"asc,desc" doc:"Default: A to Z for names, newest or most first for the rest"`
	Format   string   `query:"format" enum:"json,csv" doc:"csv streams all that match; so does Accept: text/csv"`
	Accept   string   `header:"Accept" hidden:"true"`
}

// sortable maps what can be sorted by to SQL, to what makes the same of a cursor's value, and to the usual order.
var sortable = map[string]struct{ column, value, first string }{
	"created_at":          {"t.created_at", "%s::timestamptz", "desc"},
	"updated_at":          {"t.updated_at", "%s::timestamptz", "desc"},
	"company_name":        {"lower(t.company_name)", "lower(%s)", "asc"},
	"slug":                {"t.slug", "%s", "asc"},
	"current_month_calls": {"t.current_month_calls", "%s::int", "desc"},
	"subscription_status": {"t.subscription_status", "%s", "asc"},
	"plan_tier":           {"t.plan_tier", "%s", "asc"},
}

const listTenantsDoc doc = `List tenants
Filtered, searched and sorted; pages by cursor stay right while rows are added. With format=csv, or Accept: text/csv, all
that match are streamed as a file that is safe to open in a spreadsheet.`

func (a *API) listTenants(ctx context.Context, in *listTenantsInput) (*huma.StreamResponse, error) {
	if wantsCSV(in.Format, in.Accept) {
		return a.tenantsCSV(ctx, *in)
	}
	page, err := a.tenantPage(ctx, a.DB.As(edge.FromContext(ctx).SQL()), *in)
	if err != nil {
		return nil, err
	}
	return sendJSON(page), nil
}

// tenantPage reads one page; in.Limit may be more than callers may ask for.
func (a *API) tenantPage(ctx context.Context, q db.DBTX, in listTenantsInput) (*listOutput[Tenant], error) {
	in.Order = cmp.Or(in.Order, sortable[in.Sort].first)
	begin := cursor{Sort: in.Sort + " " + in.Order}
	c, err := in.after(begin)
	if err != nil {
		return nil, err
	}
	where, args := in.where()
	sort := sortable[in.Sort]
	if in.Cursor != "" {
		args = append(args, c.Value, c.ID)
		value := fmt.Sprintf(sort.value, fmt.Sprintf("$%d::text", len(args)))
		compare := map[string]string{"asc": ">", "desc": "<"}[in.Order]
		where = append(where, fmt.Sprintf("(%s, t.id) %s (%s, $%d::uuid)", sort.column, compare, value, len(args)+1))
	}
	sql := strings.Join(where, " and ") + fmt.Sprintf(" order by %s %s, t.id %s limit %d", sort.column, in.Order, in.Order, in.rows())
	tenants, err := a.queryTenants(ctx, q, sql, args...)
	if err != nil {
		return nil, err
	}
	return paged(in.PageInput, tenants, func(t Tenant) Tenant { return t }, func(t Tenant) cursor {
		return cursor{Sort: begin.Sort, Value: t.sortValue(in.Sort), ID: t.ID}
	}), nil
}

// where is the filters in SQL. $1 is selectTenant's own; the arguments begin with $2.
func (in listTenantsInput) where() (conditions []string, args []any) {
	arg := func(value any) string {
		args = append(args, value)
		return fmt.Sprintf("$%d", len(args)+1)
	}
	conditions = []string{"t.deleted_at is null"}
	if in.Deleted {
		conditions = []string{"t.deleted_at is not null"}
	}
	if len(in.Status) > 0 {
		conditions = append(conditions, "t.subscription_status = any ("+arg(in.Status)+")")
	}
	if in.PlanTier != "" {
		conditions = append(conditions, "t.plan_tier = "+arg(strings.ToLower(in.PlanTier)))
	}
	if in.Industry != "" {
		conditions = append(conditions, "t.industry = "+arg(strings.ToLower(in.Industry)))
	}
	if in.Overdue {
		conditions = append(conditions, "t.subscription_status = 'pending' and t.created_at < $1")
	}
	if search := strings.ToLower(strings.TrimSpace(in.Search)); search != "" {
		text := arg(search)
		var any []string
		for _, column := range []string{"lower(t.company_name)", "t.slug", "t.owner_email", "lower(t.owner_name)"} {
			any = append(any, "strpos("+column+", "+text+") > 0")
		}
		// (857) 382-5169 finds +18573825169.
		if digits := strings.Map(digit, search); len(digits) >= 3 && strings.Trim(search, "+()-. 0123456789") == "" {
			number := arg(digits)
			any = append(any, "strpos(t.owner_phone, "+number+") > 0", "strpos(t.forward_to_number, "+number+") > 0",
				"exists (select from phone_numbers s where s.tenant_id = t.id and s.released_at is null and strpos(s.phone_number, "+number+") > 0)")
		}
		conditions = append(conditions, "("+strings.Join(any, " or ")+")")
	}
	return conditions, args
}

func digit(r rune) rune {
	if r < '0' || r > '9' {
		return -1
	}
	return r
}

func (t Tenant) sortValue(by string) string {
	switch by {
	case "company_name":
		return t.CompanyName
	case "slug":
		return t.Slug
	case "current_month_calls":
		return strconv.Itoa(int(t.CurrentMonthCalls))
	case "subscription_status":
		return t.SubscriptionStatus
	case "plan_tier":
		return t.PlanTier
	case "updated_at":
		return t.UpdatedAt.UTC().Format(cursorTime)
	}
	return t.CreatedAt.UTC().Format(cursorTime)
}

const cursorTime = "2006-01-02T15:04:05.999999Z07:00"
