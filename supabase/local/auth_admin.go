package local

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"golang.org/x/crypto/bcrypt"
)

// adminUser is the body of admin create and update.
type adminUser struct {
	ID           string
	Email, Phone string
	Role         string
	Password     *string
	PasswordHash string          `json:"password_hash"`
	EmailConfirm bool            `json:"email_confirm"`
	BanDuration  json.RawMessage `json:"ban_duration"`
	UserMetadata map[string]any  `json:"user_metadata"`
	AppMetadata  map[string]any  `json:"app_metadata"`
}

func (in *adminUser) read(r *http.Request) error {
	if err := decode(r, in); err != nil {
		return err
	}
	if in.Phone != "" {
		return fail(http.StatusBadRequest, "phone_provider_disabled", "Phone numbers are not supported here")
	}
	if in.Role != "" && in.Role != "authenticated" {
		return invalid("Only the role authenticated is supported here")
	}
	var err error
	if in.Email != "" {
		in.Email, err = checkEmail(in.Email)
	}
	return err
}

// ban returns how long to ban for: nil leaves it as it is, 0 lifts it. gotrue-go sends nanoseconds, the others "24h"
// or "none".
func (in *adminUser) ban() (*time.Duration, error) {
	var d time.Duration
	var s string
	switch {
	case in.BanDuration == nil:
		return nil, nil
	case json.Unmarshal(in.BanDuration, &d) == nil:
	case json.Unmarshal(in.BanDuration, &s) != nil:
		return nil, invalid("invalid format for ban duration")
	case s == "":
		return nil, nil
	case s != "none":
		var err error
		if d, err = time.ParseDuration(s); err != nil {
			return nil, invalid("invalid format for ban duration: " + err.Error())
		}
	}
	return &d, nil
}

func (a *auth) setBan(ctx context.Context, tx pgx.Tx, id uuid.UUID, d *time.Duration) error {
	if d == nil {
		return nil
	}
	var until *time.Time
	if *d > 0 {
		t := a.Now().Add(*d)
		until = &t
	}
	_, err := tx.Exec(ctx, "update auth.users set banned_until = $2, updated_at = $3 where id = $1", id, until, a.Now())
	return err
}

func (a *auth) adminCreateUser(w http.ResponseWriter, r *http.Request) error {
	var in adminUser
	if err := in.read(r); err != nil {
		return err
	}
	if in.Email == "" {
		return invalid("Cannot create a user without either an email or phone")
	}
	n := newUser{email: in.Email, role: in.Role, data: in.UserMetadata, app: in.AppMetadata, confirmed: in.EmailConfirm, passwordHash: in.PasswordHash}
	var err error
	if in.ID != "" {
		if n.id, err = uuid.Parse(in.ID); err != nil || n.id == uuid.Nil {
			return invalid("ID must conform to the uuid v4 format")
		}
	}
	switch {
	case in.Password != nil && in.PasswordHash != "":
		return invalid("Only a password or a password hash should be provided")
	case in.Password != nil && *in.Password != "":
		if n.passwordHash, err = a.hashPassword(*in.Password); err != nil {
			return err
		}
	case in.PasswordHash != "":
		if _, err := bcrypt.Cost([]byte(in.PasswordHash)); err != nil {
			return invalid("Only bcrypt password hashes are supported here")
		}
	}
	ban, err := in.ban()
	if err != nil {
		return err
	}
	return a.change(w, r, func(tx pgx.Tx) (uuid.UUID, error) {
		u, err := a.createUser(r.Context(), tx, n)
		if err != nil {
			return uuid.Nil, err
		}
		return u.ID, a.setBan(r.Context(), tx, u.ID, ban)
	})
}

// change runs fn in a transaction and answers with the user it has made or altered.
func (a *auth) change(w http.ResponseWriter, r *http.Request, fn func(tx pgx.Tx) (uuid.UUID, error)) error {
	var u *user
	err := a.inTx(r.Context(), func(tx pgx.Tx) error {
		id, err := fn(tx)
		if err == nil {
			u, err = findUser(r.Context(), tx, "where id = $1", id)
		}
		return err
	})
	if err != nil {
		return err
	}
	return writeJSON(w, http.StatusOK, u)
}

func (a *auth) adminListUsers(w http.ResponseWriter, r *http.Request) error {
	query := r.URL.Query()
	number := func(name string, otherwise int) int {
		n, err := strconv.Atoi(query.Get(name))
		if query.Get(name) == "" || err == nil && n == 0 {
			return otherwise
		}
		if err != nil || n < 0 || n > 1_000_000 {
			return -1
		}
		return n
	}
	page, perPage := number("page", 1), number("per_page", 50)
	if page < 0 || perPage < 0 || perPage > 1000 {
		return invalid("Bad Pagination Parameters")
	}
	filter := "%" + strings.NewReplacer(`\`, `\\`, "%", `\%`, "_", `\_`).Replace(text(query.Get("filter"))) + "%"
	var total int
	if err := a.Pool.QueryRow(r.Context(), "select count(*) from auth.users where coalesce(email, '') ilike $1", filter).Scan(&total); err != nil {
		return err
	}
	users, err := findUsers(r.Context(), a.Pool, "where coalesce(email, '') ilike $1 order by created_at desc, id limit $2 offset $3", filter, perPage, (page-1)*perPage)
	if err != nil {
		return err
	}
	if users == nil {
		users = []*user{}
	}
	last := max(1, (total+perPage-1)/perPage)
	// supabase-js reads the page number from what follows the first "=".
	link := func(page int, rel string) string {
		return fmt.Sprintf(`</admin/users?page=%d&per_page=%d>; rel="%s"`, page, perPage, rel)
	}
	links := link(last, "last")
	if page < last {
		links = link(page+1, "next") + ", " + links
	}
	w.Header().Set("Link", links)
	w.Header().Set("X-Total-Count", strconv.Itoa(total))
	return writeJSON(w, http.StatusOK, map[string]any{"users": users, "aud": "authenticated"})
}

func (a *auth) pathUser(r *http.Request, q querier, lock string) (*user, error) {
	id, err := uuid.Parse(r.PathValue("user"))
	if err != nil {
		return nil, fail(http.StatusNotFound, "validation_failed", "user_id must be an UUID")
	}
	u, err := findUser(r.Context(), q, "where id = $1 "+lock, id)
	if errors.Is(err, pgx.ErrNoRows) {
		err = fail(http.StatusNotFound, "user_not_found", "User not found")
	}
	return u, err
}

func (a *auth) adminGetUser(w http.ResponseWriter, r *http.Request) error {
	u, err := a.pathUser(r, a.Pool, "")
	if err != nil {
		return err
	}
	return writeJSON(w, http.StatusOK, u)
}

func (a *auth) adminUpdateUser(w http.ResponseWriter, r *http.Request) error {
	var in adminUser
	if err := in.read(r); err != nil {
		return err
	}
	hash := ""
	var err error
	if in.Password != nil && *in.Password != "" {
		if hash, err = a.hashPassword(*in.Password); err != nil {
			return err
		}
	}
	ban, err := in.ban()
	if err != nil {
		return err
	}
	ctx := r.Context()
	return a.change(w, r, func(tx pgx.Tx) (uuid.UUID, error) {
		u, err := a.pathUser(r, tx, "for update")
		if err != nil {
			return uuid.Nil, err
		}
		if in.EmailConfirm {
			err = a.confirm(ctx, tx, u.ID)
		}
		if err == nil && in.Email != "" {
			err = a.setEmail(ctx, tx, u.ID, in.Email, in.EmailConfirm)
		}
		if err == nil && hash != "" {
			err = a.setPassword(ctx, tx, u.ID, hash, uuid.Nil)
		}
		if err == nil {
			err = a.mergeMetadata(ctx, tx, u.ID, "raw_user_meta_data", in.UserMetadata)
		}
		if err == nil {
			err = a.mergeMetadata(ctx, tx, u.ID, "raw_app_meta_data", in.AppMetadata)
		}
		if err == nil {
			err = a.setBan(ctx, tx, u.ID, ban)
		}
		return u.ID, err
	})
}

func (a *auth) adminDeleteUser(w http.ResponseWriter, r *http.Request) error {
	var in struct {
		Soft bool `json:"should_soft_delete"`
	}
	if r.ContentLength != 0 {
		if err := decode(r, &in); err != nil {
			return err
		}
	}
	ctx := r.Context()
	err := a.inTx(ctx, func(tx pgx.Tx) error {
		u, err := a.pathUser(r, tx, "for update")
		if err != nil {
			return err
		}
		if !in.Soft {
			_, err = tx.Exec(ctx, "delete from auth.users where id = $1", u.ID)
			return err
		}
		// Nothing that names the person stays, and the address is free again; the id does stay, for rows that refer to it.
		batch := &pgx.Batch{}
		batch.Queue(`update auth.users set deleted_at = coalesce(deleted_at, $2), email = encode(sha256(convert_to(id::text || coalesce(email, ''), 'UTF8')), 'hex'),
			encrypted_password = '', raw_user_meta_data = '{}', raw_app_meta_data = '{}', email_change = '', confirmation_token = '', recovery_token = '',
			email_change_token_new = '', email_change_token_current = '', reauthentication_token = '' where id = $1`, u.ID, a.Now())
		for _, table := range []string{"identities", "mfa_factors", "sessions", "one_time_tokens", "flow_state"} {
			batch.Queue("delete from auth."+table+" where user_id = $1", u.ID)
		}
		return tx.SendBatch(ctx, batch).Close()
	})
	if err != nil {
		return err
	}
	return writeJSON(w, http.StatusOK, struct{}{})
}
