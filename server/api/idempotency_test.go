package api_test

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"kestrel.ai/jobs/twilio"
	"kestrel.ai/server/api"
	"kestrel.ai/server/api/apitest"
	"kestrel.ai/server/edge"
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

// held is a Twilio whose search answers when it is told to.
type held struct {
	api.Twilio
	begun, release chan struct{}
}

func (h held) Search(ctx context.Context, q twilio.SearchQuery) ([]twilio.AvailableNumber, error) {
	h.begun <- struct{}{}
	<-h.release
	return h.Twilio.Search(ctx, q)
}

// A key is locked as long as its process is at it, however long that takes, and seconds after a process died.
func TestIdempotencyKeyOfTheLiving(t *testing.T) {
	t.Parallel()
	h := held{begun: make(chan struct{}, 2), release: make(chan struct{})}
	var ahead atomic.Int64
	w := apitest.New(t, func(d *api.Deps, _ *edge.Config) {
		h.Twilio = d.Twilio
		d.Twilio = h
		d.Now = func() time.Time { return time.Now().Add(time.Duration(ahead.Load())) }
	})
	keyed := w.Staff("admin@kestrel.ai").With("Idempotency-Key", "k")
	search := func() apitest.Answer { return keyed.Do("POST", "/api/twilio/search-numbers", `{}`) }
	first := make(chan apitest.Answer, 1)
	go func() { first <- search() }()
	<-h.begun
	ahead.Store(int64(time.Minute))
	eventually(t, func() bool {
		return apitest.Value[bool](w, `select locked_until > $1 from private.idempotency_keys`, time.Now().Add(time.Minute))
	})
	if a := search(); a.Status != 409 || a.Problem().Code != "in_progress" {
		t.Errorf("while it is worked on: %d %s", a.Status, a.Body)
	}
	close(h.release)
	done := <-first
	if again := search(); done.Status != 200 || again.Body != done.Body || again.Header.Get("Idempotency-Replayed") != "true" {
		t.Errorf("%d %s, then %d %s", done.Status, done.Body, again.Status, again.Body)
	}
	// As a process leaves it that died.
	w.Exec(`update private.idempotency_keys set status = null, body = null`)
	ahead.Add(int64(6 * time.Second))
	if a := search(); a.Status != 200 || a.Header.Get("Idempotency-Replayed") != "" {
		t.Errorf("after its process died: %d %s", a.Status, a.Body)
	}
}
