package twilio

import (
	"net/url"
	"strings"

	"github.com/google/uuid"
)

// Webhooks are the URLs that Twilio calls for one number. It POSTs to all but
// VoiceFallback, which is a static file and is fetched with GET.
type Webhooks struct {
	Voice         string // an incoming call
	VoiceFallback string // TwiML when Voice fails
	Status        string // a call ended
	SMS           string // an incoming message
}

// TextStatusURL is where Twilio tells what became of a text of the tenant with this slug. It names the message: what Twilio
// tells may be here before its SID has been written down.
func TextStatusURL(base, slug string, message uuid.UUID) string {
	return strings.TrimRight(base, "/") + "/api/sms/status?message=" + message.String() + "&tenant=" + url.QueryEscape(slug)
}

// WebhooksFor returns the URLs of the tenant with this slug under base (BASE_WEBHOOK_URL).
func WebhooksFor(base, slug, fallbackURL string) Webhooks {
	base = strings.TrimRight(base, "/")
	tenant := "?tenant=" + url.QueryEscape(slug)
	return Webhooks{
		Voice:         base + "/api/voice/incoming" + tenant,
		VoiceFallback: fallbackURL,
		Status:        base + "/api/voice/status" + tenant,
		SMS:           base + "/api/sms/incoming" + tenant,
	}
}

// maxFriendlyName is Twilio's limit in characters.
const maxFriendlyName = 64

// FriendlyName is what a bought number is called at Twilio: the company and the id of
// the purchase intent, by which the number is found again. A long company name is cut,
// the id never.
func FriendlyName(company, intentID string) string {
	suffix := []rune(" Voice Agent · " + intentID)
	name := []rune(strings.Join(strings.Fields(company), " "))
	if room := max(maxFriendlyName-len(suffix), 0); len(name) > room {
		name = []rune(strings.TrimSpace(string(name[:room])))
	}
	return string(name) + string(suffix)
}

// BoughtFor tells whether the number was bought for this purchase intent.
func (n OwnedNumber) BoughtFor(intentID string) bool {
	return intentID != "" && strings.HasSuffix(n.FriendlyName, "· "+intentID)
}
