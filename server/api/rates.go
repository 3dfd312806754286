package api

import (
	"context"
	"errors"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"kestrel.ai/jobs/twilio"
)

// Rates are what Twilio charges us, in US dollars: configuration, for Twilio tells its prices by invoice alone.
type Rates struct {
	NumberMonth    float64 `json:"number_month" example:"1.15" doc:"US dollars a month for a local number"`
	TollFreeMonth  float64 `json:"toll_free_month" example:"2.15" doc:"US dollars a month for a toll-free number"`
	IncomingMinute float64 `json:"incoming_minute" example:"0.0085" doc:"US dollars a minute of an incoming call"`
	OutgoingMinute float64 `json:"outgoing_minute" example:"0.014" doc:"US dollars a minute of an outgoing call, e.g. a forwarded one"`
	SMS            float64 `json:"sms" example:"0.0075" doc:"US dollars a text message"`
}

// ProvisionPreview is what a purchase for a tenant costs and sets up.
type ProvisionPreview struct {
	TenantID     uuid.UUID `json:"tenant_id" format:"uuid"`
	Rates        Rates     `json:"rates"`
	Webhooks     Webhooks  `json:"webhooks" doc:"What Twilio will call"`
	FriendlyName string    `json:"friendly_name" example:"HAIEC Voice Agent" doc:"What the number will be called at Twilio, unless the order says otherwise"`
}

type provisionPreviewOutput struct{ Body ProvisionPreview }

const previewProvisionDoc doc = `Preview a purchase
What a number costs, and what will be set up with it for this tenant. Nothing is bought.`

func (a *API) previewProvision(ctx context.Context, in *TenantPath) (*provisionPreviewOutput, error) {
	owner, err := a.query(ctx).NumberOwner(ctx, in.ID.UUID)
	if errors.Is(err, pgx.ErrNoRows) || err == nil && owner.IsDeleted {
		err = errNoTenant
	}
	if err != nil {
		return nil, err
	}
	return &provisionPreviewOutput{Body: ProvisionPreview{TenantID: owner.ID, Rates: a.Config.Rates,
		Webhooks:     Webhooks(twilio.WebhooksFor(a.Config.WebhookBase, owner.Slug, a.Config.FallbackURL(owner.ID))),
		FriendlyName: owner.CompanyName + " Voice Agent"}}, nil
}
