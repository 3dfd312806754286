package api_test

import (
	"testing"

	"kestrel.ai/server/api"
	"kestrel.ai/server/api/apitest"
)

func TestOrphanedNumbers(t *testing.T) {
	t.Parallel()
	w := apitest.New(t)
	staff := w.Staff("admin@kestrel.ai")
	c := w.Company("haiec", "+18573825169")
	for sid, number := range map[string]string{"PN1": "+18575550101", "PN2": "+18575550102", "PN3": "+18575550103", "PN4": "+18573825169"} {
		w.Exec(`insert into orphaned_numbers (sid, phone_number, friendly_name, account_sid, monthly_cost_cents, first_seen_at, last_seen_at) values ($1, $2, 'Old', 'AC1', 115, now(), now())`, sid, number)
	}
	const path = "/api/admin/orphaned-numbers"
	owner := `{"tenant_id":"` + c.ID.String() + `"}`
	run(t, []step{
		{c.Owner, "GET", path, nil, 404, ""},
		{staff, "GET", path, nil, 200, `"monthly_cost_cents":115`},
		{staff, "POST", path + "/PN1/adopt", `{"tenant_id":"019d2f4e-6c1a-7c3e-9b0a-2f6d1c4e8a51"}`, 422, "tenant_not_found"},
		{staff, "POST", path + "/PN9/adopt", owner, 404, "orphan_not_found"},
		{staff, "POST", path + "/PN4/adopt", owner, 409, "number_taken"},
		{staff, "POST", path + "/PN1/adopt", owner, 202, `"kind":"webhook_configure"`},
		{staff, "POST", path + "/PN1/adopt", owner, 404, "orphan_not_found"},
		{staff, "POST", path + "/PN2/release", `{"confirm":"+18575550101"}`, 422, "confirm_mismatch"},
		{staff, "POST", path + "/PN2/release", `{"confirm":"(857) 555-0102"}`, 202, `"kind":"orphan_release"`},
		{staff, "POST", path + "/PN2/release", `{"confirm":"+18575550102"}`, 409, "number_releasing"},
		{staff, "POST", path + "/PN2/adopt", owner, 409, "number_releasing"},
		{staff, "POST", path + "/sweep", nil, 202, `"kind":"number_sweep"`},
	})
	left := apitest.JSON[struct{ Items []api.OrphanedNumber }](t, staff.Do("GET", path, nil)).Items
	if len(left) != 2 || !left[0].Releasing == !left[1].Releasing {
		t.Errorf("%+v", left)
	}
	if n := apitest.Value[int](w, `select count(*) from phone_numbers where provider_sid = 'PN1' and status = 'configuring' and tenant_id = $1 and friendly_name = 'Old' and account_sid = 'AC1'`, c.ID); n != 1 {
		t.Error("the number was not adopted")
	}
}
