package local_test

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"kestrel.ai/supabase"
	"kestrel.ai/supabase/local"
)

func TestTokenHasThePlatformsClaims(t *testing.T) {
	t.Parallel()
	s := newStack(t)
	id := s.user("a@example.com")
	token := s.signIn("a@example.com").str("access_token")
	parts := strings.Split(token, ".")
	var header, claims anyMap
	for i, into := range []*anyMap{&header, &claims} {
		raw, err := base64.RawURLEncoding.DecodeString(parts[i])
		must(t, err)
		must(t, json.Unmarshal(raw, into))
	}
	if len(header) != 3 || header["alg"] != "ES256" || header["typ"] != "JWT" || header["kid"] == "" {
		t.Errorf("header %v", header)
	}
	want := []string{"aal", "amr", "app_metadata", "aud", "email", "exp", "iat", "is_anonymous", "iss", "phone", "role", "session_id", "sub", "user_metadata"}
	for _, name := range want {
		if _, ok := claims[name]; !ok {
			t.Errorf("claim %s is missing", name)
		}
	}
	if len(claims) != len(want) || claims["iss"] != s.base+"/auth/v1" || claims["aud"] != "authenticated" || claims["sub"] != id ||
		claims["aal"] != "aal1" || claims["exp"].(float64)-claims["iat"].(float64) != 3600 {
		t.Errorf("claims %v", claims)
	}
	// Kestrel's own verifier takes it, with the keys that Auth publishes.
	verifier, err := supabase.NewVerifier(supabase.VerifierConfig{
		Issuer: s.base + "/auth/v1", Algs: []string{"ES256"}, JWKSURL: s.base + "/auth/v1/.well-known/jwks.json",
	})
	must(t, err)
	if got, err := verifier.Verify(context.Background(), token); err != nil || got.Subject.String() != id || got.AAL != "aal1" {
		t.Errorf("%+v, %v", got, err)
	}
}

func TestPasswordsAreBcryptAndTablesClosed(t *testing.T) {
	t.Parallel()
	s := newStack(t, func(o *local.AuthOptions) { o.HashCost = 0 })
	s.user("a@example.com")
	ctx := context.Background()
	var hash string
	must(t, s.pool.QueryRow(ctx, "select encrypted_password from auth.users").Scan(&hash))
	if !strings.HasPrefix(hash, "$2a$10$") {
		t.Errorf("hash %.7s…", hash)
	}
	for role, allowed := range map[string]bool{"postgres": true, "supabase_auth_admin": true, "anon": false, "authenticated": false, "service_role": false} {
		for _, table := range []string{"users", "identities", "sessions", "refresh_tokens", "mfa_factors", "mfa_challenges", "mfa_amr_claims", "one_time_tokens", "flow_state"} {
			for _, privilege := range []string{"select", "insert", "update", "delete"} {
				var got bool
				must(t, s.pool.QueryRow(ctx, "select has_table_privilege($1, 'auth.' || $2, $3)", role, table, privilege).Scan(&got))
				if got != allowed {
					t.Errorf("%s may %s auth.%s: %v", role, privilege, table, got)
				}
			}
		}
	}
}

func TestSigningKeyFile(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "key.pem")
	keys := make([]*local.SigningKey, 4)
	var wg sync.WaitGroup
	for i := range keys {
		wg.Go(func() {
			key, err := local.LoadOrCreateKey(path)
			if err != nil {
				t.Error(err)
			}
			keys[i] = key
		})
	}
	wg.Wait()
	token, err := keys[0].RoleJWT("anon", time.Now())
	must(t, err)
	header, _, _ := strings.Cut(token, ".")
	for _, key := range keys {
		same, err := key.RoleJWT("anon", time.Now())
		must(t, err)
		if !strings.HasPrefix(same, header+".") {
			t.Error("the keys differ")
		}
	}
	info, err := os.Stat(path)
	must(t, err)
	if info.Mode().Perm() != 0o600 {
		t.Errorf("mode %v", info.Mode())
	}
	must(t, os.Chmod(path, 0o644))
	if _, err := local.LoadOrCreateKey(path); err == nil {
		t.Error("a key that others can read was accepted")
	}
}
