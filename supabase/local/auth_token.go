package local

import (
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"errors"
	"net/http"
	"regexp"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"golang.org/x/crypto/bcrypt"
)

const authCodeLife = 5 * time.Minute

var errLogin = fail(http.StatusBadRequest, "invalid_credentials", "Invalid login credentials")

func (a *auth) token(w http.ResponseWriter, r *http.Request) error {
	var in struct {
		Email, Phone, Password string
		RefreshToken           string `json:"refresh_token"`
		AuthCode               string `json:"auth_code"`
		CodeVerifier           string `json:"code_verifier"`
	}
	grant := r.URL.Query().Get("grant_type")
	if grant != "password" && grant != "refresh_token" && grant != "pkce" {
		return fail(http.StatusBadRequest, "invalid_credentials", "unsupported_grant_type")
	}
	if err := decode(r, &in); err != nil {
		return err
	}
	var out *tokens
	var err error
	switch grant {
	case "password":
		if in.Phone != "" {
			return fail(http.StatusUnprocessableEntity, "phone_provider_disabled", "Phone logins are disabled")
		}
		if in.Email == "" {
			return invalid("missing email or phone")
		}
		out, err = a.passwordGrant(r, normal(in.Email), in.Password)
	case "refresh_token":
		out, err = a.refreshGrant(r, in.RefreshToken)
	default:
		out, err = a.codeGrant(r, in.AuthCode, in.CodeVerifier)
	}
	if err != nil {
		return err
	}
	return writeJSON(w, http.StatusOK, out)
}

func (a *auth) passwordGrant(r *http.Request, email, password string) (*tokens, error) {
	ctx := r.Context()
	attempts := "password " + a.clientIP(r) + " " + email
	if !a.limit.mayAttempt(attempts) {
		return nil, errRequestRate
	}
	u, err := findUserByEmail(ctx, a.Pool, email)
	if err != nil && !errors.Is(err, pgx.ErrNoRows) {
		return nil, err
	}
	hash := a.nobodysHash // so that an unknown address takes as long as a wrong password
	if u != nil && u.passwordHash != "" {
		hash = u.passwordHash
	}
	right := bcrypt.CompareHashAndPassword([]byte(hash), []byte(password)) == nil
	if u == nil || u.passwordHash == "" || !right {
		a.limit.failed(attempts)
		return nil, errLogin
	}
	a.limit.forget(attempts)
	if u.banned(a.Now()) {
		return nil, fail(http.StatusBadRequest, "user_banned", "User is banned")
	}
	if !u.confirmed() {
		return nil, fail(http.StatusBadRequest, "email_not_confirmed", "Email not confirmed")
	}
	var out *tokens
	err = a.inTx(ctx, func(tx pgx.Tx) error {
		out, err = a.newSession(r, tx, u.ID, "password")
		return err
	})
	if weak := checkPassword(password); err == nil && weak != nil {
		out.Weak = &weakPassword{weak.message, weak.reasons}
	}
	return out, err
}

var refreshTokenFormat = regexp.MustCompile(`^[a-z0-9]{12}$`)

// refreshGrant rotates a refresh token. Using one again that was rotated ends the session: someone has a copy. GoTrue
// forgives the newest token's parent, for lost answers, and others for a configured interval; here nothing is lost on
// the way, and config.toml sets that interval to 0.
func (a *auth) refreshGrant(r *http.Request, token string) (*tokens, error) {
	if !refreshTokenFormat.MatchString(token) {
		return nil, invalid("Refresh token is not valid")
	}
	ctx := r.Context()
	var out *tokens
	err := a.inTx(ctx, func(tx pgx.Tx) error {
		var session uuid.UUID
		err := tx.QueryRow(ctx, "select session_id from auth.refresh_tokens where token = $1 and session_id is not null", token).Scan(&session)
		if errors.Is(err, pgx.ErrNoRows) {
			return fail(http.StatusBadRequest, "refresh_token_not_found", "Invalid Refresh Token: Refresh Token Not Found")
		}
		if err != nil {
			return err
		}
		// The session's row is the lock under which its tokens rotate.
		var id uuid.UUID
		var banned, expired bool
		err = tx.QueryRow(ctx, `select u.id, coalesce(u.banned_until > $2, false) or u.deleted_at is not null, coalesce(s.not_after < $2, false)
			from auth.sessions s join auth.users u on u.id = s.user_id where s.id = $1 for update of s`, session, a.Now()).Scan(&id, &banned, &expired)
		switch {
		case errors.Is(err, pgx.ErrNoRows):
			return fail(http.StatusBadRequest, "session_not_found", "Invalid Refresh Token: No Valid Session Found")
		case err != nil:
			return err
		case banned:
			return fail(http.StatusBadRequest, "user_banned", "Invalid Refresh Token: User Banned")
		case expired:
			return fail(http.StatusBadRequest, "session_expired", "Invalid Refresh Token: Session Expired")
		}
		var revoked bool
		if err := tx.QueryRow(ctx, "select revoked from auth.refresh_tokens where token = $1", token).Scan(&revoked); err != nil {
			return err
		}
		if revoked {
			if _, err := tx.Exec(ctx, "delete from auth.sessions where id = $1", session); err != nil {
				return err
			}
			return refused{fail(http.StatusBadRequest, "refresh_token_already_used", "Invalid Refresh Token: Already Used")}
		}
		next, err := a.rotate(ctx, tx, id, session, token)
		if err == nil {
			out, err = a.issue(ctx, tx, id, session, next)
		}
		return err
	})
	return out, err
}

// rotate replaces whatever refresh token the session has by a child of parent.
func (a *auth) rotate(ctx context.Context, tx pgx.Tx, id, session uuid.UUID, parent string) (string, error) {
	if _, err := tx.Exec(ctx, "update auth.refresh_tokens set revoked = true, updated_at = $2 where session_id = $1 and not revoked", session, a.Now()); err != nil {
		return "", err
	}
	if _, err := tx.Exec(ctx, "update auth.sessions set refreshed_at = $2, updated_at = $3 where id = $1", session, a.Now().UTC(), a.Now()); err != nil {
		return "", err
	}
	return a.newRefreshToken(ctx, tx, id, session, &parent)
}

// codeGrant exchanges the code of a PKCE link for a session. A code works once.
func (a *auth) codeGrant(r *http.Request, code, verifier string) (*tokens, error) {
	if code == "" || verifier == "" {
		return nil, invalid("invalid request: both auth code and code verifier should be non-empty")
	}
	ctx := r.Context()
	var out *tokens
	err := a.inTx(ctx, func(tx pgx.Tx) error {
		var id uuid.UUID
		var method, challenge, authMethod string
		var issued time.Time
		err := tx.QueryRow(ctx, `delete from auth.flow_state where auth_code = $1 and user_id is not null and auth_code_issued_at is not null
			returning user_id, code_challenge_method::text, code_challenge, authentication_method, auth_code_issued_at`, code).
			Scan(&id, &method, &challenge, &authMethod, &issued)
		if errors.Is(err, pgx.ErrNoRows) {
			return fail(http.StatusNotFound, "flow_state_not_found", "invalid flow state, no valid flow state found")
		}
		if err != nil {
			return err
		}
		if a.Now().After(issued.Add(authCodeLife)) {
			return refused{fail(http.StatusUnprocessableEntity, "flow_state_expired", "invalid flow state, flow state has expired")}
		}
		if method == "s256" {
			sum := sha256.Sum256([]byte(verifier))
			verifier = base64.RawURLEncoding.EncodeToString(sum[:])
		}
		if subtle.ConstantTimeCompare([]byte(verifier), []byte(challenge)) != 1 {
			return refused{fail(http.StatusBadRequest, "bad_code_verifier", "code challenge does not match previously saved code verifier")}
		}
		out, err = a.newSession(r, tx, id, authMethod)
		return err
	})
	return out, err
}
