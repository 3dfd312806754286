-- What was sent (e-mails) and what is being done (jobs, events). Newest first; each page starts below an id.

-- name: ListEmails :many
select id, tenant_id, template, to_email, subject, status, error, attempts, sent_at, created_at
from email_log
where id < @before and (sqlc.narg('tenant_id')::uuid is null or tenant_id = sqlc.narg('tenant_id'))
  and (@status::text = '' or status = @status) and (@template::text = '' or template = @template)
order by id desc limit @max_rows;

-- name: FindEmail :one
select id, tenant_id, template, to_email, subject, status, error, attempts, sent_at, created_at, html, text, provider_id
from email_log where id = @id;

-- name: ResendEmail :one
select private.resend_email(@id)::uuid;

-- name: FindJob :one
select id, tenant_id, kind, subject_id, state, step, reason, attempt, created_at, updated_at, finished_at from jobs where id = @id;

-- name: ListJobs :many
-- What a job is about is named from the row itself, as long as that is there.
select j.id, j.tenant_id, j.kind, j.subject_id, j.state, j.step, j.reason, j.attempt, j.created_at, j.updated_at, j.finished_at,
  j.river_job_id, t.slug as tenant_slug, t.company_name, coalesce(n.phone_number, p.phone_number, e.template || ' to ' || e.to_email, '')::text as subject
from jobs j
left join tenants t on t.id = j.tenant_id
left join phone_numbers n on n.id = j.subject_id
left join number_purchases p on p.id = j.subject_id
left join email_log e on e.id = j.subject_id
where j.id < @before and (sqlc.narg('tenant_id')::uuid is null or j.tenant_id = sqlc.narg('tenant_id'))
  and (@state::text = '' or j.state = @state) and (@kind::text = '' or j.kind = @kind)
order by j.id desc limit @max_rows;

-- name: RetryJob :exec
select private.retry_job(@id);

-- name: ListEvents :many
select id, type, data, created_at from events where subject_id = @subject_id and id > @after order by id limit 200;
