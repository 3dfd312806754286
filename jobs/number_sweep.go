package jobs

import (
	"context"
	"errors"
	"strings"

	"github.com/riverqueue/river"

	"kestrel.ai/jobs/twilio"
	"kestrel.ai/supabase/db"
)

// NumberSweep looks, once an hour and whenever an admin asks, for numbers at Twilio that are paid for and that nobody
// has: bought by hand, or by a purchase that had been given up when Twilio carried it out. It keeps them in
// orphaned_numbers, where admins give them to a tenant or release them, and changes nothing at Twilio.
type NumberSweep struct{}

// Kind implements river.JobArgs.
func (NumberSweep) Kind() string { return "number_sweep" }

type numberSweepWorker struct {
	river.WorkerDefaults[NumberSweep]
	Deps
}

func (w *numberSweepWorker) Work(ctx context.Context, job *river.Job[NumberSweep]) error {
	q, at := w.queries(job.Kind), w.Now()
	// What was released while Twilio listed is no orphan; the database's clock may differ from this one's.
	since := at.Add(-lostAfter)
	err := w.Twilio.List(ctx, func(page []twilio.OwnedNumber) error {
		seen := db.StoreOrphansParams{At: at, Since: since}
		for _, n := range page {
			seen.Sids, seen.PhoneNumbers = append(seen.Sids, n.SID), append(seen.PhoneNumbers, n.PhoneNumber)
			seen.FriendlyNames, seen.AccountSids = append(seen.FriendlyNames, n.FriendlyName), append(seen.AccountSids, n.AccountSID)
			seen.Costs = append(seen.Costs, listPrice(n.PhoneNumber))
		}
		found, err := q.StoreOrphans(ctx, seen)
		for _, n := range found {
			if n.IsNew {
				w.Log.Warn("Twilio has a number that no tenant has: give it to one, or release it", "phone_number", n.PhoneNumber, "name", n.FriendlyName, "sid", n.Sid)
			}
		}
		return err
	})
	if errors.Is(err, twilio.ErrNotConfigured) {
		return nil
	}
	if err != nil {
		return err
	}
	_, err = q.DropOrphans(ctx, at)
	return err
}

// listPrice is a number's monthly price in US cents, 0 where it is not known: https://www.twilio.com/en-us/voice/pricing/us.
func listPrice(number string) int32 {
	switch {
	case isTollFree(number):
		return 215
	case strings.HasPrefix(number, "+1"):
		return 115
	}
	return 0
}
