package api_test

import (
	"testing"
	"time"

	"kestrel.ai/server/api/apitest"
)

// What staff edit in Studio shows in the running edge within a second, by LISTEN alone, and in the log as the database
// login's doing.
func TestStudioEditsTravel(t *testing.T) {
	t.Parallel()
	w := apitest.New(t)
	c, other := w.Company("haiec", "+18573825169"), w.Company("other-co", "+18575550100")
	staff := w.Staff("admin@kestrel.ai")
	detail := "/api/admin/tenants/" + c.ID.String()
	write := func(as apitest.Caller) int { return as.Do("PATCH", "/api/tenant", `{"industry":"plumbing"}`).Status }
	moved := c.Owner.At("renamed.kestrel.ai")
	if c.Owner.Do("GET", "/api/tenant", nil).Status != 200 || write(c.Owner) != 200 {
		t.Fatal("the owner is not in")
	}
	for _, edit := range []struct {
		what, sql, action string
		shows             func() bool
	}{
		{"suspend", `update tenants set is_active = false where slug = 'haiec'`, "tenant.suspended", func() bool { return write(c.Owner) == 403 || write(c.Owner) == 409 }},
		{"reactivate", `update tenants set subscription_status = 'active' where slug = 'haiec'`, "tenant.active", func() bool { return write(c.Owner) == 200 }},
		{"plan", `update tenants set plan_tier = 'premium' where slug = 'haiec'`, "tenant.updated", func() bool {
			p := apitest.JSON[struct {
				PlanTier        string `json:"plan_tier"`
				MaxMonthlyCalls int    `json:"max_monthly_calls"`
			}](t, staff.Do("GET", detail, nil))
			return p.PlanTier == "premium" && p.MaxMonthlyCalls == 1500
		}},
		{"number", `update tenants set twilio_phone_number = '+18575550177' where slug = 'haiec'`, "number.created", func() bool {
			return apitest.JSON[struct {
				N string `json:"twilio_phone_number"`
			}](t, staff.Do("GET", detail, nil)).N == "+18575550177"
		}},
		{"slug", `update tenants set slug = 'renamed' where slug = 'haiec'`, "tenant.updated", func() bool {
			return moved.Do("GET", "/api/tenant", nil).Status == 200 && c.Owner.Do("GET", "/api/tenant", nil).Status != 200
		}},
		{"delete", `delete from tenants where slug = 'renamed'`, "tenant.deleted", func() bool { return moved.Do("GET", "/api/tenant", nil).Status != 200 }},
		{"restore", `update tenants set deleted_at = null where slug = 'renamed'`, "tenant.restored", func() bool { return moved.Do("GET", "/api/tenant", nil).Status == 200 }},
	} {
		from := apitest.Value[time.Time](w, `select clock_timestamp()`)
		began := time.Now()
		w.Exec(edit.sql)
		eventually(t, edit.shows)
		if took := time.Since(began); took > time.Second {
			t.Errorf("%s showed after %v", edit.what, took)
		} else {
			t.Logf("%s showed after %v", edit.what, took.Round(time.Millisecond))
		}
		who := apitest.Value[string](w, `select coalesce(string_agg(distinct actor || ' ' || actor_label, ', '), '') from activity_log where tenant_id = $1 and action = $2 and created_at >= $3`, c.ID, edit.action, from)
		if who != "login:postgres postgres" {
			t.Errorf("%s: the log says %q", edit.what, who)
		}
	}
	if other.Owner.Do("GET", "/api/tenant", nil).Status != 200 {
		t.Error("another tenant is out")
	}
}
