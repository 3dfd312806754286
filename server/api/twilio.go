package api

import (
	"context"
	"errors"
	"net/http"
	"net/url"

	"github.com/danielgtaylor/huma/v2"
	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"kestrel.ai/jobs/twilio"
	"kestrel.ai/server/edge"
	"kestrel.ai/supabase/db"
)

var errTwilioAbsent = edge.NewProblem(http.StatusServiceUnavailable, "twilio_not_configured",
	"Twilio is not configured. Set TWILIO_ACCOUNT_SID and TWILIO_AUTH_TOKEN, then restart Kestrel.")

func (a *API) twilioReady() error {
	if a.Twilio == nil || !a.Twilio.Configured() {
		return errTwilioAbsent
	}
	return nil
}

// vendorProblem says what Twilio's refusal means to whoever waits for it: 422 they can mend, 429 and 503 they can
// repeat, 502 somebody must look after.
func vendorProblem(err error) error {
	var e *twilio.Error
	if !errors.As(err, &e) {
		return err
	}
	answer := func(status int, code string) *edge.Problem {
		return edge.NewProblem(status, code, e.Reason).Because(err)
	}
	switch {
	case errors.Is(err, twilio.ErrNotConfigured):
		return errTwilioAbsent
	case errors.Is(err, twilio.ErrRateLimited):
		return answer(http.StatusTooManyRequests, "twilio_rate_limited").RetryAfter(max(e.RetryAfter, 1e9))
	case errors.Is(err, twilio.ErrBadCredentials):
		return answer(http.StatusBadGateway, "twilio_credentials")
	case errors.Is(err, twilio.ErrUnavailable), errors.Is(err, twilio.ErrOutcomeUnknown):
		return answer(http.StatusBadGateway, "twilio_unavailable")
	}
	return answer(http.StatusUnprocessableEntity, "twilio_refused")
}

// Search ----------------------------------------------------------------------------------------------------------

type searchNumbersInput struct{ Body SearchNumbers }

// SearchNumbers narrows the numbers for sale.
type SearchNumbers struct {
	AreaCode string `json:"area_code,omitempty" pattern:"^[2-9][0-9]{2}$" patternDescription:"area code such as 857" example:"857"`
	Contains string `json:"contains,omitempty" pattern:"^[0-9A-Za-z*]{2,16}$" patternDescription:"digits, letters or *" doc:"Digits, letters as on a keypad, * for any"`
	Locality string `json:"locality,omitempty" maxLength:"80" doc:"A city; not for toll-free numbers"`
	TollFree bool   `json:"toll_free,omitempty" example:"false"`
	Limit    int    `json:"limit,omitempty" minimum:"1" maximum:"100" default:"20" example:"20"`
}

// AvailableNumber is a number for sale.
type AvailableNumber struct {
	PhoneNumber     string       `json:"phone_number" example:"+18573825169"`
	Locality        string       `json:"locality" example:"Boston"`
	Region          string       `json:"region" example:"MA"`
	Capabilities    Capabilities `json:"capabilities"`
	MonthlyCost     float64      `json:"monthly_cost" example:"1.15" doc:"US dollars a month"`
	AddressRequired bool         `json:"address_required" example:"false" doc:"Twilio sells it only with a registered address"`
}

// Capabilities of a number.
type Capabilities struct {
	Voice bool `json:"voice" example:"true"`
	SMS   bool `json:"sms" example:"true"`
	MMS   bool `json:"mms" example:"true"`
}

const searchNumbersDoc doc = `Search numbers for sale
American ones with voice, as Twilio has them now. Nothing found is an empty list.`

func (a *API) searchNumbers(ctx context.Context, in *searchNumbersInput) (*listOutput[AvailableNumber], error) {
	if err := a.twilioReady(); err != nil {
		return nil, err
	}
	b := in.Body
	found, err := a.Twilio.Search(ctx, twilio.SearchQuery{AreaCode: b.AreaCode, Contains: b.Contains, Locality: b.Locality, TollFree: b.TollFree, Limit: b.Limit})
	if err != nil {
		return nil, vendorProblem(err)
	}
	return whole(each(found, func(n twilio.AvailableNumber) AvailableNumber {
		return AvailableNumber{PhoneNumber: n.PhoneNumber, Locality: n.Locality, Region: n.Region, Capabilities: Capabilities{n.Voice, n.SMS, n.MMS},
			MonthlyCost: float64(n.MonthlyCostCents) / 100, AddressRequired: n.AddressRequired}
	})), nil
}

// Purchase --------------------------------------------------------------------------------------------------------

type purchaseNumberInput struct{ Body PurchaseNumber }

// PurchaseNumber orders one number for one tenant.
type PurchaseNumber struct {
	PhoneNumber  string `json:"phone_number" maxLength:"40" example:"+18573825169"`
	TenantID     *id    `json:"tenant_id,omitempty"`
	TenantSlug   string `json:"tenant_slug,omitempty" maxLength:"63" doc:"Instead of tenant_id"`
	FriendlyName string `json:"friendly_name,omitempty" maxLength:"40" example:"HAIEC Voice Agent"`
	Activate     bool   `json:"activate,omitempty" example:"true" doc:"Activate the tenant once the number is ready"`
}

// Resolve normalises the number and wants exactly one way to name the tenant.
func (b *PurchaseNumber) Resolve(_ huma.Context, at *huma.PathBuffer) []error {
	f := faults{at: at}
	f.phone("phone_number", &b.PhoneNumber)
	f.line("friendly_name", &b.FriendlyName, 40)
	switch {
	case b.TenantID == nil && b.TenantSlug == "":
		f.add("tenant_id", "is required, or tenant_slug")
	case b.TenantID != nil && b.TenantSlug != "":
		f.add("tenant_id", "cannot go with tenant_slug")
	}
	return f.errs
}

const purchaseNumberDoc doc = `Buy a number for a tenant
Exactly once, by a job: buy, set webhooks, store, and activate if asked. The same number cannot be ordered again while
its purchase is open (409 purchase_in_progress). Follow the job at Location.`

func (a *API) purchaseNumber(ctx context.Context, in *purchaseNumberInput) (*jobOrderedOutput, error) {
	b := in.Body
	order := db.OrderNumberParams{PhoneNumber: &b.PhoneNumber, FriendlyName: optional(b.FriendlyName), Activate: b.Activate}
	if b.TenantID != nil {
		order.TenantID = b.TenantID.UUID
	} else {
		tenant, err := a.query(ctx).FindTenantID(ctx, b.TenantSlug)
		if errors.Is(err, pgx.ErrNoRows) {
			return nil, errNoTenant.At("tenant_slug", "is no tenant's")
		}
		if err != nil {
			return nil, err
		}
		order.TenantID = tenant
	}
	return a.orderNumber(ctx, order)
}

// orderNumber commits the intent; SQL makes its job in the same transaction.
func (a *API) orderNumber(ctx context.Context, order db.OrderNumberParams) (*jobOrderedOutput, error) {
	if err := a.twilioReady(); err != nil {
		return nil, err
	}
	order.RequestedBy = edge.FromContext(ctx).Principal.Email
	out, err := a.ordered(ctx, func(q *db.Queries) (uuid.UUID, error) {
		life, err := q.TenantLife(ctx, order.TenantID)
		if errors.Is(err, pgx.ErrNoRows) || err == nil && life.DeletedAt != nil {
			return uuid.Nil, errNoTenant
		}
		if err != nil {
			return uuid.Nil, err
		}
		return q.OrderNumber(ctx, order)
	})
	var pg *pgconn.PgError
	if errors.As(err, &pg) && (pg.ConstraintName == "number_purchases_phone_number_open" || pg.ConstraintName == "number_purchases_area_code_open") {
		return nil, errPurchaseOpen.At(map[bool]string{true: "phone_number", false: "area_code"}[order.PhoneNumber != nil], "is being bought already").Because(err)
	}
	return out, err
}

// Status ----------------------------------------------------------------------------------------------------------

type numberStatusInput struct {
	Phone string `path:"phone" maxLength:"40" example:"+18573825169"`
}

// NumberStatus is a number as we have it and as Twilio has it.
type NumberStatus struct {
	PhoneNumber string       `json:"phone_number" example:"+18573825169"`
	Owned       bool         `json:"owned" doc:"Whether it is in our Twilio account"`
	InSync      bool         `json:"in_sync" doc:"Whether its webhooks are as they should be"`
	Tenant      *NumberOwner `json:"tenant,omitempty" doc:"Whose it is, if anybody's"`
	Number      *Number      `json:"number,omitempty" doc:"Our row"`
	Actual      *Webhooks    `json:"actual,omitempty" doc:"Webhooks as they are at Twilio"`
	Expected    *Webhooks    `json:"expected,omitempty" doc:"Webhooks as they should be"`
}

// NumberOwner is the tenant of a number.
type NumberOwner struct {
	ID          uuid.UUID `json:"id" format:"uuid"`
	Slug        string    `json:"slug" example:"haiec"`
	CompanyName string    `json:"company_name" example:"HAIEC"`
	IsDeleted   bool      `json:"is_deleted" example:"false"`
}

// Webhooks are the URLs that Twilio calls.
type Webhooks struct {
	Voice         string `json:"voice" example:"https://api.kestrel.ai/api/voice/incoming?tenant=haiec"`
	VoiceFallback string `json:"voice_fallback"`
	Status        string `json:"status" example:"https://api.kestrel.ai/api/voice/status?tenant=haiec"`
	SMS           string `json:"sms" example:"https://api.kestrel.ai/api/sms/incoming?tenant=haiec"`
}

type numberStatusOutput struct{ Body NumberStatus }

const numberStatusDoc doc = `Check a number
Whose it is, and its webhooks as they are at Twilio this moment and as they should be.`

func (a *API) numberStatus(ctx context.Context, in *numberStatusInput) (*numberStatusOutput, error) {
	phone, err := url.PathUnescape(in.Phone)
	e164, ok := toE164(phone, "US")
	if err != nil || !ok {
		return nil, edge.NewProblem(http.StatusUnprocessableEntity, "invalid", "This is not a phone number.").At("phone", "is not a phone number; use a form such as +18573825169")
	}
	if err := a.twilioReady(); err != nil {
		return nil, err
	}
	s := NumberStatus{PhoneNumber: e164}
	row, err := a.query(ctx).FindNumberByE164(ctx, e164)
	switch {
	case err == nil:
		owner, err := a.query(ctx).NumberOwner(ctx, row.TenantID)
		if err != nil {
			return nil, err
		}
		n, o := Number(row), NumberOwner(owner)
		expected := Webhooks(twilio.WebhooksFor(a.Config.WebhookBase, o.Slug, a.Config.FallbackURL(o.ID)))
		s.Number, s.Tenant, s.Expected = &n, &o, &expected
	case !errors.Is(err, pgx.ErrNoRows):
		return nil, err
	}
	owned, found, err := a.Twilio.FindByNumber(ctx, e164)
	if err != nil {
		return nil, vendorProblem(err)
	}
	if found {
		actual := Webhooks(owned.Webhooks)
		s.Owned, s.Actual = true, &actual
		s.InSync = s.Expected != nil && *s.Expected == actual
	}
	return &numberStatusOutput{Body: s}, nil
}
