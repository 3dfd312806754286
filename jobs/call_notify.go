package jobs

import (
	"context"
	"encoding/json"
	"errors"
	"reflect"
	"slices"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/riverqueue/river"

	"kestrel.ai/jobs/emails"
	"kestrel.ai/supabase/db"
)

// CallNotify tells the owner of a call that is over, as the receptionist's settings want it: once, and with its analysis
// where that comes in time.
type CallNotify struct{ Args }

// Kind implements river.JobArgs.
func (CallNotify) Kind() string { return "call_notify" }

type callNotifyWorker struct {
	river.WorkerDefaults[CallNotify]
	Deps
}

func (w *callNotifyWorker) Work(ctx context.Context, job *river.Job[CallNotify]) error {
	q := w.queries(job.Kind)
	c, err := q.CallToTell(ctx, job.Args.SubjectID)
	if errors.Is(err, pgx.ErrNoRows) || err == nil && (c.NotifiedAt != nil || c.IsTest || c.IsBlocked || c.DeletedAt != nil) {
		return finish(ctx, &w.Deps, job, nil)
	}
	if err != nil {
		return err
	}
	if c.ClosedAt != nil && (c.Settling && w.Now().Sub(*c.ClosedAt) < w.Config.Tuning.AnalysisDue || (c.Missed || c.Forwarding) && w.Now().Sub(*c.ClosedAt) < w.Config.Tuning.VoicemailIn) {
		return river.JobSnooze(min(3*time.Second, w.Config.Tuning.AnalysisDue/10))
	}
	policy, err := w.Reception.Policy(ctx, c.TenantID)
	if err != nil {
		return err
	}
	left, err := q.CallMessages(ctx, c.TenantID, c.ID)
	if err != nil {
		return err
	}
	// What is left after this has been told is told by itself, and a caller who was erased is not named: nothing may come in
	// between.
	allTold := func(q *db.Queries) error {
		if err := q.HoldTenant(ctx, c.TenantID); err != nil {
			return err
		}
		now, err := q.CallToTell(ctx, c.ID)
		if err != nil {
			return err
		}
		leftNow, err := q.CallMessages(ctx, c.TenantID, c.ID)
		if err == nil && !(reflect.DeepEqual(now, c) && reflect.DeepEqual(leftNow, left)) {
			err = river.JobSnooze(0)
		}
		return err
	}
	reason := w.reason(policy, c, left)
	if reason == "" {
		return finishSaying(ctx, &w.Deps, job, "Nothing that the owner wants to be told of.", allTold)
	}
	bookings, err := q.CallBookings(ctx, c.TenantID, c.ID)
	if err != nil {
		return err
	}
	p := emails.CallSummary{
		Reason: reason, CallerName: c.CallerName, CallerPhone: c.CallerPhone, CallerAddress: c.CallerAddress, At: c.StartedAt, Seconds: int(c.DurationSeconds),
		Summary: c.Summary, FollowUp: c.FollowUp, CallURL: w.Config.Origin(c.Slug) + "/calls/" + c.ID.String(),
	}
	for _, m := range left {
		p.Messages = append(p.Messages, m.Body)
	}
	short := ""
	for _, b := range bookings {
		p.Bookings = append(p.Bookings, emails.Booking{At: b.StartsAt, Service: b.Service})
		short = local(b.StartsAt, c.Timezone)
		if b.Service != "" {
			short += ", " + b.Service
		}
	}
	if short == "" {
		short = c.Summary
	}
	if short == "" && len(left) > 0 {
		short = left[0].Body
	}
	return finish(ctx, &w.Deps, job, func(q *db.Queries) error {
		if err := allTold(q); err != nil {
			return err
		}
		if n, err := q.CallTold(ctx, w.Now(), c.ID); err != nil || n == 0 {
			return err
		}
		return tell(ctx, q, policy, notice{db.NotifyOwnerParams{TenantID: c.TenantID, DedupeKey: "call:" + c.ID.String()}, c.OwnerEmail, short, p})
	})
}

// reason is what to tell the owner of the call; empty for nothing. An emergency has been told while it was reported.
func (w *callNotifyWorker) reason(p Policy, c db.CallToTellRow, left []db.CallMessagesRow) string {
	reasons := []string{}
	switch c.Outcome {
	case whenBooked, whenRescheduled, whenCancelled:
		reasons = append(reasons, c.Outcome)
	}
	if c.VoicemailSid != nil || slices.ContainsFunc(left, func(m db.CallMessagesRow) bool { return !m.IsUrgent }) {
		reasons = append(reasons, whenMessage)
	}
	if c.Missed {
		reasons = append(reasons, whenMissed)
	}
	if c.AnsweredAt != nil {
		reasons = append(reasons, whenEveryCall)
	}
	for _, r := range reasons {
		if p.wants(r) {
			return r
		}
	}
	return ""
}

// notice is something to tell the owner.
type notice struct {
	db.NotifyOwnerParams
	ownerEmail string
	short      string // what a text says of it
	mail       emails.CallSummary
}

// tell puts the e-mail, and the text where the owner wants texts, in the outbox.
func tell(ctx context.Context, q *db.Queries, p Policy, n notice) error {
	raw, err := json.Marshal(n.mail)
	if err != nil {
		return err
	}
	who := n.mail.CallerName
	switch {
	case who == "" && n.mail.CallerPhone == "":
		who = "unknown caller"
	case who == "":
		who = n.mail.CallerPhone
	case n.mail.CallerPhone != "":
		who += " (" + n.mail.CallerPhone + ")"
	}
	n.Params, n.Email, n.Phone = raw, p.email(n.ownerEmail), p.NotifySMS
	n.Body = strings.TrimSuffix(clip(emails.CallReason(n.mail.Reason)+": "+who+". "+n.short, 280), " ") + " " + n.mail.CallURL
	return q.NotifyOwner(ctx, n.NotifyOwnerParams)
}
