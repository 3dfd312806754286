package sandbox

import (
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"
	"unicode/utf8"
)

// Number is a phone number that the sandbox's Twilio account owns.
type Number struct {
	SID                  string `json:"sid"`
	PhoneNumber          string `json:"phone_number"` // E.164
	FriendlyName         string `json:"friendly_name"`
	VoiceURL             string `json:"voice_url"`
	VoiceMethod          string `json:"voice_method"`
	VoiceFallbackURL     string `json:"voice_fallback_url"`
	VoiceFallbackMethod  string `json:"voice_fallback_method"`
	StatusCallback       string `json:"status_callback"`
	StatusCallbackMethod string `json:"status_callback_method"`
	SMSURL               string `json:"sms_url"`
	SMSMethod            string `json:"sms_method"`
	SMSFallbackURL       string `json:"sms_fallback_url"`
	SMSFallbackMethod    string `json:"sms_fallback_method"`
	VoiceCallerIDLookup  bool   `json:"voice_caller_id_lookup"`
	AddressSID           string `json:"address_sid"`
	BundleSID            string `json:"bundle_sid"`
	AddressRequirements  string `json:"address_requirements"`
	// A2P is the state of the number's A2P 10DLC registration: registered where empty; from an unregistered number messages
	// are not delivered (30034).
	A2P string `json:"a2p,omitempty"`
	// MessagingServiceSID is the service that the number belongs to, if any: its webhooks then have OptOutType.
	MessagingServiceSID string    `json:"messaging_service_sid,omitempty"`
	CreatedAt           time.Time `json:"created_at"`
	UpdatedAt           time.Time `json:"updated_at"`
}

// Numbers lists what the account owns, newest first.
func (s *Sandbox) Numbers() []Number {
	s.mu.Lock()
	defer s.mu.Unlock()
	return newestFirst(s.state.Numbers)
}

// AddNumber makes the account own n, as if it had been bought by hand; it need not be one on offer. SID, methods,
// friendly name and times are filled in where empty. It fails when the number is not E.164 or owned already.
func (s *Sandbox) AddNumber(n Number) (Number, error) {
	if !e164(n.PhoneNumber) {
		return n, errors.New("phone_number must be in E.164 form, such as +18573825169")
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, owned := s.numberWhere(func(o Number) bool { return o.PhoneNumber == n.PhoneNumber }); owned {
		return n, errors.New("this number is owned already")
	}
	return s.own(n)
}

// own fills in what is empty and commits. s.mu must be held.
func (s *Sandbox) own(n Number) (Number, error) {
	n.SID = or(n.SID, "PN"+s.nextHex("number"))
	n.FriendlyName = or(n.FriendlyName, formatted(n.PhoneNumber))
	n.AddressRequirements = or(n.AddressRequirements, "none")
	for _, method := range []*string{&n.VoiceMethod, &n.VoiceFallbackMethod, &n.StatusCallbackMethod, &n.SMSMethod, &n.SMSFallbackMethod} {
		*method = or(*method, http.MethodPost)
	}
	if n.CreatedAt.IsZero() {
		n.CreatedAt = s.now().UTC()
	}
	n.UpdatedAt = n.CreatedAt
	return n, s.commit(entry{Number: &n})
}

// numberWhere finds an owned number. s.mu must be held.
func (s *Sandbox) numberWhere(is func(Number) bool) (Number, bool) {
	if i := slices.IndexFunc(s.state.Numbers, is); i >= 0 {
		return s.state.Numbers[i], true
	}
	return Number{}, false
}

func (s *Sandbox) owned(number string) (Number, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.numberWhere(func(n Number) bool { return n.PhoneNumber == number })
}

func (s *Sandbox) createNumber(r *http.Request) (int, any, error) {
	number := r.PostForm.Get("PhoneNumber")
	code := r.PostForm.Get("AreaCode")
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case number != "":
	case code != "":
		free, err := s.freeIn(code)
		if err != nil {
			return 0, nil, err
		}
		number = free
	default:
		return 0, nil, &twilioError{400, 400, "PhoneNumber or AreaCode is required"}
	}
	if !e164(number) {
		return 0, nil, &twilioError{400, 21421, number + " is not a valid phone number"}
	}
	_, owned := s.numberWhere(func(n Number) bool { return n.PhoneNumber == number })
	sold, exists := s.market.find(number)
	if owned || !exists {
		return 0, nil, &twilioError{400, 21422, number + " is not available"}
	}
	n := Number{PhoneNumber: number, AddressRequirements: sold.area.address}
	if err := n.configure(r.PostForm); err != nil {
		return 0, nil, err
	}
	if n.AddressRequirements != "none" && n.AddressSID == "" {
		return 0, nil, &twilioError{400, 21631, "Phone Number Requires an Address but the 'AddressSid' parameter was empty"}
	}
	n, err := s.own(n)
	if err != nil {
		return 0, nil, err
	}
	return 201, s.numberResource(n), nil
}

// freeIn picks the first number that nobody owns. s.mu must be held.
func (s *Sandbox) freeIn(code string) (string, error) {
	for _, a := range s.market.areas {
		if a.code != code {
			continue
		}
		for o := range s.market.in(a, false) {
			if _, owned := s.numberWhere(func(n Number) bool { return n.PhoneNumber == o.number }); !owned {
				return o.number, nil
			}
		}
	}
	return "", &twilioError{400, 21452, "No phone numbers found in area code " + code}
}

// configure sets what the form has, leaving the rest as it is.
func (n *Number) configure(form url.Values) error {
	set := func(key string, to *string, valid func(string) error) error {
		if !form.Has(key) {
			return nil
		}
		if err := valid(form.Get(key)); err != nil {
			return err
		}
		*to = form.Get(key)
		return nil
	}
	absolute := func(v string) error {
		u, err := url.Parse(v)
		if v != "" && (err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "") {
			return &twilioError{400, 21402, "Invalid Url: " + v}
		}
		return nil
	}
	method := func(v string) error {
		if v != http.MethodGet && v != http.MethodPost {
			return &twilioError{400, 21403, "Invalid Method: " + v}
		}
		return nil
	}
	name := func(v string) error {
		if utf8.RuneCountInString(v) > 64 {
			return &twilioError{400, 20002, "Invalid FriendlyName: it can be up to 64 characters long"}
		}
		return nil
	}
	sid := func(prefix string) func(string) error {
		return func(v string) error {
			if v != "" && (len(v) != 34 || !strings.HasPrefix(v, prefix)) {
				return &twilioError{400, 20001, v + " is not a SID that starts with " + prefix}
			}
			return nil
		}
	}
	err := errors.Join(
		set("FriendlyName", &n.FriendlyName, name),
		set("VoiceUrl", &n.VoiceURL, absolute), set("VoiceMethod", &n.VoiceMethod, method),
		set("VoiceFallbackUrl", &n.VoiceFallbackURL, absolute), set("VoiceFallbackMethod", &n.VoiceFallbackMethod, method),
		set("StatusCallback", &n.StatusCallback, absolute), set("StatusCallbackMethod", &n.StatusCallbackMethod, method),
		set("SmsUrl", &n.SMSURL, absolute), set("SmsMethod", &n.SMSMethod, method),
		set("SmsFallbackUrl", &n.SMSFallbackURL, absolute), set("SmsFallbackMethod", &n.SMSFallbackMethod, method),
		set("AddressSid", &n.AddressSID, sid("AD")), set("BundleSid", &n.BundleSID, sid("BU")),
	)
	if form.Has("VoiceCallerIdLookup") {
		n.VoiceCallerIDLookup = form.Get("VoiceCallerIdLookup") == "true"
	}
	switch {
	case err != nil:
		return err
	case n.VoiceFallbackURL != "" && n.VoiceURL == "":
		return &twilioError{400, 21405, "Cannot set VoiceFallbackUrl without setting Url"}
	case n.SMSFallbackURL != "" && n.SMSURL == "":
		return &twilioError{400, 21406, "Cannot set SmsFallbackUrl without setting SmsUrl"}
	}
	return nil
}

func (s *Sandbox) listNumbers(r *http.Request) (int, any, error) {
	q := r.Form
	matching := slices.DeleteFunc(s.Numbers(), func(n Number) bool {
		return q.Get("PhoneNumber") != "" && !matchesNumber(n.PhoneNumber, q.Get("PhoneNumber")) ||
			q.Get("FriendlyName") != "" && n.FriendlyName != q.Get("FriendlyName") ||
			q.Get("Beta") == "true" || q.Get("Origin") == "hosted"
	})
	return twilioPage(r, "incoming_phone_numbers", matching, s.numberResource)
}

// matchesNumber is Twilio's filter: the whole number or a part of it, * standing for one digit.
func matchesNumber(number, filter string) bool {
	pattern, err := containsPattern(strings.TrimPrefix(filter, "+"))
	if err != nil || len(filter) < 2 {
		return number == filter
	}
	return pattern.MatchString(number[1:])
}

// numberAt finds the number that the path names. s.mu must be held.
func (s *Sandbox) numberAt(r *http.Request) (Number, error) {
	sid := fileSID(r)
	n, ok := s.numberWhere(func(n Number) bool { return n.SID == sid })
	if !ok {
		return n, notFound(r)
	}
	return n, nil
}

func (s *Sandbox) fetchNumber(r *http.Request) (int, any, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	n, err := s.numberAt(r)
	return 200, s.numberResource(n), err
}

func (s *Sandbox) updateNumber(r *http.Request) (int, any, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	n, err := s.numberAt(r)
	if err != nil {
		return 0, nil, err
	}
	if err := n.configure(r.PostForm); err != nil {
		return 0, nil, err
	}
	n.UpdatedAt = s.now().UTC()
	return 200, s.numberResource(n), s.commit(entry{Number: &n})
}

func (s *Sandbox) deleteNumber(r *http.Request) (int, any, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	n, err := s.numberAt(r)
	if err != nil {
		return 0, nil, err
	}
	return 204, nil, s.commit(entry{Released: n.SID})
}

func (s *Sandbox) numberResource(n Number) map[string]any {
	kind := "local"
	if s.market.tollFreeCode(n.PhoneNumber) {
		kind = "toll-free"
	}
	return map[string]any{
		"sid": n.SID, "account_sid": s.accountSID, "phone_number": n.PhoneNumber, "friendly_name": n.FriendlyName,
		"voice_url": n.VoiceURL, "voice_method": n.VoiceMethod,
		"voice_fallback_url": n.VoiceFallbackURL, "voice_fallback_method": n.VoiceFallbackMethod,
		"status_callback": n.StatusCallback, "status_callback_method": n.StatusCallbackMethod,
		"sms_url": n.SMSURL, "sms_method": n.SMSMethod,
		"sms_fallback_url": n.SMSFallbackURL, "sms_fallback_method": n.SMSFallbackMethod,
		"voice_caller_id_lookup": n.VoiceCallerIDLookup, "voice_receive_mode": "voice",
		"voice_application_sid": nil, "sms_application_sid": nil, "trunk_sid": nil, "identity_sid": nil,
		"address_sid": orNull(n.AddressSID), "bundle_sid": orNull(n.BundleSID), "address_requirements": n.AddressRequirements,
		"emergency_status": "Inactive", "emergency_address_sid": nil, "emergency_address_status": "unregistered",
		"capabilities": map[string]bool{"voice": true, "sms": true, "mms": true, "fax": false},
		"beta":         false, "origin": "twilio", "status": "in-use", "type": kind, "api_version": "2010-04-01",
		"date_created": twilioTime(n.CreatedAt), "date_updated": twilioTime(n.UpdatedAt),
		"uri": s.accountURI(fmt.Sprintf("/IncomingPhoneNumbers/%s.json", n.SID)),
	}
}

func orNull(v string) any {
	if v == "" {
		return nil
	}
	return v
}
