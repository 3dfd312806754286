package api_test

import (
	"encoding/csv"
	"strings"
	"testing"

	"kestrel.ai/server/api/apitest"
)

// What a caller or a customer wrote is text in a spreadsheet, in each of the CSVs.
func TestCSVHoldsNoFormula(t *testing.T) {
	t.Parallel()
	w := apitest.New(t)
	c := w.Company("haiec", "+18573825169")
	staff := w.Staff("admin@kestrel.ai")
	for i, formula := range []string{"=1+1", "+1+1", "-1+1", "@SUM(1)", "\tx", "\rx", "|calc", "%0"} {
		w.Calls(c.ID, 1)
		w.Exec(`update call_logs set summary = $2 where tenant_id = $1`, c.ID, formula)
		if strings.TrimSpace(formula) == formula {
			w.Exec(`update tenants set company_name = $2 where id = $1`, c.ID, formula)
		}
		for path, as := range map[string]apitest.Caller{"/api/tenant/calls": c.Owner, "/api/tenant/activity": c.Owner, "/api/admin/activity": staff, "/api/admin/tenants": staff} {
			a := as.Do("GET", path+"?format=csv", nil)
			rows, err := csv.NewReader(strings.NewReader(a.Body)).ReadAll()
			if a.Status != 200 || err != nil || len(rows) < 2 {
				t.Fatalf("%s: %d %v %s", path, a.Status, err, a.Body)
			}
			found := false
			for _, row := range rows[1:] {
				for _, cell := range row {
					found = found || cell == "'"+formula
					if strings.HasPrefix(cell, formula) {
						t.Errorf("%s: %q", path, cell)
					}
				}
			}
			if !found && (path == "/api/tenant/calls" || path == "/api/admin/tenants" && i < 4) {
				t.Errorf("%s does not have %q: %s", path, formula, a.Body)
			}
		}
		w.Exec(`delete from call_logs where tenant_id = $1`, c.ID)
	}
}
