package sandbox_test

import (
	"crypto/sha256"
	"encoding/base64"
	"io"
	"net/http"
	"regexp"
	"strings"
	"testing"

	"kestrel.ai/server/sandbox"
)

func TestPage(t *testing.T) {
	t.Parallel()
	r := start(t, sandbox.Options{})
	resp, err := http.Get(r.url + "/")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	raw, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	page, policy := string(raw), resp.Header.Get("Content-Security-Policy")
	if !strings.Contains(policy, "default-src 'none'") || strings.Contains(policy, "unsafe") {
		t.Errorf("policy: %s", policy)
	}
	for _, element := range []string{"script", "style"} {
		found := regexp.MustCompile(`(?s)<`+element+`[^>]*>(.*?)</`+element+`>`).FindAllStringSubmatch(page, -1)
		if len(found) != 1 {
			t.Fatalf("%d %s elements, want 1", len(found), element)
		}
		sum := sha256.Sum256([]byte(found[0][1]))
		if want := element + "-src 'sha256-" + base64.StdEncoding.EncodeToString(sum[:]) + "'"; !strings.Contains(policy, want) {
			t.Errorf("the policy lacks %s", want)
		}
	}
	for what, pattern := range map[string]string{"an inline handler": `<[^>]* on[a-z]+=`, "an inline style": `<[^>]* style=`, "another site": `https?://`, "innerHTML": `innerHTML|insertAdjacentHTML|eval\(`} {
		if found := regexp.MustCompile(pattern).FindString(page); found != "" {
			t.Errorf("the page has %s: %s", what, found)
		}
	}
}

func TestMailFrameIsHarmless(t *testing.T) {
	t.Parallel()
	r := start(t, sandbox.Options{})
	m := welcome()
	m.Html = "<script>alert(1)</script><p>Hello</p>"
	id, err := r.send(m, "")
	if err != nil {
		t.Fatal(err)
	}
	resp, err := http.Get(r.url + "/_sandbox/emails/" + id + "/html")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	policy := resp.Header.Get("Content-Security-Policy")
	if string(body) != m.Html || !strings.HasPrefix(policy, "sandbox; default-src 'none'") || strings.Contains(policy, "script-src") || strings.Contains(policy, "allow-") {
		t.Errorf("%s under %s", body, policy)
	}
}
