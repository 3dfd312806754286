package api_test

import (
	"fmt"
	"testing"

	"kestrel.ai/server/api"
	"kestrel.ai/server/api/apitest"
)

func sid(n int) string { return fmt.Sprintf("PN%032d", n) }

func TestOrphanedNumbers(t *testing.T) {
	t.Parallel()
	w := apitest.New(t)
	staff := w.Staff("admin@kestrel.ai")
	c := w.Company("haiec", "+18573825169")
	for pn, number := range map[string]string{sid(1): "+18575550101", sid(2): "+18575550102", sid(3): "+18575550103", sid(4): "+18573825169"} {
		w.Exec(`insert into orphaned_numbers (sid, phone_number, friendly_name, account_sid, monthly_cost_cents, first_seen_at, last_seen_at) values ($1, $2, 'Old', 'AC1', 115, now(), now())`, pn, number)
	}
	const path = "/api/admin/orphaned-numbers"
	owner := `{"tenant_id":"` + c.ID.String() + `"}`
	run(t, []step{
		{c.Owner, "GET", path, nil, 404, ""},
		{staff, "GET", path, nil, 200, `"monthly_cost_cents":115`},
		{staff, "POST", path + "/" + sid(1) + "/adopt", `{"tenant_id":"019d2f4e-6c1a-7c3e-9b0a-2f6d1c4e8a51"}`, 422, "tenant_not_found"},
		{staff, "POST", path + "/" + sid(9) + "/adopt", owner, 404, "orphan_not_found"},
		{staff, "POST", path + "/" + sid(4) + "/adopt", owner, 409, "number_taken"},
		{staff, "POST", path + "/" + sid(1) + "/adopt", owner, 202, `"kind":"webhook_configure"`},
		{staff, "POST", path + "/" + sid(1) + "/adopt", owner, 404, "orphan_not_found"},
		{staff, "POST", path + "/" + sid(2) + "/release", `{"confirm":"+18575550101"}`, 422, "confirm_mismatch"},
		{staff, "POST", path + "/" + sid(2) + "/release", `{"confirm":"(857) 555-0102"}`, 202, `"kind":"orphan_release"`},
		{staff, "POST", path + "/" + sid(2) + "/release", `{"confirm":"+18575550102"}`, 409, "number_releasing"},
		{staff, "POST", path + "/" + sid(2) + "/adopt", owner, 409, "number_releasing"},
		{staff, "POST", path + "/sweep", nil, 202, `"kind":"number_sweep"`},
	})
	left := apitest.JSON[struct{ Items []api.OrphanedNumber }](t, staff.Do("GET", path, nil)).Items
	if len(left) != 2 || !left[0].Releasing == !left[1].Releasing {
		t.Errorf("%+v", left)
	}
	if n := apitest.Value[int](w, `select count(*) from phone_numbers where provider_sid = $2 and status = 'configuring' and tenant_id = $1 and friendly_name = 'Old' and account_sid = 'AC1'`, c.ID, sid(1)); n != 1 {
		t.Error("the number was not adopted")
	}
}
