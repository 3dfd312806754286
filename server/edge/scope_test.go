package edge

import (
	"testing"

	"github.com/google/uuid"

	"kestrel.ai/subdomain"
)

// Whoever asks at a tenant's host asks of that tenant only, and a view writes only if it was opened for that.
func TestScopeOfSQL(t *testing.T) {
	t.Parallel()
	tenant := uuid.New()
	for _, kind := range []Kind{Anonymous, Person, Key, PlatformAdmin, View} {
		s := Scope{Tenant: subdomain.Tenant{ID: tenant}, Principal: Principal{Kind: kind}}
		sql := s.SQL()
		if sql.TenantID != tenant || sql.ReadOnly != (kind == View) {
			t.Errorf("%s: tenant %s, read-only %v", kind, sql.TenantID, sql.ReadOnly)
		}
		if s.Principal.View.CanWrite = true; s.SQL().ReadOnly {
			t.Errorf("%s: a view for writing is read-only", kind)
		}
		if s.Tenant = (subdomain.Tenant{}); s.SQL().TenantID != uuid.Nil {
			t.Errorf("%s: narrowed to no tenant", kind)
		}
	}
}
