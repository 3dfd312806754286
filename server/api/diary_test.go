package api_test

import (
	"fmt"
	"strings"
	"testing"

	"kestrel.ai/server/api"
	"kestrel.ai/server/api/apitest"
)

func appointed(t *testing.T, c apitest.Caller, body string) string {
	t.Helper()
	a := c.Do("POST", "/api/tenant/appointments", body)
	if a.Status != 201 {
		t.Fatalf("%d %s", a.Status, a.Body)
	}
	return "/api/tenant/appointments/" + apitest.JSON[api.Appointment](t, a).ID.String()
}

// TestAppointmentsMoveAndEnd: nobody is in two places at once, and what is cancelled gives its time back.
func TestAppointmentsMoveAndEnd(t *testing.T) {
	t.Parallel()
	w := apitest.New(t)
	c, other := w.Company("haiec", "+18573825169"), w.Company("other", "+18573825170")
	const body = `{"starts_at":"2040-03-01T%s:00:00Z","minutes":60,"customer_name":"Pat","force":true}`
	first, second := appointed(t, c.Member, fmt.Sprintf(body, "15")), appointed(t, c.WriteKey, fmt.Sprintf(body, "17"))
	appointed(t, other.Member, fmt.Sprintf(body, "15"))
	const to15 = `{"starts_at":"2040-03-01T15:30:00Z","force":true}`
	run(t, []step{
		{c.Member, "POST", "/api/tenant/appointments", fmt.Sprintf(body, "15"), 409, "slot_taken"},
		{c.Member, "PATCH", second, to15, 409, "slot_taken"},
		{c.Viewer, "GET", second, nil, 200, `"starts_at":"2040-03-01T17:00:00Z"`},
		{c.Viewer, "PATCH", second, to15, 403, "forbidden"},
		{c.ReadKey, "POST", first + "/cancel", nil, 403, "insufficient_scope"},
		{other.Member, "POST", first + "/cancel", nil, 404, "appointment_not_found"},
		{c.Member, "POST", first + "/cancel", nil, 200, `"status":"cancelled"`},
		{c.Member, "POST", first + "/cancel", nil, 200, `"status":"cancelled"`},
		{c.Member, "PATCH", first, to15, 409, "appointment_closed"},
		{c.Member, "PATCH", second, to15, 200, `"starts_at":"2040-03-01T15:30:00Z"`},
	})
}

// TestCalendarLinksText reads RFC 5545 as a calendar program does: CR LF, folded at 75 octets, escaped, times in UTC.
func TestCalendarLinksText(t *testing.T) {
	t.Parallel()
	w := apitest.New(t)
	c, other := w.Company("haiec", "+18573825169"), w.Company("other", "+18573825170")
	long := strings.Repeat("Größe 12 ½ ", 12)
	repair := appointed(t, c.Member, fmt.Sprintf(`{"starts_at":"2040-03-01T10:00:00-05:00","minutes":90,"service":"Repair; gas, A\\B","customer_name":"Zoë","address":%q,"notes":"Rings twice.\nBEGIN:VEVENT","force":true}`, strings.TrimSpace(long)))
	dropped := appointed(t, c.Member, `{"starts_at":"2040-07-01T10:00:00-04:00","minutes":30,"customer_name":"Dropped","force":true}`)
	appointed(t, other.Member, `{"starts_at":"2040-03-01T10:00:00-05:00","customer_name":"Stranger","force":true}`)
	c.Member.Do("POST", dropped+"/cancel", nil)
	link := apitest.JSON[api.NewCalendarFeed](t, c.Member.Do("POST", "/api/tenant/calendar-feeds", `{"name":"Phone"}`))
	_, path, _ := strings.Cut(link.URL, "kestrel.ai")
	phone := w.Anonymous("haiec.kestrel.ai")
	got := phone.Do("GET", path, nil)
	if got.Status != 200 || got.Header.Get("Content-Type") != "text/calendar; charset=utf-8" || !strings.HasSuffix(got.Body, "\r\n") {
		t.Fatalf("%d %v %q", got.Status, got.Header, got.Body)
	}
	for line := range strings.SplitSeq(strings.TrimSuffix(got.Body, "\r\n"), "\r\n") {
		if len(line) > 75 || strings.ContainsAny(line, "\r\n") || strings.ToValidUTF8(line, "") != line {
			t.Errorf("%d octets: %q", len(line), line)
		}
	}
	lines := strings.Split(strings.ReplaceAll(got.Body, "\r\n ", ""), "\r\n")
	has := func(want ...string) {
		t.Helper()
		at := 0
		for _, line := range lines {
			if at < len(want) && line == want[at] {
				at++
			}
		}
		if at < len(want) {
			t.Errorf("no %q, in this order, in\n%s", want[at], strings.Join(lines, "\n"))
		}
	}
	has("BEGIN:VCALENDAR", "VERSION:2.0", "BEGIN:VEVENT", "DTSTART:20400301T150000Z", "DTEND:20400301T163000Z", "STATUS:CONFIRMED", `SUMMARY:Repair\; gas\, A\\B – Zoë`,
		"LOCATION:"+strings.TrimSpace(long), `DESCRIPTION:Rings twice.\nBEGIN:VEVENT`, "END:VEVENT", "END:VCALENDAR")
	has("BEGIN:VEVENT", "DTSTART:20400701T140000Z", "DTEND:20400701T143000Z", "STATUS:CANCELLED", "SUMMARY:Dropped", "END:VEVENT")
	if n := strings.Count("\r\n"+got.Body, "\r\nBEGIN:VEVENT\r\n"); n != 2 || strings.Contains(got.Body, "Stranger") {
		t.Errorf("%d events in\n%s", n, got.Body)
	}

	tag := got.Header.Get("ETag")
	if again := phone.With("If-None-Match", `"other", W/`+tag).Do("GET", path, nil); tag == "" || again.Status != 304 || again.Body != "" || again.Header.Get("ETag") != tag {
		t.Errorf("%d %q %v", again.Status, again.Body, again.Header)
	}
	c.Member.Do("PATCH", repair, `{"notes":"Rings once"}`)
	if again := phone.With("If-None-Match", tag).Do("GET", path, nil); again.Status != 200 || again.Header.Get("ETag") == tag {
		t.Errorf("%d %v", again.Status, again.Header)
	}
	run(t, []step{
		{w.Anonymous("other.kestrel.ai"), "GET", path, nil, 404, "calendar_feed_not_found"},
		{c.Member, "DELETE", "/api/tenant/calendar-feeds/" + link.ID.String(), nil, 204, ""},
		{phone, "GET", path, nil, 404, "calendar_feed_not_found"},
	})
}

// TestCallersMessages: read by all, marked by those who work.
func TestCallersMessages(t *testing.T) {
	t.Parallel()
	w := apitest.New(t)
	c, other := w.Company("haiec", "+18573825169"), w.Company("other", "+18573825170")
	w.Exec(`insert into call_messages (tenant_id, caller_name, body) values ($1, 'Pat', 'Call me back'), ($2, 'Sam', 'Theirs')`, c.ID, other.ID)
	list := apitest.JSON[struct{ Items []api.CallMessage }](t, c.ReadKey.Do("GET", "/api/tenant/call-messages", nil)).Items
	if len(list) != 1 || list[0].Body != "Call me back" || list[0].ReadAt != nil {
		t.Fatalf("%+v", list)
	}
	one, open := "/api/tenant/call-messages/"+list[0].ID.String(), "/api/tenant/call-messages?open=true"
	run(t, []step{
		{c.Viewer, "PATCH", one, `{"done":true}`, 403, "forbidden"},
		{other.Member, "PATCH", one, `{"done":true}`, 404, "call_message_not_found"},
		{c.Viewer, "GET", open, nil, 200, "Call me back"},
		{c.WriteKey, "PATCH", one, `{"done":true}`, 200, `"read_at":"2`},
		{c.Viewer, "GET", open, nil, 200, `"items":[]`},
		{c.Member, "PATCH", one, `{"done":false}`, 200, `"read_at":null`},
	})
}
