package local

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgerrcode"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
)

// user is a row of auth.users as Auth's API shows it.
type user struct {
	ID               uuid.UUID      `json:"id"`
	Aud              string         `json:"aud"`
	Role             string         `json:"role"`
	Email            string         `json:"email"`
	EmailConfirmedAt *time.Time     `json:"email_confirmed_at,omitempty"`
	InvitedAt        *time.Time     `json:"invited_at,omitempty"`
	Phone            string         `json:"phone"`
	ConfirmationSent *time.Time     `json:"confirmation_sent_at,omitempty"`
	ConfirmedAt      *time.Time     `json:"confirmed_at,omitempty"`
	RecoverySent     *time.Time     `json:"recovery_sent_at,omitempty"`
	NewEmail         string         `json:"new_email,omitempty"`
	EmailChangeSent  *time.Time     `json:"email_change_sent_at,omitempty"`
	ReauthSent       *time.Time     `json:"reauthentication_sent_at,omitempty"`
	LastSignInAt     *time.Time     `json:"last_sign_in_at,omitempty"`
	AppMetadata      map[string]any `json:"app_metadata"`
	UserMetadata     map[string]any `json:"user_metadata"`
	Factors          []factor       `json:"factors,omitempty"`
	Identities       []identity     `json:"identities"`
	CreatedAt        time.Time      `json:"created_at"`
	UpdatedAt        time.Time      `json:"updated_at"`
	BannedUntil      *time.Time     `json:"banned_until,omitempty"`
	DeletedAt        *time.Time     `json:"deleted_at,omitempty"`
	IsAnonymous      bool           `json:"is_anonymous"`

	passwordHash string
}

type identity struct {
	IdentityID   uuid.UUID      `json:"identity_id"`
	ID           string         `json:"id"`
	UserID       uuid.UUID      `json:"user_id"`
	IdentityData map[string]any `json:"identity_data"`
	Provider     string         `json:"provider"`
	LastSignInAt *time.Time     `json:"last_sign_in_at,omitempty"`
	CreatedAt    *time.Time     `json:"created_at"`
	UpdatedAt    *time.Time     `json:"updated_at"`
	Email        string         `json:"email,omitempty"`
}

// Rows that people wrote by hand have NULL where Auth itself writes an empty text.
const selectUser = `select id, coalesce(aud, 'authenticated'), coalesce(role, 'authenticated'), coalesce(email, ''), email_confirmed_at, invited_at,
	coalesce(phone, ''), confirmation_sent_at, confirmed_at, recovery_sent_at, coalesce(email_change, ''), email_change_sent_at,
	reauthentication_sent_at, last_sign_in_at, coalesce(raw_app_meta_data, '{}'), coalesce(raw_user_meta_data, '{}'),
	coalesce(created_at, 'epoch'), coalesce(updated_at, created_at, 'epoch'), banned_until, deleted_at, is_anonymous, coalesce(encrypted_password, '')
	from auth.users `

func scanUser(row pgx.CollectableRow) (*user, error) {
	u := &user{}
	err := row.Scan(&u.ID, &u.Aud, &u.Role, &u.Email, &u.EmailConfirmedAt, &u.InvitedAt, &u.Phone, &u.ConfirmationSent, &u.ConfirmedAt,
		&u.RecoverySent, &u.NewEmail, &u.EmailChangeSent, &u.ReauthSent, &u.LastSignInAt, &u.AppMetadata, &u.UserMetadata,
		&u.CreatedAt, &u.UpdatedAt, &u.BannedUntil, &u.DeletedAt, &u.IsAnonymous, &u.passwordHash)
	return u, err
}

func (u *user) confirmed() bool { return u.EmailConfirmedAt != nil }

func (u *user) banned(now time.Time) bool { return u.BannedUntil != nil && now.Before(*u.BannedUntil) }

func (u *user) hasFactor() bool {
	for _, f := range u.Factors {
		if f.Status == "verified" {
			return true
		}
	}
	return false
}

// querier is a pool or a transaction.
type querier interface {
	Exec(ctx context.Context, sql string, args ...any) (pgconn.CommandTag, error)
	Query(ctx context.Context, sql string, args ...any) (pgx.Rows, error)
	QueryRow(ctx context.Context, sql string, args ...any) pgx.Row
}

// inTx commits what fn did, except on an error. A refusal that must leave a mark is returned by fn as refused.
func (a *auth) inTx(ctx context.Context, fn func(tx pgx.Tx) error) error {
	var refusal error
	err := pgx.BeginFunc(ctx, a.Pool, func(tx pgx.Tx) error {
		err := fn(tx)
		if r := (refused{}); errors.As(err, &r) {
			refusal = r.error
			return nil
		}
		return err
	})
	return errors.Join(err, refusal)
}

// refused is an answer to the caller that commits the transaction nevertheless.
type refused struct{ error }

// findUser returns the one user that where selects with args, with factors and identities, or pgx.ErrNoRows.
func findUser(ctx context.Context, q querier, where string, args ...any) (*user, error) {
	users, err := findUsers(ctx, q, where, args...)
	if err != nil {
		return nil, err
	}
	if len(users) != 1 {
		return nil, pgx.ErrNoRows
	}
	return users[0], nil
}

func findUserByEmail(ctx context.Context, q querier, email string) (*user, error) {
	return findUser(ctx, q, "where email = $1 and not is_sso_user and deleted_at is null", email)
}

func findUsers(ctx context.Context, q querier, where string, args ...any) ([]*user, error) {
	rows, err := q.Query(ctx, selectUser+where, args...)
	if err != nil {
		return nil, err
	}
	users, err := pgx.CollectRows(rows, scanUser)
	if err != nil {
		return nil, err
	}
	byID, ids := make(map[uuid.UUID]*user), make([]uuid.UUID, 0, len(users))
	for _, u := range users {
		byID[u.ID], u.Identities = u, []identity{}
		ids = append(ids, u.ID)
	}
	rows, err = q.Query(ctx, `select id, provider_id, user_id, identity_data, provider, last_sign_in_at, created_at, updated_at, coalesce(email, '')
		from auth.identities where user_id = any($1) order by created_at, id`, ids)
	if err != nil {
		return nil, err
	}
	identities, err := pgx.CollectRows(rows, pgx.RowToStructByPos[identity])
	if err != nil {
		return nil, err
	}
	for _, i := range identities {
		byID[i.UserID].Identities = append(byID[i.UserID].Identities, i)
	}
	factors, err := findFactors(ctx, q, "where user_id = any($1) order by created_at, id", ids)
	for _, f := range factors {
		byID[f.userID].Factors = append(byID[f.userID].Factors, f)
	}
	return users, err
}

// newUser is what createUser stores.
type newUser struct {
	id           uuid.UUID // random if nil
	email        string
	role         string
	passwordHash string
	data, app    map[string]any
	confirmed    bool
	invited      bool
}

// createUser stores a user with its e-mail identity. An address in use is email_exists.
func (a *auth) createUser(ctx context.Context, tx pgx.Tx, n newUser) (*user, error) {
	if n.id == uuid.Nil {
		n.id = uuid.New()
	}
	if n.role == "" {
		n.role = "authenticated"
	}
	app := map[string]any{"provider": "email", "providers": []string{"email"}}
	for k, v := range n.app {
		app[k] = v
	}
	data := map[string]any{}
	for k, v := range n.data {
		data[k] = v
	}
	if n.confirmed {
		data["email_verified"] = true
	}
	now := a.Now()
	_, err := tx.Exec(ctx, `insert into auth.users (instance_id, id, aud, role, email, encrypted_password, email_confirmed_at, invited_at,
		raw_app_meta_data, raw_user_meta_data, created_at, updated_at, confirmation_token, recovery_token, email_change_token_new, email_change)
		values ('00000000-0000-0000-0000-000000000000', $1, 'authenticated', $2, $3, $4, case when $5 then $7::timestamptz end, case when $6 then $7::timestamptz end,
		$8, $9, $7, $7, '', '', '', '')`, n.id, n.role, n.email, n.passwordHash, n.confirmed, n.invited, now, app, data)
	if err != nil {
		return nil, mapUserError(err)
	}
	_, err = tx.Exec(ctx, `insert into auth.identities (provider_id, user_id, identity_data, provider, last_sign_in_at, created_at, updated_at)
		values ($1::uuid::text, $1, jsonb_build_object('sub', $1::uuid::text, 'email', $2::text, 'email_verified', $3::boolean, 'phone_verified', false), 'email', $4, $4, $4)`,
		n.id, n.email, n.confirmed, now)
	if err != nil {
		return nil, mapUserError(err)
	}
	return findUser(ctx, tx, "where id = $1", n.id)
}

// setEmail gives the user an address, in auth.users and in its e-mail identity.
func (a *auth) setEmail(ctx context.Context, tx pgx.Tx, id uuid.UUID, email string, confirmed bool) error {
	_, err := tx.Exec(ctx, `update auth.users set email = $2, updated_at = $4,
		email_confirmed_at = case when $3 then coalesce(email_confirmed_at, $4) else email_confirmed_at end where id = $1`, id, email, confirmed, a.Now())
	if err != nil {
		return mapUserError(err)
	}
	_, err = tx.Exec(ctx, `insert into auth.identities (provider_id, user_id, identity_data, provider, created_at, updated_at)
		values ($1::uuid::text, $1, jsonb_build_object('sub', $1::uuid::text, 'email', $2::text, 'email_verified', $3::boolean, 'phone_verified', false), 'email', $4, $4)
		on conflict (provider_id, provider) do update set identity_data = auth.identities.identity_data || excluded.identity_data, updated_at = excluded.updated_at`,
		id, email, confirmed, a.Now())
	return err
}

// confirm marks the user's address as the user's own.
func (a *auth) confirm(ctx context.Context, tx pgx.Tx, id uuid.UUID) error {
	_, err := tx.Exec(ctx, `update auth.users set email_confirmed_at = coalesce(email_confirmed_at, $2), confirmation_token = '', updated_at = $2,
		raw_user_meta_data = coalesce(raw_user_meta_data, '{}') || '{"email_verified": true}' where id = $1`, id, a.Now())
	if err != nil {
		return err
	}
	_, err = tx.Exec(ctx, `update auth.identities set identity_data = identity_data || '{"email_verified": true}', updated_at = $2
		where user_id = $1 and provider = 'email'`, id, a.Now())
	return err
}

// mergeMetadata adds data to column, raw_user_meta_data or raw_app_meta_data; a null removes its key.
func (a *auth) mergeMetadata(ctx context.Context, tx pgx.Tx, id uuid.UUID, column string, data map[string]any) error {
	if data == nil {
		return nil
	}
	c := pgx.Identifier{column}.Sanitize()
	_, err := tx.Exec(ctx, `update auth.users set updated_at = $3, `+c+` = (select coalesce(jsonb_object_agg(key, value), '{}')
		from jsonb_each(coalesce(`+c+`, '{}') || $2::jsonb) where value <> 'null') where id = $1`, id, data, a.Now())
	return err
}

func mapUserError(err error) error {
	var pgErr *pgconn.PgError
	if !errors.As(err, &pgErr) {
		return err
	}
	switch {
	case pgErr.Code == pgerrcode.UniqueViolation && strings.Contains(pgErr.ConstraintName, "email"):
		return errEmailExists
	case pgErr.Code == pgerrcode.UniqueViolation && pgErr.ConstraintName == "users_pkey":
		return fail(http.StatusUnprocessableEntity, "user_already_exists", "A user with this ID already exists")
	}
	return err
}

var errEmailExists = fail(http.StatusUnprocessableEntity, "email_exists", "A user with this email address has already been registered")
