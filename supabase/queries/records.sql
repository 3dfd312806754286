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
select id, tenant_id, kind, subject_id, state, step, reason, attempt, created_at, updated_at, finished_at
from jobs
where id < @before and (sqlc.narg('tenant_id')::uuid is null or tenant_id = sqlc.narg('tenant_id'))
  and (@state::text = '' or state = @state) and (@kind::text = '' or kind = @kind)
order by id desc limit @max_rows;

-- name: RetryJob :exec
select private.retry_job(@id);

-- name: ListEvents :many
select id, type, data, created_at from events where subject_id = @subject_id and id > @after order by id limit 200;
