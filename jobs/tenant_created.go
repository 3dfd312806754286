package jobs

import (
	"context"
	"errors"

	"github.com/jackc/pgx/v5"
	"github.com/riverqueue/river"

	"kestrel.ai/jobs/emails"
	"kestrel.ai/supabase/db"
)

// TenantCreated follows every new tenant, whoever made it: the admins are told, the owner gets a login and a welcome.
type TenantCreated struct{ Args }

// Kind implements river.JobArgs.
func (TenantCreated) Kind() string { return "tenant_created" }

type tenantCreatedWorker struct {
	river.WorkerDefaults[TenantCreated]
	Deps
}

func (w *tenantCreatedWorker) Work(ctx context.Context, job *river.Job[TenantCreated]) error {
	q := w.queries(job.Kind)
	t, err := q.FindNewTenant(ctx, job.Args.SubjectID)
	if errors.Is(err, pgx.ErrNoRows) || (err == nil && t.DeletedAt != nil) {
		return finish(ctx, &w.Deps, job, nil)
	}
	if err != nil {
		return err
	}
	// First and by itself: the admins are told even when Auth is down.
	if w.Config.AdminEmail != "" {
		err := q.QueueEmail(ctx, db.QueueEmailParams{
			Template: emails.TemplateAdminNewTenant, TenantID: t.ID, ToEmail: w.Config.AdminEmail, DedupeKey: "admin_new_tenant:" + t.ID.String(),
			Params: encode(map[string]string{"status": t.SubscriptionStatus}),
		})
		if err != nil {
			return err
		}
	} else {
		w.Log.Warn("jobs: ADMIN_EMAIL is not set; nobody is told of a new tenant", "tenant_id", t.ID)
	}
	user, unused, err := w.Auth.EnsureUser(ctx, t.OwnerEmail)
	if err != nil {
		return err
	}
	return finish(ctx, &w.Deps, job, func(q *db.Queries) error {
		if err := q.LinkPerson(ctx, user); err != nil {
			return err
		}
		if unused {
			return q.InviteOwner(ctx, t.ID) // its first e-mail is the welcome
		}
		return q.QueueEmail(ctx, db.QueueEmailParams{
			Template: emails.TemplateWelcome, TenantID: t.ID, ToEmail: t.OwnerEmail, DedupeKey: "welcome:" + t.ID.String(), Params: encode(map[string]string{"status": t.SubscriptionStatus}),
		})
	})
}
