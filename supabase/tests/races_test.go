package tests

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
)

// heard runs sql and returns the topics that it announces, sorted.
func (s studio) heard(sql string) string {
	s.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	conn, err := s.pool.Acquire(ctx)
	if err != nil {
		s.t.Fatal(err)
	}
	defer conn.Release()
	if _, err := conn.Exec(ctx, "listen kestrel"); err != nil {
		s.t.Fatal(err)
	}
	s.run(sql)
	s.run("notify kestrel, '{\"topic\":\"end\"}'")
	topics := map[string]bool{}
	for {
		note, err := conn.Conn().WaitForNotification(ctx)
		if err != nil {
			s.t.Fatal(err)
		}
		var message struct{ Topic string }
		if err := json.Unmarshal([]byte(note.Payload), &message); err != nil {
			s.t.Fatal(err)
		}
		if message.Topic == "end" {
			break
		}
		topics[message.Topic] = true
	}
	if _, err := conn.Exec(ctx, "unlisten *"); err != nil {
		s.t.Fatal(err)
	}
	return strings.Join(slices.Sorted(maps.Keys(topics)), " ")
}

// race holds first in an open transaction until second, run beside it, waits for its locks; then commits and returns
// what became of the second.
func (s studio) race(second string, first ...string) error {
	s.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	tx, err := s.pool.Begin(ctx)
	if err != nil {
		s.t.Fatal(err)
	}
	defer func() { _ = tx.Rollback(context.WithoutCancel(ctx)) }()
	if _, err := tx.Exec(ctx, first[0]); err != nil {
		s.t.Fatal(err)
	}
	other, err := s.pool.Acquire(ctx)
	if err != nil {
		s.t.Fatal(err)
	}
	defer other.Release()
	pid := other.Conn().PgConn().PID()
	ended := make(chan error, 1)
	go func() {
		_, err := other.Exec(ctx, second)
		ended <- err
	}()
	s.untilBlocked(ctx, tx, pid)
	for _, sql := range first[1:] {
		if _, err := tx.Exec(ctx, sql); err != nil {
			s.t.Errorf("%s: %v", sql, err)
		}
	}
	if err := tx.Commit(ctx); err != nil {
		s.t.Error(err)
	}
	return <-ended
}

func (s studio) untilBlocked(ctx context.Context, tx pgx.Tx, pid uint32) {
	s.t.Helper()
	for {
		var blocked bool
		if err := tx.QueryRow(ctx, "select cardinality(pg_blocking_pids($1)) > 0", pid).Scan(&blocked); err != nil {
			s.t.Fatal("the second never waited: ", err)
		}
		if blocked {
			return
		}
		time.Sleep(5 * time.Millisecond)
	}
}

func TestTwoOwnersLeaveAtOnce(t *testing.T) {
	t.Parallel()
	s := newStudio(t, briefInsert, "insert into tenant_users (tenant_id, email, role) select id, 'second@haiec.com', 'owner' from tenants")
	err := s.race("delete from tenant_users where email = 'second@haiec.com'", "update tenant_users set role = 'viewer' where email = 'admin@haiec.com'")
	wantRefusal(t, "the last owner leaves", err, "KS409", "last_owner")
	s.run("update tenant_users set role = 'owner'")
	s.refused("KS409", "last_owner", "update tenant_users set role = 'viewer'")
	s.refused("KS409", "last_owner", "delete from tenant_users")
}

func TestCallsAndEditsDoNotDeadlock(t *testing.T) {
	t.Parallel()
	s := newStudio(t, briefInsert)
	call := "insert into call_logs (tenant_id, call_sid, started_at, agent_seconds) select id, 'CA1', now(), 5 from tenants"
	if err := s.race("update tenants set current_month_calls = 9", call); err != nil {
		t.Error(err)
	}
	s.is("select current_month_calls from tenants", "9")
	s.is("select calls + adjusted_calls from tenant_usage", "9")
	if err := s.race("update call_logs set duration_seconds = 7", "update tenants set current_month_calls = 3", "insert into usage_adjustments (tenant_id, usage_id, calls, actor) select tenant_id, id, 1, 'x' from tenant_usage"); err != nil {
		t.Error(err)
	}
	s.is("select seconds || ' ' || calls + adjusted_calls from tenant_usage", "7 4")
}

func TestTermsFollowEachOtherWhateverCommitsFirst(t *testing.T) {
	t.Parallel()
	s := newStudio(t, briefInsert, ready)
	ctx := context.Background()
	early, err := s.pool.Begin(ctx)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = early.Rollback(ctx) }()
	if _, err := early.Exec(ctx, "select now()"); err != nil {
		t.Fatal(err)
	}
	s.run("update tenants set is_active = false") // began later, commits first
	if _, err := early.Exec(ctx, "update tenants set is_active = true"); err != nil {
		t.Fatal(err)
	}
	if err := early.Commit(ctx); err != nil {
		t.Fatal(err)
	}
	s.is("select status from tenant_plans order by valid_from", "trial", "active")
	s.is("select count(distinct valid_from) || ' ' || count(valid_to) from tenant_plans", "2 1")
}

func TestANumberIsAttachedAndOrderedAtOnce(t *testing.T) {
	t.Parallel()
	s := newStudio(t, briefInsert, "insert into tenants (slug, company_name, owner_email) values ('other', 'Other', 'o@example.com')")
	attach := "insert into phone_numbers (tenant_id, phone_number) select id, '+16175550123' from tenants where slug = 'other'"
	order := "insert into number_purchases (tenant_id, phone_number) select id, '+16175550123' from tenants where slug = 'haiec'"
	wantRefusal(t, "order", s.race(order, attach), "KS409", "number_taken")
	s.run("delete from phone_numbers where phone_number = '+16175550123'")
	wantRefusal(t, "attach", s.race(attach, order), "KS409", "number_taken")
	// Ordered again while the first order ends with the number bought.
	wantRefusal(t, "order twice", s.race(order, "select private.record_purchase(id, 'PN1', 'AC1', 'x', null, null, null, null, null) from number_purchases"), "KS409", "number_taken")
	s.is("select count(*) from number_purchases", "1")
}

func TestAnOrderWaitsForTheDelete(t *testing.T) {
	t.Parallel()
	s := newStudio(t, briefInsert)
	err := s.race("insert into number_purchases (tenant_id, phone_number) select id, '+16175550123' from tenants", "delete from tenants")
	wantRefusal(t, "order for a tenant being deleted", err, "KS409", "tenant_closed")
}

func TestTheSameSlugTwiceAtOnce(t *testing.T) {
	t.Parallel()
	s := newStudio(t, briefInsert)
	insert := "insert into tenants (slug, company_name, owner_email) values ('new', 'N', '%s')"
	wantRefusal(t, "two inserts", s.race(fmt.Sprintf(insert, "b@example.com"), fmt.Sprintf(insert, "a@example.com")), "23505", "tenants_slug_key")
	// A slug being retired is not free for somebody else.
	wantRefusal(t, "insert of a slug being retired", s.race("insert into tenants (slug, company_name, owner_email) values ('haiec', 'N', 'c@example.com')", "update tenants set slug = 'haiec-two' where slug = 'haiec'"), "KS409", "slug_taken")
}
