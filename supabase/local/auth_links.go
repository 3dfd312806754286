package local

import (
	"errors"
	"net/http"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
)

// adminGenerateLink makes the link of a mail without sending it. Who is unknown is created for signup, invite and
// magiclink (which then is a signup, as on the platform).
func (a *auth) adminGenerateLink(w http.ResponseWriter, r *http.Request) error {
	var in struct {
		Type, Email, Password string
		NewEmail              string `json:"new_email"`
		RedirectTo            string `json:"redirect_to"`
		Data                  map[string]any
	}
	if err := decode(r, &in); err != nil {
		return err
	}
	email, err := checkEmail(in.Email)
	if err != nil {
		return err
	}
	l := linkMail{kind: in.Type, to: email, redirect: in.RedirectTo}
	if l.redirect == "" {
		l.redirect = askedRedirect(r)
	}
	switch in.Type {
	case "signup", "invite", "magiclink", "recovery":
	case "email_change_current", "email_change_new":
		l.kind, l.tokenType = "email_change", "email_change_token_"+in.Type[len("email_change_"):]
		if in.NewEmail, err = checkEmail(in.NewEmail); err != nil {
			return err
		}
		if in.Type == "email_change_new" {
			l.to = in.NewEmail
		}
	default:
		return invalid("Invalid email action link type requested: " + in.Type)
	}
	hash := ""
	if in.Type == "signup" {
		if hash, err = a.hashPassword(in.Password); err != nil {
			return err
		}
	}
	ctx := r.Context()
	var u *user
	var m Mail
	err = a.inTx(ctx, func(tx pgx.Tx) error {
		u, err = findUserByEmail(ctx, tx, email)
		switch {
		case errors.Is(err, pgx.ErrNoRows):
			if in.Type == "recovery" || l.kind == "email_change" {
				return fail(http.StatusNotFound, "user_not_found", "User with this email not found")
			}
			if in.Type == "magiclink" {
				in.Type, l.kind = "signup", "signup"
			}
			n := newUser{id: uuid.New(), email: email, passwordHash: hash, invited: in.Type == "invite"}
			n.data = in.Data
			if u, err = a.createUser(ctx, tx, n); err != nil {
				return err
			}
		case err != nil:
			return err
		case u.confirmed() && (in.Type == "signup" || in.Type == "invite"):
			return errEmailExists
		case in.Type == "signup":
			if err := a.mergeMetadata(ctx, tx, u.ID, "raw_user_meta_data", in.Data); err != nil {
				return err
			}
		}
		if l.kind == "email_change" {
			if _, err := tx.Exec(ctx, "update auth.users set email_change = $2, email_change_confirm_status = 0 where id = $1 and email_change is distinct from $2", u.ID, in.NewEmail); err != nil {
				return err
			}
		}
		if m, err = a.makeLink(ctx, tx, u.ID, l); err != nil {
			return err
		}
		u, err = findUser(ctx, tx, "where id = $1", u.ID)
		return err
	})
	if err != nil {
		return err
	}
	return writeJSON(w, http.StatusOK, struct {
		*user
		ActionLink       string `json:"action_link"`
		EmailOTP         string `json:"email_otp"`
		HashedToken      string `json:"hashed_token"`
		VerificationType string `json:"verification_type"`
		RedirectTo       string `json:"redirect_to"`
	}{u, m.Link, m.OTP, m.TokenHash, in.Type, m.RedirectTo})
}

// adminInvite creates a user who has no password yet, and mails the link with which to come in.
func (a *auth) adminInvite(w http.ResponseWriter, r *http.Request) error {
	var in struct {
		Email string
		Data  map[string]any
	}
	if err := decode(r, &in); err != nil {
		return err
	}
	email, err := checkEmail(in.Email)
	if err != nil {
		return err
	}
	ctx := r.Context()
	return a.change(w, r, func(tx pgx.Tx) (uuid.UUID, error) {
		u, err := findUserByEmail(ctx, tx, email)
		if errors.Is(err, pgx.ErrNoRows) {
			u, err = a.createUser(ctx, tx, newUser{email: email, data: in.Data, invited: true})
		} else if err == nil && u.confirmed() {
			err = errEmailExists
		}
		if err != nil {
			return uuid.Nil, err
		}
		return u.ID, a.sendLink(ctx, tx, u, linkMail{kind: "invite", to: email, redirect: askedRedirect(r)})
	})
}
