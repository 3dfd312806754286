package sandbox

import (
	_ "embed"
	"net/http"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// haiecNumber is the number of the product brief's example customer: the first one on offer in Boston.
const haiecNumber = "+18573825169"

// perAreaCode is how many numbers are on offer in one area code, owned ones included.
const perAreaCode = 1000

//go:embed areacodes.txt
var areaCodes string

// area is one area code and the places its numbers belong to.
type area struct {
	code, region    string
	lat, lon        float64
	postal, address string
	localities      []string
}

// offer is one number that can be bought.
type offer struct {
	number   string
	area     area
	locality string
	tollFree bool
}

// market is the stock of numbers for sale. It is computed, not stored: a seed always gives the same numbers.
type market struct {
	seed     uint64
	areas    []area
	tollFree []area
}

func newMarket(seed uint64) *market {
	m := &market{seed: seed}
	for line := range strings.Lines(areaCodes) {
		f := strings.SplitN(strings.TrimSpace(line), " ", 7)
		if len(f) == 7 && f[0] != "#" {
			a := area{code: f[0], region: f[1], postal: f[4], address: f[5], localities: strings.Split(f[6], ";")}
			a.lat, _ = strconv.ParseFloat(f[2], 64) // a test reads every line of the table
			a.lon, _ = strconv.ParseFloat(f[3], 64)
			m.areas = append(m.areas, a)
		}
	}
	for _, code := range []string{"833", "844", "855", "866", "877", "888"} {
		m.tollFree = append(m.tollFree, area{code: code, address: "none", localities: []string{""}})
	}
	return m
}

// in lists an area code's numbers in a fixed order.
func (m *market) in(a area, tollFree bool) func(yield func(offer) bool) {
	return func(yield func(offer) bool) {
		if a.code == haiecNumber[2:5] && !yield(offer{haiecNumber, a, a.localities[0], false}) {
			return
		}
		code, _ := strconv.ParseUint(a.code, 10, 64)
		start := mix(m.seed<<10 | code)
		for i := range uint64(perAreaCode) {
			// The step has no factor in common with 8 million, so no line comes twice.
			n := (start%8_000_000 + i*5_113_433) % 8_000_000
			exchange, line := 200+n/10_000, n%10_000
			if exchange%100 == 11 || exchange == 555 || exchange == 976 {
				continue
			}
			number := nanp(a.code, exchange, line)
			if number != haiecNumber && !yield(offer{number, a, a.localities[i%uint64(len(a.localities))], tollFree}) {
				return
			}
		}
	}
}

// nanp spells a North American number in E.164; searches spell hundreds of thousands, too many for fmt.
func nanp(code string, exchange, line uint64) string {
	b := [12]byte{'+', '1', code[0], code[1], code[2]}
	for i := 7; i >= 5; i-- {
		b[i], exchange = byte('0'+exchange%10), exchange/10
	}
	for i := 11; i >= 8; i-- {
		b[i], line = byte('0'+line%10), line/10
	}
	return string(b[:])
}

// mix is the finaliser of splitmix64: near seeds give far numbers.
func mix(x uint64) uint64 {
	x += 0x9e3779b97f4a7c15
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>27) * 0x94d049bb133111eb
	return x ^ x>>31
}

// find reports whether number is one the sandbox sells.
func (m *market) find(number string) (offer, bool) {
	if len(number) != 12 || !strings.HasPrefix(number, "+1") {
		return offer{}, false
	}
	for i, areas := range [][]area{m.areas, m.tollFree} {
		for _, a := range areas {
			if a.code != number[2:5] {
				continue
			}
			for o := range m.in(a, i == 1) {
				if o.number == number {
					return o, true
				}
			}
		}
	}
	return offer{}, false
}

func (m *market) tollFreeCode(number string) bool {
	return strings.HasPrefix(number, "+1") && len(number) == 12 &&
		slices.ContainsFunc(m.tollFree, func(a area) bool { return a.code == number[2:5] })
}

func (s *Sandbox) searchLocal(r *http.Request) (int, any, error) {
	return s.search(r, s.market.areas, false)
}
func (s *Sandbox) searchTollFree(r *http.Request) (int, any, error) {
	return s.search(r, s.market.tollFree, true)
}

// search answers AvailablePhoneNumbers. Parameters it does not know (NearNumber, InLata …) are ignored.
func (s *Sandbox) search(r *http.Request, areas []area, tollFree bool) (int, any, error) {
	country := r.PathValue("country")
	if len(country) != 2 {
		return 0, nil, notFound(r)
	}
	q := r.Form
	limit, err := formInt(r, "PageSize", 30, 1, 1000)
	if err != nil {
		return 0, nil, err
	}
	page, err := formInt(r, "Page", 0, 0, 1000)
	if err != nil {
		return 0, nil, err
	}
	code := q.Get("AreaCode")
	if code != "" && !areaCodeSyntax.MatchString(code) {
		return 0, nil, &twilioError{400, 21451, "Invalid AreaCode: " + code}
	}
	pattern, err := containsPattern(q.Get("Contains"))
	if err != nil {
		return 0, nil, err
	}
	locality := q.Get("InLocality")
	found := []map[string]any{}
	if !strings.EqualFold(country, "US") || page > 0 || q.Get("FaxEnabled") == "true" || q.Get("Beta") == "only" {
		areas = nil
	}
	s.mu.Lock()
	owned := map[string]bool{}
	for _, n := range s.state.Numbers {
		owned[n.PhoneNumber] = true
	}
	s.mu.Unlock()
	for _, a := range areas {
		if code != "" && code != a.code || !foldFilter(q.Get("InRegion"), a.region) || !foldFilter(q.Get("InPostalCode"), a.postal) ||
			q.Get("ExcludeAllAddressRequired") == "true" && a.address != "none" ||
			q.Get("ExcludeLocalAddressRequired") == "true" && a.address == "local" {
			continue
		}
		if len(found) == limit {
			break
		}
		for o := range s.market.in(a, tollFree) {
			if len(found) == limit {
				break
			}
			if !owned[o.number] && foldFilter(locality, o.locality) && (pattern == nil || pattern.MatchString(o.number[1:])) {
				found = append(found, o.resource())
			}
		}
	}
	kind := "Local"
	if tollFree {
		kind = "TollFree"
	}
	return 200, map[string]any{
		"available_phone_numbers": found,
		"uri":                     s.accountURI("/AvailablePhoneNumbers/" + country + "/" + kind + ".json"),
	}, nil
}

// areaCodeSyntax takes less than three digits too: SDKs send the area code as a number, 000 as 0. There are none to sell.
var areaCodeSyntax = regexp.MustCompile(`^[0-9]{1,3}$`)

func foldFilter(want, have string) bool { return want == "" || strings.EqualFold(want, have) }

var containsSyntax = regexp.MustCompile(`^\+?[0-9a-zA-Z*%]+\$?$`)

// containsPattern reads Twilio's Contains: digits, letters as on a keypad, * for one digit, % for a run, + and $ as anchors.
// It is nil for an empty one.
func containsPattern(contains string) (*regexp.Regexp, error) {
	if contains == "" {
		return nil, nil
	}
	known := strings.Trim(contains, "+$*%")
	if len(contains) < 2 || len(contains) > 16 || len(known) < 2 || !containsSyntax.MatchString(contains) {
		return nil, &twilioError{400, 20001, "Contains must have 2 to 16 characters out of digits, letters, *, %, + and $, two of them digits or letters"}
	}
	var re strings.Builder
	for _, c := range strings.ToUpper(contains) {
		switch {
		case c == '+':
			re.WriteByte('^')
		case c == '$':
			re.WriteByte('$')
		case c == '*':
			re.WriteString("[0-9]")
		case c == '%':
			re.WriteString("[0-9]*")
		case c >= 'A' && c <= 'Z':
			re.WriteByte("22233344455566677778889999"[c-'A'])
		default:
			re.WriteRune(c)
		}
	}
	return regexp.Compile(re.String())
}

func (o offer) resource() map[string]any {
	body := map[string]any{
		"phone_number": o.number, "friendly_name": formatted(o.number), "iso_country": "US", "beta": false,
		"address_requirements": o.area.address, "capabilities": map[string]bool{"voice": true, "sms": true, "mms": true},
		"locality": nil, "region": nil, "rate_center": nil, "latitude": nil, "longitude": nil, "postal_code": nil, "lata": nil,
	}
	if !o.tollFree {
		centre := strings.ToUpper(strings.NewReplacer(" ", "", ".", "", "'", "", "-", "").Replace(o.locality))
		body["locality"], body["region"], body["rate_center"] = o.locality, o.area.region, centre[:min(10, len(centre))]
		body["latitude"], body["longitude"], body["postal_code"] = o.area.lat, o.area.lon, o.area.postal
	}
	return body
}

func (s *Sandbox) country() map[string]any {
	base := s.accountURI("/AvailablePhoneNumbers/US")
	return map[string]any{
		"country_code": "US", "country": "United States", "beta": false, "uri": base + ".json",
		"subresource_uris": map[string]string{"local": base + "/Local.json", "toll_free": base + "/TollFree.json"},
	}
}

func (s *Sandbox) listCountries(r *http.Request) (int, any, error) {
	return 200, map[string]any{"countries": []any{s.country()}, "uri": r.URL.Path}, nil
}

func (s *Sandbox) fetchCountry(r *http.Request) (int, any, error) {
	if fileSID(r) != "US" {
		return 0, nil, notFound(r)
	}
	return 200, s.country(), nil
}
