-- What is to be done (jobs, outbox), and what was done (events, activity).

create table public.jobs (
  id uuid primary key default private.uuid_v7(),
  tenant_id uuid references public.tenants (id) on delete cascade,
  kind text not null,
  subject_id uuid,
  state text not null default 'queued' constraint jobs_state_known check (state in ('queued', 'running', 'done', 'failed')),
  step text not null default 'queued',
  reason text,
  attempt int not null default 0,
  river_job_id bigint,
  created_at timestamptz not null default now(),
  updated_at timestamptz not null default now(),
  finished_at timestamptz
);
create index jobs_tenant_idx on public.jobs (tenant_id, id desc);
create index jobs_subject_idx on public.jobs (subject_id, id desc);
create index jobs_failed_idx on public.jobs (id desc) where state = 'failed';
comment on table public.jobs is 'Our own record of every background job. Outlives River''s, which forgets failed jobs after seven days.';
comment on column public.jobs.id is 'What the API calls the job.';
comment on column public.jobs.tenant_id is 'Whom it is for.';
comment on column public.jobs.kind is 'number_purchase, email_send…';
comment on column public.jobs.subject_id is 'The row it is about.';
comment on column public.jobs.state is 'queued, running, done or failed.';
comment on column public.jobs.step is 'Where it is: searching, buying, configuring…';
comment on column public.jobs.reason is 'Why it failed or waits, and what to do.';
comment on column public.jobs.attempt is 'Tries so far.';
comment on column public.jobs.river_job_id is 'The row in River''s queue.';
comment on column public.jobs.created_at is 'When it was asked for.';
comment on column public.jobs.updated_at is 'When it last moved.';
comment on column public.jobs.finished_at is 'When it ended.';

create table public.events (
  id uuid primary key default private.uuid_v7(),
  tenant_id uuid references public.tenants (id) on delete cascade,
  subject_id uuid not null,
  type text not null,
  data jsonb not null default '{}',
  created_at timestamptz not null default now()
);
create index events_subject_idx on public.events (subject_id, id);
create index events_tenant_idx on public.events (tenant_id, id);
comment on table public.events is 'What happened, in order. Feeds live screens and later customers'' webhooks.';
comment on column public.events.id is 'Order and resume point (Last-Event-ID).';
comment on column public.events.tenant_id is 'Whom it concerns.';
comment on column public.events.subject_id is 'The row it is about.';
comment on column public.events.type is 'job.buying, tenant.trial, call.started…';
comment on column public.events.data is 'Details, without secrets.';
comment on column public.events.created_at is 'When.';

create table public.activity_log (
  id uuid primary key default private.uuid_v7(),
  tenant_id uuid references public.tenants (id) on delete cascade,
  actor text not null,
  actor_label text not null default '',
  action text not null,
  table_name text not null,
  record_id uuid,
  changes jsonb not null default '{}',
  request_id text,
  created_at timestamptz not null default now()
);
create index activity_log_tenant_idx on public.activity_log (tenant_id, id desc);
create index activity_log_record_idx on public.activity_log (record_id, id desc);
comment on table public.activity_log is 'Who changed what, when, with before and after. Written by triggers; nobody edits it.';
comment on column public.activity_log.id is 'Opaque key, in order of time.';
comment on column public.activity_log.tenant_id is 'Whose data changed; empty for the platform''s own.';
comment on column public.activity_log.actor is 'person:…, key:…, admin:…, job:… or login:… when done in Studio.';
comment on column public.activity_log.actor_label is 'Readable name of the actor.';
comment on column public.activity_log.action is 'tenant.updated, member.deleted…';
comment on column public.activity_log.table_name is 'Where.';
comment on column public.activity_log.record_id is 'Which row.';
comment on column public.activity_log.changes is 'Changed fields as {"field": [before, after]}; secrets masked.';
comment on column public.activity_log.request_id is 'The request that did it.';
comment on column public.activity_log.created_at is 'When.';

create table public.email_log (
  id uuid primary key default private.uuid_v7(),
  tenant_id uuid references public.tenants (id) on delete cascade,
  template text not null,
  to_email text not null constraint email_log_to_email_format check (to_email ~ '^[^@\s<>",;:]+@[^@\s<>",;:]+$'),
  dedupe_key text not null constraint email_log_dedupe_key unique,
  params jsonb not null default '{}',
  subject text,
  html text,
  text text,
  status text not null default 'queued' constraint email_log_status_known check (status in ('queued', 'sending', 'sent', 'failed', 'unknown')),
  provider_id text,
  error text,
  attempts int not null default 0,
  first_attempt_at timestamptz,
  sent_at timestamptz,
  created_at timestamptz not null default now(),
  updated_at timestamptz not null default now()
);
create index email_log_tenant_idx on public.email_log (tenant_id, id desc);
create index email_log_status_idx on public.email_log (status, id desc) where status in ('failed', 'unknown');
comment on table public.email_log is 'Outbox and record of e-mails. One row, one e-mail, whatever is restarted.';
comment on column public.email_log.id is 'Opaque key; part of the idempotency key at Resend.';
comment on column public.email_log.tenant_id is 'Whom it is about.';
comment on column public.email_log.template is 'welcome, live…';
comment on column public.email_log.to_email is 'Receiver.';
comment on column public.email_log.dedupe_key is 'What makes it the same e-mail, e.g. usage:80:2026-03.';
comment on column public.email_log.params is 'What the template needs beyond the tenant''s own row.';
comment on column public.email_log.subject is 'As sent.';
comment on column public.email_log.html is 'As sent, sign-in links left out.';
comment on column public.email_log.text is 'As sent, sign-in links left out.';
comment on column public.email_log.status is 'queued, sending, sent, failed, or unknown when it may have been sent and can no longer be checked.';
comment on column public.email_log.provider_id is 'Resend''s identifier.';
comment on column public.email_log.error is 'Why it failed.';
comment on column public.email_log.attempts is 'Tries so far.';
comment on column public.email_log.first_attempt_at is 'First try: no resend later than 20 hours after it.';
comment on column public.email_log.sent_at is 'When Resend took it.';
comment on column public.email_log.created_at is 'When it was asked for.';
comment on column public.email_log.updated_at is 'When it last moved.';

create table private.email_links (
  email_id uuid primary key references public.email_log (id) on delete cascade,
  link text not null
);
comment on table private.email_links is 'Sign-in links of unsent e-mails, apart from the log staff read; deleted once sent.';

create table private.idempotency_keys (
  principal text not null,
  key text not null,
  fingerprint bytea not null,
  status int,
  headers jsonb,
  body bytea,
  locked_until timestamptz not null,
  created_at timestamptz not null default now(),
  primary key (principal, key)
);
create index idempotency_keys_created_idx on private.idempotency_keys (created_at);
comment on table private.idempotency_keys is 'Answers of POSTs that carried an Idempotency-Key, kept for 24 hours.';

create table private.tickets (
  hash bytea primary key check (octet_length(hash) = 32),
  principal jsonb not null,
  tenant_id uuid,
  path text not null,
  expires_at timestamptz not null
);
create index tickets_expires_idx on private.tickets (expires_at);
comment on table private.tickets is 'Single-use tickets for websockets and downloads, which cannot carry a Bearer.';

create table private.reserved_slugs (slug text primary key);
comment on table private.reserved_slugs is 'Names no customer may take: our hosts, infrastructure, impersonation. The same list as subdomain/reserved.txt.';
