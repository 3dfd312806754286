// Package caller keeps tests of conversations readable: a person who rings a number of the sandbox, says things, and
// expects to hear things.
//
//	call := caller.Ring(t, sandboxURL, "+18573825169", "+16175550123")
//	call.Hears("How can I help")
//	call.Says("book me tomorrow at 3 pm")
//	call.Hears("booked")
//	call.HangsUp()
//
// What is heard was decoded from the audio that was played to the caller, at the pace of a phone line.
package caller

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"
	"unicode"

	"kestrel.ai/server/sandbox"
)

// Patience is how long a caller waits for what is expected before the test fails.
const Patience = 30 * time.Second

// Call is a call that goes on, seen by the one who rang.
type Call struct {
	SID string

	t       testing.TB
	url     string
	heardTo int // words heard that an earlier Hears has used up
}

// Option changes how the call is made.
type Option func(*sandbox.Ring)

// Speed plays the call faster than a phone line.
func Speed(factor float64) Option { return func(r *sandbox.Ring) { r.Speed = factor } }

// Saying gives the caller a script from the start, instead of Says later; at its end the caller stays.
func Saying(lines ...sandbox.Line) Option {
	return func(r *sandbox.Ring) { r.Say = append(r.Say, lines...) }
}

// Ring rings to. It returns once the call is answered or has ended; the test ends it if nothing else does.
func Ring(t testing.TB, sandboxURL, to, from string, options ...Option) *Call {
	t.Helper()
	in := sandbox.Ring{To: to, From: from, Stay: true}
	for _, o := range options {
		o(&in)
	}
	c := &Call{t: t, url: strings.TrimSuffix(sandboxURL, "/")}
	var made sandbox.Call
	c.post("/_sandbox/calls", in, http.StatusCreated, &made)
	c.SID = made.SID
	t.Cleanup(func() { _, _, _ = c.ask(http.MethodPost, c.path("/hangup"), []byte("{}")) }) // refused when it has ended
	return c
}

// Hears waits until the caller has heard these words in a row, whatever their case and punctuation, after what the last
// Hears waited for. It returns everything heard since then.
func (c *Call) Hears(words string) string {
	c.t.Helper()
	want := plain(words)
	var heard string
	c.until("to hear "+words, func(now sandbox.Call) bool {
		heard = ""
		for i, w := range now.Heard[min(c.heardTo, len(now.Heard)):] {
			heard = strings.TrimSpace(heard + " " + w.Text)
			if strings.Contains(" "+plain(heard)+" ", " "+want+" ") {
				c.heardTo += i + 1
				return true
			}
		}
		return false
	})
	return heard
}

// Says speaks when it is the caller's turn, and returns once it is said.
func (c *Call) Says(text string) { c.t.Helper(); c.does(sandbox.Line{Text: text}, "to say "+text) }

// Interrupts speaks while the other side does.
func (c *Call) Interrupts(text string) {
	c.t.Helper()
	c.does(sandbox.Line{Text: text, Barge: true}, "to interrupt with "+text)
}

func (c *Call) does(line sandbox.Line, what string) {
	c.t.Helper()
	before := said(c.Now())
	c.post(c.path("/say"), line, http.StatusOK, nil)
	c.until(what, func(now sandbox.Call) bool { return said(now) > before })
}

// said counts the lines that are finished.
func said(now sandbox.Call) (n int) {
	for _, u := range now.Transcript {
		if u.Way == "said" && u.ToMS > 0 {
			n++
		}
	}
	return n
}

// Presses presses keys at once.
func (c *Call) Presses(digits string) {
	c.t.Helper()
	c.post(c.path("/digits"), map[string]string{"digits": digits}, http.StatusOK, nil)
}

// HangsUp ends the call and returns what Twilio knows of it.
func (c *Call) HangsUp() sandbox.Call {
	c.t.Helper()
	c.post(c.path("/hangup"), struct{}{}, http.StatusOK, nil)
	return c.Now()
}

// Ends waits for the other side to end the call.
func (c *Call) Ends() sandbox.Call {
	c.t.Helper()
	return c.until("the call to end", func(now sandbox.Call) bool { return now.Filed })
}

// Until waits until the call is as wanted; what says so in words, for the failure.
func (c *Call) Until(what string, wanted func(sandbox.Call) bool) sandbox.Call {
	c.t.Helper()
	return c.until(what, wanted)
}

// Now is the call as it is.
func (c *Call) Now() sandbox.Call {
	c.t.Helper()
	var now sandbox.Call
	c.get("", &now)
	return now
}

func (c *Call) until(what string, wanted func(sandbox.Call) bool) sandbox.Call {
	c.t.Helper()
	deadline := time.Now().Add(Patience)
	query := ""
	for {
		var now sandbox.Call
		c.get(query, &now)
		switch {
		case wanted(now):
			return now
		case now.Filed:
			c.t.Fatalf("the caller waited %s, but the call ended (%s)\n%s", what, now.EndReason, describe(now))
		case time.Now().After(deadline):
			c.t.Fatalf("the caller waited %s in vain\n%s", what, describe(now))
		}
		query = fmt.Sprintf("?rev=%d&wait_ms=1000", now.Rev)
	}
}

// describe is a call for a failure's message.
func describe(c sandbox.Call) string {
	var b strings.Builder
	for _, u := range c.Transcript {
		fmt.Fprintf(&b, "%6d ms %s: %s\n", u.FromMS, u.Way, u.Text)
	}
	for _, v := range c.Verbs {
		fmt.Fprintf(&b, "%6d ms %s %s\n", v.AtMS, v.Verb, v.Detail)
	}
	for _, h := range c.Webhooks {
		fmt.Fprintf(&b, "%6d ms %s webhook %s: %d %s\n", h.AtMS, h.Purpose, h.URL, h.Status, h.Error)
	}
	for _, e := range c.Errors {
		fmt.Fprintf(&b, "%6d ms error %d %s\n", e.AtMS, e.Code, e.Message)
	}
	return b.String()
}

// plain is text in lower case without punctuation.
func plain(text string) string {
	return strings.Join(strings.FieldsFunc(strings.ToLower(text), func(r rune) bool {
		return !unicode.IsLetter(r) && !unicode.IsDigit(r) && r != '\''
	}), " ")
}

func (c *Call) path(rest string) string { return "/_sandbox/calls/" + c.SID + rest }

func (c *Call) get(query string, out any) {
	c.t.Helper()
	c.decode(http.MethodGet, c.path(query), nil, http.StatusOK, out)
}

func (c *Call) post(path string, in any, status int, out any) {
	c.t.Helper()
	body, err := json.Marshal(in)
	if err != nil {
		c.t.Fatal(err)
	}
	c.decode(http.MethodPost, path, body, status, out)
}

func (c *Call) decode(method, path string, body []byte, want int, out any) {
	c.t.Helper()
	status, answer, err := c.ask(method, path, body)
	if err != nil || status != want {
		c.t.Fatalf("%s %s: %d %v %s", method, path, status, err, answer)
	}
	if out != nil {
		if err := json.Unmarshal(answer, out); err != nil {
			c.t.Fatal(err)
		}
	}
}

func (c *Call) ask(method, path string, body []byte) (int, []byte, error) {
	req, err := http.NewRequestWithContext(context.Background(), method, c.url+path, bytes.NewReader(body))
	if err != nil {
		return 0, nil, err
	}
	if method == http.MethodPost {
		req.Header.Set("Content-Type", "application/json")
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return 0, nil, err
	}
	defer resp.Body.Close()
	answer, err := io.ReadAll(resp.Body)
	return resp.StatusCode, answer, err
}
