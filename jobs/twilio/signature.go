package twilio

import (
	"crypto/hmac"
	"crypto/sha1" //nolint:gosec // Twilio's choice
	"encoding/base64"
	"net/url"
	"slices"
	"sort"
	"strings"
)

// What stands for a call and a message in a webhook that is only tried out: signed by ourselves, and never kept.
const (
	CheckCallSID    = "CAcccccccccccccccccccccccccccccccc"
	CheckMessageSID = "SMcccccccccccccccccccccccccccccccc"
)

// Sign computes X-Twilio-Signature for a webhook to rawURL with these form fields:
// HMAC-SHA1 over the URL and the sorted fields
// (https://www.twilio.com/docs/usage/webhooks/webhooks-security).
// rawURL is the public one, query included, exactly as configured at Twilio.
func Sign(authToken, rawURL string, form url.Values) string {
	mac := hmac.New(sha1.New, []byte(authToken))
	mac.Write([]byte(rawURL))
	keys := make([]string, 0, len(form))
	for key := range form {
		keys = append(keys, key)
	}
	sort.Strings(keys)
	for _, key := range keys {
		values := slices.Clone(form[key])
		slices.Sort(values)
		for _, value := range slices.Compact(values) {
			mac.Write([]byte(key + value))
		}
	}
	return base64.StdEncoding.EncodeToString(mac.Sum(nil))
}

// Verify tells, in constant time, whether signature is Twilio's for this request. Twilio
// is not consistent about naming the default port, so both forms of the URL are accepted.
// An empty token or signature never verifies.
func Verify(authToken, rawURL string, form url.Values, signature string) bool {
	if authToken == "" || signature == "" {
		return false
	}
	ok := false
	for _, candidate := range portForms(rawURL) {
		if hmac.Equal([]byte(Sign(authToken, candidate, form)), []byte(signature)) {
			ok = true
		}
	}
	return ok
}

// portForms returns rawURL with and without its default port, changing nothing else:
// re-encoding the query would change the signed text.
func portForms(rawURL string) []string {
	u, err := url.Parse(rawURL)
	if err != nil {
		return []string{rawURL}
	}
	port := map[string]string{"http": "80", "https": "443", "ws": "80", "wss": "443"}[u.Scheme]
	switch u.Port() {
	case "":
		if port != "" {
			return []string{rawURL, strings.Replace(rawURL, u.Host, u.Host+":"+port, 1)}
		}
	case port:
		return []string{rawURL, strings.Replace(rawURL, u.Host, strings.TrimSuffix(u.Host, ":"+port), 1)}
	}
	return []string{rawURL}
}
