package jobs

import (
	"context"
	"errors"

	"github.com/riverqueue/river"

	"kestrel.ai/jobs/twilio"
)

// NumberSweep looks, once an hour, for numbers at Twilio that are paid for and that nobody has: bought by hand, or by
// a purchase that had been given up when Twilio carried it out. It reports them to the log and changes nothing.
type NumberSweep struct{}

// Kind implements river.JobArgs.
func (NumberSweep) Kind() string { return "number_sweep" }

type numberSweepWorker struct {
	river.WorkerDefaults[NumberSweep]
	Deps
}

func (w *numberSweepWorker) Work(ctx context.Context, job *river.Job[NumberSweep]) error {
	q := w.queries(job.Kind)
	err := w.Twilio.List(ctx, func(page []twilio.OwnedNumber) error {
		sids, numbers := make([]string, 0, len(page)), make([]string, 0, len(page))
		named := map[string]twilio.OwnedNumber{}
		for _, n := range page {
			sids, numbers, named[n.SID] = append(sids, n.SID), append(numbers, n.PhoneNumber), n
		}
		unknown, err := q.UnknownNumbers(ctx, sids, numbers)
		for _, sid := range unknown {
			w.Log.Warn("Twilio has a number that no tenant has: give it to one, or release it", "phone_number", named[sid].PhoneNumber, "name", named[sid].FriendlyName, "sid", sid)
		}
		return err
	})
	if errors.Is(err, twilio.ErrNotConfigured) {
		return nil
	}
	return err
}
