package jobs

import (
	"context"
	"errors"

	"github.com/jackc/pgx/v5"
	"github.com/riverqueue/river"

	"kestrel.ai/jobs/emails"
	"kestrel.ai/supabase/db"
)

// MessageNotify tells the owner of one message at once: an emergency, while the caller may still be on the line, or what was
// left by text.
type MessageNotify struct{ Args }

// Kind implements river.JobArgs.
func (MessageNotify) Kind() string { return "message_notify" }

type messageNotifyWorker struct {
	river.WorkerDefaults[MessageNotify]
	Deps
}

func (w *messageNotifyWorker) Work(ctx context.Context, job *river.Job[MessageNotify]) error {
	m, err := w.queries(job.Kind).MessageToTell(ctx, job.Args.SubjectID)
	if errors.Is(err, pgx.ErrNoRows) || err == nil && (m.IsTest || m.DeletedAt != nil) {
		return finish(ctx, &w.Deps, job, nil)
	}
	if err != nil {
		return err
	}
	policy, err := w.Reception.Policy(ctx, m.TenantID)
	if err != nil {
		return err
	}
	reason, page := whenMessage, "/messages"
	if m.IsUrgent {
		reason = whenEmergency
	}
	if m.InCall {
		page = "/calls/" + m.ConversationID.String()
	}
	if !policy.wants(reason) {
		return finishSaying(ctx, &w.Deps, job, "Nothing that the owner wants to be told of.", nil)
	}
	p := emails.CallSummary{
		Reason: reason, CallerName: m.CallerName, CallerPhone: m.CallerPhone, At: m.CreatedAt, Messages: []string{m.Body}, CallURL: w.Config.Origin(m.Slug) + page,
	}
	return finish(ctx, &w.Deps, job, func(q *db.Queries) error {
		return tell(ctx, q, policy, notice{db.NotifyOwnerParams{TenantID: m.TenantID, DedupeKey: "message:" + m.ID.String()}, m.OwnerEmail, m.Body, p})
	})
}
