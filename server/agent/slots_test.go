package agent_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"kestrel.ai/server/agent"
	"kestrel.ai/supabase"
	"kestrel.ai/supabase/db"
)

// zones have clocks that change by an hour, by half of one, at midnight, on odd dates, never, and skipped a day.
var zones = []string{"America/New_York", "America/Los_Angeles", "Europe/London", "Australia/Lord_Howe", "America/Havana", "Africa/Cairo", "Asia/Kathmandu", "Pacific/Apia", "UTC"}

// TestSlotsFollowTheClock holds the diary's SQL against a plain model in Go: every free slot, and none but those.
func TestSlotsFollowTheClock(t *testing.T) {
	t.Parallel()
	s := newShop(t)
	q := db.New(s.db.As(supabase.AsService("test").At(s.id)))
	ctx := context.Background()
	rapid.Check(t, func(t *rapid.T) {
		zone := rapid.SampledFrom(zones).Draw(t, "zone")
		location, err := time.LoadLocation(zone)
		if err != nil {
			t.Fatal(err)
		}
		opens := rapid.IntRange(0, 20).Draw(t, "opens")
		closes := rapid.IntRange(opens+1, 24).Draw(t, "closes")
		settings := agent.Defaults("generic", "A")
		settings.Hours.Weekly = nil
		for _, day := range agent.Weekdays {
			if rapid.Bool().Draw(t, day) {
				settings.Hours.Weekly = append(settings.Hours.Weekly, agent.Opening{Day: day, Opens: fmt.Sprintf("%02d:00", opens), Closes: fmt.Sprintf("%02d:00", closes)})
			}
		}
		b := &settings.Booking
		b.SlotMinutes = rapid.SampledFrom([]int{15, 30, 45, 60, 90}).Draw(t, "slot")
		b.BufferMinutes = rapid.SampledFrom([]int{0, 15, 30}).Draw(t, "buffer")
		b.LeadMinutes = rapid.SampledFrom([]int{0, 60, 1440}).Draw(t, "lead")
		b.Capacity = rapid.IntRange(1, 2).Draw(t, "capacity")
		minutes := rapid.SampledFrom([]int{0, 30, 120}).Draw(t, "minutes")
		// Around the days on which clocks change somewhere.
		now := rapid.SampledFrom([]time.Time{
			time.Date(2026, 3, 7, 17, 0, 0, 0, time.UTC), time.Date(2026, 3, 28, 9, 0, 0, 0, time.UTC), time.Date(2026, 10, 31, 12, 0, 0, 0, time.UTC),
			time.Date(2026, 4, 4, 5, 0, 0, 0, time.UTC), time.Date(2026, 10, 3, 5, 0, 0, 0, time.UTC), time.Date(2026, 4, 23, 20, 0, 0, 0, time.UTC),
		}).Draw(t, "now")
		if _, err := s.on.Admin.Exec(ctx, `delete from appointments`); err != nil {
			t.Fatal(err)
		}
		if _, err := s.on.Admin.Exec(ctx, `update tenants set timezone = $1`, zone); err != nil {
			t.Fatal(err)
		}
		type booked struct {
			from, to time.Time
			lane     int
		}
		var taken []booked
		for i := range rapid.IntRange(0, 4).Draw(t, "appointments") {
			from := now.Add(time.Duration(rapid.IntRange(0, 70*4).Draw(t, "at")) * 15 * time.Minute)
			a := booked{from, from.Add(time.Hour), i % 2}
			if _, err := s.on.Admin.Exec(ctx, `insert into appointments (tenant_id, starts_at, ends_at, lane) values ($1, $2, $3, $4) on conflict do nothing`, s.id, a.from, a.to, a.lane); err != nil {
				t.Fatal(err)
			}
			if !slices.ContainsFunc(taken, func(o booked) bool { return o.lane == a.lane && o.from.Before(a.to) && a.from.Before(o.to) }) {
				taken = append(taken, a)
			}
		}
		to := now.Add(72 * time.Hour)
		rows, err := q.FreeSlots(ctx, db.FreeSlotsParams{TenantID: s.id, Rules: agent.Rules(settings), FromAt: now, ToAt: to, Minutes: int32(minutes), NowAt: now, MaxRows: 10000})
		if err != nil {
			t.Fatal(err)
		}
		var got, want []string
		for _, r := range rows {
			got = append(got, r.StartsAt.UTC().Format(time.RFC3339))
		}
		length := time.Duration(minutes) * time.Minute
		if minutes == 0 {
			length = time.Duration(b.SlotMinutes) * time.Minute
		}
		buffer := time.Duration(b.BufferMinutes) * time.Minute
		for day := range 5 {
			local := now.In(location)
			date := time.Date(local.Year(), local.Month(), local.Day()+day, 12, 0, 0, 0, location)
			if !slices.ContainsFunc(settings.Hours.Weekly, func(o agent.Opening) bool { return o.Day == strings.ToLower(date.Weekday().String()) }) {
				continue
			}
			begin := wall(date, opens)
			end := wall(date, closes)
			for at := begin; !at.Add(length).After(end); at = at.Add(time.Duration(b.SlotMinutes) * time.Minute) {
				lanes := 0
				for lane := range b.Capacity {
					if !slices.ContainsFunc(taken, func(o booked) bool {
						return o.lane == lane && o.from.Before(at.Add(length+buffer)) && at.Add(-buffer).Before(o.to)
					}) {
						lanes++
					}
				}
				if !at.Before(now.Add(time.Duration(b.LeadMinutes)*time.Minute)) && at.Before(to) && lanes > 0 {
					want = append(want, at.UTC().Format(time.RFC3339))
				}
			}
		}
		if !slices.Equal(got, want) {
			t.Fatalf("%s:\n got %v\nwant %v", zone, got, want)
		}
	})
}

// wall is an hour of a date on the wall's clock. One that the clocks skip is the instant at which they do; of one that
// comes twice it is the second.
func wall(date time.Time, hour int) time.Time {
	zone, shown := date.Location(), time.Date(date.Year(), date.Month(), date.Day(), hour, 0, 0, 0, time.UTC)
	_, before := shown.Add(-24 * time.Hour).In(zone).Zone()
	_, after := shown.Add(24 * time.Hour).In(zone).Zone()
	if at := shown.Add(-time.Duration(after) * time.Second).In(zone); at.Format(time.DateTime) == shown.Format(time.DateTime) {
		return at
	}
	return shown.Add(-time.Duration(before) * time.Second).In(zone)
}
