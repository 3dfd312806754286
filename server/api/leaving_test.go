package api_test

import (
	"bytes"
	"image"
	"image/png"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/google/uuid"

	"kestrel.ai/jobs"
	"kestrel.ai/server/api"
	"kestrel.ai/server/api/apitest"
)

func TestExports(t *testing.T) {
	t.Parallel()
	w := apitest.New(t)
	c, other := w.Company("haiec", "+18573825169"), w.Company("other", "+18573825170")
	run(t, []step{
		{c.Member, "POST", "/api/tenant/exports", nil, 403, ""},
		{c.WriteKey, "POST", "/api/tenant/exports", nil, 403, ""},
	})
	w.Exec(`update tenants set subscription_status = 'suspended' where id = $1`, c.ID)
	ordered := apitest.JSON[api.JobOrdered](t, c.Admin.Do("POST", "/api/tenant/exports", nil)).Job
	if again := apitest.JSON[api.JobOrdered](t, c.Owner.Do("POST", "/api/tenant/exports", nil)).Job; again.ID != ordered.ID || ordered.Kind != "tenant_export" {
		t.Errorf("%v, then %v", ordered, again)
	}
	export := *ordered.SubjectID
	path := "/api/tenant/exports/" + export.String()
	if e := apitest.JSON[api.Export](t, c.Owner.Do("GET", path, nil)); e.State != "open" || e.URL != "" {
		t.Errorf("%+v", e)
	}
	must(t, w.Files.EnsureBucket(t.Context(), jobs.ExportsBucket, false))
	must(t, w.Files.Upload(t.Context(), jobs.ExportsBucket, jobs.ExportObject(c.ID, export), "application/zip", []byte("PK")))
	w.Exec(`update tenant_exports set state = 'ready', ready_at = now(), expires_at = now() + interval '7 days' where id = $1`, export)
	res, err := http.Get(apitest.JSON[api.Export](t, c.Owner.Do("GET", path, nil)).URL)
	must(t, err)
	defer res.Body.Close()
	if body, _ := io.ReadAll(res.Body); string(body) != "PK" || !strings.Contains(res.Header.Get("Content-Disposition"), "kestrel-export-") {
		t.Errorf("%d %s %v", res.StatusCode, body, res.Header)
	}
	w.Exec(`update tenant_exports set expires_at = now() - interval '1 second' where id = $1`, export)
	if e := apitest.JSON[api.Export](t, c.Owner.Do("GET", path, nil)); e.URL != "" {
		t.Errorf("an expired export has a link: %+v", e)
	}
	staff := w.Staff("staff@kestrel.ai")
	admin := "/api/admin/tenants/" + c.ID.String() + "/exports/"
	run(t, []step{
		{other.Owner, "GET", path, nil, 404, "export_not_found"},
		{staff, "GET", admin + export.String(), nil, 200, `"state":"ready"`},
		{staff, "GET", "/api/admin/tenants/" + other.ID.String() + "/exports/" + export.String(), nil, 404, "export_not_found"},
		{staff, "POST", admin, nil, 202, `"tenant_export"`},
	})
}

func TestImports(t *testing.T) {
	t.Parallel()
	w := apitest.New(t)
	c, staff := w.Company("haiec", "+18573825169"), w.Staff("staff@kestrel.ai")
	export := apitest.Value[uuid.UUID](w, `insert into tenant_exports (tenant_id, state, sha256) values ($1, 'ready', repeat('a', 64)) returning id`, c.ID)
	open := apitest.Value[uuid.UUID](w, `insert into tenant_exports (tenant_id) values ($1) returning id`, c.ID)
	const path = "/api/admin/imports"
	order := func(what, slug, email string) string {
		return `{` + what + `,"slug":"` + slug + `","company_name":"Moved","owner_email":"` + email + `"}`
	}
	of := func(id uuid.UUID) string { return `"export_id":"` + id.String() + `"` }
	run(t, []step{
		{staff, "POST", path, order(of(uuid.New()), "moved", "new@moved.test"), 404, "export_not_found"},
		{staff, "POST", path, order(of(open), "moved", "new@moved.test"), 409, "export_not_ready"},
		{staff, "POST", path, order(of(export), "haiec", "new@moved.test"), 409, "slug_taken"},
		{staff, "POST", path, order(of(export), "admin", "new@moved.test"), 422, `"field":"slug"`},
		{staff, "POST", path, order(of(export), "moved", "owner@haiec.test"), 409, "owner_email_taken"},
		{staff, "POST", path, order(of(export)+`,"object":"a.zip"`, "moved", "new@moved.test"), 422, `"field":"export_id"`},
		{staff, "POST", path, order(`"object":"../exports/a.zip"`, "moved", "new@moved.test"), 422, `"field":"object"`},
		{staff, "POST", path, order(`"object":"a.zip","sha256":"abc"`, "moved", "new@moved.test"), 422, `"field":"sha256"`},
		{staff, "GET", path + "/" + uuid.NewString(), nil, 404, "import_not_found"},
	})
	job := apitest.JSON[api.JobOrdered](t, staff.Do("POST", path, order(of(export), "moved", "new@moved.test"))).Job
	got := apitest.JSON[api.Import](t, staff.Do("GET", path+"/"+job.SubjectID.String(), nil))
	if job.Kind != "tenant_import" || got.State != "open" || got.TenantID != nil || got.SHA256 == nil || got.Archive != "exports/"+jobs.ExportObject(c.ID, export) {
		t.Errorf("%+v %+v", job, got)
	}

	// What the offered link is used for is what an order can name.
	offer := apitest.JSON[api.ArchiveOffer](t, staff.Do("POST", path+"/archives", nil))
	put, err := http.NewRequestWithContext(t.Context(), http.MethodPut, offer.UploadURL, strings.NewReader("PK"))
	must(t, err)
	put.Header.Set("Content-Type", "application/zip")
	res, err := http.DefaultClient.Do(put)
	must(t, err)
	_ = res.Body.Close()
	if res.StatusCode != 200 {
		t.Errorf("uploading: %d", res.StatusCode)
	}
	run(t, []step{
		{staff, "POST", path, order(`"object":"`+offer.Object+`"`, "moved-too", "too@moved.test"), 202, "tenant_import"},
		{staff, "GET", path, nil, 200, "imports/" + offer.Object},
	})
}

func TestPurgeWantsTheSlugTyped(t *testing.T) {
	t.Parallel()
	w := apitest.New(t)
	c, staff := w.Company("haiec", "+18573825169"), w.Staff("staff@kestrel.ai")
	path := "/api/admin/tenants/" + c.ID.String() + "/purge"
	run(t, []step{{staff, "POST", path, `{"confirm":"haiec"}`, 409, "tenant_not_deleted"}})
	w.Exec(`delete from tenants where id = $1`, c.ID)
	run(t, []step{
		{staff, "POST", path, `{"confirm":"haiek"}`, 422, `"field":"confirm"`},
		{staff, "POST", path, `{"confirm":"haiec"}`, 202, `"tenant_purge"`},
		{staff, "POST", "/api/admin/tenants/" + uuid.NewString() + "/purge", `{"confirm":"haiec"}`, 404, "tenant_not_found"},
	})
}

func TestForgettingACaller(t *testing.T) {
	t.Parallel()
	w := apitest.New(t)
	c, other := w.Company("haiec", "+18573825169"), w.Company("other", "+18573825170")
	contact := apitest.Value[uuid.UUID](w, `insert into contacts (tenant_id, phone_number) values ($1, '+16175550142') returning id`, c.ID)
	path := "/api/tenant/contacts/" + contact.String() + "/erase"
	run(t, []step{
		{c.Member, "POST", path, nil, 403, ""},
		{other.Owner, "POST", path, nil, 404, "contact_not_found"},
		{c.Admin, "POST", path, nil, 202, `"caller_erase"`},
		{w.Staff("staff@kestrel.ai"), "POST", "/api/admin/tenants/" + c.ID.String() + "/contacts/" + contact.String() + "/erase", nil, 202, `"caller_erase"`},
	})
}

func TestLogo(t *testing.T) {
	t.Parallel()
	w := apitest.New(t)
	c := w.Company("haiec", "+18573825169")
	var picture bytes.Buffer
	must(t, png.Encode(&picture, image.NewGray(image.Rect(0, 0, 8, 8))))
	var wide bytes.Buffer
	must(t, png.Encode(&wide, image.NewGray(image.Rect(0, 0, 5000, 1))))
	run(t, []step{
		{c.Member, "PUT", "/api/tenant/logo", picture.String(), 403, ""},
		{c.Admin, "PUT", "/api/tenant/logo", `<svg xmlns="http://www.w3.org/2000/svg"><script/></svg>`, 415, "logo_type"},
		{c.Admin, "PUT", "/api/tenant/logo", `<!DOCTYPE html><script>`, 415, "logo_type"},
		{c.Admin, "PUT", "/api/tenant/logo", "\x89PNG\r\n\x1a\nnot one", 415, "logo_type"},
		{c.Admin, "PUT", "/api/tenant/logo", wide.String(), 413, "logo_too_large"},
		{c.Admin, "PUT", "/api/tenant/logo", picture.String() + strings.Repeat("x", 512<<10), 413, ""},
		{c.Admin, "PUT", "/api/tenant/logo", picture.String(), 200, c.ID.String() + "/"},
	})
	first := *apitest.JSON[api.Company](t, c.Admin.Do("GET", "/api/tenant", nil)).LogoPath
	status := func(path string) int {
		res, err := http.Get(w.Files.PublicURL(jobs.LogosBucket, path))
		must(t, err)
		_ = res.Body.Close()
		if res.StatusCode == 200 && (res.Header.Get("Content-Type") != "image/png" || res.Header.Get("X-Content-Type-Options") != "nosniff") {
			t.Errorf("%v", res.Header)
		}
		return res.StatusCode
	}
	if got := status(first); got != 200 {
		t.Errorf("the logo: %d", got)
	}
	run(t, []step{{c.Admin, "DELETE", "/api/tenant/logo", nil, 200, `"logo_path":null`}})
	if got := status(first); got == 200 {
		t.Error("the logo outlived its removal")
	}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
