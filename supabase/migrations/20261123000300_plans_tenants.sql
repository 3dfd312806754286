-- Plans, customers, and what each customer's name, term and month look like over time.

create table public.plans (
  tier text primary key constraint plans_tier_format check (tier ~ '^[a-z][a-z0-9_]{1,30}$'),
  name text not null,
  price_cents int not null constraint plans_price_cents_positive check (price_cents >= 0),
  monthly_calls int not null constraint plans_monthly_calls_positive check (monthly_calls > 0),
  description text not null default '',
  position int not null default 0,
  is_offered boolean not null default true,
  created_at timestamptz not null default now(),
  updated_at timestamptz not null default now()
);
comment on table public.plans is 'What customers can buy. Edit prices here; a tenant''s running term keeps the price it was sold at.';
comment on column public.plans.tier is 'Stable key used on tenants, e.g. professional.';
comment on column public.plans.name is 'Name shown to customers.';
comment on column public.plans.price_cents is 'US cents per month for new terms.';
comment on column public.plans.monthly_calls is 'Answered calls included per usage period.';
comment on column public.plans.description is 'One line shown on the plan card.';
comment on column public.plans.position is 'Order on screens, lowest first.';
comment on column public.plans.is_offered is 'False hides the plan from sign-up; tenants on it stay.';
comment on column public.plans.created_at is 'When the plan was added.';
comment on column public.plans.updated_at is 'When the plan was last edited.';
insert into public.plans (tier, name, price_cents, monthly_calls, description, position) values
  ('starter', 'Starter', 9900, 100, 'For one van and a busy owner.', 1),
  ('professional', 'Professional', 29900, 500, 'For a small team that books all day.', 2),
  ('premium', 'Premium', 59900, 1500, 'For several crews and long seasons.', 3),
  ('enterprise', 'Enterprise', 149900, 10000, 'For many locations under one name.', 4);

create table public.tenants (
  id uuid primary key default private.uuid_v7(),
  slug text not null,
  company_name text not null constraint tenants_company_name_length check (char_length(btrim(company_name)) between 1 and 120 and company_name !~ '[[:cntrl:]]'),
  owner_name text not null default '' constraint tenants_owner_name_length check (char_length(owner_name) <= 120 and owner_name !~ '[[:cntrl:]]'),
  owner_email text not null constraint tenants_owner_email_format check (owner_email ~ '^[^@\s<>",;:]+@[a-z0-9]([a-z0-9.-]*[a-z0-9])?\.[a-z]{2,}$' and char_length(owner_email) <= 254),
  owner_phone text constraint tenants_owner_phone_e164 check (owner_phone ~ '^\+[1-9][0-9]{7,14}$'),
  industry text not null default 'generic' constraint tenants_industry_format check (industry ~ '^[a-z][a-z0-9_ &/-]{0,59}$'),
  plan_tier text not null default 'starter' constraint tenants_plan_tier_fkey references public.plans (tier),
  subscription_status text not null default 'pending' constraint tenants_subscription_status_known
    check (subscription_status in ('pending', 'trial', 'active', 'suspended', 'cancelled')),
  twilio_phone_number text constraint tenants_twilio_phone_number_e164 check (twilio_phone_number ~ '^\+[1-9][0-9]{7,14}$'),
  forward_to_number text constraint tenants_forward_to_number_e164 check (forward_to_number ~ '^\+[1-9][0-9]{7,14}$'),
  max_monthly_calls int constraint tenants_max_monthly_calls_positive check (max_monthly_calls > 0),
  call_limit_override int,
  current_month_calls int not null default 0 constraint tenants_current_month_calls_positive check (current_month_calls >= 0),
  is_active boolean not null default false,
  timezone text not null default 'America/New_York',
  billing_anchor smallint constraint tenants_billing_anchor_day check (billing_anchor between 1 and 31),
  brand_color text constraint tenants_brand_color_hex check (brand_color ~ '^#[0-9a-f]{6}$'),
  logo_path text constraint tenants_logo_path_own check (logo_path ~ ('^' || id || '/[A-Za-z0-9_-][A-Za-z0-9._-]*$')),
  trial_ends_at timestamptz constraint tenants_trial_ends_at_range check (trial_ends_at between '2000-01-01 00:00+00' and '2199-12-31 00:00+00'),
  activated_at timestamptz,
  suspended_at timestamptz,
  suspension text constraint tenants_suspension_known check (suspension in ('trial_ended', 'by_hand')),
  cancelled_at timestamptz,
  access_ends_at timestamptz,
  status_reason text,
  terms_version text,
  terms_accepted_at timestamptz,
  deleted_at timestamptz constraint tenants_deleted_at_range check (deleted_at between '2000-01-01 00:00+00' and '2199-12-31 00:00+00'),
  created_at timestamptz not null default now(),
  updated_at timestamptz not null default now(),
  constraint tenants_slug_key unique (slug),
  constraint tenants_owner_email_key unique (owner_email),
  constraint tenants_twilio_phone_number_key unique (twilio_phone_number)
);
create index tenants_plan_tier_idx on public.tenants (plan_tier);
create index tenants_status_idx on public.tenants (subscription_status, id) where deleted_at is null;
comment on table public.tenants is 'Customer companies. Insert, edit and delete here as freely as in the app: triggers keep every rule, send the same e-mails and only mark rows deleted.';
comment on column public.tenants.id is 'Opaque key.';
comment on column public.tenants.slug is 'Their subdomain. Changing it retires the old one, which redirects until purge.';
comment on column public.tenants.company_name is 'Name the receptionist answers with.';
comment on column public.tenants.owner_name is 'Contact person.';
comment on column public.tenants.owner_email is 'Contact address. Changing it does not change who may sign in: see tenant_users.';
comment on column public.tenants.owner_phone is 'Contact phone, E.164 (+18573825169).';
comment on column public.tenants.industry is 'hvac, plumbing, dental…: chooses the receptionist''s defaults.';
comment on column public.tenants.plan_tier is 'Current plan. A change opens a new term in tenant_plans at today''s price.';
comment on column public.tenants.subscription_status is 'pending, trial, active, suspended or cancelled. Illegal jumps are refused.';
comment on column public.tenants.twilio_phone_number is 'Shows the primary row of phone_numbers. Typing a number attaches it; a job checks that we own it and sets its webhooks.';
comment on column public.tenants.forward_to_number is 'Where calls go when the receptionist hands over, E.164.';
comment on column public.tenants.max_monthly_calls is 'Calls included per period. Typing a value overrides the plan; clearing it returns to the plan.';
comment on column public.tenants.call_limit_override is 'The typed override behind max_monthly_calls, if any.';
comment on column public.tenants.current_month_calls is 'Calls counted in the open usage period. Typing a value records an adjustment.';
comment on column public.tenants.is_active is 'Whether calls are answered (trial or active). Clearing it suspends; setting it activates.';
comment on column public.tenants.timezone is 'IANA name; usage periods and screens use it.';
comment on column public.tenants.billing_anchor is 'Day of month on which a usage period starts; clamps in short months.';
comment on column public.tenants.brand_color is 'Accent colour, #rrggbb.';
comment on column public.tenants.logo_path is 'Object in the logos bucket, under the tenant''s own id.';
comment on column public.tenants.trial_ends_at is 'End of the trial, set when it starts.';
comment on column public.tenants.activated_at is 'When calls were first answered.';
comment on column public.tenants.suspended_at is 'When the current suspension began.';
comment on column public.tenants.suspension is 'How the current suspension came about: trial_ended, of which a new trial_ends_at and the status trial lead back, or by_hand.';
comment on column public.tenants.cancelled_at is 'When the customer left.';
comment on column public.tenants.access_ends_at is 'Of a cancelled tenant: end of the usage period it left in. Until then its people may still read and export.';
comment on column public.tenants.status_reason is 'Why the status last changed, shown to the customer.';
comment on column public.tenants.terms_version is 'Version of the terms accepted at sign-up.';
comment on column public.tenants.terms_accepted_at is 'When the terms were accepted.';
comment on column public.tenants.deleted_at is 'Set by a delete. Clear it to restore; purged 30 days on.';
comment on column public.tenants.created_at is 'When the row was added.';
comment on column public.tenants.updated_at is 'When the row was last edited.';

create table public.tenant_slugs (
  slug text primary key,
  tenant_id uuid not null references public.tenants (id) on delete cascade,
  retired_at timestamptz,
  created_at timestamptz not null default now()
);
create index tenant_slugs_tenant_idx on public.tenant_slugs (tenant_id);
comment on table public.tenant_slugs is 'Every slug in use, retired or deleted, in one unique space until purge. Kept by triggers.';
comment on column public.tenant_slugs.slug is 'A subdomain.';
comment on column public.tenant_slugs.tenant_id is 'Whose it is or was.';
comment on column public.tenant_slugs.retired_at is 'When a rename retired it; browsers on it are redirected.';
comment on column public.tenant_slugs.created_at is 'When it was first taken.';

create table public.tenant_plans (
  id uuid primary key default private.uuid_v7(),
  tenant_id uuid not null references public.tenants (id) on delete cascade,
  plan_tier text not null references public.plans (tier),
  price_cents int not null,
  monthly_calls int not null,
  status text not null,
  valid_from timestamptz not null,
  valid_to timestamptz,
  constraint tenant_plans_no_overlap exclude using gist (tenant_id with =, tstzrange(valid_from, valid_to) with &&)
);
create unique index tenant_plans_current_idx on public.tenant_plans (tenant_id) where valid_to is null;
create index tenant_plans_tenant_idx on public.tenant_plans (tenant_id, valid_from);
create index tenant_plans_tier_idx on public.tenant_plans (plan_tier);
create index tenant_plans_validity_idx on public.tenant_plans (valid_from, valid_to) include (status, price_cents);
comment on table public.tenant_plans is 'Terms: one row per stretch of plan and status, with the price frozen. Revenue of any day is the sum of its active rows.';
comment on column public.tenant_plans.id is 'Opaque key.';
comment on column public.tenant_plans.tenant_id is 'Whose term.';
comment on column public.tenant_plans.plan_tier is 'Plan of this stretch.';
comment on column public.tenant_plans.price_cents is 'US cents per month as sold.';
comment on column public.tenant_plans.monthly_calls is 'Calls included as sold.';
comment on column public.tenant_plans.status is 'Subscription status during this stretch.';
comment on column public.tenant_plans.valid_from is 'Start, inclusive.';
comment on column public.tenant_plans.valid_to is 'End, exclusive; empty for the current term.';

create type public.member_role as enum ('viewer', 'member', 'admin', 'owner');
create table public.tenant_users (
  id uuid primary key default private.uuid_v7(),
  tenant_id uuid not null references public.tenants (id) on delete cascade,
  user_id uuid,
  email text not null constraint tenant_users_email_format check (email ~ '^[^@\s<>",;:]+@[a-z0-9]([a-z0-9.-]*[a-z0-9])?\.[a-z]{2,}$' and char_length(email) <= 254),
  role public.member_role not null default 'member',
  created_at timestamptz not null default now(),
  updated_at timestamptz not null default now(),
  constraint tenant_users_email_key unique (tenant_id, email),
  constraint tenant_users_user_key unique (tenant_id, user_id)
);
create index tenant_users_user_idx on public.tenant_users (user_id) include (tenant_id, role) where user_id is not null;
create index tenant_users_email_idx on public.tenant_users (email) where user_id is null;
comment on table public.tenant_users is 'Who may sign in to which tenant, and as what. Deleting a row signs them out within a second.';
comment on column public.tenant_users.id is 'Opaque key.';
comment on column public.tenant_users.tenant_id is 'The tenant.';
comment on column public.tenant_users.user_id is 'Their login in Auth; empty until it is found or made.';
comment on column public.tenant_users.email is 'Address they sign in with.';
comment on column public.tenant_users.role is 'viewer < member < admin < owner.';
comment on column public.tenant_users.created_at is 'When they were added.';
comment on column public.tenant_users.updated_at is 'When the row was last edited.';

create table public.tenant_usage (
  id uuid primary key default private.uuid_v7(),
  tenant_id uuid not null references public.tenants (id) on delete cascade,
  period_start timestamptz not null,
  period_end timestamptz not null,
  calls int not null default 0,
  adjusted_calls int not null default 0,
  late_calls int not null default 0,
  seconds int not null default 0,
  sms int not null default 0,
  cost_micros bigint not null default 0,
  late_seconds int not null default 0,
  late_sms int not null default 0,
  late_cost_micros bigint not null default 0,
  closed_at timestamptz,
  is_current boolean not null default false,
  created_at timestamptz not null default now(),
  updated_at timestamptz not null default now(),
  constraint tenant_usage_period_key unique (tenant_id, period_start),
  constraint tenant_usage_tenant_key unique (tenant_id, id),
  constraint tenant_usage_period_order check (period_end > period_start),
  constraint tenant_usage_no_overlap exclude using gist (tenant_id with =, tstzrange(period_start, period_end) with &&)
);
create unique index tenant_usage_current_idx on public.tenant_usage (tenant_id) where is_current;
create index tenant_usage_due_idx on public.tenant_usage (period_end) where closed_at is null;
comment on table public.tenant_usage is 'One row per tenant and usage period. Counters are kept by the transaction that records the call.';
comment on column public.tenant_usage.id is 'Opaque key.';
comment on column public.tenant_usage.tenant_id is 'The tenant.';
comment on column public.tenant_usage.period_start is 'Start, inclusive: midnight of the anchor day in the tenant''s timezone, or the end of the period before if anchor or timezone moved.';
comment on column public.tenant_usage.period_end is 'End, exclusive.';
comment on column public.tenant_usage.calls is 'Calls counted, each once.';
comment on column public.tenant_usage.adjusted_calls is 'Sum of this period''s adjustments.';
comment on column public.tenant_usage.late_calls is 'Calls that arrived after the period closed: noted, not billed.';
comment on column public.tenant_usage.seconds is 'Seconds of counted calls.';
comment on column public.tenant_usage.sms is 'SMS segments sent and received.';
comment on column public.tenant_usage.cost_micros is 'Our cost, in millionths of a US dollar.';
comment on column public.tenant_usage.late_seconds is 'What became known after the close of the length of its calls, of late ones and of those that still ran. Below zero where it was corrected downwards.';
comment on column public.tenant_usage.late_sms is 'Segments that became known after the close.';
comment on column public.tenant_usage.late_cost_micros is 'Our cost that became known after the close, in millionths of a US dollar.';
comment on column public.tenant_usage.closed_at is 'When the period was closed; totals are final from then on.';
comment on column public.tenant_usage.is_current is 'The one that tenants.current_month_calls shows. The reset moves it on, or the first call of the next period.';
comment on column public.tenant_usage.created_at is 'When the row was opened.';
comment on column public.tenant_usage.updated_at is 'When a counter last moved.';

create table public.usage_adjustments (
  id uuid primary key default private.uuid_v7(),
  tenant_id uuid not null references public.tenants (id) on delete cascade,
  usage_id uuid not null,
  calls int not null,
  reason text not null default '',
  actor text not null,
  created_at timestamptz not null default now(),
  constraint usage_adjustments_usage_id_fkey foreign key (tenant_id, usage_id) references public.tenant_usage (tenant_id, id) on delete cascade
);
create index usage_adjustments_tenant_idx on public.usage_adjustments (tenant_id, created_at);
create index usage_adjustments_usage_idx on public.usage_adjustments (tenant_id, usage_id);
comment on table public.usage_adjustments is 'Corrections to a period''s call count, made by people.';
comment on column public.usage_adjustments.id is 'Opaque key.';
comment on column public.usage_adjustments.tenant_id is 'The tenant.';
comment on column public.usage_adjustments.usage_id is 'The period corrected.';
comment on column public.usage_adjustments.calls is 'Calls added, or taken away if negative.';
comment on column public.usage_adjustments.reason is 'Why.';
comment on column public.usage_adjustments.actor is 'Who.';
comment on column public.usage_adjustments.created_at is 'When.';

create table public.tenant_api_keys (
  id uuid primary key default private.uuid_v7(),
  tenant_id uuid not null references public.tenants (id) on delete cascade,
  name text not null constraint tenant_api_keys_name_length check (char_length(btrim(name)) between 1 and 80 and name !~ '[[:cntrl:]]'),
  prefix text not null,
  scopes text[] not null default '{read}' constraint tenant_api_keys_scopes_known
    check (scopes <@ array['read', 'write'] and cardinality(scopes) between 1 and 2),
  expires_at timestamptz constraint tenant_api_keys_expires_at_range check (expires_at between '2000-01-01 00:00+00' and '2199-12-31 00:00+00'),
  last_used_at timestamptz,
  revoked_at timestamptz constraint tenant_api_keys_revoked_at_range check (revoked_at between '2000-01-01 00:00+00' and '2199-12-31 00:00+00'),
  created_by text not null default '',
  created_at timestamptz not null default now()
);
create index tenant_api_keys_tenant_idx on public.tenant_api_keys (tenant_id, id);
comment on table public.tenant_api_keys is 'Keys for machines, one tenant each. The key itself is shown once and kept only as a hash elsewhere.';
comment on column public.tenant_api_keys.id is 'Opaque key.';
comment on column public.tenant_api_keys.tenant_id is 'The tenant it opens.';
comment on column public.tenant_api_keys.name is 'What it is for.';
comment on column public.tenant_api_keys.prefix is 'First characters, to recognise it by.';
comment on column public.tenant_api_keys.scopes is 'read, write or both.';
comment on column public.tenant_api_keys.expires_at is 'When it stops working; empty for never.';
comment on column public.tenant_api_keys.last_used_at is 'Last use, to within half a minute.';
comment on column public.tenant_api_keys.revoked_at is 'Set to revoke it, within a second and for good.';
comment on column public.tenant_api_keys.created_by is 'Who made it.';
comment on column public.tenant_api_keys.created_at is 'When it was made.';

create table private.api_key_hashes (
  hash bytea primary key check (octet_length(hash) = 32),
  key_id uuid not null unique references public.tenant_api_keys (id) on delete cascade
);
comment on table private.api_key_hashes is 'SHA-256 of each API key. 256 random bits need no salt.';

create table public.platform_admins (
  id uuid primary key default private.uuid_v7(),
  email text not null constraint platform_admins_email_key unique
    constraint platform_admins_email_format check (email ~ '^[^@\s<>",;:]+@[a-z0-9]([a-z0-9.-]*[a-z0-9])?\.[a-z]{2,}$'),
  user_id uuid constraint platform_admins_user_key unique,
  granted_by text not null default '',
  created_at timestamptz not null default now()
);
comment on table public.platform_admins is 'Kestrel''s own staff. A row gives power over every tenant; deleting it takes it within a second.';
comment on column public.platform_admins.id is 'Opaque key.';
comment on column public.platform_admins.email is 'Address they sign in with.';
comment on column public.platform_admins.user_id is 'Their login in Auth; empty until they first sign in.';
comment on column public.platform_admins.granted_by is 'Who granted it.';
comment on column public.platform_admins.created_at is 'When.';
