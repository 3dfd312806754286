package adminui

import (
	"testing"
	"testing/fstest"
)

func TestFiles(t *testing.T) {
	t.Parallel()
	files, err := Read(fstest.MapFS{
		".gitkeep":           {},
		"admin.html":         {Data: []byte("<p>")},
		"admin.html.br":      {Data: []byte("page br")},
		"assets/a-1.js":      {Data: []byte("plain")},
		"assets/a-1.js.br":   {Data: []byte("br")},
		"assets/a-1.js.gz":   {Data: []byte("gz")},
		"assets/photo-2.png": {Data: []byte("png")},
	})
	if err != nil {
		t.Fatal(err)
	}
	const immutable = "public, max-age=31536000, immutable"
	tests := []struct {
		path, accept                 string
		body, encoding, kind, caches string
	}{
		{"/assets/a-1.js", "gzip, deflate, br", "br", "br", "text/javascript; charset=utf-8", immutable},
		{"/assets/a-1.js", "gzip;q=1.0, br;q=0", "gz", "gzip", "text/javascript; charset=utf-8", immutable},
		{"/assets/a-1.js", "br; q=0.000, GZIP", "gz", "gzip", "text/javascript; charset=utf-8", immutable},
		{"/assets/a-1.js", "br;q=0.5", "br", "br", "text/javascript; charset=utf-8", immutable},
		{"/assets/a-1.js", "", "plain", "", "text/javascript; charset=utf-8", immutable},
		{"/assets/photo-2.png", "br", "png", "", "image/png", immutable},
	}
	for _, test := range tests {
		file, ok := files.Asset(test.path, test.accept)
		if !ok || string(file.Body) != test.body || file.Encoding != test.encoding || file.ContentType != test.kind || file.CacheControl != test.caches {
			t.Errorf("%s with %q: %v %+v", test.path, test.accept, ok, file)
		}
	}
	page, ok := files.Page(Admin, "br")
	if !ok || string(page.Body) != "page br" || page.CacheControl != "no-cache" || len(page.ETag) != 26 {
		t.Errorf("page: %v %+v", ok, page)
	}
	if plain, _ := files.Page(Admin, ""); plain.ETag == page.ETag {
		t.Error("two encodings share an ETag")
	}
	for _, missing := range []string{"/", "/admin.html", "/.gitkeep", "/assets", "/assets/../admin.html", "/assets/a-1.js.br"} {
		if file, ok := files.Asset(missing, "br"); ok {
			t.Errorf("%s is served: %+v", missing, file)
		}
	}
	if _, ok := files.Page(Tenant, ""); ok {
		t.Error("a page that was not built is found")
	}
}

func TestTheEmbeddedAppReads(t *testing.T) {
	t.Parallel()
	if _, err := Built(); err != nil {
		t.Fatal(err)
	}
}
