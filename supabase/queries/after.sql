-- What follows a call and a text, as the service role.

-- name: CallToFetch :one
select id, tenant_id, recording_sid, recording_path, voicemail_sid, voicemail_path, started_at from call_logs where id = @id;

-- name: KeepRecording :execrows
-- No row: the caller was erased meanwhile.
update call_logs set recording_path = @path where id = @id and recording_sid = @recording_sid;

-- name: KeepVoicemail :execrows
update call_logs set voicemail_path = @path where id = @id and voicemail_sid = @recording_sid;

-- name: ForgetRecordings :exec
select private.forget_recordings(@calls::uuid[]);

-- name: RecordingsToDelete :many
-- At Twilio.
select recording_sid from private.recording_deletions where recording_sid > @after::text order by recording_sid limit @max_rows;

-- name: RecordingDeleted :exec
delete from private.recording_deletions where recording_sid = @recording_sid;

-- name: NextRecordedTenant :one
-- The first after that one which has recordings.
select tenant_id from call_logs where (recording_path is not null or voicemail_path is not null) and tenant_id > @after::uuid order by tenant_id limit 1;

-- name: ExpiredRecordings :many
select id, coalesce(recording_path, '')::text as recording_path, coalesce(voicemail_path, '')::text as voicemail_path from call_logs
where tenant_id = @tenant_id and started_at < @before::timestamptz and (recording_path is not null or voicemail_path is not null) order by started_at limit @max_rows;

-- name: DropRecordingPaths :exec
update call_logs set recording_path = null, voicemail_path = null where id = any (@calls::uuid[]);

-- name: CallToAnalyse :one
select c.id, c.tenant_id, c.started_at, c.from_number, c.analysed_at, t.timezone, t.company_name, t.industry,
  coalesce(private.call_outcome(c.id), '')::text as known_outcome
from call_logs c join tenants t on t.id = c.tenant_id where c.id = @id;

-- name: KeepAnalysis :exec
select private.keep_analysis(@id::uuid, @analysis::jsonb, @at::timestamptz);

-- name: KeepOutcome :exec
select private.keep_outcome(@id::uuid);

-- name: EndJob :exec
-- Done, with something to say about it.
select private.job_step(@id::uuid, 'done', 'done', @reason::text, @attempt::int);

-- name: CallToTell :one
-- settling: its analysis is still to come. forwarding: nobody has said yet whether a person took it.
select c.id, c.tenant_id, c.started_at, c.ended_at, c.closed_at, c.duration_seconds, c.from_number, c.is_test, c.is_blocked, c.answered_at, c.voicemail_sid, c.notified_at,
  private.was_missed(c)::boolean as missed, (c.route = 'forward' and c.forward_taken is null and c.voicemail_sid is null)::boolean as forwarding,
  coalesce(private.call_outcome(c.id), c.outcome, '')::text as outcome, coalesce(c.summary, '')::text as summary, coalesce(c.follow_up, '')::text as follow_up,
  coalesce(nullif(c.caller_name, ''), k.name, '')::text as caller_name, coalesce(c.callback_number, c.from_number, '')::text as caller_phone, coalesce(c.caller_address, '')::text as caller_address,
  t.slug, t.company_name, t.owner_email, t.timezone, t.deleted_at,
  exists (select from jobs j where j.subject_id = c.id and j.kind = 'call_analyze' and j.state in ('queued', 'running'))::boolean as settling
from call_logs c join tenants t on t.id = c.tenant_id left join contacts k on k.tenant_id = c.tenant_id and k.id = c.contact_id where c.id = @id;

-- name: CallMessages :many
select body, is_urgent, caller_name, coalesce(caller_phone, '')::text as caller_phone from call_messages where tenant_id = @tenant_id and conversation_id = @call_id::uuid order by id;

-- name: CallBookings :many
select starts_at, service, customer_name, address from appointments where tenant_id = @tenant_id and conversation_id = @call_id::uuid and status = 'scheduled' order by starts_at;

-- name: HoldTenant :exec
-- What happens to its calls waits for the end of the transaction.
select from tenants where id = @id for no key update;

-- name: CallTold :execrows
update call_logs set notified_at = @at::timestamptz where id = @id and notified_at is null;

-- name: NotifyOwner :exec
select private.notify_owner(@tenant_id::uuid, @dedupe_key::text, @email::text, @params::jsonb, @phone::text, @body::text);

-- name: MessageToTell :one
select m.id, m.tenant_id, m.body, m.is_urgent, m.caller_name, coalesce(m.caller_phone, '')::text as caller_phone, m.created_at, m.conversation_id,
  coalesce(c.is_test, false)::boolean as is_test, (c.id is not null)::boolean as in_call, t.slug, t.owner_email, t.timezone, t.deleted_at
from call_messages m join tenants t on t.id = m.tenant_id left join call_logs c on c.tenant_id = m.tenant_id and c.id = m.conversation_id where m.id = @id;

-- name: TextToAnswer :one
select m.id, m.tenant_id, m.contact_id, m.from_number, m.to_number, m.body, m.opt_out_type, m.created_at, t.slug, t.owner_email, t.timezone, t.deleted_at,
  t.subscription_status, coalesce(c.name, '')::text as name, coalesce(c.is_blocked, false)::boolean as is_blocked, private.is_ours(m.from_number)::boolean as is_ours,
  coalesce(private.text_problem(m.tenant_id, m.from_number, m.to_number), '')::text as problem,
  exists (select from messages r where r.reply_to = m.id)::boolean as is_answered,
  (select count(*) from messages r where r.tenant_id = m.tenant_id and r.party = m.from_number and r.reply_to is not null and r.created_at > @since::timestamptz)::int as answers
from messages m join tenants t on t.id = m.tenant_id left join contacts c on c.tenant_id = m.tenant_id and c.id = m.contact_id
where m.id = @id and m.direction = 'inbound';

-- name: ConversationBefore :many
-- The latest texts with that customer up to one, newest first.
select direction, body from messages where tenant_id = @tenant_id and party = @party::text and id <= @up_to and created_at > @since::timestamptz
  and opt_out_type is null and status not in ('failed', 'undelivered') order by id desc limit @max_rows;

-- name: TextSteps :many
select position, call_id, name, arguments, output from private.text_steps where message_id = @message_id order by position;

-- name: BeginTextStep :exec
insert into private.text_steps (message_id, position, call_id, name, arguments) values (@message_id, @position, @call_id, @name, @arguments) on conflict do nothing;

-- name: EndTextStep :exec
update private.text_steps set output = @output::text where message_id = @message_id and position = @position;

-- name: AnswerText :one
-- Nil where there is an answer, or none may be sent.
select coalesce(private.answer_text(@id::uuid, @body::text, @at::timestamptz), '00000000-0000-0000-0000-000000000000')::uuid as id;

-- name: TextProblem :one
select coalesce(private.text_problem(@tenant_id::uuid, @to_number::text, null), '')::text;

-- name: QueueMail :exec
select private.queue_email(@template::text, @tenant_id::uuid, @to_email::text, @dedupe_key::text, @params::jsonb);

-- name: ModelAsked :exec
select private.model_asked(@subject::uuid);

-- name: ModelAnswered :exec
select private.model_answered(@subject::uuid, @micros::bigint);
