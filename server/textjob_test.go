//go:build !production

package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"kestrel.ai/server/sandbox"
)

type messageSeen struct {
	ID         string
	Direction  string
	FromNumber string `json:"from_number"`
	ToNumber   string `json:"to_number"`
	Body       string
	Status     string
	Error      string
	SentBy     string `json:"sent_by"`
	ReplyTo    string `json:"reply_to"`
}

// tell posts to the sandbox's control API.
func (d *devProcess) tell(path string, body any) {
	d.t.Helper()
	raw, err := json.Marshal(body)
	if err != nil {
		d.t.Fatal(err)
	}
	req, err := http.NewRequestWithContext(context.Background(), http.MethodPost, d.faces.SandboxURL+path, bytes.NewReader(raw))
	if err != nil {
		d.t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/json")
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		d.t.Fatal(err)
	}
	_ = resp.Body.Close()
	if resp.StatusCode > 299 {
		d.t.Fatalf("%s: %d", path, resp.StatusCode)
	}
}

// texted lists what a customer's phone got from HAIEC's number, newest first.
func (d *devProcess) texted(to string) []sandbox.Message {
	d.t.Helper()
	var all []sandbox.Message
	d.sandbox("/_sandbox/messages", &all)
	return slices.DeleteFunc(all, func(m sandbox.Message) bool { return m.To != to || m.From != briefNumber })
}

// TestTextJob texts HAIEC on the built binary, books, stops, starts again, and texts a number that is not registered.
func TestTextJob(t *testing.T) {
	t.Parallel()
	d := startDev(t, dataFolder(t))
	owner := d.as("haiec.localhost", devOwner, devOwnerPassword)
	d.opensEveryDay(owner)
	d.want(http.StatusOK, owner, http.MethodPatch, "/api/tenant/agent/draft", map[string]any{"sms": map[string]any{"answer": true, "forward_to_owner": true}}, nil)
	d.want(http.StatusOK, owner, http.MethodPost, "/api/tenant/agent/publish", map[string]any{}, nil)
	name := fmt.Sprintf("Ann %c%c%cdottir", 'A'+rand.IntN(26), 'a'+rand.IntN(26), 'a'+rand.IntN(26)) //nolint:gosec // a name, no secret
	from := fmt.Sprintf("+1617555%04d", 2000+rand.IntN(3000))                                        //nolint:gosec // a number, no secret
	says := func(from, body string) {
		t.Helper()
		d.tell("/_sandbox/messages", map[string]string{"to": briefNumber, "from": from, "body": body})
	}
	patiently := func(what string, ok func() bool) { // each asks the API: its limit is a person's
		t.Helper()
		d.eventually(what, func() bool { time.Sleep(200 * time.Millisecond); return ok() })
	}
	day := time.Now().Add(48 * time.Hour).Weekday().String()

	says(from, "Please book me for "+day+" at 10 am. My name is "+name)
	var appointments listed[appointmentSeen]
	patiently("the booking", func() bool {
		d.want(http.StatusOK, owner, http.MethodGet, "/api/tenant/appointments", nil, &appointments)
		return slices.ContainsFunc(appointments.Items, func(a appointmentSeen) bool { return a.CustomerName == name && a.CustomerPhone == from })
	})
	d.eventually("the answer and the confirmation", func() bool { return len(d.texted(from)) == 2 })
	d.eventually("the owner's copy", func() bool {
		return slices.ContainsFunc(d.emails("Text from "), func(m sentEmail) bool {
			return slices.Contains(m.To, devOwner) && strings.Contains(m.Text, "book me for")
		})
	})
	var thread listed[messageSeen]
	read := func() []messageSeen {
		d.want(http.StatusOK, owner, http.MethodGet, "/api/tenant/messages?number="+from[1:], nil, &thread)
		return thread.Items
	}
	patiently("all to be delivered", func() bool {
		return len(read()) == 3 && !slices.ContainsFunc(thread.Items, func(m messageSeen) bool { return m.Direction == "outbound" && m.Status != "delivered" })
	})
	asked := thread.Items[slices.IndexFunc(thread.Items, func(m messageSeen) bool { return m.Direction == "inbound" })]
	if n := slices.IndexFunc(thread.Items, func(m messageSeen) bool { return m.SentBy == "agent" && m.ReplyTo == asked.ID }); n < 0 {
		t.Errorf("%+v", thread.Items)
	}

	says(from, "Stop")
	says(from, "Are you open tomorrow?")
	patiently("what was said to be kept", func() bool { return len(read()) == 5 })
	const confirm = "Please confirm an appointment"
	d.want(http.StatusCreated, owner, http.MethodPost, "/api/tenant/appointments", map[string]any{
		"starts_at": time.Now().Add(200 * time.Hour).Truncate(time.Hour), "customer_name": name, "customer_phone": from, "force": true}, nil)
	d.eventually("the owner to be asked to confirm by telephone", func() bool { return len(d.emails(confirm)) == 1 })
	var said messageSeen
	d.want(http.StatusConflict, owner, http.MethodPost, "/api/tenant/messages", map[string]string{"to": from, "body": "Are you there?"}, &said)
	if got := d.texted(from); len(got) != 3 || !strings.Contains(got[0].Body, "unsubscribed") { // Twilio's own answer to Stop
		t.Errorf("after Stop: %+v", got)
	}

	says(from, "Start")
	says(from, "Are you open tomorrow?")
	d.eventually("an answer again", func() bool {
		got := d.texted(from)
		return len(got) == 5 && strings.Contains(strings.ToLower(got[0].Body), "hours")
	})

	// The carriers turn out not to know the number.
	d.tell("/_sandbox/numbers/"+briefNumber, map[string]string{"a2p": "unregistered"})
	const other = "+16175556001"
	says(other, "Are you open tomorrow?")
	var numbers listed[struct {
		A2pStatus string `json:"a2p_status"`
	}]
	patiently("the number to be known as unregistered", func() bool {
		d.want(http.StatusOK, owner, http.MethodGet, "/api/tenant/numbers", nil, &numbers)
		return len(numbers.Items) == 1 && numbers.Items[0].A2pStatus == "unregistered"
	})
	d.want(http.StatusOK, owner, http.MethodGet, "/api/tenant/messages?number="+other[1:], nil, &thread)
	if n := slices.IndexFunc(thread.Items, func(m messageSeen) bool {
		return m.Direction == "outbound" && m.Status == "undelivered" && strings.Contains(m.Error, "30034")
	}); n < 0 {
		t.Errorf("%+v", thread.Items)
	}
	d.want(http.StatusCreated, owner, http.MethodPost, "/api/tenant/appointments", map[string]any{
		"starts_at": time.Now().Add(220 * time.Hour).Truncate(time.Hour), "customer_name": "Bob", "customer_phone": other, "force": true}, nil)
	d.eventually("the owner to be asked to confirm that one too", func() bool { return len(d.emails(confirm)) == 2 })
	if got := d.texted(other); len(got) != 1 {
		t.Errorf("after 30034: %+v", got)
	}

	// Nothing of it is anybody else's.
	conn, err := pgx.Connect(t.Context(), d.faces.DatabaseURL)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close(context.Background()) }()
	var whose []string
	if err := conn.QueryRow(t.Context(), `select array_agg(distinct t.slug) from tenants t join (
		select tenant_id from messages where $1 in (from_number, to_number) union all select tenant_id from contacts where phone_number = $1
		union all select tenant_id from appointments where customer_phone = $1 union all select tenant_id from events where data::text like '%' || $1 || '%') x on x.tenant_id = t.id`, from).Scan(&whose); err != nil || !slices.Equal(whose, []string{"haiec"}) {
		t.Errorf("%v %v", whose, err)
	}
}
