package jobs

import (
	"context"
	"encoding/json"

	"github.com/google/uuid"

	"kestrel.ai/jobs/twilio"
)

// fallbackBucket holds what Twilio plays when Kestrel does not answer; everybody may read it.
const fallbackBucket = "public-twiml"

func fallbackObject(tenant uuid.UUID) string { return "fallback/" + tenant.String() + ".xml" }

// Webhooks are the URLs that a number of this tenant must have at Twilio.
func (d *Deps) webhooks(tenant uuid.UUID, slug string) twilio.Webhooks {
	return twilio.WebhooksFor(d.Config.WebhookBase, slug, d.Storage.PublicURL(fallbackBucket, fallbackObject(tenant)))
}

// configure sets the webhooks unless they are right already.
func (d *Deps) configure(ctx context.Context, n twilio.OwnedNumber, want twilio.Webhooks) (twilio.OwnedNumber, error) {
	if n.Webhooks == want {
		return n, nil
	}
	n, err := d.Twilio.SetWebhooks(ctx, n.SID, want)
	if err != nil {
		return n, err
	}
	if n.Webhooks != want {
		return n, &Failure{Reason: "Twilio did not take the number's webhooks as they were sent; Kestrel tries again by itself."}
	}
	return n, nil
}

// webhooksJSON is phone_numbers.webhooks: Twilio's own names.
func webhooksJSON(w twilio.Webhooks) json.RawMessage {
	return encode(map[string]string{
		"voice_url": w.Voice, "voice_fallback_url": w.VoiceFallback, "status_callback": w.Status, "sms_url": w.SMS,
	})
}

// capabilitiesJSON is phone_numbers.capabilities.
func capabilitiesJSON(c twilio.Capabilities) json.RawMessage {
	return encode(map[string]bool{"voice": c.Voice, "sms": c.SMS, "mms": c.MMS})
}

func encode(v any) json.RawMessage {
	raw, _ := json.Marshal(v) // maps and structs of plain values never fail
	return raw
}

func text(s *string) string {
	if s == nil {
		return ""
	}
	return *s
}
