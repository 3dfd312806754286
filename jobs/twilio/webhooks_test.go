package twilio_test

import (
	"net/url"
	"strings"
	"testing"
	"unicode/utf8"

	sdk "github.com/twilio/twilio-go/client"

	"kestrel.ai/jobs/twilio"
)

func TestWebhooksFor(t *testing.T) {
	t.Parallel()
	want := twilio.Webhooks{
		Voice:         "https://api.kestrel.ai/api/voice/incoming?tenant=haiec",
		VoiceFallback: "https://x.supabase.co/storage/v1/object/public/public-twiml/fallback/1.xml",
		Status:        "https://api.kestrel.ai/api/voice/status?tenant=haiec",
		SMS:           "https://api.kestrel.ai/api/sms/incoming?tenant=haiec",
	}
	for _, base := range []string{"https://api.kestrel.ai", "https://api.kestrel.ai/"} {
		if got := twilio.WebhooksFor(base, "haiec", want.VoiceFallback); got != want {
			t.Errorf("got %+v", got)
		}
	}
	if got := twilio.WebhooksFor("https://a", "a&b=c", "").SMS; got != "https://a/api/sms/incoming?tenant=a%26b%3Dc" {
		t.Errorf("got %s", got)
	}
}

func TestFriendlyName(t *testing.T) {
	t.Parallel()
	if got, want := twilio.FriendlyName("HAIEC", intentID), "HAIEC Voice Agent · "+intentID; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	long := twilio.FriendlyName("Müllers und Söhne\nHeizungsbau GmbH", intentID)
	if utf8.RuneCountInString(long) > 64 || !(twilio.OwnedNumber{FriendlyName: long}).BoughtFor(intentID) || strings.Contains(long, "\n") {
		t.Errorf("got %q", long)
	}
	for name, intent := range map[string]string{"HAIEC Voice Agent · other": intentID, "": "", long: intentID[1:]} {
		if (twilio.OwnedNumber{FriendlyName: name}).BoughtFor(intent) {
			t.Errorf("%q was bought for %q", name, intent)
		}
	}
}

func TestSignature(t *testing.T) {
	t.Parallel()
	const token = "12345"
	form := url.Values{
		"CallSid": {"CA1234567890ABCDE"}, "Caller": {"+14158675309"}, "Digits": {"1234"},
		"From": {"+14158675309"}, "To": {"+18005551212"},
	}
	flat := map[string]string{}
	for key := range form {
		flat[key] = form.Get(key)
	}
	validator := sdk.NewRequestValidator(token)
	for _, at := range []string{
		"https://mycompany.com/myapp.php?foo=1&bar=2",
		"https://api.kestrel.ai/api/voice/incoming?tenant=haiec",
		"http://localhost:8080/api/sms/incoming?tenant=haiec",
	} {
		signature := twilio.Sign(token, at, form)
		if !validator.Validate(at, flat, signature) {
			t.Errorf("the SDK does not accept our signature of %s", at)
		}
		if !twilio.Verify(token, at, form, signature) {
			t.Errorf("%s does not verify", at)
		}
		changed := url.Values{"To": {"+18005551213"}}
		if twilio.Verify(token, at, changed, signature) || twilio.Verify(token, at+"&x", form, signature) || twilio.Verify("1234", at, form, signature) {
			t.Errorf("%s verifies when changed", at)
		}
	}
	// The example that Twilio's own libraries are tested with.
	if got := twilio.Sign(token, "https://mycompany.com/myapp.php?foo=1&bar=2", form); got != "RSOYDt4T1cUTdK1PDd93/VVr8B8=" {
		t.Errorf("signature %s", got)
	}
	withPort := twilio.Sign(token, "https://api.kestrel.ai:443/x?a=1", form)
	if !twilio.Verify(token, "https://api.kestrel.ai/x?a=1", form, withPort) {
		t.Error("a signature that names the default port does not verify")
	}
	for _, none := range []struct{ token, signature string }{{"", twilio.Sign("", "https://a/", nil)}, {token, ""}} {
		if twilio.Verify(none.token, "https://a/", nil, none.signature) {
			t.Errorf("verified with token %q, signature %q", none.token, none.signature)
		}
	}
	if twilio.Verify(token, "::", form, "x") {
		t.Error("nonsense verified")
	}
}
