-- What the workers read and write, as the service role.

-- name: JobState :one
select state from jobs where id = @id;

-- name: StartJob :exec
-- A purchase keeps the step it had reached.
select private.job_step(j.id, 'running', case when j.kind = 'number_purchase' then j.step else 'running' end, null, @attempt::int) from jobs j where j.id = @id;

-- name: StepJob :exec
select private.job_step(@id::uuid, 'running', @step::text, null, @attempt::int);

-- name: DelayJob :exec
-- One whose end was committed while its worker was being stopped has ended, whatever the worker heard of it.
select private.job_step(j.id, 'queued', j.step, @reason::text, @attempt::int) from jobs j where j.id = @id and j.state <> 'done';

-- name: FinishJob :exec
-- What the worker itself has said at the end stands.
select private.job_step(@id::uuid, 'done', 'done', null, @attempt::int) where exists (select from jobs where jobs.id = @id::uuid and state <> 'done');

-- name: FailJob :exec
select private.fail_job(@id::uuid, @reason::text, @attempt::int, sqlc.narg('unknown')::boolean);

-- name: EnqueueJob :exec
select private.enqueue(@kind::text, @tenant_id::uuid, @subject_id::uuid);

-- name: ReconcileJobs :one
select private.reconcile_jobs(@before::timestamptz)::int;

-- name: DeleteExpiredTickets :execrows
delete from private.tickets where expires_at < @at::timestamptz;

-- name: DeleteOldIdempotencyKeys :execrows
delete from private.idempotency_keys where created_at < @before::timestamptz;

-- name: WaitJob :exec
-- It waits for something else, which is no failure.
select private.job_step(@id::uuid, 'queued', 'waiting', null, @attempt::int);
