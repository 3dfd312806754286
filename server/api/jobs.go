package api

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"kestrel.ai/server/edge"
	"kestrel.ai/supabase/db"
)

var errNoJob = edge.NewProblem(http.StatusNotFound, "job_not_found", "There is no such job.")

// Job is a piece of background work.
type Job struct {
	ID         uuid.UUID  `json:"id" format:"uuid"`
	TenantID   *uuid.UUID `json:"tenant_id" nullable:"true"`
	Kind       string     `json:"kind" example:"number_purchase"`
	SubjectID  *uuid.UUID `json:"subject_id" nullable:"true" doc:"The row it is about"`
	State      string     `json:"state" enum:"queued,running,done,failed"`
	Step       string     `json:"step" example:"buying" doc:"Of a purchase: queued, searching, buying, configuring, done, failed"`
	Reason     *string    `json:"reason" doc:"Why it failed or waits, and what to do"`
	Attempt    int32      `json:"attempt" example:"1"`
	CreatedAt  time.Time  `json:"created_at"`
	UpdatedAt  time.Time  `json:"updated_at"`
	FinishedAt *time.Time `json:"finished_at"`
}

func (j Job) ended() bool { return j.State == "done" || j.State == "failed" }

// JobOrdered is the answer to what a job will do.
type JobOrdered struct {
	Job Job `json:"job"`
}

type jobOrderedOutput struct {
	Location string `header:"Location" example:"/api/jobs/019d2f4e-6c1a-7c3e-9b0a-2f6d1c4e8a51"`
	Body     JobOrdered
}

// ordered runs what makes a job, and shows the job.
func (a *API) ordered(ctx context.Context, order func(*db.Queries) (uuid.UUID, error)) (*jobOrderedOutput, error) {
	out := &jobOrderedOutput{}
	err := a.DB.Tx(ctx, edge.FromContext(ctx).SQL(), func(tx pgx.Tx) error {
		made, err := order(db.New(tx))
		if err != nil {
			return err
		}
		r, err := db.New(tx).FindJob(ctx, made)
		out.Location, out.Body.Job = "/api/jobs/"+made.String(), Job(r)
		return err
	})
	return out, err
}

type jobInput struct {
	ID id `path:"id" doc:"The job's id"`
}

type jobOutput struct{ Body Job }

const getJobDoc doc = `Get a job
Platform admins see any; a tenant's people and keys see their own.`

func (a *API) getJob(ctx context.Context, in *jobInput) (*jobOutput, error) {
	r, err := a.query(ctx).FindJob(ctx, in.ID.UUID)
	if errors.Is(err, pgx.ErrNoRows) {
		err = errNoJob
	}
	return &jobOutput{Body: Job(r)}, err
}

// AdminJob is a job as platform admins see it: whom it is for, and where to look further.
type AdminJob struct {
	Job
	TenantSlug  *string `json:"tenant_slug" example:"haiec" doc:"null for the platform's own"`
	CompanyName *string `json:"company_name" example:"HAIEC"`
	Subject     string  `json:"subject" example:"+18573825169" doc:"What it is about: a phone number, or an e-mail's template and receiver; empty where that has no name"`
	RiverURL    *string `json:"river_url" example:"https://admin.kestrel.ai/jobs/jobs/42" doc:"The job in River UI, which forgets those that failed after seven days; this record stays"`
}

func (a *API) adminJob(r db.ListJobsRow) AdminJob {
	j := AdminJob{TenantSlug: r.TenantSlug, CompanyName: r.CompanyName, Subject: r.Subject, Job: Job{ID: r.ID, TenantID: r.TenantID, Kind: r.Kind,
		SubjectID: r.SubjectID, State: r.State, Step: r.Step, Reason: r.Reason, Attempt: r.Attempt, CreatedAt: r.CreatedAt, UpdatedAt: r.UpdatedAt, FinishedAt: r.FinishedAt}}
	if r.RiverJobID != nil {
		url := fmt.Sprintf("%s/jobs/jobs/%d", a.Config.Origin("admin"), *r.RiverJobID)
		j.RiverURL = &url
	}
	return j
}

type listJobsInput struct {
	PageInput
	State    string `query:"state" enum:"queued,running,done,failed"`
	Kind     string `query:"kind" maxLength:"60" example:"number_purchase"`
	TenantID id     `query:"tenant_id"`
}

const listJobsDoc doc = `List jobs
Newest first, each with its tenant and what it is about. With state=failed these are the dead letters: kept, with their
reason, until they are retried or their tenant is purged.`

func (a *API) listJobs(ctx context.Context, in *listJobsInput) (*listOutput[AdminJob], error) {
	c, err := in.after(newest())
	if err != nil {
		return nil, err
	}
	rows, err := a.query(ctx).ListJobs(ctx, db.ListJobsParams{Before: c.ID, TenantID: in.TenantID.optional(), State: in.State, Kind: in.Kind, MaxRows: in.rows()})
	return paged(in.PageInput, rows, a.adminJob, func(r db.ListJobsRow) cursor { return cursor{ID: r.ID} }), err
}

const retryJobDoc doc = `Retry a failed job
Under the same id, from where it was. One that has not failed is refused (409 job_not_failed).`

func (a *API) retryJob(ctx context.Context, in *jobInput) (*jobOrderedOutput, error) {
	return a.ordered(ctx, func(q *db.Queries) (uuid.UUID, error) { return in.ID.UUID, q.RetryJob(ctx, in.ID.UUID) })
}
