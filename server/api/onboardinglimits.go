package api

import (
	"context"
	"crypto/sha256"
	"net/http"
	"time"

	"kestrel.ai/server/edge"
	"kestrel.ai/supabase/db"
)

// SignUps is how many there may be in an hour, counted in Postgres for all servers together. Zero values mean the
// defaults in brackets.
type SignUps struct {
	PerAddress int // from one network address [20]
	PerEmail   int // for one e-mail address, carried out or not [5]
	Drafts     int // begun from one network address [60]
}

func (s SignUps) withDefaults() SignUps {
	for value, fallback := range map[*int]int{&s.PerAddress: 20, &s.PerEmail: 5, &s.Drafts: 60} {
		if *value == 0 {
			*value = fallback
		}
	}
	return s
}

// limitSignUp counts one try. It returns a 429 that says how long to wait.
func (a *API) limitSignUp(ctx context.Context, email string) error {
	address := edge.FromContext(ctx).Address()
	if err := a.take(ctx, "sign-up from "+string(address[:]), a.Config.SignUps.PerAddress); err != nil {
		return err
	}
	return a.take(ctx, "sign-up for "+email, a.Config.SignUps.PerEmail)
}

func (a *API) take(ctx context.Context, what string, most int) error {
	const window = time.Hour
	wait, err := db.New(a.DB.As(a.onboarding(ctx))).TakeRate(ctx, db.TakeRateParams{Bucket: hashOf(what), Most: int32(most), Seconds: int32(window.Seconds()), At: a.Now()}) //nolint:gosec // a small number
	if err == nil && wait > 0 {
		return edge.NewProblem(http.StatusTooManyRequests, "sign_up_limited", "Too many sign-ups. Wait and try again.").RetryAfter(time.Duration(wait) * time.Second)
	}
	return err
}

func hashOf(secret string) []byte {
	h := sha256.Sum256([]byte(secret))
	return h[:]
}
