package tests

import "testing"

// What staff do in Studio without thinking of it: the rules hold, whatever the order.

func TestARowInsertedAsItStoodElsewhere(t *testing.T) {
	t.Parallel()
	s := newStudio(t, `insert into tenants (id, slug, company_name, owner_email, industry, subscription_status, current_month_calls, owner_phone, forward_to_number, twilio_phone_number)
		values ('11111111-1111-4111-8111-111111111111', ' Import ', ' Import Co ', ' Owner@Import.example ', 'HVAC / Plumbing', 'suspended', 57, '', ' +16175550100 ', '')`)
	s.is("select concat_ws('|', slug, company_name, owner_email, industry, suspended_at is not null, current_month_calls, owner_phone is null, forward_to_number, twilio_phone_number is null) from tenants",
		"import|Import Co|owner@import.example|hvac / plumbing|t|57|t|+16175550100|t")
	s.is("select calls || ' ' || adjusted_calls from tenant_usage", "0 57")
	s.run("update tenants set forward_to_number = '', billing_anchor = null")
	s.is("select (forward_to_number is null) || ' ' || (billing_anchor is not null) from tenants", "true true")
	s.run("insert into tenants (slug, company_name, owner_email, subscription_status) values ('gone', 'Gone', 'gone@example.com', 'cancelled')")
	s.is("select (cancelled_at is not null)::text from tenants where slug = 'gone'", "true")
}

func TestTheCounterNeverLies(t *testing.T) {
	t.Parallel()
	s := newStudio(t, briefInsert, "update tenants set updated_at = '2020-01-01'")
	s.run("insert into call_logs (tenant_id, call_sid, started_at, agent_seconds) select id, 'CA1', now(), 5 from tenants")
	s.is("select current_month_calls from tenants", "1")
	s.run("insert into call_logs (tenant_id, call_sid, started_at, agent_seconds) select id, 'CA2', now() + interval '70 days', 5 from tenants") // a clock is wrong
	s.run("insert into call_logs (tenant_id, call_sid, started_at, agent_seconds) select id, 'CA3', now() - interval '70 days', 5 from tenants")
	s.is("select current_month_calls from tenants", "1")
	s.is("select count(*) from usage_adjustments", "0")
	// More taken away than there was: shown as nothing, and not made up for.
	s.run("insert into usage_adjustments (tenant_id, usage_id, calls, actor) select tenant_id, id, -5, 'x' from tenant_usage where period_start <= now() and period_end > now()")
	s.is("select current_month_calls from tenants", "0")
	s.is("select count(*) from usage_adjustments", "1")
	s.run("set kestrel.projecting = 'on'; update tenants set company_name = ' Trimmed '; reset kestrel.projecting") // no setting switches the rules off
	s.is("select company_name from tenants", "Trimmed")
}

func TestPeriodsNeverOverlap(t *testing.T) {
	t.Parallel()
	s := newStudio(t,
		"insert into tenants (slug, company_name, owner_email, timezone, billing_anchor) values ('abc', 'A', 'a@example.com', 'UTC', 8)",
		"delete from tenant_usage",
		"select private.usage_at(id, '2026-11-10') from tenants",
		"update tenants set billing_anchor = 20",
		"select private.usage_at(id, '2026-12-10') from tenants",
		"select private.usage_at(id, '2026-12-25') from tenants",
		"update tenants set timezone = 'Etc/GMT+12'",
		"select private.usage_at(id, '2027-01-20 03:00+00') from tenants",
		"update tenants set billing_anchor = 1",
		"select private.usage_at(id, '2026-10-10') from tenants")
	s.is("select to_char(period_start at time zone 'UTC', 'MM-DD HH24') || ' ' || to_char(period_end at time zone 'UTC', 'MM-DD HH24') from tenant_usage order by period_start",
		"10-01 12 11-01 12", "11-08 00 12-08 00", "12-08 00 12-20 00", "12-20 00 01-20 00", "01-20 00 02-20 12")
}

func TestTermsKeepTheLimitThatWasSold(t *testing.T) {
	t.Parallel()
	s := newStudio(t, briefInsert, ready, "update plans set monthly_calls = 900, price_cents = 1 where tier = 'professional'",
		"delete from tenants", "update tenants set company_name = 'Renamed while deleted'", "update tenants set deleted_at = null")
	s.is("select max_monthly_calls from tenants", "500")
	s.is("select price_cents || ' ' || monthly_calls from tenant_plans where valid_to is null", "29900 500")
	s.is("select changes ->> 'tier' || ' ' || (changes ->> 'price_cents') from activity_log where action = 'plan.updated'", `["professional", "professional"] [29900, 1]`)
	s.run("begin; update tenants set is_active = false; update tenants set is_active = true; delete from tenants; update tenants set deleted_at = null; commit")
	s.is("select status from tenant_plans where valid_to is null", "active")
	s.is(`select count(*) from tenant_plans a join tenant_plans b on a.tenant_id = b.tenant_id and a.id < b.id
		and tstzrange(a.valid_from, a.valid_to) && tstzrange(b.valid_from, b.valid_to)`, "0")
}

func TestNumbersEditedInAnyOrder(t *testing.T) {
	t.Parallel()
	s := newStudio(t, briefInsert, ready, "insert into phone_numbers (tenant_id, phone_number, status) select id, '+16175550123', 'ready' from tenants")
	s.run("update phone_numbers set is_primary = true where phone_number = '+16175550123'")
	s.is("select phone_number from phone_numbers where is_primary", "+16175550123")
	s.is("select twilio_phone_number from tenants", "+16175550123")
	s.is("select count(*) from jobs where kind = 'number_verify'", "1") // showing a number is not asking to check it
	s.run("update phone_numbers set released_at = now() where is_primary")
	s.is("select count(*) from phone_numbers where released_at is not null", "0") // follows the status
	s.run("update phone_numbers set status = 'released' where is_primary")
	s.run("update phone_numbers set status = 'unverified' where status = 'released'") // by mistake: taken back, and checked
	s.is("select count(*) from phone_numbers where released_at is not null", "0")
	s.is("select count(*) from jobs where kind = 'number_verify'", "2")

	s.run("update phone_numbers set provider_sid = 'PN1' where phone_number = '+18573825169'")
	s.refused("KS409", "number_owned", "delete from phone_numbers where phone_number = '+18573825169'")
	s.run("delete from phone_numbers where phone_number = '+16175550123'")
	s.run("delete from tenants")
	s.run("begin; select set_config('kestrel.purge', id::text, true) from tenants; delete from tenants; commit")
	s.is("select count(*) from phone_numbers", "0")
	s.is("select count(*) from tenants", "0")
}

func TestANumberBeingBoughtIsTaken(t *testing.T) {
	t.Parallel()
	s := newStudio(t, briefInsert, "insert into tenants (slug, company_name, owner_email) values ('other', 'Other', 'o@example.com')",
		"insert into number_purchases (tenant_id, phone_number) select id, '+16175550123' from tenants where slug = 'haiec'")
	s.refused("KS409", "number_taken", "update tenants set twilio_phone_number = '+16175550123' where slug = 'other'")
	s.refused("KS409", "number_taken", "insert into phone_numbers (tenant_id, phone_number) select id, '+16175550123' from tenants where slug = 'other'")
	s.is("select action from activity_log where table_name = 'number_purchases'", "purchase.created")
	s.run("update number_purchases set state = 'failed'")
	s.run("update tenants set twilio_phone_number = '+16175550123' where slug = 'other'")
	s.refused("KS409", "number_taken", "update number_purchases set state = 'open'")
}

func TestAPurchaseEndsOnce(t *testing.T) {
	t.Parallel()
	record := "select private.record_purchase(id, 'PN1', 'AC1', 'x', null, null, null, null, null) from number_purchases"
	s := newStudio(t, "insert into tenants (slug, company_name, owner_email) values ('abc', 'A', 'a@example.com')",
		"insert into number_purchases (tenant_id, phone_number, activate) select id, '+16175550123', true from tenants", record)
	s.is("select subscription_status from tenants", "trial")
	s.run("update tenants set is_active = false")
	s.run(record) // told twice
	s.is("select subscription_status from tenants", "suspended")
	s.is("select count(*) from phone_numbers", "1")
}
