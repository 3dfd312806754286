package local

import (
	"context"
	"crypto/rand"
	"errors"
	"net/http"
	"time"

	"github.com/golang-jwt/jwt/v5"
	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
)

const accessTokenLife = time.Hour

// accessClaims are the claims of an access token, in the order in which they are signed.
type accessClaims struct {
	AAL          string         `json:"aal"`
	AMR          []amr          `json:"amr"`
	AppMetadata  map[string]any `json:"app_metadata"`
	Audience     string         `json:"aud"`
	Email        string         `json:"email"`
	ExpiresAt    int64          `json:"exp"`
	IssuedAt     int64          `json:"iat"`
	IsAnonymous  bool           `json:"is_anonymous"`
	Issuer       string         `json:"iss"`
	Phone        string         `json:"phone"`
	Role         string         `json:"role"`
	SessionID    string         `json:"session_id"`
	Subject      string         `json:"sub"`
	UserMetadata map[string]any `json:"user_metadata"`
}

// amr names a way in which the session's holder has proved who they are, and when (Unix seconds).
type amr struct {
	Method    string `json:"method"`
	Timestamp int64  `json:"timestamp"`
}

func (c accessClaims) GetExpirationTime() (*jwt.NumericDate, error) {
	return jwt.NewNumericDate(time.Unix(c.ExpiresAt, 0)), nil
}
func (c accessClaims) GetIssuedAt() (*jwt.NumericDate, error) {
	return jwt.NewNumericDate(time.Unix(c.IssuedAt, 0)), nil
}
func (c accessClaims) GetNotBefore() (*jwt.NumericDate, error) { return nil, nil }
func (c accessClaims) GetIssuer() (string, error)              { return c.Issuer, nil }
func (c accessClaims) GetSubject() (string, error)             { return c.Subject, nil }
func (c accessClaims) GetAudience() (jwt.ClaimStrings, error) {
	return jwt.ClaimStrings{c.Audience}, nil
}
func (k *SigningKey) person(token, issuer string, now func() time.Time) (*accessClaims, error) {
	claims := &accessClaims{}
	err := k.parse(token, claims, now, jwt.WithIssuer(issuer), jwt.WithAudience("authenticated"))
	return claims, err
}

// caller is a person with a live session.
type caller struct {
	*user
	session uuid.UUID
	aal     string
}

func (a *auth) authenticate(ctx context.Context, token string) (*caller, error) {
	if token == "" || a.Keys.role(token) != "" && a.Keys.AnonJWT != token && a.Keys.ServiceJWT != token {
		return nil, fail(http.StatusUnauthorized, "no_authorization", "This endpoint requires a valid Bearer token")
	}
	if a.Keys.role(token) != "" {
		return nil, fail(http.StatusForbidden, "bad_jwt", "invalid claim: missing sub claim")
	}
	claims, err := a.Key.person(token, a.issuer, a.Now)
	if err != nil {
		return nil, &authError{status: http.StatusForbidden, code: "bad_jwt", message: "invalid JWT: unable to parse or verify signature", cause: err}
	}
	id, err := uuid.Parse(claims.Subject)
	if err != nil {
		return nil, fail(http.StatusForbidden, "bad_jwt", "invalid claim: sub claim must be a UUID")
	}
	u, err := findUser(ctx, a.Pool, "where id = $1 and deleted_at is null", id)
	if errors.Is(err, pgx.ErrNoRows) {
		return nil, fail(http.StatusForbidden, "user_not_found", "User from sub claim in JWT does not exist")
	}
	if err != nil {
		return nil, err
	}
	if u.banned(a.Now()) {
		return nil, fail(http.StatusForbidden, "user_banned", "User is banned")
	}
	c := &caller{user: u}
	err = a.Pool.QueryRow(ctx, `select id, coalesce(aal::text, 'aal1') from auth.sessions
		where id::text = $1 and user_id = $2 and (not_after is null or not_after > $3)`, claims.SessionID, id, a.Now()).Scan(&c.session, &c.aal)
	if errors.Is(err, pgx.ErrNoRows) {
		return nil, fail(http.StatusForbidden, "session_not_found", "Session from session_id claim in JWT does not exist")
	}
	return c, err
}

// tokens is the answer to a sign-in.
type tokens struct {
	AccessToken  string        `json:"access_token"`
	TokenType    string        `json:"token_type"`
	ExpiresIn    int           `json:"expires_in"` // seconds
	ExpiresAt    int64         `json:"expires_at"` // Unix seconds
	RefreshToken string        `json:"refresh_token"`
	User         *user         `json:"user"`
	Weak         *weakPassword `json:"weak_password,omitempty"`
}

type weakPassword struct {
	Message string   `json:"message"`
	Reasons []string `json:"reasons"`
}

// newSession signs the user in by method. It runs inside the transaction that proved who the user is.
func (a *auth) newSession(r *http.Request, tx pgx.Tx, id uuid.UUID, method string) (*tokens, error) {
	ctx, now, session := r.Context(), a.Now(), uuid.New()
	if _, err := tx.Exec(ctx, `insert into auth.sessions (id, user_id, created_at, updated_at, aal, user_agent, ip)
		values ($1, $2, $3, $3, 'aal1', left($4, 500), $5::inet)`, session, id, now, text(r.UserAgent()), a.clientIP(r)); err != nil {
		return nil, err
	}
	if err := a.addAMR(ctx, tx, session, method); err != nil {
		return nil, err
	}
	if _, err := tx.Exec(ctx, "update auth.users set last_sign_in_at = $2, updated_at = $2 where id = $1", id, now); err != nil {
		return nil, err
	}
	if _, err := tx.Exec(ctx, "update auth.identities set last_sign_in_at = $2, updated_at = $2 where user_id = $1 and provider = 'email'", id, now); err != nil {
		return nil, err
	}
	refresh, err := a.newRefreshToken(ctx, tx, id, session, nil)
	if err != nil {
		return nil, err
	}
	return a.issue(ctx, tx, id, session, refresh)
}

func (a *auth) addAMR(ctx context.Context, tx pgx.Tx, session uuid.UUID, method string) error {
	_, err := tx.Exec(ctx, `insert into auth.mfa_amr_claims (id, session_id, created_at, updated_at, authentication_method) values ($1, $2, $3, $3, $4)
		on conflict (session_id, authentication_method) do update set updated_at = excluded.updated_at`, uuid.New(), session, a.Now(), method)
	return err
}

func (a *auth) newRefreshToken(ctx context.Context, tx pgx.Tx, id, session uuid.UUID, parent *string) (string, error) {
	token := randomText(12)
	_, err := tx.Exec(ctx, `insert into auth.refresh_tokens (instance_id, token, user_id, revoked, created_at, updated_at, parent, session_id)
		values ('00000000-0000-0000-0000-000000000000', $1, $2, false, $3, $3, $4, $5)`, token, id.String(), a.Now(), parent, session)
	return token, err
}

// issue signs an access token for the session as it is now.
func (a *auth) issue(ctx context.Context, tx pgx.Tx, id, session uuid.UUID, refresh string) (*tokens, error) {
	u, err := findUser(ctx, tx, "where id = $1", id)
	if err != nil {
		return nil, err
	}
	rows, err := tx.Query(ctx, `select authentication_method, extract(epoch from updated_at)::bigint from auth.mfa_amr_claims
		where session_id = $1 order by updated_at desc, authentication_method`, session)
	if err != nil {
		return nil, err
	}
	methods, err := pgx.CollectRows(rows, pgx.RowToStructByPos[amr])
	if err != nil {
		return nil, err
	}
	aal := "aal1"
	for _, m := range methods {
		if m.Method == "totp" {
			aal = "aal2"
		}
	}
	now := a.Now()
	expires := now.Add(accessTokenLife).Unix()
	access, err := a.Key.Sign(accessClaims{
		AAL: aal, AMR: methods, AppMetadata: u.AppMetadata, Audience: "authenticated", Email: u.Email, ExpiresAt: expires, IssuedAt: now.Unix(),
		IsAnonymous: u.IsAnonymous, Issuer: a.issuer, Phone: u.Phone, Role: u.Role, SessionID: session.String(), Subject: u.ID.String(), UserMetadata: u.UserMetadata,
	})
	return &tokens{access, "bearer", int(accessTokenLife.Seconds()), expires, refresh, u, nil}, err
}

// randomText returns n characters of a–z and 0–9.
func randomText(n int) string {
	const alphabet = "abcdefghijklmnopqrstuvwxyz234567"
	raw := make([]byte, n)
	_, _ = rand.Read(raw) // never fails
	for i, b := range raw {
		raw[i] = alphabet[b&31]
	}
	return string(raw)
}
