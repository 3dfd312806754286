package edge

import (
	"encoding/json"
	"errors"
	"net/http"
	"strconv"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/gofiber/fiber/v2"
)

// ProblemType is the media type of every error answer (RFC 9457).
const ProblemType = "application/problem+json"

// Problem is every error answer. What it shows is public text; the cause is for the log alone.
type Problem struct {
	Type      string         `json:"type" doc:"Where the code is explained" example:"/docs/errors#slug_taken"`
	Title     string         `json:"title" doc:"The status in words" example:"Conflict"`
	Status    int            `json:"status" example:"409"`
	Detail    string         `json:"detail,omitempty" doc:"What went wrong, for people" example:"This slug is taken"`
	Code      string         `json:"code" doc:"What went wrong, for programs; stable" example:"slug_taken"`
	RequestID string         `json:"request_id,omitempty" doc:"Quote this when asking for help"`
	Errors    []ProblemField `json:"errors,omitempty" doc:"The fields at fault"`

	cause      error
	retryAfter time.Duration
}

// ProblemField is one field at fault.
type ProblemField struct {
	Field    string `json:"field,omitempty" doc:"Name of the field" example:"slug"`
	Location string `json:"location,omitempty" doc:"Path to the value" example:"body.slug"`
	Message  string `json:"message" example:"expected length >= 3"`
}

// NewProblem makes a problem of public text. Code is snake_case and never changes its meaning.
func NewProblem(status int, code, detail string) *Problem {
	return &Problem{Type: "/docs/errors#" + code, Title: http.StatusText(status), Status: status, Code: code, Detail: detail}
}

// Because returns a copy that carries the internal cause to the log.
func (p *Problem) Because(cause error) *Problem {
	copied := *p
	copied.cause = cause
	return &copied
}

// At returns a copy that names a field at fault.
func (p *Problem) At(field, message string) *Problem {
	copied := *p
	copied.Errors = append(copied.Errors[:len(copied.Errors):len(copied.Errors)], ProblemField{Field: field, Message: message})
	return &copied
}

// RetryAfter returns a copy that tells the caller when to come back.
func (p *Problem) RetryAfter(d time.Duration) *Problem {
	copied := *p
	copied.retryAfter = d
	return &copied
}

// Error is the public text, with the cause where there is one: for logs, never for callers.
func (p *Problem) Error() string {
	text := strconv.Itoa(p.Status) + " " + p.Code + ": " + p.Detail
	if p.cause != nil {
		text += ": " + p.cause.Error()
	}
	return text
}

// Unwrap returns the internal cause.
func (p *Problem) Unwrap() error { return p.cause }

// GetStatus makes a Problem a huma.StatusError.
func (p *Problem) GetStatus() int { return p.Status }

// ContentType makes huma send problems as such.
func (p *Problem) ContentType(string) string { return ProblemType }

// GetHeaders makes huma send Retry-After.
func (p *Problem) GetHeaders() http.Header {
	if p.retryAfter <= 0 {
		return nil
	}
	return http.Header{"Retry-After": {retrySeconds(p.retryAfter)}}
}

func retrySeconds(d time.Duration) string {
	return strconv.Itoa(max(1, int((d+time.Second-1)/time.Second)))
}

// Problems that the edge itself answers with.
var (
	errUnknownHost   = NewProblem(404, "unknown_host", "Nothing is served at this address.")
	errNotFound      = NewProblem(404, "not_found", "There is nothing here.")
	errBadPath       = NewProblem(400, "bad_path", "The path is not in its plain form.")
	errFraming       = NewProblem(400, "bad_framing", "The length of the body is said twice.")
	errInternal      = NewProblem(500, "internal", "Something went wrong on our side.")
	errUnavailable   = NewProblem(503, "unavailable", "A service we depend on does not answer. Try again shortly.").RetryAfter(5 * time.Second)
	errSignIn        = NewProblem(401, "unauthenticated", "Sign in, or send an API key.")
	errCredentials   = NewProblem(401, "invalid_credentials", "The token or API key is not valid, or has expired.")
	errAmbiguous     = NewProblem(401, "ambiguous_credentials", "Send one credential, once.")
	errForbidden     = NewProblem(403, "forbidden", "You may not do this.")
	errNotMember     = NewProblem(403, "not_a_member", "You are not a member of this company.")
	errNotAdmin      = NewProblem(403, "not_a_platform_admin", "Only Kestrel's staff may do this.")
	errMFA           = NewProblem(403, "mfa_required", "Sign in with your second factor.")
	errKeyScope      = NewProblem(403, "insufficient_scope", "This API key may not do this.")
	errKeyTenant     = NewProblem(403, "wrong_tenant", "This API key belongs to another company.")
	errView          = NewProblem(403, "view_only", "A view as this company may not do this.")
	errViewTenant    = NewProblem(403, "wrong_tenant", "This view is of another company.")
	errReadOnly      = NewProblem(403, "tenant_suspended", "This company's subscription is suspended or cancelled: its data can be read, not changed.")
	errClosed        = NewProblem(403, "tenant_closed", "This company has left Kestrel, and its last paid period is over. Write to us to come back, or for a copy of its data.")
	errTenantWanted  = NewProblem(400, "tenant_required", "Name the company in the X-Kestrel-Tenant header.")
	errTenantUnknown = NewProblem(404, "tenant_not_found", "There is no such company.")
	errSlugRetired   = NewProblem(404, "slug_retired", "This company has moved to another address.")
	errTicket        = NewProblem(401, "invalid_ticket", "The ticket is not valid here, was used, or has expired.")
	errCrossSite     = NewProblem(403, "cross_site", "This request did not come from our own page.")
)

// writeProblem answers with what the error means. It never fails: nothing else would answer.
func writeProblem(c *fiber.Ctx, err error, requestID string) {
	p := *FromError(err)
	p.RequestID = requestID
	for name, values := range p.GetHeaders() {
		c.Set(name, values[0])
	}
	if p.Status == http.StatusUnauthorized {
		c.Set(fiber.HeaderWWWAuthenticate, `Bearer realm="kestrel"`)
	}
	// What the handler had said of the body it did not send.
	c.Response().Header.Del(fiber.HeaderContentEncoding)
	c.Response().Header.Del(fiber.HeaderContentDisposition)
	body, err := json.Marshal(&p)
	if err != nil {
		body = []byte(`{"status":500,"code":"internal"}`)
	}
	c.Set(fiber.HeaderCacheControl, "no-store")
	c.Status(p.Status).Response().SetBodyRaw(body)
	c.Set(fiber.HeaderContentType, ProblemType)
}

// HumaError stands in for huma.NewError: validation errors keep their location but not the value, and any other
// error becomes the problem that FromError makes of it.
func HumaError(status int, message string, errs ...error) huma.StatusError {
	if status >= 500 {
		cause := errors.Join(errs...)
		if p := FromError(cause); p.Status != http.StatusInternalServerError || status == p.Status {
			return p
		}
		return NewProblem(status, codeOf(status), message).Because(cause) // 501, 503: a handler chose the words
	}
	for _, err := range errs {
		if p := (*Problem)(nil); errors.As(err, &p) {
			return p
		}
	}
	code := codeOf(status)
	if status == http.StatusUnprocessableEntity {
		code = "invalid"
	}
	p := NewProblem(status, code, message)
	for _, err := range errs {
		if detailed, ok := err.(huma.ErrorDetailer); ok {
			d := detailed.ErrorDetail()
			p.Errors = append(p.Errors, ProblemField{Field: lastName(d.Location), Location: d.Location, Message: d.Message})
		}
	}
	return p
}

// InstallHuma makes huma speak in Problems. huma keeps its error constructor in a package variable, so this is
// called once, while the process is wired, before any API is built.
func InstallHuma() { huma.NewError = HumaError }

// HumaTransformer belongs in huma.Config.Transformers: it puts the request id into problems and their cause into
// the request's log line.
func HumaTransformer(ctx huma.Context, _ string, v any) (any, error) {
	p, ok := v.(*Problem)
	if !ok {
		return v, nil
	}
	if r := requestOf(ctx.Context()); r != nil {
		copied := *p
		copied.RequestID = r.scope.RequestID
		r.failure = p
		p = &copied
	}
	if p.Status == http.StatusUnauthorized {
		ctx.SetHeader(fiber.HeaderWWWAuthenticate, `Bearer realm="kestrel"`)
	}
	return p, nil
}
