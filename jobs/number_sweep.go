package jobs

import (
	"context"
	"errors"
	"time"

	"github.com/riverqueue/river"

	"kestrel.ai/jobs/twilio"
	"kestrel.ai/supabase/db"
)

// NumberSweep looks, once an hour and whenever an admin asks, for numbers at Twilio that are paid for and that nobody
// has: bought by hand, or by a purchase that had been given up when Twilio carried it out. It keeps them in
// orphaned_numbers, where admins give them to a tenant or release them. On the way it compares the webhooks of numbers
// that are somebody's, and notes those that differ, and those that are not there any more. It changes nothing at Twilio: what was changed there by hand, or is
// shared with another deployment, is a person's to decide.
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
	listed := []string{} // nil would be null
	err := w.Twilio.List(ctx, func(page []twilio.OwnedNumber) error {
		seen := db.StoreOrphansParams{At: at, Since: since}
		for _, n := range page {
			seen.Sids, seen.PhoneNumbers = append(seen.Sids, n.SID), append(seen.PhoneNumbers, n.PhoneNumber)
			seen.FriendlyNames, seen.AccountSids = append(seen.FriendlyNames, n.FriendlyName), append(seen.AccountSids, n.AccountSID)
			seen.Costs = append(seen.Costs, int32(w.Twilio.MonthlyCents(n.PhoneNumber)))
		}
		listed = append(listed, seen.Sids...)
		found, err := q.StoreOrphans(ctx, seen)
		for _, n := range found {
			if n.IsNew {
				w.Log.Warn("Twilio has a number that no tenant has: give it to one, or release it", "phone_number", n.PhoneNumber, "name", n.FriendlyName, "sid", n.Sid)
			}
		}
		if err != nil {
			return err
		}
		return w.compare(ctx, q, page, at)
	})
	if errors.Is(err, twilio.ErrNotConfigured) {
		return nil
	}
	if err != nil {
		return err
	}
	if _, err := q.DropOrphans(ctx, at); err != nil {
		return err
	}
	return w.vanished(ctx, q, listed, since)
}

const goneReason = "Our Twilio account no longer has this number. Check in the Twilio console who released it, and buy another one."

// vanished notes the tenants' numbers that Twilio did not list, and does not know when asked for each. If it lists none
// of all, the account is another one: that is a mistake of ours, and no tenant's.
func (w *numberSweepWorker) vanished(ctx context.Context, q *db.Queries, listed []string, since time.Time) error {
	rows, err := q.NumbersUnlisted(ctx, listed, since)
	if err != nil {
		return err
	}
	if len(rows) > 1 && !rows[0].OthersListed {
		w.Log.Error("Twilio lists none of the tenants' numbers: is TWILIO_ACCOUNT_SID the right account?", "numbers", len(rows))
		return nil
	}
	for _, n := range rows {
		switch _, err := w.Twilio.Fetch(ctx, n.Sid); {
		case err == nil:
		case !errors.Is(err, twilio.ErrNotFound):
			return err
		default:
			w.Log.Warn("a tenant's number is gone from Twilio", "phone_number", n.PhoneNumber, "tenant_id", n.TenantID)
			reason := goneReason
			if err := q.RecordNotOwned(ctx, &reason, n.ID); err != nil {
				return err
			}
		}
	}
	return nil
}

// compare notes which of the numbers have other webhooks than they should.
func (w *numberSweepWorker) compare(ctx context.Context, q *db.Queries, page []twilio.OwnedNumber, at time.Time) error {
	owned, sids := map[string]twilio.OwnedNumber{}, make([]string, 0, len(page))
	for _, n := range page {
		owned[n.SID], sids = n, append(sids, n.SID)
	}
	rows, err := q.NumbersToCompare(ctx, sids, at)
	if err != nil {
		return err
	}
	seen := db.RecordWebhooksSeenParams{At: at}
	for _, r := range rows {
		have := owned[r.Sid].Webhooks
		seen.Ids, seen.Slugs = append(seen.Ids, r.ID), append(seen.Slugs, r.Slug)
		seen.Webhooks, seen.Drifted = append(seen.Webhooks, string(webhooksJSON(have))), append(seen.Drifted, have != w.webhooks(r.TenantID, r.Slug))
	}
	changed, err := q.RecordWebhooksSeen(ctx, seen)
	for _, n := range changed {
		if n.IsNew {
			w.Log.Warn("a number's webhooks at Twilio are not those that Kestrel set: repair them from the tenant's page", "phone_number", n.PhoneNumber, "slug", n.Slug)
		}
	}
	return err
}
