package sandbox

import (
	"crypto/subtle"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"regexp"
	"strconv"
	"strings"
	"time"
)

// twilioError is Twilio's error body. The codes are from https://www.twilio.com/docs/api/errors.
type twilioError struct {
	Status  int
	Code    int
	Message string
}

func (e *twilioError) Error() string { return fmt.Sprintf("twilio %d: %s", e.Code, e.Message) }

// twilioHandler answers one operation: a status and what goes into the body (nil: no body).
type twilioHandler func(r *http.Request) (status int, body any, err error)

// twilio checks the caller and writes what h returns.
func (s *Sandbox) twilio(h twilioHandler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		sid, token, _ := r.BasicAuth()
		if sid != s.accountSID || subtle.ConstantTimeCompare([]byte(token), []byte(s.authToken)) != 1 {
			w.Header().Set("WWW-Authenticate", `Basic realm="Twilio API"`)
			writeTwilioError(w, &twilioError{401, 20003, "Authenticate"})
			return
		}
		if account := r.PathValue("account"); account != "" && account != s.accountSID {
			writeTwilioError(w, notFound(r))
			return
		}
		if err := r.ParseForm(); err != nil {
			writeTwilioError(w, &twilioError{400, 20001, "The request parameters cannot be read"})
			return
		}
		status, body, err := h(r)
		var known *twilioError
		switch {
		case errors.As(err, &known):
			writeTwilioError(w, known)
		case err != nil:
			slog.ErrorContext(r.Context(), "sandbox", "error", err)
			writeTwilioError(w, &twilioError{500, 20500, "Internal Server Error"})
		case body == nil:
			w.WriteHeader(status)
		default:
			if file, is := body.(media); is {
				w.Header().Set("Content-Type", file.kind)
				w.WriteHeader(status)
				_, _ = w.Write(file.content)
				return
			}
			writeJSON(w, status, body)
		}
	})
}

// media is an answer that is not JSON.
type media struct {
	kind    string
	content []byte
}

func writeTwilioError(w http.ResponseWriter, e *twilioError) {
	writeJSON(w, e.Status, map[string]any{
		"code":      e.Code,
		"message":   e.Message,
		"more_info": "https://www.twilio.com/docs/errors/" + strconv.Itoa(e.Code),
		"status":    e.Status,
	})
}

func twilioCodeFor(status int) int {
	switch status {
	case http.StatusUnauthorized, http.StatusForbidden:
		return 20003
	case http.StatusNotFound:
		return 20404
	case http.StatusTooManyRequests:
		return 20429
	case http.StatusServiceUnavailable:
		return 20503
	}
	if status >= 500 {
		return 20500
	}
	return 20001
}

func notFound(r *http.Request) *twilioError {
	return &twilioError{404, 20404, "The requested resource " + r.URL.Path + " was not found"}
}

func (s *Sandbox) noSuchResource(r *http.Request) (int, any, error) { return 0, nil, notFound(r) }

// fileSID reads the SID from a path that ends in "{sid}.json".
func fileSID(r *http.Request) string {
	sid, ok := strings.CutSuffix(r.PathValue("file"), ".json")
	if !ok {
		return ""
	}
	return sid
}

func (s *Sandbox) accountURI(rest string) string {
	return "/2010-04-01/Accounts/" + s.accountSID + rest
}

func (s *Sandbox) fetchAccount(r *http.Request) (int, any, error) {
	if fileSID(r) != s.accountSID {
		return 0, nil, notFound(r)
	}
	created := twilioTime(time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC))
	return 200, map[string]any{
		"sid": s.accountSID, "owner_account_sid": s.accountSID, "auth_token": s.authToken, "friendly_name": "Sandbox",
		"status": "active", "type": "Full", "date_created": created, "date_updated": created,
		"uri": s.accountURI(".json"),
		"subresource_uris": map[string]string{
			"available_phone_numbers": s.accountURI("/AvailablePhoneNumbers.json"),
			"calls":                   s.accountURI("/Calls.json"),
			"incoming_phone_numbers":  s.accountURI("/IncomingPhoneNumbers.json"),
			"recordings":              s.accountURI("/Recordings.json"),
			"messages":                s.accountURI("/Messages.json"),
		},
	}, nil
}

// twilioTime is RFC 2822 as Twilio writes it, in UTC.
func twilioTime(t time.Time) string { return t.UTC().Format(time.RFC1123Z) }

func optionalTime(t *time.Time) any {
	if t == nil {
		return nil
	}
	return twilioTime(*t)
}

// twilioPage writes one page of a list the way Twilio does. PageToken is unused: Page alone positions.
func twilioPage[T any](r *http.Request, name string, all []T, resource func(T) map[string]any) (int, any, error) {
	size, err := formInt(r, "PageSize", 50, 1, 1000)
	if err != nil {
		return 0, nil, err
	}
	number, err := formInt(r, "Page", 0, 0, 1<<20)
	if err != nil {
		return 0, nil, err
	}
	start := min(number*size, len(all))
	end := min(start+size, len(all))
	items := make([]map[string]any, 0, end-start)
	for _, item := range all[start:end] {
		items = append(items, resource(item))
	}
	uri := func(page int) string {
		q := url.Values{}
		for k, v := range r.URL.Query() {
			q[k] = v
		}
		q.Set("Page", strconv.Itoa(page))
		q.Set("PageSize", strconv.Itoa(size))
		return r.URL.Path + "?" + q.Encode()
	}
	body := map[string]any{
		name: items, "page": number, "page_size": size, "start": start, "end": max(start, end-1),
		"uri": uri(number), "first_page_uri": uri(0), "next_page_uri": nil, "previous_page_uri": nil,
	}
	if end < len(all) {
		body["next_page_uri"] = uri(number + 1)
	}
	if number > 0 {
		body["previous_page_uri"] = uri(number - 1)
	}
	return 200, body, nil
}

func formInt(r *http.Request, key string, fallback, low, high int) (int, error) {
	raw := r.Form.Get(key)
	if raw == "" {
		return fallback, nil
	}
	n, err := strconv.Atoi(raw)
	if err != nil || n < low || n > high {
		return 0, &twilioError{400, 20001, fmt.Sprintf("%s must be a number from %d to %d", key, low, high)}
	}
	return n, nil
}

var e164Pattern = regexp.MustCompile(`^\+[1-9][0-9]{6,14}$`)

func e164(number string) bool { return e164Pattern.MatchString(number) }

// formatted is a number as Twilio shows it: (857) 382-5169 for North America, E.164 for the rest.
func formatted(number string) string {
	if len(number) == 12 && strings.HasPrefix(number, "+1") {
		return fmt.Sprintf("(%s) %s-%s", number[2:5], number[5:8], number[8:])
	}
	return number
}
