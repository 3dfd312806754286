-- Scenarios of the receptionist, and what came of rehearsing them.

-- name: ListScenarios :many
select * from agent_scenarios where tenant_id = @tenant_id order by id;

-- name: FindScenario :one
select * from agent_scenarios where tenant_id = @tenant_id and id = @id;

-- name: CreateScenario :one
insert into agent_scenarios (tenant_id, name, held_at, lines, expect) values (@tenant_id, @name, @held_at, @lines, @expect) returning *;

-- name: PatchScenario :one
update agent_scenarios set name = coalesce(sqlc.narg('name'), name), held_at = coalesce(sqlc.narg('held_at'), held_at),
  lines = coalesce(sqlc.narg('lines'), lines), expect = coalesce(sqlc.narg('expect'), expect)
where tenant_id = @tenant_id and id = @id returning *;

-- name: DeleteScenario :execrows
delete from agent_scenarios where tenant_id = @tenant_id and id = @id;

-- name: RunScenarios :one
-- ids: null for all.
select private.run_scenarios(@tenant_id::uuid, sqlc.narg('ids')::uuid[])::uuid;

-- name: PageScenarioRuns :many
select id, batch_id, scenario_id, name, version, state, passed, failures, model, cost_micros, created_at, finished_at from agent_scenario_runs
where tenant_id = @tenant_id and id < @before
  and (sqlc.narg('scenario_id')::uuid is null or scenario_id = sqlc.narg('scenario_id')) and (sqlc.narg('batch_id')::uuid is null or batch_id = sqlc.narg('batch_id'))
order by id desc limit @max_rows;

-- name: FindScenarioRun :one
select * from agent_scenario_runs where tenant_id = @tenant_id and id = @id;

-- name: WaitingScenarioRuns :many
select * from agent_scenario_runs where batch_id = @batch_id and state = 'waiting' order by id;

-- name: EndScenarioRun :exec
update agent_scenario_runs set state = @state, passed = sqlc.narg('passed'), version = sqlc.narg('version'), failures = @failures, transcript = @transcript,
  model = @model, finished_at = @at::timestamptz
where id = @id and state = 'waiting';

-- name: ScenarioProgress :one
select count(*) filter (where state <> 'waiting') as done, count(*) filter (where passed) as passed, count(*) as total from agent_scenario_runs where batch_id = @batch_id;
