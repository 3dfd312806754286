//go:build !production

package main

import (
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"
)

type rehearsalSeen struct {
	ID         string
	Name       string
	State      string
	Version    int
	Passed     bool
	Failures   []string
	FinishedAt *time.Time `json:"finished_at"`
	Transcript []struct{ Speaker, Text, Tool string }
}

// TestScenarioJob rehearses a draft on the built binary before it is published: API, worker and the model's stand-in.
func TestScenarioJob(t *testing.T) {
	t.Parallel()
	d := startDev(t, dataFolder(t))
	owner := d.as("haiec.localhost", devOwner, devOwnerPassword)
	d.opensEveryDay(owner)
	do := func(status int, method, path string, body, into any) {
		t.Helper()
		d.want(status, owner, method, "/api/tenant/agent"+path, body, into)
	}
	draft := func(status int, change map[string]any) {
		t.Helper()
		do(status, http.MethodPatch, "/draft", change, nil)
	}
	// rehearse runs all scenarios and returns their last results by name, once they are there.
	rehearse := func() map[string]rehearsalSeen {
		t.Helper()
		var before, after listed[rehearsalSeen]
		do(http.StatusOK, http.MethodGet, "/scenarios/runs", nil, &before)
		do(http.StatusAccepted, http.MethodPost, "/scenarios/run", map[string]any{}, nil)
		d.eventually("the rehearsals", func() bool {
			time.Sleep(200 * time.Millisecond)
			after = listed[rehearsalSeen]{}
			do(http.StatusOK, http.MethodGet, "/scenarios/runs", nil, &after)
			return len(after.Items) == len(before.Items)+2 && !slices.ContainsFunc(after.Items, func(r rehearsalSeen) bool { return r.State == "waiting" })
		})
		last := map[string]rehearsalSeen{}
		for _, r := range after.Items[:2] {
			last[r.Name] = r
		}
		return last
	}
	do(http.StatusCreated, http.MethodPost, "/scenarios", map[string]any{"name": "Books", "held_at": "monday 10:00",
		"lines": []string{"Book me tomorrow at 3 pm", "My name is Ann Marlowe"}, "expect": map[string]any{"outcome": "booked", "contains": []string{"3:00 PM"}}}, nil)
	do(http.StatusCreated, http.MethodPost, "/scenarios", map[string]any{"name": "Parking",
		"lines": []string{"Where can I park?"}, "expect": map[string]any{"outcome": "answered", "contains": []string{"behind the house"}}}, nil)

	// The draft does not yet know of the parking, and takes no bookings.
	draft(http.StatusOK, map[string]any{"booking": map[string]any{"enabled": false}, "knowledge": []map[string]string{}})
	for name, got := range rehearse() {
		if got.State != "done" || got.Passed || len(got.Failures) == 0 {
			t.Errorf("%s, before: %+v", name, got)
		}
	}
	draft(http.StatusOK, map[string]any{"booking": map[string]any{"enabled": true}, "knowledge": []map[string]string{{"title": "Parking", "text": "You can park behind the house."}}})
	passed := rehearse()
	for name, got := range passed {
		if got.State != "done" || !got.Passed || len(got.Failures) > 0 || got.FinishedAt == nil {
			t.Errorf("%s, after: %+v", name, got)
		}
	}
	var one rehearsalSeen
	do(http.StatusOK, http.MethodGet, "/scenarios/runs/"+passed["Books"].ID, nil, &one)
	if !slices.ContainsFunc(one.Transcript, func(turn struct{ Speaker, Text, Tool string }) bool {
		return turn.Speaker == "tool" && turn.Tool == "book_appointment"
	}) {
		t.Errorf("%+v", one.Transcript)
	}
	// What was rehearsed has never been.
	var appointments listed[appointmentSeen]
	d.want(http.StatusOK, owner, http.MethodGet, "/api/tenant/appointments?limit=200", nil, &appointments)
	for _, a := range appointments.Items {
		if strings.Contains(a.CustomerName, "Marlowe") {
			t.Errorf("a rehearsal booked %+v", a)
		}
	}

	// A draft that cannot be used is not taken; callers hear what is published, until the draft is.
	draft(http.StatusUnprocessableEntity, map[string]any{"greeting": ""})
	var seen struct {
		Published struct {
			Version  int
			Settings struct{ Knowledge []struct{ Title string } }
		}
	}
	do(http.StatusOK, http.MethodGet, "", nil, &seen)
	knows := func() bool {
		return slices.ContainsFunc(seen.Published.Settings.Knowledge, func(k struct{ Title string }) bool { return k.Title == "Parking" })
	}
	if knows() {
		t.Error("the draft is heard before it is published")
	}
	before := seen.Published.Version
	for range 2 { // the second time there is nothing to publish
		do(http.StatusOK, http.MethodPost, "/publish", map[string]any{}, nil)
		do(http.StatusOK, http.MethodGet, "", nil, &seen)
		if seen.Published.Version != before+1 || !knows() || one.Version != before+1 {
			t.Errorf("%+v after %d; %d was rehearsed", seen, before, one.Version)
		}
	}
}
