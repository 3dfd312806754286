package api

import (
	"context"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/google/uuid"

	"kestrel.ai/supabase/db"
)

// OrphanedNumber is a number that we pay Twilio for and that nobody has.
type OrphanedNumber struct {
	SID              string    `json:"sid" example:"PN0123456789abcdef0123456789abcdef"`
	PhoneNumber      string    `json:"phone_number" example:"+18573825169"`
	FriendlyName     string    `json:"friendly_name" example:"HAIEC Voice Agent" doc:"At Twilio"`
	MonthlyCostCents *int32    `json:"monthly_cost_cents" example:"115" doc:"US cents, by Twilio's list price; null where that is not known"`
	FirstSeenAt      time.Time `json:"first_seen_at"`
	LastSeenAt       time.Time `json:"last_seen_at"`
	Releasing        bool      `json:"releasing" example:"false" doc:"A job is giving it back to Twilio"`
	ReleaseFailed    string    `json:"release_failed,omitempty" doc:"Why the last release failed"`
}

const listOrphansDoc doc = `List numbers that nobody has
Owned at Twilio, and no tenant has them, nor is a purchase after them: as the hourly sweep last saw them.`

func (a *API) listOrphans(ctx context.Context, _ *struct{}) (*listOutput[OrphanedNumber], error) {
	rows, err := a.query(ctx).ListOrphans(ctx)
	return whole(each(rows, func(r db.ListOrphansRow) OrphanedNumber {
		o := OrphanedNumber{SID: r.Sid, PhoneNumber: r.PhoneNumber, FriendlyName: r.FriendlyName, MonthlyCostCents: r.MonthlyCostCents,
			FirstSeenAt: r.FirstSeenAt, LastSeenAt: r.LastSeenAt, Releasing: r.ReleaseState == "queued" || r.ReleaseState == "running"}
		if r.ReleaseState == "failed" {
			o.ReleaseFailed = r.ReleaseReason
		}
		return o
	})), err
}

// OrphanPath names a number of Twilio's in the path.
type OrphanPath struct {
	SID string `path:"sid" pattern:"^PN[0-9a-f]{32}$" patternDescription:"Twilio's PN and 32 hexadecimal digits" example:"PN0123456789abcdef0123456789abcdef" doc:"Twilio's identifier"`
}

type adoptNumberInput struct {
	OrphanPath
	Body AdoptNumber
}

// AdoptNumber says whose the number becomes.
type AdoptNumber struct {
	TenantID id `json:"tenant_id"`
}

const adoptNumberDoc doc = `Give a number that nobody has to a tenant
Its webhooks are set by a job; follow it at Location.`

func (a *API) adoptNumber(ctx context.Context, in *adoptNumberInput) (*jobOrderedOutput, error) {
	return a.ordered(ctx, func(q *db.Queries) (uuid.UUID, error) { return q.AdoptNumber(ctx, in.SID, in.Body.TenantID.UUID) })
}

type releaseOrphanInput struct {
	OrphanPath
	Body ReleaseOrphan
}

// ReleaseOrphan proves that the right number is meant.
type ReleaseOrphan struct {
	Confirm string `json:"confirm" maxLength:"40" example:"+18573825169" doc:"The number, typed back"`
}

// Resolve normalises the number.
func (b *ReleaseOrphan) Resolve(_ huma.Context, at *huma.PathBuffer) []error {
	f := faults{at: at}
	f.phone("confirm", &b.Confirm)
	return f.errs
}

const releaseOrphanDoc doc = `Release a number that nobody has
It goes back to Twilio for good, by a job, which looks again whether somebody has got it meanwhile. It must be typed back.`

func (a *API) releaseOrphan(ctx context.Context, in *releaseOrphanInput) (*jobOrderedOutput, error) {
	if err := a.twilioReady(); err != nil {
		return nil, err
	}
	return a.ordered(ctx, func(q *db.Queries) (uuid.UUID, error) { return q.ReleaseOrphan(ctx, in.SID, in.Body.Confirm) })
}

const sweepNumbersDoc doc = `Look for numbers that nobody has, now
By a job; follow it at Location. It also runs every hour.`

func (a *API) sweepNumbers(ctx context.Context, _ *struct{}) (*jobOrderedOutput, error) {
	if err := a.twilioReady(); err != nil {
		return nil, err
	}
	return a.ordered(ctx, func(q *db.Queries) (uuid.UUID, error) { return q.SweepNumbers(ctx) })
}
