package agent_test

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"kestrel.ai/server/agent"
)

// TestFifteen08BookedOnceAfterABargeIn: the caller talks over the agent, and the model asks again for what it has asked
// for: the same tool call, another one for the same slot, and both at once. It stays one booking.
func TestFifteen08BookedOnceAfterABargeIn(t *testing.T) {
	t.Parallel()
	s := newShop(t)
	c := newCall(caller)
	args := booking("2026-11-27T15:00", "Ann")
	first := use(t, s.Desk, s.Profile, c, "call_1", "book_appointment", args)
	if first.Status != "booked" {
		t.Fatalf("%+v", first)
	}
	for _, id := range []string{"call_1", "call_2", "call_1", "call_3"} {
		if again := use(t, s.Desk, s.Profile, c, id, "book_appointment", args); again.Status != "booked" || again.AppointmentID != first.AppointmentID {
			t.Errorf("%s: %+v", id, again)
		}
	}
	// The first try was cut off by its time-out: what it did, or did not, the second finds.
	cut, cancel := context.WithCancel(context.Background())
	cancel()
	if r := s.Desk.Use(cut, s.Profile, c, "call_4", "book_appointment", json.RawMessage(booking("2026-11-30T10:00", "Ann"))); !strings.Contains(r.Output, `"error"`) {
		t.Error(r.Output)
	}
	var wg sync.WaitGroup
	ids := make([]string, 20)
	for i := range ids {
		wg.Go(func() {
			ids[i] = use(t, s.Desk, s.Profile, c, fmt.Sprint("call_", 4+i%3), "book_appointment", booking("2026-11-30T10:00", "Ann")).AppointmentID
		})
	}
	wg.Wait()
	for _, id := range ids {
		if id == "" || id != ids[0] {
			t.Errorf("%v", ids)
			break
		}
	}
	if n := s.count(`appointments`); n != 2 {
		t.Errorf("%d appointments, want 2", n)
	}
	if n := s.count(`appointment_notices`); n != 2 {
		t.Errorf("%d texts, want 2", n)
	}
	// Another caller, who calls at the same moment and is given the same tool call id, has a booking of their own.
	if other := use(t, s.Desk, s.Profile, newCall("+16175550124"), "call_1", "book_appointment", args); other.AppointmentID == first.AppointmentID || other.Status != "booked" {
		t.Errorf("%+v", other)
	}
}

// TestFifteen13TimesAreReadBack: date, weekday, time and timezone go back to the caller as they are in the diary, around
// every change of the clocks, and a text confirms them at once.
func TestFifteen13TimesAreReadBack(t *testing.T) {
	t.Parallel()
	s := newShop(t)
	s.Settings.Hours.Weekly = nil
	for _, day := range agent.Weekdays {
		s.Settings.Hours.Weekly = append(s.Settings.Hours.Weekly, agent.Opening{Day: day, Opens: "00:00", Closes: "24:00"})
	}
	s.Settings.Booking.SlotMinutes, s.Settings.Booking.BufferMinutes, s.Settings.Booking.HorizonDays = 30, 0, 365
	for _, c := range []struct{ zone, at, say, stored string }{
		{"America/New_York", "2027-03-13T15:00", "Saturday, March 13, 2027 at 3:00 PM Eastern Standard Time", "2027-03-13T20:00:00Z"},
		{"America/New_York", "2027-03-14T15:00", "Sunday, March 14, 2027 at 3:00 PM Eastern Daylight Time", "2027-03-14T19:00:00Z"},
		{"America/Los_Angeles", "2027-11-07T15:00", "Sunday, November 7, 2027 at 3:00 PM Pacific Standard Time", "2027-11-07T23:00:00Z"},
		{"Pacific/Honolulu", "2027-07-05T09:00", "Monday, July 5, 2027 at 9:00 AM Hawaii Standard Time", "2027-07-05T19:00:00Z"},
		{"Europe/Berlin", "2027-03-28T15:00", "Sunday, March 28, 2027 at 3:00 PM Europe/Berlin time (UTC+02:00)", "2027-03-28T13:00:00Z"},
		{"Asia/Kolkata", "2027-01-05T12:00", "Tuesday, January 5, 2027 at 12:00 PM Asia/Kolkata time (UTC+05:30)", "2027-01-05T06:30:00Z"},
		// The model may say it with the offset that it was given.
		{"America/New_York", "2027-11-07T01:30:00-04:00", "Sunday, November 7, 2027 at 1:30 AM Eastern Daylight Time", "2027-11-07T05:30:00Z"},
		{"America/New_York", "2027-11-07T01:30:00-05:00", "Sunday, November 7, 2027 at 1:30 AM Eastern Standard Time", "2027-11-07T06:30:00Z"},
	} {
		s.exec(`update tenants set timezone = $1`, c.zone)
		s.Timezone, s.now = c.zone, time.Date(2026, 12, 1, 12, 0, 0, 0, time.UTC)
		if strings.HasPrefix(c.at, "2027-1") || strings.HasPrefix(c.at, "2027-07") {
			s.now = time.Date(2027, 6, 1, 12, 0, 0, 0, time.UTC)
		}
		b := s.use(newCall(caller), "book_appointment", booking(c.at, "Ann"))
		if b.Say != c.say || b.Timezone != c.zone {
			t.Errorf("%s %s: %+v", c.zone, c.at, b)
			continue
		}
		var stored time.Time
		s.scan(&stored, `select starts_at from appointments where id = $1`, b.AppointmentID)
		if got := stored.UTC().Format(time.RFC3339); got != c.stored {
			t.Errorf("%s %s: stored %s", c.zone, c.at, got)
		}
		if n := s.count(`jobs j join appointment_notices n on n.id = j.subject_id where n.appointment_id = $1 and j.kind = 'appointment_confirm'`, b.AppointmentID); n != 1 {
			t.Errorf("%s: %d texts", c.at, n)
		}
	}
	// A time that comes twice is asked back; one that does not come at all is refused with others.
	s.exec(`update tenants set timezone = 'America/New_York'`)
	s.Timezone = "America/New_York"
	if r := s.use(newCall(caller), "book_appointment", booking("2027-11-07T01:30", "Ann")); len(r.Which) != 2 || r.Which[0].StartsAt != "2027-11-07T01:30:00-04:00" || r.Which[1].StartsAt != "2027-11-07T01:30:00-05:00" {
		t.Errorf("%+v", r)
	}
	s.now = time.Date(2026, 12, 1, 12, 0, 0, 0, time.UTC)
	if r := s.use(newCall(caller), "book_appointment", booking("2027-03-14T02:30", "Ann")); !strings.Contains(r.Error, "does not exist") || len(r.NextFree) == 0 {
		t.Errorf("%+v", r)
	}
	// What is read back is in the instructions too, not left to the model's taste.
	if !strings.Contains(s.Instructions(newCall(caller), s.now), "read back what it answers: weekday, date, time and timezone") {
		t.Error("nobody tells the model to read back")
	}
}
