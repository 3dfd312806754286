package subdomain

import (
	"errors"
	"strings"
)

// ErrHost says that a Host header names nothing that Kestrel serves.
var ErrHost = errors.New("unknown host")

// HostKind is the face a host shows.
type HostKind uint8

// The faces, see Hosts.Parse.
const (
	Unknown    HostKind = iota
	Apex                // kestrel.ai
	WWW                 // www.kestrel.ai
	Admin               // admin.kestrel.ai
	API                 // api.kestrel.ai
	TenantHost          // {slug}.kestrel.ai
	Sandbox             // sandbox.kestrel.ai, served in development only
)

// String names the face in logs.
func (k HostKind) String() string {
	switch k {
	case Apex:
		return "apex"
	case WWW:
		return "www"
	case Admin:
		return "admin"
	case API:
		return "api"
	case TenantHost:
		return "tenant"
	case Sandbox:
		return "sandbox"
	default:
		return "unknown"
	}
}

// Hosts knows the one domain that Kestrel is served under.
type Hosts struct {
	Base string // lower-case, without port: "kestrel.ai", or "localhost" in development
}

// Parse reads a raw Host header. It is strict, because a lenient reading is how one tenant's request reaches
// another: one label before Base, ASCII, an optional port of digits, no trailing dot (browsers hold that to be
// another origin), no IP literal. All else, reserved names included, is Unknown with ErrHost.
//
// The slug may share memory with rawHost.
func (h Hosts) Parse(rawHost string) (kind HostKind, slug string, err error) {
	host, ok := cutPort(rawHost)
	if !ok || len(host) > 253 {
		return Unknown, "", ErrHost
	}
	host = foldCase(host)
	if host == h.Base && h.Base != "" {
		return Apex, "", nil
	}
	label, ok := strings.CutSuffix(host, h.Base)
	if !ok || len(label) < 2 || label[len(label)-1] != '.' {
		return Unknown, "", ErrHost
	}
	label = label[:len(label)-1]
	switch label {
	case "www":
		return WWW, "", nil
	case "admin":
		return Admin, "", nil
	case "api":
		return API, "", nil
	case "sandbox":
		return Sandbox, "", nil
	}
	if ValidSlug(label) != nil {
		return Unknown, "", ErrHost
	}
	return TenantHost, label, nil
}

// URL is the origin of a label under Base ("" is the apex), with the port that the request came in on.
func (h Hosts) URL(scheme, label, rawHost string) string {
	port := ""
	if i := strings.LastIndexByte(rawHost, ':'); i >= 0 {
		if _, ok := cutPort(rawHost); ok {
			port = rawHost[i:]
		}
	}
	if label != "" {
		label += "."
	}
	return scheme + "://" + label + h.Base + port
}

func cutPort(s string) (string, bool) {
	host, port, found := strings.Cut(s, ":")
	if !found {
		return host, host != ""
	}
	if len(port) == 0 || len(port) > 5 {
		return "", false
	}
	n := 0
	for i := range len(port) {
		if port[i] < '0' || port[i] > '9' {
			return "", false
		}
		n = n*10 + int(port[i]-'0')
	}
	return host, host != "" && n > 0 && n <= 65535
}

// foldCase lower-cases ASCII only: strings.ToLower maps U+212A (Kelvin sign) to k.
func foldCase(s string) string {
	for i := range len(s) {
		if 'A' <= s[i] && s[i] <= 'Z' {
			b := []byte(s)
			for j := range b {
				if 'A' <= b[j] && b[j] <= 'Z' {
					b[j] += 'a' - 'A'
				}
			}
			return string(b)
		}
	}
	return s
}
