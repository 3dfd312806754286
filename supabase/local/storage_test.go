package local_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"mime/multipart"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// storageCall is a call of Storage as token's holder.
func (s *stack) storageCall(method, path, token string, body any) answer {
	s.t.Helper()
	return s.do(request{method: method, path: "/storage/v1" + path, token: token, body: body})
}

// refused checks Storage's shape of error: HTTP 400, and the telling status in the body.
func (s *stack) refused(a answer, statusCode string) {
	s.t.Helper()
	if a.status != 400 || a.str("statusCode") != statusCode || a.str("message") == "" || a.str("error") == "" {
		s.t.Errorf("got %d %s, want statusCode %s", a.status, a.raw, statusCode)
	}
}

func (s *stack) bucket(id string, more ...any) {
	s.t.Helper()
	body := anyMap{"id": id, "name": id}
	for i := 0; i < len(more); i += 2 {
		body[more[i].(string)] = more[i+1]
	}
	s.want(s.storageCall("POST", "/bucket", s.keys.Secret, body), 200, "")
}

// files are what lies on disk, apart from folders.
func (s *stack) files() (names []string) {
	s.t.Helper()
	must(s.t, filepath.WalkDir(s.dir, func(path string, d os.DirEntry, err error) error {
		if err == nil && !d.IsDir() {
			names = append(names, path)
		}
		return err
	}))
	return names
}

func TestStoragePoliciesDecide(t *testing.T) {
	t.Parallel()
	s := newStack(t)
	_, err := s.pool.Exec(context.Background(), `
		create policy own_read on storage.objects for select to authenticated using (bucket_id = 'docs' and (storage.foldername(name))[1] = (select auth.uid())::text);
		create policy own_write on storage.objects for insert to authenticated with check (bucket_id = 'docs' and (storage.foldername(name))[1] = (select auth.uid())::text);
		create policy own_delete on storage.objects for delete to authenticated using (bucket_id = 'docs' and (storage.foldername(name))[1] = (select auth.uid())::text);`)
	must(t, err)
	s.bucket("docs")
	id := s.user("a@example.com")
	s.user("b@example.com")
	a, b := s.signIn("a@example.com").str("access_token"), s.signIn("b@example.com").str("access_token")
	mine := "/object/docs/" + id + "/note.txt"
	s.want(s.storageCall("POST", mine, a, "hello"), 200, "")
	s.refused(s.storageCall("POST", mine, a, "again"), "409")
	if got := s.want(s.storageCall("GET", mine, a, nil), 200, ""); string(got.raw) != "hello" {
		t.Errorf("read %q", got.raw)
	}
	var owner string
	must(t, s.pool.QueryRow(context.Background(), "select owner_id from storage.objects").Scan(&owner))
	if owner != id {
		t.Errorf("owner %s", owner)
	}
	for who, token := range map[string]string{"another person": b, "anon": s.keys.AnonJWT} {
		s.refused(s.storageCall("GET", mine, token, nil), "404")
		s.refused(s.storageCall("GET", "/object/info/docs/"+id+"/note.txt", token, nil), "404")
		s.refused(s.storageCall("POST", "/object/docs/"+id+"/evil.txt", token, "x"), "403")
		s.refused(s.storageCall("PUT", mine, token, "x"), "403")
		s.refused(s.storageCall("DELETE", mine, token, nil), "404")
		s.refused(s.storageCall("POST", "/object/sign/docs/"+id+"/note.txt", token, anyMap{"expiresIn": 60}), "404")
		s.refused(s.storageCall("POST", "/object/upload/sign/docs/"+id+"/up.txt", token, anyMap{}), "403")
		s.refused(s.storageCall("POST", "/object/move", token, anyMap{"bucketId": "docs", "sourceKey": id + "/note.txt", "destinationKey": "x"}), "404")
		s.refused(s.storageCall("POST", "/object/copy", token, anyMap{"bucketId": "docs", "sourceKey": id + "/note.txt", "destinationKey": "x"}), "404")
		s.refused(s.storageCall("POST", "/bucket", token, anyMap{"name": "theirs"}), "403")
		s.refused(s.storageCall("DELETE", "/bucket/docs", token, nil), "404")
		for path, body := range map[string]any{"/object/list/docs": anyMap{"prefix": id}, "/object/sign/docs": anyMap{"expiresIn": 60, "paths": []string{id + "/note.txt"}}} {
			if got := s.want(s.storageCall("POST", path, token, body), 200, ""); bytes.Contains(got.raw, []byte("token=")) || bytes.Contains(got.raw, []byte(`"id":"`)) {
				t.Errorf("%s sees %s", who, got.raw)
			}
		}
		if got := s.storageCall("DELETE", "/object/docs", token, anyMap{"prefixes": []string{id + "/note.txt"}}); strings.TrimSpace(string(got.raw)) != "[]" {
			t.Errorf("%s deleted %s", who, got.raw)
		}
	}
	s.refused(s.do(request{method: "GET", path: "/storage/v1" + mine, key: "-"}), "400")
	s.refused(s.storageCall("GET", mine, "eyJ.eyJ.x", nil), "403")
	s.refused(s.storageCall("GET", "/object/public/docs/"+id+"/note.txt", a, nil), "404")
	if n := len(s.files()); n != 1 {
		t.Errorf("%d files on disk: %v", n, s.files())
	}
	s.want(s.storageCall("DELETE", mine, a, nil), 200, "")
	if n := len(s.files()); n != 0 {
		t.Errorf("%d files are left", n)
	}
}

func TestStorageSignedURLs(t *testing.T) {
	t.Parallel()
	s := newStack(t)
	s.bucket("docs")
	for _, key := range []string{"a b.txt", "b.txt"} {
		s.want(s.storageCall("POST", "/object/docs/"+strings.ReplaceAll(key, " ", "%20"), s.keys.Secret, key), 200, "")
	}
	open := func(path string) answer {
		t.Helper()
		return s.do(request{method: "GET", path: "/storage/v1" + strings.ReplaceAll(path, " ", "%20"), key: "-"})
	}
	signed := s.want(s.storageCall("POST", "/object/sign/docs/a%20b.txt", s.keys.Secret, anyMap{"expiresIn": 60}), 200, "").str("signedURL")
	if got := s.want(open(signed), 200, ""); string(got.raw) != "a b.txt" {
		t.Errorf("read %q", got.raw)
	}
	_, token, _ := strings.Cut(signed, "?token=")
	s.refused(open("/object/sign/docs/b.txt?token="+token), "400")
	s.refused(open("/object/sign/docs/a%20b.txt?token="), "400")
	s.user("a@example.com")
	s.refused(open("/object/sign/docs/b.txt?token="+s.signIn("a@example.com").str("access_token")), "400")
	s.refused(s.do(request{method: "PUT", path: "/storage/v1/object/upload/sign/docs/a%20b.txt?token=" + token, key: "-", body: "x"}), "400")
	s.want(s.getUser(token), 403, "bad_jwt")
	s.pass(2 * time.Minute)
	s.refused(open(signed), "400")

	up := s.want(s.storageCall("POST", "/object/upload/sign/docs/new.txt", s.keys.Secret, anyMap{}), 200, "").str("url")
	s.want(s.do(request{method: "PUT", path: "/storage/v1" + up, key: "-", body: "new"}), 200, "")
	s.refused(s.do(request{method: "PUT", path: "/storage/v1" + up, key: "-", body: "newer"}), "409")
	s.refused(open(strings.Replace(up, "/upload", "", 1)), "400")
}

func TestStorageServesNothingThatRuns(t *testing.T) {
	t.Parallel()
	s := newStack(t)
	s.bucket("pub", "public", true)
	for kind, disposition := range map[string]string{"image/png": "inline", "image/svg+xml": "attachment", "text/html": "attachment", "application/xml": "attachment", "text/html;charset=x": "attachment"} {
		up := s.do(request{method: "PUT", path: "/storage/v1/object/pub/x", token: s.keys.Secret, body: "<script>", header: map[string]string{"Content-Type": kind, "Cache-Control": "max-age=60"}})
		s.want(up, 200, "")
		got := s.want(s.do(request{method: "GET", path: "/storage/v1/object/public/pub/x", key: "-"}), 200, "")
		h := got.header
		if !strings.HasPrefix(h.Get("Content-Disposition"), disposition+";") || h.Get("X-Content-Type-Options") != "nosniff" ||
			h.Get("Content-Type") != kind || h.Get("Cache-Control") != "max-age=60" || !strings.Contains(h.Get("Content-Security-Policy"), "sandbox") {
			t.Errorf("%s: %v", kind, h)
		}
		again := s.do(request{method: "GET", path: "/storage/v1/object/public/pub/x", key: "-", header: map[string]string{"If-None-Match": h.Get("Etag")}})
		if again.status != 304 {
			t.Errorf("%s again: %d", kind, again.status)
		}
	}
	got := s.do(request{method: "GET", path: "/storage/v1/object/public/pub/x?download=%22%0d%0ax%3A%20y.png", key: "-"})
	if d := got.header.Get("Content-Disposition"); !strings.HasPrefix(d, "attachment") || got.header.Get("X") != "" {
		t.Errorf("%q", d)
	}
	if n := len(s.files()); n != 1 {
		t.Errorf("%d files after overwriting one", n)
	}
}

func TestStorageLimitsAndNames(t *testing.T) {
	t.Parallel()
	s := newStack(t)
	s.bucket("small", "file_size_limit", "1KB", "allowed_mime_types", []string{"text/*"})
	s.bucket("big")
	key := s.keys.Secret
	put := func(path, kind string, size int) answer {
		t.Helper()
		return s.do(request{method: "POST", path: "/storage/v1/object/" + path, token: key, body: strings.Repeat("x", size), header: map[string]string{"Content-Type": kind}})
	}
	s.want(put("small/ok", "text/plain", 1000), 200, "")
	s.refused(put("small/long", "text/plain", 1001), "413")
	s.refused(put("small/type", "image/png", 1), "415")
	s.refused(put("small/type", ";;", 1), "415")
	s.want(put("big/ok", "text/plain", 1<<20), 200, "")
	s.refused(put("big/long", "text/plain", 1<<20+1), "413")
	s.refused(put("big/very", "text/plain", 3<<20), "413")
	s.refused(put("none/x", "text/plain", 1), "404")
	var form bytes.Buffer
	m := multipart.NewWriter(&form)
	part, err := m.CreateFormFile("", "blob")
	must(t, err)
	fmt.Fprint(part, strings.Repeat("x", 1<<20+1))
	must(t, m.Close())
	s.refused(s.do(request{method: "POST", path: "/storage/v1/object/big/form", token: key, body: form.String(), header: map[string]string{"Content-Type": m.FormDataContentType()}}), "413")
	for _, name := range []string{"..%2f..%2fetc%2fpasswd", "a%2f..%2f..%2fb", "%2e%2e%2fx", "a%00b", "a%5cb", "a%2f%2fb", "%ff", "a%2f.", "ü", strings.Repeat("x", 2000)} {
		if a := put("big/"+name, "text/plain", 1); a.status == 200 || a.status >= 500 {
			t.Errorf("upload to %q: %d %s", name, a.status, a.raw)
		}
		if a := s.storageCall("GET", "/object/big/"+name, key, nil); a.status == 200 || a.status >= 500 {
			t.Errorf("download of %q: %d", name, a.status)
		}
	}
	for _, name := range []string{"..", ".", "", "a/b", "a\\b", "\u0000"} {
		if a := s.storageCall("POST", "/bucket", key, anyMap{"name": name}); a.status != 400 {
			t.Errorf("bucket %q: %d", name, a.status)
		}
	}
	for _, body := range []string{"{", "[]", `{"prefixes":["\u0000"]}`, `{"prefixes":"x"}`} {
		if a := s.storageCall("DELETE", "/object/big", key, body); a.status != 400 {
			t.Errorf("%s: %d %s", body, a.status, a.raw)
		}
	}
	s.refused(s.storageCall("DELETE", "/bucket/big", key, nil), "409")
	s.want(s.storageCall("POST", "/bucket/big/empty", key, anyMap{}), 200, "")
	s.want(s.storageCall("DELETE", "/bucket/big", key, nil), 200, "")
	if n := len(s.files()); n != 1 { // small/ok
		t.Errorf("%d files are left: %v", n, s.files())
	}
	// A row deleted by SQL would leave its file: the platform refuses that, and so does this.
	if _, err := s.pool.Exec(context.Background(), "delete from storage.objects"); err == nil {
		t.Error("SQL deleted rows of storage.objects")
	}
}

func TestStorageLists(t *testing.T) {
	t.Parallel()
	s := newStack(t)
	s.bucket("docs")
	for _, name := range []string{"z.txt", "a/1.txt", "a/2.txt", "a/deep/3.txt", "b/4.txt", "aa.txt"} {
		s.want(s.storageCall("POST", "/object/docs/"+name, s.keys.Secret, name), 200, "")
	}
	list := func(body anyMap) string {
		t.Helper()
		var entries []struct {
			Name string
			ID   *string
		}
		must(t, json.Unmarshal(s.want(s.storageCall("POST", "/object/list/docs", s.keys.Secret, body), 200, "").raw, &entries))
		var names []string
		for _, e := range entries {
			if e.ID == nil {
				e.Name += "/"
			}
			names = append(names, e.Name)
		}
		return strings.Join(names, " ")
	}
	for _, c := range []struct {
		body anyMap
		want string
	}{
		{anyMap{"prefix": ""}, "a/ b/ aa.txt z.txt"},
		{anyMap{"prefix": "a"}, "deep/ 1.txt 2.txt"},
		{anyMap{"prefix": "a/"}, "deep/ 1.txt 2.txt"},
		{anyMap{"prefix": "", "search": "a"}, "a/ aa.txt"},
		{anyMap{"prefix": "a", "limit": 1, "offset": 1}, "1.txt"},
		{anyMap{"prefix": "a", "sortBy": anyMap{"column": "name", "order": "desc"}}, "deep/ 2.txt 1.txt"},
		{anyMap{"prefix": "%"}, ""},
	} {
		if got := list(c.body); got != c.want {
			t.Errorf("%v: %q, want %q", c.body, got, c.want)
		}
	}
	s.refused(s.storageCall("POST", "/object/list/docs", s.keys.Secret, anyMap{"sortBy": anyMap{"column": "name; drop table"}}), "400")
}
