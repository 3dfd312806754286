//go:build !production

package main

import (
	"bytes"
	"context"
	"encoding/base64"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/coder/websocket"
	"github.com/coder/websocket/wsjson"

	"kestrel.ai/server/sandbox"
	telephone "kestrel.ai/server/sandbox/caller"
	"kestrel.ai/server/sandbox/speech"
)

type listed[T any] struct {
	Items []T `json:"items"`
}

type callSeen struct {
	ID           string
	FromNumber   string `json:"from_number"`
	CallSID      string `json:"call_sid"`
	Status       string
	Outcome      string
	Summary      string
	CallerName   string `json:"caller_name"`
	AgentSeconds int    `json:"agent_seconds"`
	Counted      bool
	HasRecording bool `json:"has_recording"`
	Turns        []struct{ Speaker, Text string }
}

type appointmentSeen struct {
	StartsAt      time.Time `json:"starts_at"`
	CustomerName  string    `json:"customer_name"`
	CustomerPhone string    `json:"customer_phone"`
	CallID        string    `json:"call_id"`
	Status        string
}

// TestVoiceJob rings HAIEC on the built binary, books, hangs up, and looks for all that must come of it.
func TestVoiceJob(t *testing.T) {
	t.Parallel()
	d := startDev(t, dataFolder(t))
	owner := d.as("haiec.localhost", devOwner, devOwnerPassword)
	name := strings.ToUpper(string(rune('a'+rand.IntN(26)))) + fmt.Sprintf("%c%c%c", 'a'+rand.IntN(26), 'a'+rand.IntN(26), 'a'+rand.IntN(26)) + "berg" //nolint:gosec // a name, no secret
	from := fmt.Sprintf("+1617555%04d", 2000+rand.IntN(7000))                                                                                          //nolint:gosec // a number, no secret
	var used struct{ Current struct{ Calls int } }
	d.want(http.StatusOK, owner, http.MethodGet, "/api/tenant/usage", nil, &used)
	before := used.Current.Calls

	d.opensEveryDay(owner)

	call := telephone.Ring(t, d.faces.SandboxURL, briefNumber, from)
	call.Hears("recorded") // consent comes first
	call.Hears("HAIEC")
	call.Says("Book me tomorrow at 3 pm")
	call.Hears("name")
	call.Says("My name is " + name)
	call.Hears("3:00 PM")
	ended := call.HangsUp()
	if ended.Webhook == nil || ended.Webhook.Status != 200 {
		t.Fatalf("%+v", ended.Webhook)
	}

	mine := func() (found callSeen, ok bool) {
		var calls listed[callSeen]
		d.want(http.StatusOK, owner, http.MethodGet, "/api/tenant/calls?number="+from[1:], nil, &calls)
		if len(calls.Items) != 1 {
			return callSeen{}, false
		}
		d.want(http.StatusOK, owner, http.MethodGet, "/api/tenant/calls/"+calls.Items[0].ID, nil, &found)
		return found, found.Status == "completed" && found.HasRecording && found.CallerName != ""
	}
	var seen callSeen
	d.eventually("the call, its recording and its analysis", func() bool {
		time.Sleep(200 * time.Millisecond) // two requests each: the limit is a person's
		var ok bool
		seen, ok = mine()
		return ok
	})
	if seen.CallSID != call.SID || seen.Outcome != "booked" || !strings.Contains(seen.CallerName, name) || !strings.Contains(seen.Summary, name) || seen.AgentSeconds < 1 || !seen.Counted {
		t.Errorf("%+v", seen)
	}
	transcript := ""
	for _, turn := range seen.Turns {
		transcript += turn.Speaker + ": " + turn.Text + "\n"
	}
	for _, want := range []string{"caller: Book me tomorrow at 3 pm", "caller: My name is " + name, "at 3:00"} {
		if !strings.Contains(transcript, want) {
			t.Errorf("the transcript lacks %q:\n%s", want, transcript)
		}
	}
	d.want(http.StatusOK, owner, http.MethodGet, "/api/tenant/usage", nil, &used)
	if used.Current.Calls != before+1 {
		t.Errorf("counted %d, then %d", before, used.Current.Calls)
	}

	var appointments listed[appointmentSeen]
	d.want(http.StatusOK, owner, http.MethodGet, "/api/tenant/appointments", nil, &appointments)
	booked := 0
	for _, a := range appointments.Items {
		if strings.Contains(a.CustomerName, name) {
			booked++
			zone, err := time.LoadLocation("America/New_York")
			if err != nil {
				t.Fatal(err)
			}
			local := a.StartsAt.In(zone)
			if local.Hour() != 15 || local.Minute() != 0 || local.Format(time.DateOnly) != time.Now().In(zone).AddDate(0, 0, 1).Format(time.DateOnly) || a.CallID != seen.ID || a.CustomerPhone != from {
				t.Errorf("%+v", a)
			}
		}
	}
	if booked != 1 {
		t.Errorf("%d appointments of %s: %+v", booked, name, appointments.Items)
	}

	resp, err := owner.get("/api/tenant/calls/" + seen.ID + "/recording")
	if err != nil {
		t.Fatal(err)
	}
	file, err := io.ReadAll(resp.Body)
	_ = resp.Body.Close()
	if err != nil || resp.StatusCode != 200 || len(file) < 8000 || string(file[:4]) != "RIFF" {
		t.Errorf("recording: %d, %d bytes, %v", resp.StatusCode, len(file), err)
	}

	d.eventually("the confirmation by text", func() bool {
		var texts []sandbox.Message
		d.sandbox("/_sandbox/messages", &texts)
		n := 0
		for _, m := range texts {
			if m.To == from && m.From == briefNumber && strings.Contains(m.Body, "3:00 PM") {
				n++
			}
		}
		return n == 1
	})

	// Nothing of it is anybody else's.
	admin := d.as("admin.localhost", devAdmin, devAdminPassword)
	var tenants listed[tenantRow]
	d.want(http.StatusOK, admin, http.MethodGet, "/api/admin/tenants?limit=200", nil, &tenants)
	if len(tenants.Items) < 2 {
		t.Fatalf("%d tenants", len(tenants.Items))
	}
	for _, other := range tenants.Items {
		var calls listed[callSeen]
		d.want(http.StatusOK, admin, http.MethodGet, "/api/admin/tenants/"+other.ID+"/calls?number="+from[1:], nil, &calls)
		if (other.Slug == "haiec") != (len(calls.Items) == 1) {
			t.Errorf("%s has %d such calls", other.Slug, len(calls.Items))
		}
	}
}

// get reads with the credential and leaves the answer's body to be read.
func (c caller) get(path string) (*http.Response, error) {
	req, err := http.NewRequestWithContext(context.Background(), http.MethodGet, "http://"+c.addr+path, nil)
	if err != nil {
		return nil, err
	}
	req.Host = c.host
	req.Header.Set("Authorization", "Bearer "+c.token)
	return http.DefaultClient.Do(req)
}

// opensEveryDay publishes an agent that gives appointments on any day, records, and lets its owner listen in.
func (d *devProcess) opensEveryDay(owner caller) {
	d.t.Helper()
	weekly := []map[string]string{}
	for _, day := range []string{"monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday"} {
		weekly = append(weekly, map[string]string{"day": day, "opens": "08:00", "closes": "18:00"})
	}
	d.want(http.StatusOK, owner, http.MethodPatch, "/api/tenant/agent/draft", map[string]any{
		"hours": map[string]any{"weekly": weekly, "holidays": []string{}}, "listen_in": true,
		"recording": map[string]any{"enabled": true, "consent_text": "This call is recorded.", "keep_days": 30, "delete_at_twilio": true},
	}, nil)
	d.want(http.StatusOK, owner, http.MethodPost, "/api/tenant/agent/publish", map[string]any{}, nil)
}

// socket opens a websocket of the caller's host, with a ticket.
func (d *devProcess) socket(c caller, path string) *websocket.Conn {
	d.t.Helper()
	var minted struct{ Ticket string }
	d.want(http.StatusCreated, c, http.MethodPost, "/api/tickets", map[string]string{"path": path}, &minted)
	conn, _, err := websocket.Dial(d.t.Context(), "ws://"+d.addr+path+"?ticket="+minted.Ticket, &websocket.DialOptions{Host: c.host})
	if err != nil {
		d.t.Fatal(err)
	}
	conn.SetReadLimit(1 << 20)
	d.t.Cleanup(func() { _ = conn.CloseNow() })
	return conn
}

// TestTalkToAgent speaks with HAIEC's agent from a browser's microphone, while the owner listens in.
func TestTalkToAgent(t *testing.T) {
	t.Parallel()
	d := startDev(t, dataFolder(t))
	owner := d.as("haiec.localhost", devOwner, devOwnerPassword)
	d.opensEveryDay(owner)
	talk := d.socket(owner, "/api/tenant/agent/talk")
	ctx, cancel := context.WithTimeout(t.Context(), 40*time.Second)
	defer cancel()

	var first struct {
		Event  string
		CallID string `json:"call_id"`
	}
	if err := wsjson.Read(ctx, talk, &first); err != nil || first.Event != "call" {
		t.Fatalf("%+v %v", first, err)
	}
	var said bytes.Buffer // what the microphone still has to say
	var mu sync.Mutex
	speak := func(text string) {
		mu.Lock()
		defer mu.Unlock()
		said.Write(speech.Encode(text, 150*time.Millisecond))
	}
	go func() {
		start := map[string]any{"event": "start", "sequenceNumber": "1", "streamSid": "MZbrowser", "start": map[string]any{"streamSid": "MZbrowser", "accountSid": "browser", "callSid": "browser", "tracks": []string{"inbound"},
			"customParameters": map[string]string{}, "mediaFormat": map[string]any{"encoding": "audio/x-mulaw", "sampleRate": 8000, "channels": 1}}}
		if wsjson.Write(ctx, talk, start) != nil {
			return
		}
		tick := time.NewTicker(20 * time.Millisecond)
		defer tick.Stop()
		for n := 1; ; n++ {
			select {
			case <-ctx.Done():
				return
			case <-tick.C:
			}
			frame := bytes.Repeat([]byte{0xFF}, 160)
			mu.Lock()
			_, _ = said.Read(frame)
			mu.Unlock()
			media := map[string]any{"event": "media", "sequenceNumber": strconv.Itoa(n + 1), "streamSid": "MZbrowser", "media": map[string]string{
				"track": "inbound", "chunk": strconv.Itoa(n), "timestamp": strconv.Itoa(20 * n), "payload": base64.StdEncoding.EncodeToString(frame)}}
			if wsjson.Write(ctx, talk, media) != nil {
				return
			}
		}
	}()
	// hears reads what the agent says, answering marks as a player does, until it has said all the words.
	var decoder speech.Decoder
	heard := ""
	hears := func(want string) {
		t.Helper()
		for !strings.Contains(heard, want) {
			var m struct {
				Event string
				Media struct{ Payload string }
				Mark  struct{ Name string }
			}
			if err := wsjson.Read(ctx, talk, &m); err != nil {
				t.Fatalf("before %q: %v; heard: %s", want, err, heard)
			}
			switch m.Event {
			case "media":
				raw, err := base64.StdEncoding.DecodeString(m.Media.Payload)
				if err != nil {
					t.Fatal(err)
				}
				heard += strings.Join(append(decoder.Write(raw), ""), " ")
			case "mark":
				if err := wsjson.Write(ctx, talk, map[string]any{"event": "mark", "streamSid": "MZbrowser", "mark": m.Mark}); err != nil {
					t.Fatal(err)
				}
			}
		}
		heard = ""
	}
	hears("HAIEC")
	ear := d.socket(owner, "/api/tenant/calls/"+first.CallID+"/listen")
	listened := make(chan string, 1)
	go func() {
		var ears speech.Decoder
		words := ""
		for !strings.Contains(words, "hours") {
			var m struct{ Speaker, Audio string }
			if wsjson.Read(ctx, ear, &m) != nil {
				break
			}
			if raw, err := base64.StdEncoding.DecodeString(m.Audio); err == nil && m.Speaker == "agent" {
				words += strings.Join(append(ears.Write(raw), ""), " ")
			}
		}
		listened <- words
	}()
	speak("When are you open?")
	hears("hours")
	if words := <-listened; !strings.Contains(words, "hours") {
		t.Errorf("the owner heard %q", words)
	}
	// What is done for the caller holds for the conversation, and then has never been.
	speak("Book me tomorrow at 3 pm")
	hears("name")
	speak("My name is Testerman")
	hears("3:00 PM")
	if err := talk.Close(websocket.StatusNormalClosure, ""); err != nil {
		t.Logf("closing: %v", err)
	}
	var seen struct {
		IsTest  bool `json:"is_test"`
		Counted bool
		Status  string
		Turns   []struct{ Speaker, Text string }
	}
	d.eventually("the test call's end", func() bool {
		time.Sleep(200 * time.Millisecond)
		d.want(http.StatusOK, owner, http.MethodGet, "/api/tenant/calls/"+first.CallID, nil, &seen)
		return seen.Status == "completed"
	})
	if !seen.IsTest || seen.Counted || len(seen.Turns) < 6 {
		t.Errorf("%+v", seen)
	}
	var appointments listed[appointmentSeen]
	d.want(http.StatusOK, owner, http.MethodGet, "/api/tenant/appointments", nil, &appointments)
	for _, a := range appointments.Items {
		if strings.Contains(a.CustomerName, "Testerman") {
			t.Errorf("a test call booked %+v", a)
		}
	}
	var activity listed[struct{ Action string }]
	d.want(http.StatusOK, owner, http.MethodGet, "/api/tenant/activity?action=call.listened", nil, &activity)
	if len(activity.Items) != 1 {
		t.Errorf("listening in was written down %d times", len(activity.Items))
	}
}
