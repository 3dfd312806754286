package jobs

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/riverqueue/river"

	"kestrel.ai/jobs/twilio"
	"kestrel.ai/supabase/db"
)

// NumberPurchase buys the one number of a number_purchases row, exactly once.
type NumberPurchase struct{ Args }

// Kind implements river.JobArgs.
func (NumberPurchase) Kind() string { return "number_purchase" }

// numberPurchaseWorker. What makes it exactly once:
//
//   - The number is on the committed row before Twilio is asked for it, and Twilio sells a number once.
//   - The row's id is in the number's name at Twilio: a number that bears it was bought for this row, whatever was
//     lost since. So we look before every purchase and after every one that was not plainly refused.
//   - One worker at a time: the job's lease. If even that fails (a network split), the two lines above still hold.
//   - While a purchase of unknown outcome may still take effect (Tuning.Settle), the row neither turns to another
//     number nor fails.
type numberPurchaseWorker struct {
	river.WorkerDefaults[NumberPurchase]
	Deps
}

// maxRefusals bounds the numbers tried in one run.
const maxRefusals = 8

func (w *numberPurchaseWorker) Work(ctx context.Context, job *river.Job[NumberPurchase]) error {
	q := w.queries(job.Kind)
	for range maxRefusals {
		p, err := q.FindPurchase(ctx, job.Args.SubjectID)
		switch {
		case errors.Is(err, pgx.ErrNoRows):
			return permanently("The purchase is gone: its tenant was purged.")
		case err != nil:
			return err
		case p.State == "done":
			return finish(ctx, &w.Deps, job, nil)
		case p.State == "failed":
			return permanently("%s", text(p.Reason))
		}
		if p.PhoneNumber == nil {
			if err := w.choose(ctx, job, p); err != nil {
				return err
			}
			continue
		}
		n, err := w.obtain(ctx, job, p)
		if errors.Is(err, errRefused) {
			if err := q.RefuseNumber(ctx, p.ID, p.PhoneNumber); err != nil {
				return err
			}
			continue
		}
		if err != nil {
			return err
		}
		return w.attach(ctx, job, p, n)
	}
	return &Failure{Reason: "Twilio refused several numbers in a row that its search had offered; Kestrel tries others by itself."}
}

var errRefused = errors.New("this number cannot be had; choose another")

var errClosed = permanently("The tenant was cancelled or deleted before the number was bought. Nothing was bought.")

// choose commits the number to buy to the row.
func (w *numberPurchaseWorker) choose(ctx context.Context, job *river.Job[NumberPurchase], p db.FindPurchaseRow) error {
	if p.Closed {
		return errClosed
	}
	if err := step(ctx, &w.Deps, job, "searching"); err != nil {
		return err
	}
	code := text(p.AreaCode)
	offers, err := w.Twilio.Search(ctx, twilio.SearchQuery{AreaCode: code, TollFree: twilio.TollFree("+1" + code), Limit: 50})
	if err != nil {
		return err
	}
	var candidates []string
	for _, o := range offers {
		if !o.AddressRequired && !slices.Contains(p.Refused, o.PhoneNumber) {
			candidates = append(candidates, o.PhoneNumber)
		}
	}
	q := w.queries(job.Kind)
	taken, err := q.TakenNumbers(ctx, candidates, p.ID)
	if err != nil {
		return err
	}
	for _, number := range candidates {
		if slices.Contains(taken, number) {
			continue
		}
		_, err := q.ChooseNumber(ctx, &number, p.ID)
		var pg *pgconn.PgError
		if errors.As(err, &pg) && pg.Code == "23505" {
			continue // another purchase was quicker
		}
		return err
	}
	return permanently("Twilio has no more numbers for sale in area code %s that can be bought without a registered address. Choose another area code.", code)
}

// obtain returns the number as Twilio has it, bought now or earlier for this row.
func (w *numberPurchaseWorker) obtain(ctx context.Context, job *river.Job[NumberPurchase], p db.FindPurchaseRow) (twilio.OwnedNumber, error) {
	if err := step(ctx, &w.Deps, job, "buying"); err != nil {
		return twilio.OwnedNumber{}, err
	}
	number := *p.PhoneNumber
	n, ours, err := w.look(ctx, p)
	if err != nil || ours {
		return n, err
	}
	if p.Closed {
		if err := w.settled(p); err != nil {
			return n, err
		}
		return n, errClosed
	}
	name := p.CompanyName
	if text(p.FriendlyName) != "" {
		name = *p.FriendlyName
	}
	q := w.queries(job.Kind)
	now := w.Now()
	if err := q.SetPurchaseAttempt(ctx, &now, p.ID); err != nil {
		return n, err
	}
	n, err = w.Twilio.Buy(ctx, twilio.BuyParams{
		PhoneNumber: number, FriendlyName: twilio.FriendlyName(name, p.ID.String()), Webhooks: w.webhooks(p.TenantID, p.Slug),
	})
	if err == nil {
		return n, nil
	}
	failed := err
	if errors.Is(failed, twilio.ErrOutcomeUnknown) || errors.Is(failed, twilio.ErrNumberTaken) {
		// It may be ours: by this request, or by one of an earlier run that was on its way.
		if n, ours, err = w.look(ctx, p); err == nil && ours {
			return n, nil
		}
		if err != nil && !errors.Is(err, errRefused) {
			return n, err // until we have looked, nobody knows
		}
	}
	if errors.Is(failed, twilio.ErrOutcomeUnknown) {
		return n, failed
	}
	// This request had no effect. An earlier one, if any, may still have.
	if err := q.SetPurchaseAttempt(ctx, p.AttemptedAt, p.ID); err != nil {
		return n, err
	}
	if f := judge(failed); f.Permanent {
		if err := w.settled(p); err != nil {
			return n, err
		}
		if p.AreaCode != nil && (errors.Is(failed, twilio.ErrNumberTaken) || errors.Is(failed, twilio.ErrAddressRequired)) {
			return n, errRefused
		}
	}
	return n, failed
}

// look asks Twilio who has the number: ours when it was bought for this row. One that the account has otherwise is
// refused, or ends a purchase of just this number.
func (w *numberPurchaseWorker) look(ctx context.Context, p db.FindPurchaseRow) (n twilio.OwnedNumber, ours bool, err error) {
	n, owned, err := w.Twilio.FindByNumber(ctx, *p.PhoneNumber)
	if err != nil || !owned {
		return n, false, err
	}
	if n.BoughtFor(p.ID.String()) {
		return n, true, nil
	}
	if p.AreaCode != nil {
		return n, false, errRefused
	}
	return n, false, permanently("%s is in the Twilio account already, but was not bought by this purchase. To use it, set it as the tenant's number instead of buying it.", *p.PhoneNumber)
}

// settled fails while an earlier purchase of this number may still take effect at Twilio.
func (w *numberPurchaseWorker) settled(p db.FindPurchaseRow) error {
	if p.AttemptedAt == nil {
		return nil
	}
	if left := w.Config.Tuning.Settle - w.Now().Sub(*p.AttemptedAt); left > 0 {
		return &Failure{Reason: "Twilio has not confirmed an earlier request for this number; Kestrel looks again before going on.", After: min(left, time.Minute)}
	}
	return nil
}

// attach configures the number and records everything at once. A closed tenant gets what was bought for it, too.
func (w *numberPurchaseWorker) attach(ctx context.Context, job *river.Job[NumberPurchase], p db.FindPurchaseRow, n twilio.OwnedNumber) error {
	if err := step(ctx, &w.Deps, job, "configuring"); err != nil {
		return err
	}
	n, err := w.configure(ctx, n, w.webhooks(p.TenantID, p.Slug))
	if err != nil {
		return err
	}
	return finish(ctx, &w.Deps, job, func(q *db.Queries) error {
		slug, err := q.LockTenantSlug(ctx, p.TenantID)
		if err != nil {
			return err
		}
		if slug != p.Slug {
			return &Failure{Reason: "The tenant's subdomain changed meanwhile; the webhooks are set again."}
		}
		if err := q.KeepClosed(ctx, p.ID); err != nil {
			return err
		}
		_, err = q.RecordPurchase(ctx, db.RecordPurchaseParams{
			ID: p.ID, Sid: n.SID, AccountSid: n.AccountSID, FriendlyName: n.FriendlyName,
			Webhooks: webhooksJSON(n.Webhooks), Capabilities: capabilitiesJSON(n.Capabilities),
		})
		var pg *pgconn.PgError
		if errors.As(err, &pg) && pg.ConstraintName == "number_taken" {
			return permanently("The number %s was bought, but another tenant was given it meanwhile and keeps it. Buy another one for this tenant.", n.PhoneNumber)
		}
		if err != nil {
			return err
		}
		return q.EnqueueJob(ctx, FallbackPublish{}.Kind(), p.TenantID, p.TenantID)
	})
}
