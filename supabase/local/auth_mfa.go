package local

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
)

const (
	maxFactors       = 10
	mfaChallengeLife = 5 * time.Minute
)

// factor is a second factor as Auth's API shows it.
type factor struct {
	ID               uuid.UUID  `json:"id"`
	CreatedAt        time.Time  `json:"created_at"`
	UpdatedAt        time.Time  `json:"updated_at"`
	Status           string     `json:"status"`
	FriendlyName     string     `json:"friendly_name,omitempty"`
	FactorType       string     `json:"factor_type"`
	LastChallengedAt *time.Time `json:"last_challenged_at"`

	userID uuid.UUID
	secret string
}

func findFactors(ctx context.Context, q querier, where string, args ...any) ([]factor, error) {
	rows, err := q.Query(ctx, `select id, created_at, updated_at, status::text, coalesce(friendly_name, ''), factor_type::text, last_challenged_at, user_id,
		coalesce(secret, '') from auth.mfa_factors `+where, args...)
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, func(row pgx.CollectableRow) (f factor, err error) {
		err = row.Scan(&f.ID, &f.CreatedAt, &f.UpdatedAt, &f.Status, &f.FriendlyName, &f.FactorType, &f.LastChallengedAt, &f.userID, &f.secret)
		return f, err
	})
}

func findFactor(r *http.Request, q querier, owner uuid.UUID) (factor, error) {
	id, err := uuid.Parse(r.PathValue("factor"))
	if err != nil {
		return factor{}, fail(http.StatusNotFound, "validation_failed", "factor_id must be an UUID")
	}
	// Locked, so that two requests cannot both use one code.
	found, err := findFactors(r.Context(), q, "where id = $1 and user_id = $2 for update", id, owner)
	if err == nil && len(found) == 0 {
		err = fail(http.StatusNotFound, "mfa_factor_not_found", "Factor not found")
	}
	if err != nil {
		return factor{}, err
	}
	return found[0], nil
}

func (a *auth) listFactors(w http.ResponseWriter, _ *http.Request, c *caller) error {
	if c.Factors == nil {
		c.Factors = []factor{}
	}
	return writeJSON(w, http.StatusOK, c.Factors)
}

func (a *auth) enrollFactor(w http.ResponseWriter, r *http.Request, c *caller) error {
	var in struct {
		FactorType   string `json:"factor_type"`
		FriendlyName string `json:"friendly_name"`
		Issuer       string
	}
	if err := decode(r, &in); err != nil {
		return err
	}
	switch {
	case in.FactorType == "phone" || in.FactorType == "webauthn":
		return fail(http.StatusUnprocessableEntity, "mfa_"+in.FactorType+"_enroll_not_enabled", "MFA enroll is disabled for "+in.FactorType)
	case in.FactorType != "totp":
		return invalid("factor_type needs to be totp, phone, or webauthn")
	case len(c.Factors) >= maxFactors:
		return fail(http.StatusUnprocessableEntity, "too_many_enrolled_mfa_factors", "Maximum number of verified factors reached, unenroll to continue")
	case c.hasFactor() && c.aal != "aal2":
		return fail(http.StatusForbidden, "insufficient_aal", "AAL2 required to enroll a new factor")
	}
	if in.Issuer == "" {
		if site, err := url.Parse(a.SiteURL); err == nil {
			in.Issuer = site.Host
		}
	}
	id, secret := uuid.New(), newTOTPSecret()
	uri := totpURI(in.Issuer, c.Email, secret)
	picture, err := qrSVG(uri)
	if err != nil {
		return err
	}
	_, err = a.Pool.Exec(r.Context(), `insert into auth.mfa_factors (id, user_id, friendly_name, factor_type, status, created_at, updated_at, secret)
		values ($1, $2, $3, 'totp', 'unverified', $4, $4, $5)`, id, c.ID, in.FriendlyName, a.Now(), secret)
	var pgErr *pgconn.PgError
	if errors.As(err, &pgErr) && pgErr.ConstraintName == "mfa_factors_user_friendly_name_unique" {
		return fail(http.StatusUnprocessableEntity, "mfa_factor_name_conflict", "A factor with the friendly name \""+in.FriendlyName+"\" for this user already exists")
	}
	if err != nil {
		return err
	}
	return writeJSON(w, http.StatusOK, map[string]any{
		"id": id, "type": "totp", "friendly_name": in.FriendlyName,
		"totp": map[string]string{"qr_code": picture, "secret": secret, "uri": uri},
	})
}

func (a *auth) challengeFactor(w http.ResponseWriter, r *http.Request, c *caller) error {
	id := uuid.New()
	err := a.inTx(r.Context(), func(tx pgx.Tx) error {
		f, err := findFactor(r, tx, c.ID)
		if err != nil {
			return err
		}
		if _, err := tx.Exec(r.Context(), "insert into auth.mfa_challenges (id, factor_id, created_at, ip_address) values ($1, $2, $3, $4::inet)",
			id, f.ID, a.Now(), a.clientIP(r)); err != nil {
			return err
		}
		// The column is unique over all factors; the microsecond is not worth failing for.
		_, err = tx.Exec(r.Context(), `update auth.mfa_factors set last_challenged_at = $2 where id = $1
			and not exists (select from auth.mfa_factors where last_challenged_at = $2)`, f.ID, a.Now())
		return err
	})
	if err != nil {
		return err
	}
	return writeJSON(w, http.StatusOK, map[string]any{"id": id, "type": "totp", "expires_at": a.Now().Add(mfaChallengeLife).Unix()})
}

// verifyFactor turns the session into an aal2 one, ends the user's aal1 sessions and rotates the refresh token, so
// that one from before the second factor cannot gain aal2. Unlike GoTrue it lets the address change between
// challenge and answer: localhost is ::1 and 127.0.0.1 in turn.
func (a *auth) verifyFactor(w http.ResponseWriter, r *http.Request, c *caller) error {
	var in struct {
		ChallengeID string `json:"challenge_id"`
		Code        json.RawMessage
	}
	if err := decode(r, &in); err != nil {
		return err
	}
	code := strings.Trim(string(in.Code), `"`)
	if code == "" {
		return invalid("Code needs to be non-empty")
	}
	attempts := "totp " + r.PathValue("factor")
	if !a.limit.mayAttempt(attempts) {
		return errRequestRate
	}
	ctx := r.Context()
	var out *tokens
	err := a.inTx(ctx, func(tx pgx.Tx) error {
		f, err := findFactor(r, tx, c.ID)
		if err != nil {
			return err
		}
		// The time steps of accepted codes are kept with their challenges: a code counts once (RFC 6238, 5.2).
		var made time.Time
		var used *int64
		err = tx.QueryRow(ctx, `select created_at, (select max(otp_code::bigint) from auth.mfa_challenges where factor_id = $2 and verified_at is not null)
			from auth.mfa_challenges where id::text = $1 and factor_id = $2 and verified_at is null`, in.ChallengeID, f.ID).Scan(&made, &used)
		if errors.Is(err, pgx.ErrNoRows) {
			return fail(http.StatusUnprocessableEntity, "mfa_factor_not_found", "MFA factor with the provided challenge ID not found")
		}
		if err != nil {
			return err
		}
		if a.Now().After(made.Add(mfaChallengeLife)) {
			return fail(http.StatusUnprocessableEntity, "mfa_challenge_expired", "MFA challenge "+in.ChallengeID+" has expired, verify against another challenge or create a new challenge.")
		}
		step, ok := checkTOTP(f.secret, code, a.Now())
		if !ok || used != nil && step <= *used {
			a.limit.failed(attempts)
			return fail(http.StatusUnprocessableEntity, "mfa_verification_failed", "Invalid TOTP code entered")
		}
		a.limit.forget(attempts)
		out, err = a.raiseSession(ctx, tx, c, f, in.ChallengeID, step)
		return err
	})
	if err != nil {
		return err
	}
	return writeJSON(w, http.StatusOK, out)
}

func (a *auth) raiseSession(ctx context.Context, tx pgx.Tx, c *caller, f factor, challengeID string, step int64) (*tokens, error) {
	now := a.Now()
	batch := &pgx.Batch{}
	batch.Queue("update auth.mfa_challenges set verified_at = $2, otp_code = $3::bigint::text where id = $1::uuid", challengeID, now, step)
	batch.Queue("update auth.mfa_factors set status = 'verified', updated_at = $2 where id = $1", f.ID, now)
	batch.Queue("update auth.sessions set aal = 'aal2', factor_id = $2, updated_at = $3 where id = $1", c.session, f.ID, now)
	batch.Queue("delete from auth.sessions where user_id = $1 and aal < 'aal2'", c.ID)
	batch.Queue("delete from auth.mfa_factors where user_id = $1 and status = 'unverified' and factor_type = 'totp'", c.ID)
	if err := tx.SendBatch(ctx, batch).Close(); err != nil {
		return nil, err
	}
	if err := a.addAMR(ctx, tx, c.session, "totp"); err != nil {
		return nil, err
	}
	// No parent: every earlier token of the session is dead.
	if _, err := tx.Exec(ctx, "delete from auth.refresh_tokens where session_id = $1", c.session); err != nil {
		return nil, err
	}
	refresh, err := a.newRefreshToken(ctx, tx, c.ID, c.session, nil)
	if err != nil {
		return nil, err
	}
	return a.issue(ctx, tx, c.ID, c.session, refresh)
}

func (a *auth) unenrollFactor(w http.ResponseWriter, r *http.Request, c *caller) error {
	var f factor
	err := a.inTx(r.Context(), func(tx pgx.Tx) (err error) {
		if f, err = findFactor(r, tx, c.ID); err != nil {
			return err
		}
		if f.Status == "verified" && c.aal != "aal2" {
			return fail(http.StatusUnprocessableEntity, "insufficient_aal", "AAL2 required to unenroll verified factor")
		}
		return a.deleteFactor(r.Context(), tx, f)
	})
	if err != nil {
		return err
	}
	return writeJSON(w, http.StatusOK, map[string]any{"id": f.ID})
}

// deleteFactor also takes aal2 from the sessions that have it by this factor.
func (a *auth) deleteFactor(ctx context.Context, tx pgx.Tx, f factor) error {
	batch := &pgx.Batch{}
	batch.Queue(`delete from auth.mfa_amr_claims where authentication_method = 'totp'
		and session_id in (select id from auth.sessions where user_id = $1 and factor_id = $2)`, f.userID, f.ID)
	batch.Queue("update auth.sessions set aal = 'aal1', factor_id = null where user_id = $1 and factor_id = $2", f.userID, f.ID)
	batch.Queue("delete from auth.mfa_factors where id = $1", f.ID)
	return tx.SendBatch(ctx, batch).Close()
}

func (a *auth) adminListFactors(w http.ResponseWriter, r *http.Request) error {
	u, err := a.pathUser(r, a.Pool, "")
	if err != nil {
		return err
	}
	if u.Factors == nil {
		u.Factors = []factor{}
	}
	return writeJSON(w, http.StatusOK, u.Factors)
}

func (a *auth) adminDeleteFactor(w http.ResponseWriter, r *http.Request) error {
	var f factor
	err := a.inTx(r.Context(), func(tx pgx.Tx) error {
		u, err := a.pathUser(r, tx, "")
		if err == nil {
			f, err = findFactor(r, tx, u.ID)
		}
		if err != nil {
			return err
		}
		return a.deleteFactor(r.Context(), tx, f)
	})
	if err != nil {
		return err
	}
	return writeJSON(w, http.StatusOK, f)
}
