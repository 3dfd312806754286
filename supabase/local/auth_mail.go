package local

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"html/template"
	"math/big"
	"net/http"
	"net/url"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
)

// Mail is a message that Auth wants sent.
type Mail struct {
	Kind       string // signup, invite, magiclink, recovery, email_change or reauthentication
	To         string
	Subject    string
	Text, HTML string
	Link       string // opens GET /verify; empty for reauthentication
	OTP        string // six digits, for POST /verify with the address
	TokenHash  string // for POST /verify with token_hash
	RedirectTo string // where Link leads in the end
}

var mailTexts = map[string]struct{ subject, text string }{
	"signup":           {"Confirm your e-mail address", "Confirm your e-mail address to finish signing up:"},
	"invite":           {"You have been invited", "You have been invited. Accept by following this link:"},
	"magiclink":        {"Your sign-in link", "Follow this link to sign in:"},
	"recovery":         {"Reset your password", "Follow this link to choose a new password:"},
	"email_change":     {"Confirm your new e-mail address", "Confirm the change of your e-mail address:"},
	"reauthentication": {"Your code", "Enter this code to go on:"},
}

var mailHTML = template.Must(template.New("").Parse(
	`<p>{{.Text}}</p>{{with .Link}}<p><a href="{{.}}">{{.}}</a></p>{{end}}<p>Code: <strong>{{.OTP}}</strong></p>`))

func (a *auth) mail(ctx context.Context, m Mail) error {
	if a.Mailer == nil {
		return nil
	}
	about := mailTexts[m.Kind]
	m.Subject, m.Text = about.subject, about.text
	var html bytes.Buffer
	if err := mailHTML.Execute(&html, m); err != nil {
		return err
	}
	m.HTML = html.String()
	if m.Link != "" {
		m.Text += "\n\n" + m.Link
	}
	m.Text += "\n\nCode: " + m.OTP + "\n"
	if err := a.Mailer(ctx, m); err != nil {
		return &authError{status: http.StatusInternalServerError, code: "unexpected_failure", message: "Error sending " + m.Kind + " email", cause: err}
	}
	return nil
}

// tokenTypes says which kinds of one-time token prove what a verification is about.
var tokenTypes = map[string][]string{
	"signup":       {"confirmation_token"},
	"invite":       {"confirmation_token"},
	"magiclink":    {"recovery_token"},
	"recovery":     {"recovery_token"},
	"email":        {"confirmation_token", "recovery_token"},
	"email_change": {"email_change_token_new", "email_change_token_current"},
}

// tokenColumns are the columns of auth.users that repeat a one-time token, and say when it was sent.
var tokenColumns = map[string][2]string{
	"confirmation_token":         {"confirmation_token", "confirmation_sent_at"},
	"recovery_token":             {"recovery_token", "recovery_sent_at"},
	"email_change_token_new":     {"email_change_token_new", "email_change_sent_at"},
	"email_change_token_current": {"email_change_token_current", "email_change_sent_at"},
	"reauthentication_token":     {"reauthentication_token", "reauthentication_sent_at"},
}

// linkMail is what makeLink and sendLink need to know.
type linkMail struct {
	kind      string // of Mail
	tokenType string // where kind has several
	to        string
	redirect  string // as asked for, not yet checked
	challenge
}

// makeLink stores a fresh one-time token for the user in place of the last one of its type.
func (a *auth) makeLink(ctx context.Context, tx pgx.Tx, id uuid.UUID, l linkMail) (Mail, error) {
	if l.tokenType == "" {
		l.tokenType = tokenTypes[l.kind][0]
	}
	m := Mail{Kind: l.kind, To: l.to, OTP: sixDigits(), RedirectTo: a.redirectTo(l.redirect)}
	m.TokenHash = tokenHash(l.to, m.OTP)
	if l.Challenge != "" {
		m.TokenHash = "pkce_" + m.TokenHash
		if _, err := tx.Exec(ctx, `insert into auth.flow_state (id, user_id, code_challenge_method, code_challenge, provider_type, created_at, updated_at, authentication_method)
			values ($1, $2, lower($3)::auth.code_challenge_method, $4, 'email', $5, $5, $6)`, uuid.New(), id, l.Method, l.Challenge, a.Now(), l.kind); err != nil {
			return m, err
		}
	}
	if _, err := tx.Exec(ctx, `insert into auth.one_time_tokens (id, user_id, token_type, token_hash, relates_to, created_at, updated_at)
		values ($1, $2, $3::auth.one_time_token_type, $4, $5, $6, $6) on conflict (user_id, token_type) do update set
		token_hash = excluded.token_hash, relates_to = excluded.relates_to, created_at = excluded.created_at, updated_at = excluded.updated_at`,
		uuid.New(), id, l.tokenType, m.TokenHash, l.to, a.Now().UTC()); err != nil {
		return m, err
	}
	columns := tokenColumns[l.tokenType]
	if _, err := tx.Exec(ctx, "update auth.users set "+columns[0]+" = $2, "+columns[1]+" = $3 where id = $1", id, m.TokenHash, a.Now()); err != nil {
		return m, err
	}
	if l.kind != "reauthentication" {
		m.Link = a.issuer + "/verify?" + url.Values{"token": {m.TokenHash}, "type": {l.kind}, "redirect_to": {m.RedirectTo}}.Encode()
	}
	return m, nil
}

func (a *auth) sendLink(ctx context.Context, tx pgx.Tx, u *user, l linkMail) error {
	m, err := a.makeLink(ctx, tx, u.ID, l)
	if err != nil {
		return err
	}
	return a.mail(ctx, m)
}

func tokenHash(address, otp string) string {
	sum := sha256.Sum224([]byte(address + otp))
	return hex.EncodeToString(sum[:])
}

func sixDigits() string {
	n, _ := rand.Int(rand.Reader, big.NewInt(1_000_000)) // rand.Reader never fails
	return fmt.Sprintf("%06d", n)
}

// mailRequest is the body of the endpoints that lead to a mail.
type mailRequest struct {
	Type, Email, Phone string
	CreateUser         *bool `json:"create_user"`
	Data               map[string]any
	challenge
}

func (a *auth) readMailRequest(r *http.Request) (mailRequest, error) {
	var in mailRequest
	if err := decode(r, &in); err != nil {
		return in, err
	}
	if in.Phone != "" {
		return in, fail(http.StatusBadRequest, "phone_provider_disabled", "Unsupported phone provider")
	}
	email, err := checkEmail(in.Email)
	if err != nil {
		return in, err
	}
	in.Email = email
	if err := in.check(); err != nil {
		return in, err
	}
	return in, a.limit.mayMail(email)
}

// mailTo answers {} whether or not there is such a user and a mail.
func (a *auth) mailTo(w http.ResponseWriter, r *http.Request, in mailRequest, send func(tx pgx.Tx, u *user) error) error {
	ctx := r.Context()
	err := a.inTx(ctx, func(tx pgx.Tx) error {
		u, err := findUserByEmail(ctx, tx, in.Email)
		if err != nil && !errors.Is(err, pgx.ErrNoRows) {
			return err
		}
		return send(tx, u)
	})
	if err != nil {
		return err
	}
	return writeJSON(w, http.StatusOK, struct{}{})
}

func (a *auth) recover(w http.ResponseWriter, r *http.Request) error {
	in, err := a.readMailRequest(r)
	if err != nil {
		return err
	}
	return a.mailTo(w, r, in, func(tx pgx.Tx, u *user) error {
		if u == nil {
			return nil
		}
		return a.sendLink(r.Context(), tx, u, linkMail{kind: "recovery", to: u.Email, redirect: askedRedirect(r), challenge: in.challenge})
	})
}

// otp mails a link and a code with which to sign in. It signs the unknown up, unless create_user is false: then
// it answers as for the known, where GoTrue would say otp_disabled.
func (a *auth) otp(w http.ResponseWriter, r *http.Request) error {
	in, err := a.readMailRequest(r)
	if err != nil {
		return err
	}
	return a.mailTo(w, r, in, func(tx pgx.Tx, u *user) error {
		kind := "magiclink"
		if u == nil {
			if in.CreateUser != nil && !*in.CreateUser || a.DisableSignup {
				return nil
			}
			n := newUser{id: uuid.New(), email: in.Email, confirmed: a.AutoConfirm}
			n.data = signupData(in.Data, n.id, in.Email)
			if u, err = a.createUser(r.Context(), tx, n); err != nil {
				return err
			}
		}
		if !u.confirmed() {
			kind = "signup"
		}
		return a.sendLink(r.Context(), tx, u, linkMail{kind: kind, to: u.Email, redirect: askedRedirect(r), challenge: in.challenge})
	})
}

func (a *auth) magicLink(w http.ResponseWriter, r *http.Request) error { return a.otp(w, r) }

func (a *auth) resend(w http.ResponseWriter, r *http.Request) error {
	in, err := a.readMailRequest(r)
	if err != nil {
		return err
	}
	if in.Type != "signup" && in.Type != "email_change" {
		return invalid("Missing one of these types: signup, email_change, sms, phone_change")
	}
	return a.mailTo(w, r, in, func(tx pgx.Tx, u *user) error {
		switch {
		case u == nil:
			return nil
		case in.Type == "signup" && !u.confirmed():
			return a.sendLink(r.Context(), tx, u, linkMail{kind: "signup", to: u.Email, redirect: askedRedirect(r), challenge: in.challenge})
		case in.Type == "email_change" && u.NewEmail != "":
			return a.startEmailChange(r.Context(), tx, u, u.NewEmail, askedRedirect(r), in.challenge)
		}
		return nil
	})
}

// startEmailChange asks both the old and the new address to agree; with AutoConfirm the new one suffices.
func (a *auth) startEmailChange(ctx context.Context, tx pgx.Tx, u *user, email, redirect string, c challenge) error {
	var taken bool
	if err := tx.QueryRow(ctx, "select exists (select from auth.users where email = $1 and id <> $2)", email, u.ID).Scan(&taken); err != nil {
		return err
	}
	if taken {
		return errEmailExists
	}
	if _, err := tx.Exec(ctx, "update auth.users set email_change = $2, email_change_confirm_status = 0, updated_at = $3 where id = $1", u.ID, email, a.Now()); err != nil {
		return err
	}
	if !a.AutoConfirm && u.Email != "" {
		if err := a.sendLink(ctx, tx, u, linkMail{kind: "email_change", tokenType: "email_change_token_current", to: u.Email, redirect: redirect, challenge: c}); err != nil {
			return err
		}
	}
	return a.sendLink(ctx, tx, u, linkMail{kind: "email_change", tokenType: "email_change_token_new", to: email, redirect: redirect, challenge: c})
}

func (a *auth) reauthenticate(w http.ResponseWriter, r *http.Request, c *caller) error {
	if err := a.limit.mayMail(c.Email); err != nil {
		return err
	}
	err := a.inTx(r.Context(), func(tx pgx.Tx) error {
		return a.sendLink(r.Context(), tx, c.user, linkMail{kind: "reauthentication", tokenType: "reauthentication_token", to: c.Email})
	})
	if err != nil {
		return err
	}
	return writeJSON(w, http.StatusOK, struct{}{})
}

// useReauthentication redeems the code that reauthenticate has mailed.
func (a *auth) useReauthentication(ctx context.Context, tx pgx.Tx, u *user, nonce string) error {
	attempts := "reauthentication " + u.ID.String()
	if !a.limit.mayAttempt(attempts) {
		return errRequestRate
	}
	tag, err := tx.Exec(ctx, `delete from auth.one_time_tokens where user_id = $1 and token_type = 'reauthentication_token' and token_hash = $2 and created_at > $3`,
		u.ID, tokenHash(u.Email, nonce), a.Now().UTC().Add(-otpLife))
	if err == nil && tag.RowsAffected() == 0 {
		a.limit.failed(attempts)
		return fail(http.StatusUnprocessableEntity, "reauthentication_not_valid", "Nonce has expired or is invalid")
	}
	return err
}
