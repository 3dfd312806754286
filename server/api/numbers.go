package api

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"kestrel.ai/server/edge"
	"kestrel.ai/supabase/db"
)

var errNoNumber = edge.NewProblem(http.StatusNotFound, "number_not_found", "There is no such number.")

// Number is a tenant's phone number.
type Number struct {
	ID                uuid.UUID       `json:"id" format:"uuid"`
	TenantID          uuid.UUID       `json:"tenant_id" format:"uuid"`
	PhoneNumber       string          `json:"phone_number" example:"+18573825169"`
	Status            string          `json:"status" enum:"unverified,not_owned,configuring,ready,releasing,released,failed"`
	StatusReason      *string         `json:"status_reason" doc:"What to do when the status is not ready"`
	IsPrimary         bool            `json:"is_primary"`
	A2pStatus         string          `json:"a2p_status" enum:"unregistered,pending,registered,failed" doc:"A2P 10DLC registration: unregistered and failed US long codes send no texts; pending ones try, until a carrier refuses"`
	FriendlyName      *string         `json:"friendly_name" doc:"At Twilio"`
	Locality          *string         `json:"locality" example:"Boston"`
	Region            *string         `json:"region" example:"MA"`
	Capabilities      json.RawMessage `json:"capabilities" doc:"voice, sms, mms"`
	MonthlyCostCents  *int32          `json:"monthly_cost_cents" example:"115" doc:"US cents"`
	Webhooks          json.RawMessage `json:"webhooks" doc:"As last seen at Twilio"`
	WebhooksCheckedAt *time.Time      `json:"webhooks_checked_at"`
	WebhooksDriftedAt *time.Time      `json:"webhooks_drifted_at" doc:"Since when the hourly sweep finds other webhooks at Twilio; null while they are right"`
	PurchasedAt       *time.Time      `json:"purchased_at"`
	CreatedAt         time.Time       `json:"created_at"`
	UpdatedAt         time.Time       `json:"updated_at"`
}

// OwnNumber is a phone number as its tenant sees it.
type OwnNumber struct {
	ID           uuid.UUID       `json:"id" format:"uuid"`
	PhoneNumber  string          `json:"phone_number" example:"+18573825169"`
	Status       string          `json:"status" example:"ready"`
	IsPrimary    bool            `json:"is_primary"`
	A2PStatus    string          `json:"a2p_status" example:"registered" doc:"Registration for texts with the carriers"`
	Locality     *string         `json:"locality" example:"Boston"`
	Region       *string         `json:"region" example:"MA"`
	Capabilities json.RawMessage `json:"capabilities" doc:"voice, sms, mms"`
	CreatedAt    time.Time       `json:"created_at"`
}

const listNumbersDoc doc = `List a tenant's phone numbers
The primary one first.`

func (a *API) listNumbers(ctx context.Context, in *TenantPath) (*listOutput[Number], error) {
	q := a.DB.As(edge.FromContext(ctx).SQL())
	if err := a.open(ctx, q, in.ID.UUID); err != nil {
		return nil, err
	}
	rows, err := db.New(q).ListNumbers(ctx, in.ID.UUID)
	return whole(each(rows, func(r db.ListNumbersRow) Number { return Number(r) })), err
}

const ownNumbersDoc doc = `List the phone numbers
Of the tenant itself, the primary one first.`

func (a *API) listOwnNumbers(ctx context.Context, _ *struct{}) (*listOutput[OwnNumber], error) {
	rows, err := a.query(ctx).ListNumbers(ctx, tenantOf(ctx))
	return whole(each(rows, func(r db.ListNumbersRow) OwnNumber {
		return OwnNumber{ID: r.ID, PhoneNumber: r.PhoneNumber, Status: r.Status, IsPrimary: r.IsPrimary, A2PStatus: r.A2pStatus, Locality: r.Locality, Region: r.Region,
			Capabilities: r.Capabilities, CreatedAt: r.CreatedAt}
	})), err
}

// Attach ----------------------------------------------------------------------------------------------------------

type attachNumberInput struct {
	TenantPath
	Body AttachNumber
}

// AttachNumber names a number that we own already.
type AttachNumber struct {
	PhoneNumber string `json:"phone_number" maxLength:"40" example:"+18573825169"`
	Primary     bool   `json:"primary,omitempty" example:"true" doc:"Make it the primary number; the first one is in any case"`
}

// Resolve normalises the number.
func (b *AttachNumber) Resolve(_ huma.Context, at *huma.PathBuffer) []error {
	f := faults{at: at}
	f.phone("phone_number", &b.PhoneNumber)
	return f.errs
}

type numberOutput struct {
	Location string `header:"Location"`
	Body     Number
}

const attachNumberDoc doc = `Attach a number that we own
Nothing is bought: a job looks for it in our Twilio account and sets its webhooks. If it is not there the number shows
not_owned.`

func (a *API) attachNumber(ctx context.Context, in *attachNumberInput) (*numberOutput, error) {
	out := &numberOutput{}
	err := a.DB.Tx(ctx, edge.FromContext(ctx).SQL(), func(tx pgx.Tx) error {
		q := db.New(tx)
		if err := a.open(ctx, tx, in.ID.UUID); err != nil {
			return err
		}
		made, err := q.AttachNumber(ctx, in.ID.UUID, in.Body.PhoneNumber)
		if err == nil && in.Body.Primary {
			err = makePrimary(ctx, q, in.ID.UUID, made)
		}
		if err != nil {
			return err
		}
		r, err := q.FindNumber(ctx, made)
		out.Body, out.Location = Number(r), "/api/admin/tenants/"+in.ID.String()+"/numbers"
		return err
	})
	return out, err
}

func makePrimary(ctx context.Context, q *db.Queries, tenant, number uuid.UUID) error {
	if err := q.ClearPrimary(ctx, tenant, number); err != nil {
		return err
	}
	n, err := q.SetPrimary(ctx, number)
	if err == nil && n == 0 {
		err = edge.NewProblem(http.StatusConflict, "number_releasing", "A number that is being released cannot be the primary one.")
	}
	return err
}

// Primary, webhooks, release, test ------------------------------------------------------------------------------------

// NumberInput names a number in the path.
type NumberInput struct {
	ID id `path:"id" doc:"The number's id"`
}

type numberBody struct{ Body Number }

const primaryNumberDoc doc = `Make a number the primary one
It is shown on the tenant, and in its mails.`

func (a *API) primaryNumber(ctx context.Context, in *NumberInput) (*numberBody, error) {
	out := &numberBody{}
	err := a.DB.Tx(ctx, edge.FromContext(ctx).SQL(), func(tx pgx.Tx) error {
		q := db.New(tx)
		r, err := findNumber(ctx, q, in.ID.UUID)
		if err != nil {
			return err
		}
		if err := makePrimary(ctx, q, r.TenantID, r.ID); err != nil {
			return err
		}
		r, err = q.FindNumber(ctx, r.ID)
		out.Body = Number(r)
		return err
	})
	return out, err
}

type patchNumberInput struct {
	NumberInput
	Body PatchNumber
}

// PatchNumber is what staff know of a number.
type PatchNumber struct {
	A2PStatus string `json:"a2p_status" enum:"unregistered,pending,registered,failed" example:"registered" doc:"As the carriers' registry has it"`
}

const patchNumberDoc doc = `Change a number
Its registration for texts with the carriers (A2P 10DLC). Customers who cannot be texted from it are told by the owner, who
gets an e-mail.`

func (a *API) patchNumber(ctx context.Context, in *patchNumberInput) (*numberBody, error) {
	out := &numberBody{}
	err := a.DB.Tx(ctx, edge.FromContext(ctx).SQL(), func(tx pgx.Tx) error {
		q := db.New(tx)
		if n, err := q.SetA2PStatus(ctx, in.Body.A2PStatus, in.ID.UUID); err != nil || n == 0 {
			return cmp.Or(err, error(errNoNumber))
		}
		r, err := findNumber(ctx, q, in.ID.UUID)
		out.Body = Number(r)
		return err
	})
	return out, err
}

func findNumber(ctx context.Context, q *db.Queries, number uuid.UUID) (db.FindNumberRow, error) {
	r, err := q.FindNumber(ctx, number)
	if errors.Is(err, pgx.ErrNoRows) {
		err = errNoNumber
	}
	return r, err
}

const repairWebhooksDoc doc = `Set a number's webhooks again
To what they should be, by a job. Follow it at Location.`

func (a *API) repairWebhooks(ctx context.Context, in *NumberInput) (*jobOrderedOutput, error) {
	if err := a.twilioReady(); err != nil {
		return nil, err
	}
	return a.ordered(ctx, func(q *db.Queries) (uuid.UUID, error) { return q.RequestWebhooks(ctx, in.ID.UUID) })
}

type releaseNumberInput struct {
	NumberInput
	Body ReleaseNumber
}

// ReleaseNumber proves that the right number is meant.
type ReleaseNumber struct {
	Confirm string `json:"confirm" maxLength:"40" example:"+18573825169" doc:"The number, typed back"`
}

const releaseNumberDoc doc = `Release a number
It goes back to Twilio for good, and callers reach nobody. The number must be typed back.`

func (a *API) releaseNumber(ctx context.Context, in *releaseNumberInput) (*jobOrderedOutput, error) {
	r, err := findNumber(ctx, a.query(ctx), in.ID.UUID)
	if err != nil {
		return nil, err
	}
	if typed, ok := toE164(in.Body.Confirm, "US"); !ok || typed != r.PhoneNumber {
		return nil, edge.NewProblem(http.StatusUnprocessableEntity, "confirm_mismatch", "Type the number to be released.").At("confirm", "is not this number")
	}
	if err := a.twilioReady(); err != nil {
		return nil, err
	}
	return a.ordered(ctx, func(q *db.Queries) (uuid.UUID, error) { return q.RequestRelease(ctx, in.ID.UUID) })
}

type testSMSInput struct {
	NumberInput
	Body TestSMS
}

// TestSMS is a text message to try a number with.
type TestSMS struct {
	To   string `json:"to" maxLength:"40" example:"+16175551234"`
	Body string `json:"body,omitempty" maxLength:"320" example:"Hello from Kestrel" doc:"A standard text if left out"`
}

// Resolve normalises the receiver.
func (b *TestSMS) Resolve(_ huma.Context, at *huma.PathBuffer) []error {
	f := faults{at: at}
	f.phone("to", &b.To)
	return f.errs
}

// SentSMS is what Twilio said.
type SentSMS struct {
	SID    string `json:"sid" example:"SM0123456789abcdef0123456789abcdef"`
	Status string `json:"status" example:"queued" doc:"Twilio's"`
	From   string `json:"from" example:"+18573825169"`
	To     string `json:"to" example:"+16175551234"`
}

type sentSMSOutput struct{ Body SentSMS }

const testSMSDoc doc = `Send a test SMS
From the number, at once.`

func (a *API) testSMS(ctx context.Context, in *testSMSInput) (*sentSMSOutput, error) {
	r, err := findNumber(ctx, a.query(ctx), in.ID.UUID)
	if err != nil {
		return nil, err
	}
	if err := a.twilioReady(); err != nil {
		return nil, err
	}
	if r.Status != "ready" {
		return nil, edge.NewProblem(http.StatusConflict, "number_not_ready", "A number that is "+r.Status+" cannot send. It must be ready.")
	}
	body := in.Body.Body
	if body == "" {
		body = "This is a test from Kestrel: " + r.PhoneNumber + " can send text messages."
	}
	sent, err := a.Twilio.SendSMS(ctx, r.PhoneNumber, in.Body.To, body, "")
	if err != nil {
		return nil, vendorProblem(err)
	}
	return &sentSMSOutput{Body: SentSMS{SID: sent.SID, Status: sent.Status, From: r.PhoneNumber, To: in.Body.To}}, nil
}
