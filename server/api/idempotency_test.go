package api_test

import (
	"fmt"
	"strings"
	"sync"
	"testing"

	"kestrel.ai/server/api"
	"kestrel.ai/server/api/apitest"
	"kestrel.ai/server/sandbox"
)

func TestIdempotency(t *testing.T) {
	t.Parallel()
	w := apitest.New(t)
	staff, colleague := w.Staff("admin@kestrel.ai"), w.Staff("colleague@kestrel.ai")
	keyed := staff.With("Idempotency-Key", "k1")
	first := keyed.Do("POST", "/api/admin/tenants", briefsTenant)
	again := keyed.Do("POST", "/api/admin/tenants", briefsTenant)
	if first.Status != 201 || again.Status != 201 || again.Body != first.Body || again.Header.Get("Location") != first.Header.Get("Location") ||
		first.Header.Get("Idempotency-Replayed") != "" || again.Header.Get("Idempotency-Replayed") != "true" || again.Header.Get("Content-Type") != first.Header.Get("Content-Type") {
		t.Errorf("%+v\n%+v", first, again)
	}
	other := `{"company_name":"Other","owner_email":"o@other.test"}`
	run(t, []step{
		{keyed, "POST", "/api/admin/tenants", other, 422, "idempotency_key_reused"},
		{keyed, "POST", "/api/admin/tenants/" + apitest.JSON[api.Tenant](t, first).ID.String() + "/cancel", nil, 422, "idempotency_key_reused"},
		{colleague.With("Idempotency-Key", "k1"), "POST", "/api/admin/tenants", other, 201, "other"},
		{staff.With("Idempotency-Key", strings.Repeat("k", 256)), "POST", "/api/admin/tenants", other, 422, "idempotency_key_invalid"},
		{staff.With("Idempotency-Key", "k2"), "POST", "/api/admin/tenants", `{}`, 422, `"field":"owner_email"`},
		{staff.With("Idempotency-Key", "k2"), "POST", "/api/admin/tenants", `{}`, 422, `"field":"owner_email"`},
		{w.Anonymous("admin.kestrel.ai").With("Idempotency-Key", "k1"), "POST", "/api/admin/tenants", briefsTenant, 401, ""},
	})
	// A day later the key is new; an answer that never came leaves a lock that ends.
	w.Exec(`update private.idempotency_keys set created_at = created_at - interval '25 hours'`)
	run(t, []step{{keyed, "POST", "/api/admin/tenants", `{"company_name":"Third","owner_email":"o@third.test"}`, 201, "third"}})
	w.Exec(`update private.idempotency_keys set status = null, body = null, locked_until = now() + interval '1 minute'`)
	run(t, []step{{keyed, "POST", "/api/admin/tenants", `{"company_name":"Third","owner_email":"o@third.test"}`, 409, `"code":"in_progress"`}})
	w.Exec(`update private.idempotency_keys set locked_until = now() - interval '1 second'`)
	run(t, []step{{keyed, "POST", "/api/admin/tenants", `{"company_name":"Third","owner_email":"o@third.test"}`, 409, "owner_email_taken"}})
}

func TestIdempotencyAtOnce(t *testing.T) {
	t.Parallel()
	w := apitest.New(t)
	keyed := w.Staff("admin@kestrel.ai").With("Idempotency-Key", "k")
	var wait sync.WaitGroup
	var mu sync.Mutex
	got := map[string]int{}
	for range 8 {
		wait.Go(func() {
			a := keyed.Do("POST", "/api/admin/tenants", briefsTenant)
			mu.Lock()
			defer mu.Unlock()
			got[fmt.Sprint(a.Status, " ", a.Problem().Code, a.Header.Get("Idempotency-Replayed"))]++
		})
	}
	wait.Wait()
	if got["201 "] != 1 || got["201 "]+got["201 true"]+got["409 in_progress"] != 8 {
		t.Errorf("%v", got)
	}
	if n := apitest.Value[int](w, `select count(*) from tenants`); n != 1 {
		t.Errorf("%d tenants", n)
	}
}

func TestIdempotencyKeepsNoSecretAndNoFailure(t *testing.T) {
	t.Parallel()
	w := apitest.New(t)
	c := w.Company("haiec", "+18573825169")
	keyed := c.Owner.With("Idempotency-Key", "k")
	made := apitest.JSON[api.NewAPIKey](t, keyed.Do("POST", "/api/tenant/api-keys", `{"name":"Website"}`))
	again := keyed.Do("POST", "/api/tenant/api-keys", `{"name":"Website"}`)
	if again.Status != 409 || again.Problem().Code != "already_created" || again.Header.Get("Idempotency-Replayed") != "true" ||
		again.Header.Get("Location") != "/api/tenant/api-keys/"+made.ID.String() {
		t.Errorf("%d %v %s", again.Status, again.Header, again.Body)
	}
	if n := apitest.Value[int](w, `select count(*) from private.idempotency_keys where position(convert_to($1, 'UTF8') in body) > 0`, made.Key); n != 0 {
		t.Error("the secret is stored")
	}
	staff := w.Staff("admin@kestrel.ai").With("Idempotency-Key", "k")
	if _, err := w.Sandbox.AddFault(sandbox.Fault{Service: "twilio", Status: 500, Count: 1}); err != nil {
		t.Fatal(err)
	}
	run(t, []step{
		{staff, "POST", "/api/twilio/search-numbers", `{}`, 502, "twilio_unavailable"},
		{staff, "POST", "/api/twilio/search-numbers", `{}`, 200, "items"},
	})
}

// A process dies after the tenant is committed and before it has answered: what it would still have written is refused.
func TestSignUpOutlivesItsProcess(t *testing.T) {
	t.Parallel()
	w := apitest.New(t)
	const form = `{"company_name":"HAIEC","owner_name":"Pat","owner_email":"pat@haiec.com","plan_tier":"starter"}`
	keyed := w.Anonymous("kestrel.ai").With("Idempotency-Key", "k")
	w.Exec(`create function public.killed() returns trigger language plpgsql as $$ begin
		if current_setting('kestrel.actor', true) = 'idempotency' then raise 'the process is gone'; end if; return coalesce(new, old); end $$`)
	w.Exec(`create trigger killed before update or delete on private.idempotency_keys for each row execute function public.killed()`)
	first := keyed.Do("POST", "/api/onboarding", form)
	w.Exec(`drop function public.killed() cascade`)
	again := keyed.Do("POST", "/api/onboarding", form)
	if first.Status != 201 || again.Status != 201 || again.Body != first.Body || again.Header.Get("Content-Type") != first.Header.Get("Content-Type") || again.Header.Get("Idempotency-Replayed") != "true" {
		t.Errorf("%d %s\n%d %s", first.Status, first.Body, again.Status, again.Body)
	}
	run(t, []step{
		{keyed, "POST", "/api/onboarding", strings.Replace(form, "HAIEC", "Other", 1), 422, "idempotency_key_reused"},
		// Somebody behind the same address, with the same key.
		{keyed, "POST", "/api/onboarding", strings.Replace(strings.Replace(form, "HAIEC", "Other", 1), "pat@haiec.com", "sam@other.test", 1), 201, `"slug":"other"`},
	})
	if who := apitest.Value[int](w, `select count(*) from private.idempotency_keys where principal like '%haiec%' or principal like 'ip:%'`); who != 0 {
		t.Error("the key's row says who signed up")
	}
}
