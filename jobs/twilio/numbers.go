package twilio

import (
	"context"
	"errors"
	"net/url"
	"regexp"
	"slices"
	"strings"

	v2010 "github.com/twilio/twilio-go/rest/api/v2010"
)

// OwnedNumber is a number in the account, as Twilio has it.
type OwnedNumber struct {
	SID          string
	PhoneNumber  string // E.164
	FriendlyName string
	AccountSID   string
	Webhooks     Webhooks
	Capabilities Capabilities
}

// Capabilities of a number.
type Capabilities struct{ Voice, SMS, MMS bool }

// BuyParams names the one number to buy.
type BuyParams struct {
	PhoneNumber  string   // E.164
	FriendlyName string   // at most 64 characters; see FriendlyName
	Webhooks     Webhooks // empty ones stay unset
}

var (
	e164 = regexp.MustCompile(`^\+[1-9][0-9]{6,14}$`)
	sid  = regexp.MustCompile(`^[A-Za-z0-9]+$`)
)

// Buy buys exactly p.PhoneNumber, with one request that is never repeated here. After
// ErrOutcomeUnknown the caller must look for the number among those owned.
func (c *Client) Buy(ctx context.Context, p BuyParams) (OwnedNumber, error) {
	if !e164.MatchString(p.PhoneNumber) {
		return OwnedNumber{}, refused("The phone number must be in E.164 format, such as +18573825169")
	}
	api, err := c.api(ctx)
	if err != nil {
		return OwnedNumber{}, err
	}
	params := (&v2010.CreateIncomingPhoneNumberParams{}).SetPhoneNumber(p.PhoneNumber)
	if p.FriendlyName != "" {
		params.SetFriendlyName(p.FriendlyName)
	}
	if p.Webhooks.Voice != "" {
		params.SetVoiceUrl(p.Webhooks.Voice).SetVoiceMethod("POST")
	}
	if p.Webhooks.VoiceFallback != "" {
		params.SetVoiceFallbackUrl(p.Webhooks.VoiceFallback).SetVoiceFallbackMethod("GET")
	}
	if p.Webhooks.Status != "" {
		params.SetStatusCallback(p.Webhooks.Status).SetStatusCallbackMethod("POST")
	}
	if p.Webhooks.SMS != "" {
		params.SetSmsUrl(p.Webhooks.SMS).SetSmsMethod("POST")
	}
	bought, err := api.CreateIncomingPhoneNumber(params)
	if err != nil {
		return OwnedNumber{}, fail(err, true)
	}
	if text(bought.Sid) == "" {
		return OwnedNumber{}, fail(errors.New("no sid"), true)
	}
	return owned(bought), nil
}

// FindByNumber looks for exactly this number among those owned; false when it is not there.
func (c *Client) FindByNumber(ctx context.Context, number string) (OwnedNumber, bool, error) {
	if !e164.MatchString(number) {
		return OwnedNumber{}, false, refused("The phone number must be in E.164 format, such as +18573825169")
	}
	params := (&v2010.ListIncomingPhoneNumberParams{}).SetPhoneNumber(number)
	// Twilio's filter matches parts of a number too.
	return c.find(ctx, params, func(n OwnedNumber) bool { return n.PhoneNumber == number })
}

// FindByFriendlyName looks for exactly this name; false when it is not there.
func (c *Client) FindByFriendlyName(ctx context.Context, name string) (OwnedNumber, bool, error) {
	if name == "" {
		return OwnedNumber{}, false, refused("The friendly name is empty")
	}
	params := (&v2010.ListIncomingPhoneNumberParams{}).SetFriendlyName(name)
	return c.find(ctx, params, func(n OwnedNumber) bool { return n.FriendlyName == name })
}

var errFound = errors.New("found")

func (c *Client) find(ctx context.Context, params *v2010.ListIncomingPhoneNumberParams, match func(OwnedNumber) bool) (OwnedNumber, bool, error) {
	var found OwnedNumber
	err := c.pages(ctx, params, func(page []OwnedNumber) error {
		for _, n := range page {
			if match(n) {
				found = n
				return errFound
			}
		}
		return nil
	})
	if errors.Is(err, errFound) {
		return found, true, nil
	}
	return OwnedNumber{}, false, err
}

// MonthlyCents is what a number costs by configuration, in US cents a month; 0 outside North America, where Twilio's
// prices differ by country.
func (c *Client) MonthlyCents(number string) int {
	switch {
	case TollFree(number):
		return c.cfg.TollFreeMonthlyCents
	case strings.HasPrefix(number, "+1"):
		return c.cfg.LocalMonthlyCents
	}
	return 0
}

// TollFree tells whether the callee pays, by the area codes of North America.
func TollFree(number string) bool {
	rest, american := strings.CutPrefix(number, "+1")
	return american && len(rest) >= 3 && slices.Contains([]string{"800", "833", "844", "855", "866", "877", "888"}, rest[:3])
}

// List calls each with every page of the numbers owned, and stops at its first error.
func (c *Client) List(ctx context.Context, each func(page []OwnedNumber) error) error {
	return c.pages(ctx, &v2010.ListIncomingPhoneNumberParams{}, each)
}

// maxPages ends a listing whose pages never end; at 1,000 numbers each it is far off.
const maxPages = 1000

func (c *Client) pages(ctx context.Context, params *v2010.ListIncomingPhoneNumberParams, each func([]OwnedNumber) error) error {
	api, err := c.api(ctx)
	if err != nil {
		return err
	}
	params.SetPageSize(1000)
	token, number := "", ""
	for range maxPages {
		page, err := api.PageIncomingPhoneNumber(params, token, number)
		if err != nil {
			return fail(err, false)
		}
		numbers := make([]OwnedNumber, 0, len(page.IncomingPhoneNumbers))
		for i := range page.IncomingPhoneNumbers {
			numbers = append(numbers, owned(&page.IncomingPhoneNumbers[i]))
		}
		if err := each(numbers); err != nil {
			return err
		}
		next := text(page.NextPageUri)
		if next == "" {
			return nil
		}
		at, err := url.Parse(next)
		if err != nil {
			return fail(err, false)
		}
		token, number = at.Query().Get("PageToken"), at.Query().Get("Page")
		if token == "" && number == "" {
			return fail(errors.New("no next page in "+next), false)
		}
	}
	return fail(errors.New("endless listing"), false)
}

// Fetch returns an owned number by its SID; ErrNotFound when this account has none such.
func (c *Client) Fetch(ctx context.Context, numberSID string) (OwnedNumber, error) {
	api, err := c.apiFor(ctx, numberSID)
	if err != nil {
		return OwnedNumber{}, err
	}
	n, err := api.FetchIncomingPhoneNumber(numberSID, nil)
	if err != nil {
		return OwnedNumber{}, fail(err, false)
	}
	return owned(n), nil
}

// SetWebhooks makes the number's URLs exactly w: an empty one is cleared. A TwiML
// application or SIP trunk is detached, since Twilio prefers those to URLs. Repeating
// it is harmless, also after ErrOutcomeUnknown.
func (c *Client) SetWebhooks(ctx context.Context, numberSID string, w Webhooks) (OwnedNumber, error) {
	api, err := c.apiFor(ctx, numberSID)
	if err != nil {
		return OwnedNumber{}, err
	}
	params := (&v2010.UpdateIncomingPhoneNumberParams{}).
		SetVoiceUrl(w.Voice).SetVoiceMethod("POST").
		SetVoiceFallbackUrl(w.VoiceFallback).SetVoiceFallbackMethod("GET").
		SetStatusCallback(w.Status).SetStatusCallbackMethod("POST").
		SetSmsUrl(w.SMS).SetSmsMethod("POST").
		SetVoiceApplicationSid("").SetSmsApplicationSid("").SetTrunkSid("")
	n, err := api.UpdateIncomingPhoneNumber(numberSID, params)
	if err != nil {
		return OwnedNumber{}, fail(err, true)
	}
	return owned(n), nil
}

// Release gives the number back. One that is already gone is released.
func (c *Client) Release(ctx context.Context, numberSID string) error {
	api, err := c.apiFor(ctx, numberSID)
	if err != nil {
		return err
	}
	if err := api.DeleteIncomingPhoneNumber(numberSID, nil); err != nil {
		if err = fail(err, true); !errors.Is(err, ErrNotFound) {
			return err
		}
	}
	return nil
}

// apiFor refuses what is no SID, since the SDK pastes it into the path as it is.
func (c *Client) apiFor(ctx context.Context, resource string) (*v2010.ApiService, error) {
	if !sid.MatchString(resource) {
		return nil, refused("The number's SID is not valid")
	}
	return c.api(ctx)
}

func owned(n *v2010.ApiV2010IncomingPhoneNumber) OwnedNumber {
	out := OwnedNumber{
		SID: text(n.Sid), PhoneNumber: text(n.PhoneNumber), FriendlyName: text(n.FriendlyName), AccountSID: text(n.AccountSid),
		Webhooks: Webhooks{
			Voice: text(n.VoiceUrl), VoiceFallback: text(n.VoiceFallbackUrl), Status: text(n.StatusCallback), SMS: text(n.SmsUrl),
		},
	}
	if has := n.Capabilities; has != nil {
		out.Capabilities = Capabilities{Voice: has.Voice, SMS: has.Sms, MMS: has.Mms}
	}
	return out
}
