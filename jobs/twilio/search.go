package twilio

import (
	"context"
	"strconv"

	v2010 "github.com/twilio/twilio-go/rest/api/v2010"
)

// SearchQuery narrows the numbers for sale in one country. Only numbers with voice are found.
type SearchQuery struct {
	Country  string // ISO 3166 alpha-2; empty means US
	AreaCode string // three digits, US and Canada
	Contains string // digits, letters as on a keypad, and * as a wildcard
	Locality string // a city, exactly as Twilio spells it; not for toll-free numbers
	TollFree bool
	Limit    int // 1 to 100; 0 means 20
}

// AvailableNumber is a number for sale.
type AvailableNumber struct {
	PhoneNumber string // E.164
	Locality    string // empty for toll-free
	Region      string // state or province; empty for toll-free
	Voice       bool
	SMS         bool
	MMS         bool
	// AddressRequired tells that Twilio sells it only with a registered address.
	AddressRequired  bool
	MonthlyCostCents int // US cents; the configured rate, since the search does not tell prices
}

// Search returns up to q.Limit numbers for sale. Nothing found is an empty list.
func (c *Client) Search(ctx context.Context, q SearchQuery) ([]AvailableNumber, error) {
	if q.Country == "" {
		q.Country = "US"
	}
	if q.Limit <= 0 {
		q.Limit = 20
	}
	q.Limit = min(q.Limit, 100)
	areaCode := 0
	if q.AreaCode != "" {
		n, err := strconv.Atoi(q.AreaCode)
		if err != nil || n < 200 || n > 999 {
			return nil, refused("The area code must be three digits, such as 857")
		}
		areaCode = n
	}
	if len(q.Country) != 2 || q.Country[0] < 'A' || q.Country[0] > 'Z' || q.Country[1] < 'A' || q.Country[1] > 'Z' {
		return nil, refused("The country must be two capital letters, such as US")
	}
	api, err := c.api(ctx)
	if err != nil {
		return nil, err
	}
	if q.TollFree {
		return c.searchTollFree(api, q, areaCode)
	}
	return c.searchLocal(api, q, areaCode)
}

func (c *Client) searchLocal(api *v2010.ApiService, q SearchQuery, areaCode int) ([]AvailableNumber, error) {
	params := (&v2010.ListAvailablePhoneNumberLocalParams{}).SetVoiceEnabled(true).SetPageSize(q.Limit)
	if areaCode != 0 {
		params.SetAreaCode(areaCode)
	}
	if q.Contains != "" {
		params.SetContains(q.Contains)
	}
	if q.Locality != "" {
		params.SetInLocality(q.Locality)
	}
	page, err := api.PageAvailablePhoneNumberLocal(q.Country, params, "", "")
	if err != nil {
		return nil, fail(err, false)
	}
	found := make([]AvailableNumber, 0, len(page.AvailablePhoneNumbers))
	for _, n := range page.AvailablePhoneNumbers {
		number := AvailableNumber{
			PhoneNumber: text(n.PhoneNumber), Locality: text(n.Locality), Region: text(n.Region),
			AddressRequired: addressRequired(n.AddressRequirements), MonthlyCostCents: c.cfg.LocalMonthlyCents,
		}
		if has := n.Capabilities; has != nil {
			number.Voice, number.SMS, number.MMS = has.Voice, has.Sms, has.Mms
		}
		found = append(found, number)
	}
	return found[:min(len(found), q.Limit)], nil
}

func (c *Client) searchTollFree(api *v2010.ApiService, q SearchQuery, areaCode int) ([]AvailableNumber, error) {
	params := (&v2010.ListAvailablePhoneNumberTollFreeParams{}).SetVoiceEnabled(true).SetPageSize(q.Limit)
	if areaCode != 0 {
		params.SetAreaCode(areaCode)
	}
	if q.Contains != "" {
		params.SetContains(q.Contains)
	}
	page, err := api.PageAvailablePhoneNumberTollFree(q.Country, params, "", "")
	if err != nil {
		return nil, fail(err, false)
	}
	found := make([]AvailableNumber, 0, len(page.AvailablePhoneNumbers))
	for _, n := range page.AvailablePhoneNumbers {
		number := AvailableNumber{
			PhoneNumber: text(n.PhoneNumber), Locality: text(n.Locality), Region: text(n.Region),
			AddressRequired: addressRequired(n.AddressRequirements), MonthlyCostCents: c.cfg.TollFreeMonthlyCents,
		}
		if has := n.Capabilities; has != nil {
			number.Voice, number.SMS, number.MMS = has.Voice, has.Sms, has.Mms
		}
		found = append(found, number)
	}
	return found[:min(len(found), q.Limit)], nil
}

// addressRequired: Twilio answers none, any, local or foreign.
func addressRequired(requirement *string) bool {
	return requirement != nil && *requirement != "" && *requirement != "none"
}

func text(s *string) string {
	if s == nil {
		return ""
	}
	return *s
}
