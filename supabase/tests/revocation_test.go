package tests

import (
	"sync"
	"testing"

	"kestrel.ai/supabase/supabasetest"
)

// TestTwoRevocationsAtOnce has each of two admins revoked by a transaction of its own, which both end; and the last stays.
func TestTwoRevocationsAtOnce(t *testing.T) {
	t.Parallel()
	pool := supabasetest.New(t).Admin
	for range 20 {
		if _, err := pool.Exec(t.Context(), `delete from platform_admins where email = any ($1)`, []string{"ann@kestrel.test", "bob@kestrel.test"}); err != nil {
			t.Fatal(err)
		}
		if _, err := pool.Exec(t.Context(), `insert into platform_admins (email, granted_by) values ('ann@kestrel.test', 'seed'), ('bob@kestrel.test', 'seed'), ('cay@kestrel.test', 'seed') on conflict do nothing`); err != nil {
			t.Fatal(err)
		}
		var both sync.WaitGroup
		for _, email := range []string{"ann@kestrel.test", "bob@kestrel.test"} {
			both.Go(func() {
				if _, err := pool.Exec(t.Context(), `delete from platform_admins where email = $1`, email); err != nil {
					t.Error(err)
				}
			})
		}
		both.Wait()
	}
	var last int
	if err := pool.QueryRow(t.Context(), `select count(*) from platform_admins`).Scan(&last); err != nil || last == 0 {
		t.Error(last, err)
	}
	if _, err := pool.Exec(t.Context(), `delete from platform_admins`); err == nil {
		t.Error("nobody is left")
	}
}
