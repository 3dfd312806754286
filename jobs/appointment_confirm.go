package jobs

import (
	"context"
	"errors"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/riverqueue/river"

	"kestrel.ai/supabase/db"
)

// AppointmentConfirm tells a customer by text what became of their appointment: once per change, and at once. Where no
// text can be sent, the owner is asked by e-mail to call.
type AppointmentConfirm struct{ Args }

// Kind implements river.JobArgs.
func (AppointmentConfirm) Kind() string { return "appointment_confirm" }

type appointmentConfirmWorker struct {
	river.WorkerDefaults[AppointmentConfirm]
	Deps
}

func (w *appointmentConfirmWorker) Work(ctx context.Context, job *river.Job[AppointmentConfirm]) error {
	n, err := w.queries(job.Kind).NoticeToGive(ctx, job.Args.SubjectID)
	if errors.Is(err, pgx.ErrNoRows) || err == nil && n.State != "open" {
		return finish(ctx, &w.Deps, job, nil)
	}
	if err != nil {
		return err
	}
	return finish(ctx, &w.Deps, job, func(q *db.Queries) error {
		if n.IsStale || n.CustomerPhone == nil || n.DeletedAt != nil {
			return q.EndNotice(ctx, db.EndNoticeParams{ID: n.ID, State: "skipped", At: w.Now()})
		}
		text, err := q.QueueText(ctx, db.QueueTextParams{TenantID: n.TenantID, ToNumber: *n.CustomerPhone, Body: confirmation(n), ContactID: n.ContactID})
		if err != nil {
			return err
		}
		if text == uuid.Nil {
			why, err := q.TextProblem(ctx, n.TenantID, *n.CustomerPhone)
			if err != nil {
				return err
			}
			return q.TellOwner(ctx, n.ID, textProblem(why))
		}
		return q.EndNotice(ctx, db.EndNoticeParams{ID: n.ID, State: "texted", MessageID: &text, At: w.Now()})
	})
}

// confirmation names date, time and timezone, and how to change it.
func confirmation(n db.NoticeToGiveRow) string {
	zone, err := time.LoadLocation(n.Timezone)
	if err != nil {
		zone = time.UTC
	}
	when := n.StartsAt.In(zone).Format("Monday, January 2, 2006 at 3:04 PM MST")
	service := ""
	if n.Service != "" {
		service = " (" + n.Service + ")"
	}
	end := ""
	if n.OurNumber != "" {
		end = " To change it, call " + n.OurNumber + "."
	}
	switch n.Change {
	case "moved":
		return n.CompanyName + ": your appointment" + service + " is now on " + when + "." + end
	case "cancelled":
		return n.CompanyName + ": your appointment" + service + " on " + when + " is cancelled."
	}
	return n.CompanyName + ": your appointment" + service + " is booked for " + when + "." + end
}

// textProblem says what private.text_problem found, as the end of a sentence to the owner.
func textProblem(found string) string {
	switch found {
	case "opted_out":
		return "they have asked for no more texts."
	case "unregistered":
		return "your number is not registered for texts with the carriers yet."
	}
	return "no number of yours can send texts."
}
