package local

import (
	"context"
	"errors"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
)

// otpLife is how long links and codes in mails work.
const otpLife = time.Hour

const singleConfirmation = "Confirmation link accepted. Please proceed to confirm link sent to the other email"

// verification is a claim to have received a mail.
type verification struct {
	kind   string
	hashes []string // any of which may be the stored one
}

// redeem uses the token up and does what it proves. It returns nil for an e-mail change that still waits for the
// other address.
func (a *auth) redeem(r *http.Request, tx pgx.Tx, v verification) (*uuid.UUID, error) {
	ctx := r.Context()
	types, ok := tokenTypes[v.kind]
	if !ok {
		return nil, invalid("Invalid email verification type")
	}
	attempts := "verify " + a.clientIP(r)
	if !a.limit.mayAttempt(attempts) {
		return nil, errRequestRate
	}
	expired := fail(http.StatusForbidden, "otp_expired", "Email link is invalid or has expired")
	var id uuid.UUID
	var tokenType string
	var made time.Time
	err := tx.QueryRow(ctx, `delete from auth.one_time_tokens where token_hash = any($1) and token_type::text = any($2)
		returning user_id, token_type::text, created_at`, v.hashes, types).Scan(&id, &tokenType, &made)
	if errors.Is(err, pgx.ErrNoRows) {
		a.limit.failed(attempts)
		return nil, expired
	}
	if err != nil {
		return nil, err
	}
	if _, err := tx.Exec(ctx, "update auth.users set "+tokenColumns[tokenType][0]+" = '' where id = $1", id); err != nil {
		return nil, err
	}
	if a.Now().UTC().After(made.Add(otpLife)) {
		return nil, refused{expired}
	}
	u, err := findUser(ctx, tx, "where id = $1 and deleted_at is null", id)
	if err != nil {
		return nil, err
	}
	if u.banned(a.Now()) {
		return nil, fail(http.StatusForbidden, "user_banned", "User is banned")
	}
	if v.kind == "email_change" {
		done, err := a.confirmEmailChange(ctx, tx, u)
		if err != nil || !done {
			return nil, err
		}
		return &u.ID, nil
	}
	// One proof is enough: the other mails' links do nothing from now on.
	if _, err := tx.Exec(ctx, "delete from auth.one_time_tokens where user_id = $1 and token_type in ('confirmation_token', 'recovery_token')", u.ID); err != nil {
		return nil, err
	}
	if _, err := tx.Exec(ctx, "update auth.users set recovery_token = '' where id = $1", u.ID); err != nil {
		return nil, err
	}
	return &u.ID, a.confirm(ctx, tx, u.ID)
}

func (a *auth) confirmEmailChange(ctx context.Context, tx pgx.Tx, u *user) (done bool, err error) {
	var confirmations int
	if err := tx.QueryRow(ctx, `update auth.users set email_change_confirm_status = least(coalesce(email_change_confirm_status, 0) + 1, 2)
		where id = $1 returning email_change_confirm_status`, u.ID).Scan(&confirmations); err != nil {
		return false, err
	}
	if confirmations < 2 && !a.AutoConfirm && u.Email != "" {
		return false, nil
	}
	if err := a.setEmail(ctx, tx, u.ID, u.NewEmail, true); err != nil {
		return false, err
	}
	if _, err := tx.Exec(ctx, `update auth.users set email_change = '', email_change_token_new = '', email_change_token_current = '', email_change_confirm_status = 0
		where id = $1`, u.ID); err != nil {
		return false, err
	}
	_, err = tx.Exec(ctx, "delete from auth.one_time_tokens where user_id = $1 and token_type in ('email_change_token_new', 'email_change_token_current')", u.ID)
	return true, err
}

// verify is POST /verify: a token_hash alone, or a code with its address.
func (a *auth) verify(w http.ResponseWriter, r *http.Request) error {
	var in struct {
		Type, Token, Email, Phone string
		TokenHash                 string `json:"token_hash"`
	}
	if err := decode(r, &in); err != nil {
		return err
	}
	v := verification{kind: in.Type, hashes: []string{in.TokenHash}}
	switch {
	case in.Type == "":
		return invalid("Verify requires a verification type")
	case (in.Token == "") == (in.TokenHash == ""):
		return invalid("Verify requires either a token or a token hash")
	case in.TokenHash != "" && (in.Email != "" || in.Phone != ""):
		return invalid("Only the token_hash and type should be provided")
	case in.Token != "":
		if in.Email == "" || in.Phone != "" {
			return invalid("Only an email address or phone number should be provided on verify")
		}
		hash := tokenHash(normal(in.Email), in.Token)
		v.hashes = []string{hash, "pkce_" + hash}
	}
	var out *tokens
	err := a.inTx(r.Context(), func(tx pgx.Tx) error {
		id, err := a.redeem(r, tx, v)
		if err == nil && id != nil {
			out, err = a.newSession(r, tx, *id, "otp")
		}
		return err
	})
	var e *authError
	if errors.As(err, &e) && e.code == "otp_expired" && in.Token != "" {
		return fail(http.StatusForbidden, "otp_expired", "Token has expired or is invalid")
	}
	if err != nil {
		return err
	}
	if out == nil {
		return writeJSON(w, http.StatusOK, map[string]string{"msg": singleConfirmation, "code": "200"})
	}
	return writeJSON(w, http.StatusOK, out)
}

// verifyLink is GET /verify, the link in a mail: it redirects with a session in the fragment, with ?code= where the
// mail was asked for with a PKCE challenge, or with an error.
func (a *auth) verifyLink(w http.ResponseWriter, r *http.Request) error {
	if r.Method != http.MethodGet { // the mux lets HEAD in; it must not use the token up
		return fail(http.StatusMethodNotAllowed, "method_not_allowed", "Method not allowed")
	}
	query := r.URL.Query()
	token, kind := query.Get("token"), query.Get("type")
	if kind == "" {
		return invalid("Verify requires a verification type")
	}
	if token == "" {
		return invalid("Verify requires a token or a token hash")
	}
	target, err := url.Parse(a.redirectTo(askedRedirect(r)))
	if err != nil {
		return err
	}
	target.Fragment = ""
	pkce := strings.HasPrefix(token, "pkce_")
	fragment := url.Values{}
	err = a.inTx(r.Context(), func(tx pgx.Tx) error {
		id, err := a.redeem(r, tx, verification{kind, []string{token}})
		switch {
		case err != nil:
			return err
		case id == nil:
			fragment.Set("message", singleConfirmation)
			fragment.Set("sb", "")
			return nil
		case pkce:
			code, err := a.issueCode(r.Context(), tx, *id, kind)
			q := target.Query()
			q.Set("code", code)
			target.RawQuery = q.Encode()
			return err
		}
		out, err := a.newSession(r, tx, *id, "otp")
		if err != nil {
			return err
		}
		fragment.Set("access_token", out.AccessToken)
		fragment.Set("expires_at", strconv.FormatInt(out.ExpiresAt, 10))
		fragment.Set("expires_in", strconv.Itoa(out.ExpiresIn))
		fragment.Set("refresh_token", out.RefreshToken)
		fragment.Set("token_type", out.TokenType)
		fragment.Set("type", kind)
		return nil
	})
	if err != nil {
		var e *authError
		if !errors.As(err, &e) {
			return err
		}
		fragment = errorFragment(e)
		if pkce {
			q := target.Query()
			for k, v := range fragment {
				q[k] = v
			}
			q.Del("sb")
			target.RawQuery = q.Encode()
		}
	}
	to := target.String()
	if len(fragment) > 0 {
		to += "#" + fragment.Encode()
	}
	w.Header().Set("Cache-Control", "no-store")
	w.Header().Set("Referrer-Policy", "no-referrer")
	w.Header().Set("Location", to)
	w.WriteHeader(http.StatusSeeOther)
	return nil
}

func errorFragment(e *authError) url.Values {
	oauth := map[int]string{400: "invalid_request", 401: "unauthorized_client", 403: "access_denied", 500: "server_error", 503: "temporarily_unavailable"}
	v := url.Values{"error_code": {e.code}, "error_description": {e.message}, "sb": {""}}
	if name, ok := oauth[e.status]; ok {
		v.Set("error", name)
	}
	return v
}

// issueCode gives the newest waiting PKCE request of the user a code.
func (a *auth) issueCode(ctx context.Context, tx pgx.Tx, id uuid.UUID, kind string) (string, error) {
	code := uuid.NewString()
	tag, err := tx.Exec(ctx, `update auth.flow_state set auth_code = $3, auth_code_issued_at = $4, updated_at = $4 where id =
		(select id from auth.flow_state where user_id = $1 and authentication_method = $2 and auth_code is null order by created_at desc limit 1)`,
		id, kind, code, a.Now())
	if err == nil && tag.RowsAffected() == 0 {
		return "", fail(http.StatusBadRequest, "flow_state_not_found", "No associated flow state found")
	}
	return code, err
}
