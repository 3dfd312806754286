package jobs

import (
	"context"
	"encoding/json"
	"errors"
	"html"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/riverqueue/river"

	"kestrel.ai/jobs/emails"
	"kestrel.ai/jobs/resend"
	"kestrel.ai/supabase/db"
)

// EmailSend sends one row of email_log, once.
type EmailSend struct{ Args }

// Kind implements river.JobArgs.
func (EmailSend) Kind() string { return "email_send" }

type emailSendWorker struct {
	river.WorkerDefaults[EmailSend]
	Deps
}

// resendWindow is how long after the first try the same e-mail may be sent again: Resend forgets its idempotency key
// after 24 hours.
const resendWindow = 20 * time.Hour

// linkInvitation names the secret link that an e-mail may carry in its params as "link". The link is made when the
// e-mail is written, kept in private.email_links until it is sent, and stands in the log as hiddenLink only.
const linkInvitation = "invitation"

const hiddenLink = "/accept-invite/link-left-out"

func (w *emailSendWorker) Work(ctx context.Context, job *river.Job[EmailSend]) error {
	q := w.queries(job.Kind)
	e, err := q.EmailToSend(ctx, job.Args.SubjectID)
	if errors.Is(err, pgx.ErrNoRows) || (err == nil && e.Status != "queued" && e.Status != "sending") {
		return finish(ctx, &w.Deps, job, nil)
	}
	if err != nil {
		return err
	}
	if e.FirstAttemptAt != nil && w.Now().Sub(*e.FirstAttemptAt) > resendWindow {
		return &Failure{Permanent: true, MaybeDone: true,
			Reason: "Resend never confirmed this e-mail, and can no longer be asked. Look there whether it arrived; if not, send it again."}
	}
	if e, err = w.write(ctx, q, e); err != nil {
		return err
	}
	if _, err := q.StartEmail(ctx, w.Now(), e.ID); err != nil {
		return err
	}
	id, err := w.Resend.Send(ctx, envelope(w.Config.Origin(""), e), "kestrel/"+e.ID.String())
	if err != nil {
		f := judge(err)
		// Plainly not sent, and neither was it before: the clock has not started.
		untouched := e.FirstAttemptAt == nil && !f.MaybeDone
		short, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
		defer cancel()
		if noted := q.NoteEmailError(short, db.NoteEmailErrorParams{ID: e.ID, Error: &f.Reason, Untouched: untouched, At: w.Now()}); noted != nil {
			w.Log.Error("jobs: email", "error", noted)
		}
		return err
	}
	return finish(ctx, &w.Deps, job, func(q *db.Queries) error {
		if err := q.RecordSent(ctx, &id, w.Now(), e.ID); err != nil {
			return err
		}
		return q.DropEmailLink(ctx, e.ID)
	})
}

// write renders the e-mail, the first time only: every later try must send the very same.
func (w *emailSendWorker) write(ctx context.Context, q *db.Queries, e db.EmailToSendRow) (db.EmailToSendRow, error) {
	if e.Html != nil {
		return e, nil
	}
	params, err := w.params(ctx, q, e)
	if err != nil {
		return e, err
	}
	if linkOf(e.Params) == linkInvitation && e.Link == nil && e.TenantID != nil {
		if err := w.invite(ctx, q, e); err != nil {
			return e, err
		}
	}
	mail, err := emails.Render(e.Template, params)
	if err != nil {
		return e, err
	}
	if err := q.KeepRendered(ctx, db.KeepRenderedParams{ID: e.ID, Subject: &mail.Subject, Html: &mail.HTML, Text: &mail.Text, At: w.Now()}); err != nil {
		return e, err
	}
	first := e.FirstAttemptAt
	if e, err = q.EmailToSend(ctx, e.ID); err == nil {
		e.FirstAttemptAt = first
	}
	return e, err
}

// envelope puts the secret link, if any, where the log has the hidden one.
func envelope(apex string, e db.EmailToSendRow) resend.Email {
	mail := resend.Email{To: e.ToEmail, Subject: text(e.Subject), HTML: text(e.Html), Text: text(e.Text), Tags: map[string]string{"template": e.Template}}
	if e.Link != nil {
		mail.HTML = strings.ReplaceAll(mail.HTML, apex+hiddenLink, html.EscapeString(*e.Link))
		mail.Text = strings.ReplaceAll(mail.Text, apex+hiddenLink, *e.Link)
	}
	return mail
}

func linkOf(params json.RawMessage) string {
	var p struct {
		Link string `json:"link"`
	}
	_ = json.Unmarshal(params, &p) // params that are no object have no link
	return p.Link
}
