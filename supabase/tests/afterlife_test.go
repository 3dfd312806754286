package tests

import (
	"fmt"
	"testing"
)

// TestRestoreBringsBackEachState deletes and restores a tenant in each state of its life.
func TestRestoreBringsBackEachState(t *testing.T) {
	t.Parallel()
	s := newStudio(t, briefInsert, ready)
	for _, state := range []string{"trial", "active", "suspended", "cancelled"} {
		if state != "trial" {
			s.run(fmt.Sprintf("update tenants set subscription_status = '%s'", state))
		}
		before := "select concat_ws(' ', subscription_status, is_active, status_reason, coalesce(trial_ends_at::text, '-'), coalesce(access_ends_at::text, '-')) from tenants"
		s.run("drop table if exists private.was")
		s.run("create table private.was as " + before[:len(before)-len(" from tenants")] + " as v from tenants")
		s.run("delete from tenants")
		s.is("select count(*) from tenants where deleted_at is not null", "1")
		s.run("update tenants set deleted_at = null")
		s.is("select count(*) from private.was where v = ("+before+")", "1")
		s.is("select count(*) from tenant_plans where valid_to is null and status = '"+state+"'", "1")
	}
	s.run("insert into tenants (slug, company_name, owner_email) values ('new-one', 'New', 'new@example.com')")
	s.run("delete from tenants where slug = 'new-one'")
	s.run("update tenants set deleted_at = null where slug = 'new-one'")
	s.is("select subscription_status from tenants where slug = 'new-one'", "pending")
}

// TestPurgeWaitsThirtyDays asks a second early, then in time, and again.
func TestPurgeWaitsThirtyDays(t *testing.T) {
	t.Parallel()
	s := newStudio(t, briefInsert, ready)
	due := func(at string) string {
		return "select private.purge_due((select max(deleted_at) from tenants) + interval '30 days' + interval '" + at + "', 10)::text"
	}
	s.run("delete from tenants")
	s.is(due("-1 second"), "0")
	s.run("update tenants set deleted_at = null")
	s.is("select coalesce(private.purge_due('2199-01-01', 10), 0)::text", "0") // restored: never
	s.run("delete from tenants")
	s.is(due("0"), "1")
	s.is(due("1 day"), "0")
	s.is("select count(*)::text from jobs where kind = 'tenant_purge'", "1")
}
