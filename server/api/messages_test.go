package api_test

import (
	"net/http"
	"testing"

	"kestrel.ai/server/api"
	"kestrel.ai/server/api/apitest"
)

// TestTexting: people text customers who want it, from numbers that may; conversations and filters find it again.
func TestTexting(t *testing.T) {
	t.Parallel()
	w := apitest.New(t)
	c := w.Company("haiec", "+18573825169")
	to := func(number string) map[string]any { return map[string]any{"to": number, "body": "On our way"} }
	const send = "/api/tenant/messages"
	w.Exec(`insert into sms_opt_outs (tenant_id, phone_number, source) values ($1, '+16175550199', 'stop')`, c.ID)
	run(t, []step{
		{c.Viewer, "POST", send, to("+16175551234"), http.StatusForbidden, ""},
		{c.Owner, "POST", send, to("(617) 555-1234"), http.StatusCreated, `"to_number":"+16175551234"`},
		{c.Owner, "POST", send, to("+16175550111"), http.StatusCreated, `"sent_by":"person:`},
		{c.Owner, "POST", send, to("+16175550199"), http.StatusConflict, "opted_out"},
		{c.Owner, "POST", send, to("+18573825169"), http.StatusConflict, "own_number"},
		{c.Viewer, "GET", send + "?number=6175551234", nil, http.StatusOK, `"to_number":"+16175551234"`},
		{c.Viewer, "GET", send + "?number=nobody", nil, http.StatusUnprocessableEntity, "number"},
		{w.Staff("staff@kestrel.ai"), "PATCH", "/api/admin/numbers/" + c.NumberID.String(), map[string]any{"a2p_status": "unregistered"}, http.StatusOK, `"a2p_status":"unregistered"`},
		{c.Owner, "POST", send, to("+16175551234"), http.StatusConflict, "number_unregistered"},
	})
	got := apitest.JSON[struct{ Items []api.Conversation }](t, c.Viewer.Do("GET", "/api/tenant/conversations", nil)).Items
	if len(got) != 2 || got[0].Number != "+16175550111" || got[1].Number != "+16175551234" || got[1].OptedOut {
		t.Errorf("%+v", got)
	}
}
