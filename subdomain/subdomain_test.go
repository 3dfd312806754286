package subdomain

import (
	"errors"
	"regexp"
	"slices"
	"strings"
	"testing"
)

func TestParse(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("a", 41)
	for _, c := range []struct {
		host string
		kind HostKind
		slug string
	}{
		{"kestrel.ai", Apex, ""},
		{"KESTREL.AI:443", Apex, ""},
		{"www.kestrel.ai", WWW, ""},
		{"admin.kestrel.ai", Admin, ""},
		{"Admin.Kestrel.Ai", Admin, ""},
		{"api.kestrel.ai:8443", API, ""},
		{"sandbox.kestrel.ai", Sandbox, ""},
		{"haiec.kestrel.ai", TenantHost, "haiec"},
		{"HAIEC.kestrel.ai", TenantHost, "haiec"},
		{"a-1.kestrel.ai", TenantHost, "a-1"},
		{"", Unknown, ""},
		{".kestrel.ai", Unknown, ""},
		{"kestrel.ai.", Unknown, ""},
		{"haiec.kestrel.ai.", Unknown, ""},
		{"haiec..kestrel.ai", Unknown, ""},
		{"a.haiec.kestrel.ai", Unknown, ""},
		{"haieckestrel.ai", Unknown, ""},
		{"haiec.kestrel.ai.evil.com", Unknown, ""},
		{"evil.com", Unknown, ""},
		{"haiec.kestrel.ai:", Unknown, ""},
		{"haiec.kestrel.ai:0", Unknown, ""},
		{"haiec.kestrel.ai:99999", Unknown, ""},
		{"haiec.kestrel.ai:80:80", Unknown, ""},
		{"haiec.kestrel.ai:8x", Unknown, ""},
		{"evil@haiec.kestrel.ai", Unknown, ""},
		{"haiec .kestrel.ai", Unknown, ""},
		{"haiec.kestrel.ai,evil.com", Unknown, ""},
		{"127.0.0.1", Unknown, ""},
		{"127.0.0.1:8080", Unknown, ""},
		{"[::1]", Unknown, ""},
		{"[::1]:8080", Unknown, ""},
		{"::1", Unknown, ""},
		{"häiec.kestrel.ai", Unknown, ""},
		{"\u212aestrel.ai", Unknown, ""},
		{"xn--hiec-moa.kestrel.ai", Unknown, ""},
		{"ab.kestrel.ai", Unknown, ""},
		{long + ".kestrel.ai", Unknown, ""},
		{"-ab.kestrel.ai", Unknown, ""},
		{"mail.kestrel.ai", Unknown, ""},
		{"auth.kestrel.ai", Unknown, ""},
		{"ha\x00iec.kestrel.ai", Unknown, ""},
	} {
		kind, slug, err := Hosts{Base: "kestrel.ai"}.Parse(c.host)
		if kind != c.kind || slug != c.slug || (err != nil) != (kind == Unknown) {
			t.Errorf("Parse(%q) = %v, %q, %v; want %v, %q", c.host, kind, slug, err, c.kind, c.slug)
		}
	}
	if kind, slug, _ := (Hosts{Base: "localhost"}).Parse("haiec.localhost:8080"); kind != TenantHost || slug != "haiec" {
		t.Errorf("localhost: %v, %q", kind, slug)
	}
	if kind, _, _ := (Hosts{}).Parse(""); kind != Unknown {
		t.Errorf("no base: %v", kind)
	}
}

func FuzzParse(f *testing.F) {
	for _, seed := range []string{"kestrel.ai", "haiec.kestrel.ai:443", "ADMIN.kestrel.ai", "[::1]:80", "a.b.kestrel.ai", "x.kestrel.ai.", "xn--a.kestrel.ai", "\xff.kestrel.ai", ":", "kestrel.ai:65536"} {
		f.Add(seed)
	}
	hosts := Hosts{Base: "kestrel.ai"}
	f.Fuzz(func(t *testing.T, raw string) {
		kind, slug, err := hosts.Parse(raw)
		if (kind == Unknown) != errors.Is(err, ErrHost) {
			t.Fatalf("%q: kind %v, error %v", raw, kind, err)
		}
		if (kind == TenantHost) != (slug != "") {
			t.Fatalf("%q: kind %v, slug %q", raw, kind, slug)
		}
		if kind == TenantHost && (ValidSlug(slug) != nil || !strings.EqualFold(raw[:len(slug)], slug)) {
			t.Fatalf("%q: slug %q", raw, slug)
		}
	})
}

func TestSlugs(t *testing.T) {
	t.Parallel()
	for slug, want := range map[string]error{
		"haiec": nil, "a1b": nil, "a-b": nil, "a--b": nil, strings.Repeat("a", 40): nil,
		"": ErrSlugShape, "ab": ErrSlugShape, "-ab": ErrSlugShape, "ab-": ErrSlugShape, "ab--c": ErrSlugShape, "xn--a": ErrSlugShape,
		"Abc": ErrSlugShape, "a_b": ErrSlugShape, "a.b": ErrSlugShape, "äbc": ErrSlugShape, strings.Repeat("a", 41): ErrSlugShape,
		"admin": ErrSlugReserved, "auth": ErrSlugReserved, "origin": ErrSlugReserved,
	} {
		if err := ValidSlug(slug); !errors.Is(err, want) {
			t.Errorf("ValidSlug(%q) = %v, want %v", slug, err, want)
		}
	}
}

func TestReservedNames(t *testing.T) {
	t.Parallel()
	shape := regexp.MustCompile(`^[a-z0-9]([a-z0-9-]{1,38}[a-z0-9])$`)
	names := strings.Fields(ReservedNames)
	if !slices.IsSorted(names) || len(slices.Compact(slices.Clone(names))) != len(names) || len(names) < 150 {
		t.Errorf("%d names; want 150 or more, sorted, each once", len(names))
	}
	for _, name := range names {
		if !shape.MatchString(name) {
			t.Errorf("%q could not be a slug anyway", name)
		}
	}
	for _, name := range []string{"www", "admin", "api", "sandbox", "auth", "mail", "origin", "internal", "supabase", "status"} {
		if !Reserved(name) {
			t.Errorf("%q is not reserved", name)
		}
	}
}

func TestSlugFrom(t *testing.T) {
	t.Parallel()
	for name, want := range map[string]string{
		"HAIEC":                   "haiec",
		"  Müller & Söhne, Inc. ": "muller-and-sohne-inc",
		"Joe's Plumbing":          "joes-plumbing",
		"Straße 9":                "strasse-9",
		"Ab":                      "ab-hq",
		"Admin":                   "admin-hq",
		"漢字":                      "",
		"":                        "",
		"--__--":                  "",
		"A very long company name that never seems to end": "a-very-long-company-name-that-never",
	} {
		if got := SlugFrom(name); got != want {
			t.Errorf("SlugFrom(%q) = %q, want %q", name, got, want)
		}
	}
}

func FuzzSlugFrom(f *testing.F) {
	for _, seed := range []string{"HAIEC", "xn--a", "ab  c", "a", strings.Repeat("é-", 200), "K\u212a"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, name string) {
		if slug := SlugFrom(name); slug != "" && ValidSlug(slug) != nil {
			t.Fatalf("SlugFrom(%q) = %q: %v", name, slug, ValidSlug(slug))
		}
	})
}

func TestSuggest(t *testing.T) {
	t.Parallel()
	taken := func(s string) bool { return s == "haiec" || s == "haiec-co" }
	got := Suggest("HAIEC", taken)
	if want := []string{"haiec-hq", "haiec-team", "haiec-office", "haiec-2", "haiec-3"}; !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
	for _, slug := range Suggest(strings.Repeat("a", 60), func(s string) bool { return len(s) == 40 && !strings.Contains(s, "-") }) {
		if ValidSlug(slug) != nil {
			t.Errorf("%q is not valid", slug)
		}
	}
	if got := Suggest("x", func(string) bool { return true }); len(got) != 0 {
		t.Errorf("all taken: %v", got)
	}
}
