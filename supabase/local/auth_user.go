package local

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/mail"
	"strings"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"golang.org/x/crypto/bcrypt"
)

const (
	minPassword = 8
	maxPassword = 72 // bcrypt ignores what follows
)

// checkPassword returns nil, weak_password, or validation_failed for one that bcrypt would cut.
func checkPassword(password string) *authError {
	if len(password) > maxPassword {
		return invalid(fmt.Sprintf("Password cannot be longer than %d characters", maxPassword))
	}
	if len(password) < minPassword {
		e := fail(http.StatusUnprocessableEntity, "weak_password", fmt.Sprintf("Password should be at least %d characters.", minPassword))
		e.reasons = []string{"length"}
		return e
	}
	return nil
}

func (a *auth) hashPassword(password string) (string, error) {
	if weak := checkPassword(password); weak != nil {
		return "", weak
	}
	hash, err := bcrypt.GenerateFromPassword([]byte(password), a.HashCost)
	return string(hash), err
}

func normal(email string) string { return strings.ToLower(strings.TrimSpace(email)) }

// checkEmail returns the address as it is stored.
func checkEmail(email string) (string, error) {
	email = normal(email)
	if email == "" {
		return "", invalid("An email address is required")
	}
	parsed, err := mail.ParseAddress(email)
	if err != nil || parsed.Address != email || len(email) > 255 || strings.ContainsAny(email, " \"\\") {
		return "", invalid("Unable to validate email address: invalid format")
	}
	return email, nil
}

// text drops what Postgres refuses to store as text.
func text(s string) string {
	return strings.ReplaceAll(strings.ToValidUTF8(s, ""), "\x00", "")
}

// challenge is the PKCE half of a request that leads to a mail.
type challenge struct {
	Challenge string `json:"code_challenge"`
	Method    string `json:"code_challenge_method"`
}

func (c challenge) check() error {
	if (c.Challenge == "") != (c.Method == "") {
		return invalid("PKCE flow requires code_challenge_method and code_challenge")
	}
	if c.Challenge == "" {
		return nil
	}
	if m := strings.ToLower(c.Method); m != "s256" && m != "plain" {
		return invalid("unsupported code_challenge method type")
	}
	if len(c.Challenge) < 43 || len(c.Challenge) > 128 {
		return invalid("code challenge has to be between 43 and 128 characters")
	}
	return nil
}

// signup creates a user. An address that is taken gets the answer of a new one, and no mail.
func (a *auth) signup(w http.ResponseWriter, r *http.Request) error {
	var in struct {
		Email, Phone, Password string
		Data                   map[string]any
		challenge
	}
	if err := decode(r, &in); err != nil {
		return err
	}
	switch {
	case a.DisableSignup:
		return fail(http.StatusUnprocessableEntity, "signup_disabled", "Signups not allowed for this instance")
	case in.Email == "" && in.Phone == "":
		return fail(http.StatusUnprocessableEntity, "anonymous_provider_disabled", "Anonymous sign-ins are disabled")
	case in.Phone != "":
		return fail(http.StatusBadRequest, "phone_provider_disabled", "Phone signups are disabled")
	case in.Password == "":
		return invalid("Signup requires a valid password")
	}
	email, err := checkEmail(in.Email)
	if err != nil {
		return err
	}
	if err := in.check(); err != nil {
		return err
	}
	hash, err := a.hashPassword(in.Password) // for a taken address too: the same time passes
	if err != nil {
		return err
	}
	if !a.AutoConfirm {
		if err := a.limit.mayMail(email); err != nil {
			return err
		}
	}
	ctx := r.Context()
	var u *user
	var session *tokens
	err = a.inTx(ctx, func(tx pgx.Tx) error {
		u, err = findUserByEmail(ctx, tx, email)
		if err == nil && u.confirmed() {
			return nil
		}
		if errors.Is(err, pgx.ErrNoRows) {
			n := newUser{id: uuid.New(), email: email, passwordHash: hash, confirmed: a.AutoConfirm}
			n.data = signupData(in.Data, n.id, email)
			if u, err = a.createUser(ctx, tx, n); err != nil {
				return err
			}
		} else if err != nil {
			return err
		}
		if a.AutoConfirm {
			if err := a.confirm(ctx, tx, u.ID); err != nil {
				return err
			}
			session, err = a.newSession(r, tx, u.ID, "password")
			return err
		}
		if err := a.sendLink(ctx, tx, u, linkMail{kind: "signup", to: email, redirect: askedRedirect(r), challenge: in.challenge}); err != nil {
			return err
		}
		u, err = findUser(ctx, tx, "where id = $1", u.ID)
		return err
	})
	if err != nil {
		return err
	}
	if session != nil {
		return writeJSON(w, http.StatusOK, session)
	}
	if u.confirmed() {
		if a.AutoConfirm {
			return fail(http.StatusUnprocessableEntity, "user_already_exists", "User already registered")
		}
		return writeJSON(w, http.StatusOK, a.decoy(email, in.Data))
	}
	return writeJSON(w, http.StatusOK, u)
}

func signupData(data map[string]any, id uuid.UUID, email string) map[string]any {
	out := map[string]any{"sub": id.String(), "email": email, "email_verified": false, "phone_verified": false}
	for k, v := range data {
		if _, taken := out[k]; !taken {
			out[k] = v
		}
	}
	return out
}

// decoy looks like a user who has just signed up. Only its empty list of identities tells, as on the platform,
// where supabase-js documents it.
func (a *auth) decoy(email string, data map[string]any) *user {
	if data == nil {
		data = map[string]any{}
	}
	now := a.Now()
	return &user{
		ID: uuid.New(), Aud: "authenticated", Role: "", Email: email, ConfirmationSent: &now, Identities: []identity{},
		AppMetadata: map[string]any{"provider": "email", "providers": []string{"email"}}, UserMetadata: data, CreatedAt: now, UpdatedAt: now,
	}
}

func (a *auth) getUser(w http.ResponseWriter, _ *http.Request, c *caller) error {
	return writeJSON(w, http.StatusOK, c.user)
}

func (a *auth) updateUser(w http.ResponseWriter, r *http.Request, c *caller) error {
	var in struct {
		Email, Phone, Nonce string
		Password            *string
		Data                map[string]any
		App                 map[string]any `json:"app_metadata"`
		challenge
	}
	if err := decode(r, &in); err != nil {
		return err
	}
	if err := in.check(); err != nil {
		return err
	}
	if in.App != nil {
		return fail(http.StatusForbidden, "not_admin", "Updating app_metadata requires admin privileges")
	}
	if in.Phone != "" {
		return fail(http.StatusBadRequest, "phone_provider_disabled", "Phone signups are disabled")
	}
	var err error
	if in.Email != "" {
		if in.Email, err = checkEmail(in.Email); err != nil {
			return err
		}
	}
	moves := in.Email != "" && in.Email != c.Email
	if c.hasFactor() && c.aal != "aal2" && (in.Password != nil || moves) {
		return fail(http.StatusUnauthorized, "insufficient_aal", "AAL2 session is required to update email or password when MFA is enabled.")
	}
	hash := ""
	if in.Password != nil {
		if hash, err = a.hashPassword(*in.Password); err != nil {
			return err
		}
		if c.passwordHash != "" && bcrypt.CompareHashAndPassword([]byte(c.passwordHash), []byte(*in.Password)) == nil {
			return fail(http.StatusUnprocessableEntity, "same_password", "New password should be different from the old password.")
		}
	}
	ctx := r.Context()
	var u *user
	err = a.inTx(ctx, func(tx pgx.Tx) error {
		if in.Nonce != "" {
			if err := a.useReauthentication(ctx, tx, c.user, in.Nonce); err != nil {
				return err
			}
		}
		if hash != "" {
			if err := a.setPassword(ctx, tx, c.ID, hash, c.session); err != nil {
				return err
			}
		}
		if err := a.mergeMetadata(ctx, tx, c.ID, "raw_user_meta_data", in.Data); err != nil {
			return err
		}
		if moves {
			if err := a.startEmailChange(ctx, tx, c.user, in.Email, askedRedirect(r), in.challenge); err != nil {
				return err
			}
		}
		u, err = findUser(ctx, tx, "where id = $1", c.ID)
		return err
	})
	if err != nil {
		return err
	}
	return writeJSON(w, http.StatusOK, u)
}

// setPassword stores a new hash and ends every session of the user but keep: whoever knew the old one is out. A
// pending recovery link dies as well.
func (a *auth) setPassword(ctx context.Context, tx pgx.Tx, id uuid.UUID, hash string, keep uuid.UUID) error {
	if _, err := tx.Exec(ctx, "update auth.users set encrypted_password = $2, recovery_token = '', updated_at = $3 where id = $1", id, hash, a.Now()); err != nil {
		return err
	}
	if _, err := tx.Exec(ctx, "delete from auth.one_time_tokens where user_id = $1 and token_type in ('recovery_token', 'reauthentication_token')", id); err != nil {
		return err
	}
	_, err := tx.Exec(ctx, "delete from auth.sessions where user_id = $1 and id <> $2", id, keep)
	return err
}

func (a *auth) logout(w http.ResponseWriter, r *http.Request, c *caller) error {
	var which string
	switch scope := r.URL.Query().Get("scope"); scope {
	case "", "global":
		which = "true"
	case "local":
		which = "id = $2"
	case "others":
		which = "id <> $2"
	default:
		return invalid(fmt.Sprintf("Unsupported logout scope %q", scope))
	}
	if _, err := a.Pool.Exec(r.Context(), "delete from auth.sessions where user_id = $1 and $2::uuid is not null and "+which, c.ID, c.session); err != nil {
		return err
	}
	w.WriteHeader(http.StatusNoContent)
	return nil
}
