package api_test

import (
	"encoding/csv"
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"kestrel.ai/server/api"
	"kestrel.ai/server/api/apitest"
)

func TestListTenants(t *testing.T) {
	t.Parallel()
	w := apitest.New(t)
	staff := w.Staff("admin@kestrel.ai")
	for i, name := range []string{"Bravo", "alpha", "Delta", "charlie", "Écho"} {
		w.Exec(`insert into tenants (slug, company_name, owner_email, industry, plan_tier, subscription_status, created_at) values ($1, $2, $3, $4, 'premium', $5, now() - $6 * interval '1 day')`,
			fmt.Sprintf("co-%d", i), name, fmt.Sprintf("o%d@co.test", i), []string{"hvac", "dental"}[i%2], []string{"pending", "trial", "active"}[i%3], i)
	}
	w.Exec(`insert into phone_numbers (tenant_id, phone_number) select id, '+16175550199' from tenants where slug = 'co-2'`)
	names := func(query string) string {
		t.Helper()
		a := staff.Do("GET", "/api/admin/tenants"+query, nil)
		if a.Status != 200 {
			return fmt.Sprintf("%d %s", a.Status, a.Problem().Code)
		}
		var page struct{ Items []api.Tenant }
		if err := json.Unmarshal([]byte(a.Body), &page); err != nil {
			t.Fatal(err)
		}
		var out []string
		for _, i := range page.Items {
			out = append(out, i.CompanyName)
		}
		return strings.Join(out, " ")
	}
	for query, want := range map[string]string{
		"":                              "Bravo alpha Delta charlie Écho",
		"?sort=company_name&order=asc":  "alpha Bravo charlie Delta Écho",
		"?status=trial,active":          "alpha Delta Écho",
		"?status=pending&industry=HVAC": "Bravo",
		"?industry=dental":              "alpha charlie",
		"?search=ALPH":                  "alpha",
		"?search=co-3":                  "charlie",
		"?search=o1@co":                 "alpha",
		"?search=(617)%20555-0199":      "Delta",
		"?search=%25":                   "",
		"?overdue=true":                 "charlie",
		"?deleted=true":                 "",
		"?plan_tier=starter":            "",
		"?limit=2":                      "Bravo alpha",
		"?sort=password":                "422 invalid",
		"?limit=201":                    "422 invalid",
		"?limit=0":                      "422 invalid",
		"?statuss=trial":                "422 unknown_parameter",
		"?status=gone":                  "422 invalid",
		"?cursor=nonsense":              "422 invalid_cursor",
	} {
		if got := names(query); got != want {
			t.Errorf("%s: %q, want %q", query, got, want)
		}
	}
	for _, sort := range []string{"created_at", "company_name", "slug", "current_month_calls", "subscription_status", "plan_tier", "updated_at"} {
		for _, order := range []string{"asc", "desc"} {
			seen := walk(t, staff, "/api/admin/tenants?limit=2&sort="+sort+"&order="+order, nil)
			if len(seen) != 5 {
				t.Errorf("%s %s: %d rows", sort, order, len(seen))
			}
		}
	}
}

func TestPagesWhileRowsAreAdded(t *testing.T) {
	t.Parallel()
	w := apitest.New(t)
	staff := w.Staff("admin@kestrel.ai")
	insert := func(n int) {
		w.Exec(`insert into tenants (slug, company_name, owner_email) values ($1, $2, $3)`, fmt.Sprintf("co-%d", n), fmt.Sprintf("Co %03d", n), fmt.Sprintf("o%d@co.test", n))
	}
	for n := range 20 {
		insert(n)
	}
	next := 20
	seen := walk(t, staff, "/api/admin/tenants?limit=3", func() { insert(next); next++ })
	if len(seen) != 20 {
		t.Errorf("%d rows, want the 20 there were", len(seen))
	}
}

// walk follows a list to its end and fails on a row that comes twice.
func walk(t *testing.T, c apitest.Caller, path string, between func()) map[string]bool {
	t.Helper()
	seen := map[string]bool{}
	for cursor := ""; ; {
		at := path
		if cursor != "" {
			at += "&cursor=" + cursor
		}
		page := apitest.JSON[struct {
			Items []struct{ ID string }
			Next  *string
		}](t, c.Do("GET", at, nil))
		for _, i := range page.Items {
			if seen[i.ID] {
				t.Fatalf("%s comes twice", i.ID)
			}
			seen[i.ID] = true
		}
		if page.Next == nil {
			return seen
		}
		cursor = *page.Next
		if between != nil {
			between()
		}
	}
}

func TestTenantsAsCSV(t *testing.T) {
	t.Parallel()
	w := apitest.New(t)
	staff := w.Staff("admin@kestrel.ai")
	w.Exec(`insert into tenants (slug, company_name, owner_name, owner_email, owner_phone) values ('evil', '=HYPERLINK("http://x")', '@sum, "quoted"', 'o@evil.test', '+18573825169')`)
	w.Exec(`alter table tenants disable trigger user`) // so many rows need no consequences
	w.Exec(`insert into tenants (slug, company_name, owner_email, plan_tier) select 'co-' || i, 'Co ' || i, 'o' || i || '@co.test', 'premium' from generate_series(1000, 2100) i`)
	for _, ask := range []apitest.Caller{staff, staff.With("Accept", "text/csv")} {
		path := "/api/admin/tenants?plan_tier=starter"
		if ask.Headers["Accept"] == "" {
			path += "&format=csv"
		}
		a := ask.Do("GET", path, nil)
		rows, err := csv.NewReader(strings.NewReader(a.Body)).ReadAll()
		if err != nil || len(rows) != 2 || !strings.HasPrefix(a.Header.Get("Content-Type"), "text/csv") || !strings.HasPrefix(a.Header.Get("Content-Disposition"), "attachment") {
			t.Fatalf("%v %d %v %s", err, a.Status, a.Header, a.Body)
		}
		if row := rows[1]; row[2] != `'=HYPERLINK("http://x")` || row[3] != `'@sum, "quoted"` || row[5] != "+18573825169" {
			t.Errorf("%q", row)
		}
	}
	a := staff.Do("GET", "/api/admin/tenants?format=csv&limit=1", nil)
	if rows, err := csv.NewReader(strings.NewReader(a.Body)).ReadAll(); err != nil || len(rows) != 1103 {
		t.Errorf("%d rows, %v", len(rows), err)
	}
}
