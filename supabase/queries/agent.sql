-- The receptionist: its versions and what it works with.

-- name: FindAgent :one
-- The published version, or the draft; with what completes its settings.
select t.id, t.slug, t.company_name, t.industry, t.timezone, coalesce(t.forward_to_number, '')::text as forward_to, v.version, v.state, v.settings
from tenants t join agent_versions v on v.tenant_id = t.id where t.id = @tenant_id and v.state = @state;

-- name: ListAgents :many
-- Published ones, of tenants that are not deleted, in the order of their ids; each page starts after one.
select t.id, t.slug, t.company_name, t.industry, t.timezone, coalesce(t.forward_to_number, '')::text as forward_to, v.version, v.settings
from tenants t join agent_versions v on v.tenant_id = t.id and v.state = 'published'
where t.deleted_at is null and t.id > @after::uuid order by t.id limit @max_rows;

-- name: FindAgentVersion :one
select * from agent_versions where tenant_id = @tenant_id and version = @version;

-- name: PageAgentVersions :many
select id, version, state, settings, published_at, created_at, updated_at
from agent_versions where tenant_id = @tenant_id and id < @before order by id desc limit @max_rows;

-- name: DraftAgent :one
select v.* from private.draft_agent(@tenant_id::uuid, @settings::jsonb) v;

-- name: PublishAgent :one
-- version: null publishes the draft; a number rolls back to it.
select v.* from private.publish_agent(@tenant_id::uuid, sqlc.narg('version')::int) v;

-- name: DiscardDraft :one
select private.discard_draft(@tenant_id::uuid)::boolean;

-- name: TakeMessage :one
select private.take_message(@tenant_id::uuid, @message::jsonb)::uuid;

-- name: IsOurs :one
select private.is_ours(@number::text)::boolean;
