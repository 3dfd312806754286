-- Phone numbers and how they are bought, then what happens on them: calls, bookings, contacts, messages.
-- References between a tenant's rows carry tenant_id: nobody can point at, or probe for, a row of another tenant.
-- Their indexes start with the reference: those that start with tenant_id are for reading by tenant, each for its query.

create table public.phone_numbers (
  id uuid primary key default private.uuid_v7(),
  tenant_id uuid not null references public.tenants (id) on delete cascade,
  phone_number text not null constraint phone_numbers_phone_number_e164 check (phone_number ~ '^\+[1-9][0-9]{7,14}$'),
  status text not null default 'unverified' constraint phone_numbers_status_known
    check (status in ('unverified', 'not_owned', 'configuring', 'ready', 'releasing', 'released', 'failed')),
  status_reason text,
  is_primary boolean not null default false,
  provider_sid text,
  account_sid text,
  friendly_name text,
  locality text,
  region text,
  capabilities jsonb not null default '{}',
  monthly_cost_cents int,
  webhooks jsonb,
  webhooks_checked_at timestamptz,
  webhooks_drifted_at timestamptz,
  purchased_at timestamptz,
  released_at timestamptz,
  created_at timestamptz not null default now(),
  updated_at timestamptz not null default now(),
  constraint phone_numbers_tenant_key unique (tenant_id, id)
);
create unique index phone_numbers_phone_number_key on public.phone_numbers (phone_number) where released_at is null;
create unique index phone_numbers_primary_key on public.phone_numbers (tenant_id) where is_primary;
comment on table public.phone_numbers is 'Numbers customers'' callers dial. Insert one here to attach it: a job checks that we own it and sets its webhooks.';
comment on column public.phone_numbers.id is 'Opaque key.';
comment on column public.phone_numbers.tenant_id is 'Whose number.';
comment on column public.phone_numbers.phone_number is 'E.164, e.g. +18573825169.';
comment on column public.phone_numbers.status is 'unverified, not_owned, configuring, ready, releasing, released or failed.';
comment on column public.phone_numbers.status_reason is 'What to do when the status is not ready.';
comment on column public.phone_numbers.is_primary is 'The one shown on the tenant. At most one: setting it here clears it on the other.';
comment on column public.phone_numbers.provider_sid is 'Twilio''s PN… identifier.';
comment on column public.phone_numbers.account_sid is 'Twilio account that owns it.';
comment on column public.phone_numbers.friendly_name is 'Name at Twilio.';
comment on column public.phone_numbers.locality is 'Town.';
comment on column public.phone_numbers.region is 'State.';
comment on column public.phone_numbers.capabilities is 'voice, sms, mms.';
comment on column public.phone_numbers.monthly_cost_cents is 'What we pay for it, US cents.';
comment on column public.phone_numbers.webhooks is 'Webhooks as last seen at Twilio.';
comment on column public.phone_numbers.webhooks_checked_at is 'When they were set, or last found changed.';
comment on column public.phone_numbers.webhooks_drifted_at is 'Since when the hourly sweep finds other webhooks at Twilio than Kestrel set; empty while they are right. Repaired from the tenant''s page.';
comment on column public.phone_numbers.purchased_at is 'When we bought it.';
comment on column public.phone_numbers.released_at is 'When it went back to Twilio. Follows the status.';
comment on column public.phone_numbers.created_at is 'When the row was added.';
comment on column public.phone_numbers.updated_at is 'When the row was last edited.';

create table public.number_purchases (
  id uuid primary key default private.uuid_v7(),
  tenant_id uuid not null references public.tenants (id) on delete cascade,
  phone_number text constraint number_purchases_phone_number_e164 check (phone_number ~ '^\+[1-9][0-9]{7,14}$'),
  area_code text constraint number_purchases_area_code_format check (area_code ~ '^[2-9][0-9]{2}$'),
  friendly_name text constraint number_purchases_friendly_name_length check (char_length(friendly_name) <= 40 and friendly_name !~ '[[:cntrl:]]'),
  activate boolean not null default false,
  state text not null default 'open' constraint number_purchases_state_known check (state in ('open', 'done', 'failed')),
  reason text,
  refused text[] not null default '{}',
  provider_sid text,
  job_id uuid,
  requested_by text not null default '',
  created_at timestamptz not null default now(),
  finished_at timestamptz,
  constraint number_purchases_what check (phone_number is not null or area_code is not null)
);
create unique index number_purchases_phone_number_open on public.number_purchases (phone_number) where state = 'open';
create unique index number_purchases_area_code_open on public.number_purchases (tenant_id) where state = 'open' and area_code is not null;
create index number_purchases_tenant_idx on public.number_purchases (tenant_id, id);
comment on table public.number_purchases is 'Intents to buy one number. The row is committed before anything is bought, so that a crash can never buy twice or lose a number.';
comment on column public.number_purchases.id is 'Opaque key; part of the number''s friendly name at Twilio.';
comment on column public.number_purchases.tenant_id is 'Who it is for.';
comment on column public.number_purchases.phone_number is 'The one number to buy; for an area code, filled before buying.';
comment on column public.number_purchases.area_code is 'Search here when no number was chosen.';
comment on column public.number_purchases.friendly_name is 'Name wished for at Twilio; empty for the company''s.';
comment on column public.number_purchases.activate is 'Activate the tenant once the number is ready.';
comment on column public.number_purchases.state is 'open, done or failed.';
comment on column public.number_purchases.reason is 'Why it failed, and what to do.';
comment on column public.number_purchases.refused is 'Numbers Twilio would not sell while searching an area code.';
comment on column public.number_purchases.provider_sid is 'What was bought.';
comment on column public.number_purchases.job_id is 'The job that does it: see jobs.';
comment on column public.number_purchases.requested_by is 'Who asked.';
comment on column public.number_purchases.created_at is 'When it was asked for.';
comment on column public.number_purchases.finished_at is 'When it ended.';

create table public.contacts (
  id uuid primary key default private.uuid_v7(),
  tenant_id uuid not null references public.tenants (id) on delete cascade,
  phone_number text constraint contacts_phone_number_e164 check (phone_number ~ '^\+[1-9][0-9]{7,14}$'),
  name text not null default '' constraint contacts_name_length check (char_length(name) <= 120),
  email text constraint contacts_email_format check (email ~ '^[^@\s<>",;:]+@[^@\s<>",;:]+\.[a-z]{2,}$' and char_length(email) <= 254),
  address text not null default '' constraint contacts_address_length check (char_length(address) <= 1000),
  notes text not null default '' constraint contacts_notes_length check (char_length(notes) <= 20000),
  is_blocked boolean not null default false,
  created_at timestamptz not null default now(),
  updated_at timestamptz not null default now(),
  constraint contacts_tenant_key unique (tenant_id, id),
  constraint contacts_phone_number_key unique (tenant_id, phone_number)
);
comment on table public.contacts is 'People who called or wrote.';
comment on column public.contacts.id is 'Opaque key.';
comment on column public.contacts.tenant_id is 'Whose contact.';
comment on column public.contacts.phone_number is 'E.164.';
comment on column public.contacts.name is 'As they gave it.';
comment on column public.contacts.email is 'As they gave it.';
comment on column public.contacts.address is 'Where the work is.';
comment on column public.contacts.notes is 'The customer''s notes.';
comment on column public.contacts.is_blocked is 'Calls from here are rejected, or what the receptionist''s settings say of blocked callers.';
comment on column public.contacts.created_at is 'First seen.';
comment on column public.contacts.updated_at is 'Last edited.';

create table public.call_logs (
  id uuid primary key default private.uuid_v7(),
  tenant_id uuid not null references public.tenants (id) on delete cascade,
  phone_number_id uuid,
  contact_id uuid,
  call_sid text not null constraint call_logs_call_sid_key unique,
  direction text not null default 'inbound' constraint call_logs_direction_known check (direction in ('inbound', 'outbound')),
  from_number text,
  to_number text,
  status text not null default 'in-progress' constraint call_logs_status_known
    check (status in ('queued', 'ringing', 'in-progress', 'completed', 'busy', 'failed', 'no-answer', 'canceled')),
  started_at timestamptz not null,
  ended_at timestamptz,
  duration_seconds int not null default 0 constraint call_logs_duration_seconds_positive check (duration_seconds >= 0),
  agent_seconds int not null default 0 constraint call_logs_agent_seconds_positive check (agent_seconds >= 0),
  is_test boolean not null default false,
  is_blocked boolean not null default false,
  outcome text,
  summary text,
  sentiment text,
  cost_micros bigint not null default 0,
  recording_path text,
  usage_id uuid,
  created_at timestamptz not null default now(),
  updated_at timestamptz not null default now(),
  constraint call_logs_tenant_key unique (id, tenant_id),
  constraint call_logs_phone_number_id_fkey foreign key (tenant_id, phone_number_id) references public.phone_numbers (tenant_id, id) on delete set null (phone_number_id),
  constraint call_logs_contact_id_fkey foreign key (tenant_id, contact_id) references public.contacts (tenant_id, id) on delete set null (contact_id),
  constraint call_logs_usage_id_fkey foreign key (tenant_id, usage_id) references public.tenant_usage (tenant_id, id) on delete set null (usage_id)
);
create index call_logs_newest_idx on public.call_logs (tenant_id, started_at desc, id desc);
create index call_logs_totals_idx on public.call_logs (tenant_id, started_at) include (duration_seconds, cost_micros, usage_id);
create index call_logs_phone_number_idx on public.call_logs (phone_number_id, tenant_id);
create index call_logs_contact_idx on public.call_logs (contact_id, tenant_id);
create index call_logs_usage_idx on public.call_logs (usage_id, tenant_id);
comment on table public.call_logs is 'Every call the receptionist took.';
comment on column public.call_logs.id is 'Opaque key.';
comment on column public.call_logs.tenant_id is 'Whose call.';
comment on column public.call_logs.phone_number_id is 'The number dialled.';
comment on column public.call_logs.contact_id is 'Who called, if known.';
comment on column public.call_logs.call_sid is 'Twilio''s CA… identifier; a call counts once per SID.';
comment on column public.call_logs.direction is 'inbound or outbound.';
comment on column public.call_logs.from_number is 'Caller.';
comment on column public.call_logs.to_number is 'Called.';
comment on column public.call_logs.status is 'Twilio''s status.';
comment on column public.call_logs.started_at is 'When it rang.';
comment on column public.call_logs.ended_at is 'When it ended.';
comment on column public.call_logs.duration_seconds is 'Billable seconds, as Twilio reports them.';
comment on column public.call_logs.agent_seconds is 'Seconds the agent spoke with the caller.';
comment on column public.call_logs.is_test is 'Made from the dashboard: never counted.';
comment on column public.call_logs.is_blocked is 'The caller was blocked: never counted.';
comment on column public.call_logs.outcome is 'booked, message, transferred…';
comment on column public.call_logs.summary is 'What it was about.';
comment on column public.call_logs.sentiment is 'positive, neutral or negative.';
comment on column public.call_logs.cost_micros is 'Our cost, in millionths of a US dollar.';
comment on column public.call_logs.recording_path is 'Object in the recordings bucket.';
comment on column public.call_logs.usage_id is 'The period that counted it; empty while it does not count.';
comment on column public.call_logs.created_at is 'When the row was added.';
comment on column public.call_logs.updated_at is 'When the row was last edited.';

create table public.call_turns (
  id uuid primary key default private.uuid_v7(),
  tenant_id uuid not null references public.tenants (id) on delete cascade,
  call_id uuid not null,
  position int not null,
  speaker text not null constraint call_turns_speaker_known check (speaker in ('caller', 'agent', 'tool')),
  text text not null,
  started_ms int not null default 0,
  ended_ms int,
  constraint call_turns_position_key unique (tenant_id, call_id, position),
  constraint call_turns_call_id_fkey foreign key (tenant_id, call_id) references public.call_logs (tenant_id, id) on delete cascade
);
comment on table public.call_turns is 'Transcripts, a row per turn.';
comment on column public.call_turns.id is 'Opaque key.';
comment on column public.call_turns.tenant_id is 'Whose call.';
comment on column public.call_turns.call_id is 'The call.';
comment on column public.call_turns.position is 'Order within the call.';
comment on column public.call_turns.speaker is 'caller, agent or tool.';
comment on column public.call_turns.text is 'What was said or done.';
comment on column public.call_turns.started_ms is 'Milliseconds from the call''s start.';
comment on column public.call_turns.ended_ms is 'Milliseconds from the call''s start.';

create table public.appointments (
  id uuid primary key default private.uuid_v7(),
  tenant_id uuid not null references public.tenants (id) on delete cascade,
  contact_id uuid,
  call_id uuid,
  starts_at timestamptz not null constraint appointments_starts_at_range check (starts_at between '2000-01-01 00:00+00' and '2199-12-31 00:00+00'),
  ends_at timestamptz not null constraint appointments_ends_at_range check (ends_at between '2000-01-01 00:00+00' and '2199-12-31 00:00+00'),
  lane smallint not null default 0,
  status text not null default 'scheduled' constraint appointments_status_known check (status in ('scheduled', 'completed', 'cancelled', 'no_show')),
  service text not null default '' constraint appointments_service_length check (char_length(service) <= 500),
  customer_name text not null default '' constraint appointments_customer_name_length check (char_length(customer_name) <= 120),
  customer_phone text constraint appointments_customer_phone_e164 check (customer_phone ~ '^\+[1-9][0-9]{7,14}$'),
  address text not null default '' constraint appointments_address_length check (char_length(address) <= 1000),
  notes text not null default '' constraint appointments_notes_length check (char_length(notes) <= 20000),
  idempotency_key text constraint appointments_idempotency_key_length check (char_length(idempotency_key) <= 255),
  created_at timestamptz not null default now(),
  updated_at timestamptz not null default now(),
  constraint appointments_contact_id_fkey foreign key (tenant_id, contact_id) references public.contacts (tenant_id, id) on delete set null (contact_id),
  constraint appointments_call_id_fkey foreign key (tenant_id, call_id) references public.call_logs (tenant_id, id) on delete set null (call_id),
  constraint appointments_order check (ends_at > starts_at),
  constraint appointments_idempotency_key unique (tenant_id, idempotency_key),
  constraint appointments_slot_taken exclude using gist (tenant_id with =, lane with =, tstzrange(starts_at, ends_at) with &&)
    where (status = 'scheduled')
);
create index appointments_upcoming_idx on public.appointments (tenant_id, starts_at, id);
create index appointments_contact_idx on public.appointments (contact_id, tenant_id);
create index appointments_call_idx on public.appointments (call_id, tenant_id);
comment on table public.appointments is 'Bookings. Two cannot overlap in one lane.';
comment on column public.appointments.id is 'Opaque key.';
comment on column public.appointments.tenant_id is 'Whose booking.';
comment on column public.appointments.contact_id is 'Who booked.';
comment on column public.appointments.call_id is 'The call it was made on.';
comment on column public.appointments.starts_at is 'Start.';
comment on column public.appointments.ends_at is 'End.';
comment on column public.appointments.lane is 'Crew: as many lanes as can work side by side.';
comment on column public.appointments.status is 'scheduled, completed, cancelled or no_show.';
comment on column public.appointments.service is 'What for.';
comment on column public.appointments.customer_name is 'As given.';
comment on column public.appointments.customer_phone is 'E.164.';
comment on column public.appointments.address is 'Where.';
comment on column public.appointments.notes is 'Anything else.';
comment on column public.appointments.idempotency_key is 'Makes a repeated booking the same booking.';
comment on column public.appointments.created_at is 'When it was booked.';
comment on column public.appointments.updated_at is 'When it was last edited.';

create table public.messages (
  id uuid primary key default private.uuid_v7(),
  tenant_id uuid not null references public.tenants (id) on delete cascade,
  phone_number_id uuid,
  contact_id uuid,
  direction text not null constraint messages_direction_known check (direction in ('inbound', 'outbound')),
  from_number text not null,
  to_number text not null,
  body text not null,
  status text not null default 'queued',
  provider_sid text constraint messages_provider_sid_key unique,
  error text,
  created_at timestamptz not null default now(),
  updated_at timestamptz not null default now(),
  constraint messages_phone_number_id_fkey foreign key (tenant_id, phone_number_id) references public.phone_numbers (tenant_id, id) on delete set null (phone_number_id),
  constraint messages_contact_id_fkey foreign key (tenant_id, contact_id) references public.contacts (tenant_id, id) on delete set null (contact_id)
);
create index messages_newest_idx on public.messages (tenant_id, id desc);
create index messages_phone_number_idx on public.messages (phone_number_id, tenant_id);
create index messages_contact_idx on public.messages (contact_id, tenant_id);
comment on table public.messages is 'Text messages, in and out.';
comment on column public.messages.id is 'Opaque key.';
comment on column public.messages.tenant_id is 'Whose message.';
comment on column public.messages.phone_number_id is 'Our number.';
comment on column public.messages.contact_id is 'The other party, if known.';
comment on column public.messages.direction is 'inbound or outbound.';
comment on column public.messages.from_number is 'Sender.';
comment on column public.messages.to_number is 'Receiver.';
comment on column public.messages.body is 'Text.';
comment on column public.messages.status is 'Twilio''s delivery status.';
comment on column public.messages.provider_sid is 'Twilio''s SM… identifier.';
comment on column public.messages.error is 'Why it was not delivered.';
comment on column public.messages.created_at is 'When the row was added.';
comment on column public.messages.updated_at is 'When the row was last edited.';

create table public.agent_versions (
  id uuid primary key default private.uuid_v7(),
  tenant_id uuid not null references public.tenants (id) on delete cascade,
  version int not null,
  state text not null default 'draft' constraint agent_versions_state_known check (state in ('draft', 'published', 'archived')),
  settings jsonb not null default '{}',
  published_at timestamptz,
  created_at timestamptz not null default now(),
  updated_at timestamptz not null default now(),
  constraint agent_versions_version_key unique (tenant_id, version)
);
create unique index agent_versions_published_key on public.agent_versions (tenant_id) where state = 'published';
comment on table public.agent_versions is 'How each tenant''s receptionist behaves: one draft, one published, older ones kept.';
comment on column public.agent_versions.id is 'Opaque key.';
comment on column public.agent_versions.tenant_id is 'Whose receptionist.';
comment on column public.agent_versions.version is 'Counts up per tenant.';
comment on column public.agent_versions.state is 'draft, published or archived.';
comment on column public.agent_versions.settings is 'Greeting, hours, services, booking rules…';
comment on column public.agent_versions.published_at is 'When callers first heard it.';
comment on column public.agent_versions.created_at is 'When it was drafted.';
comment on column public.agent_versions.updated_at is 'When it was last edited.';
