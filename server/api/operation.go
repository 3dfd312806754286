package api

import (
	"context"
	"net/http"
	"reflect"
	"slices"
	"strings"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humafiber"

	"kestrel.ai/server/edge"
)

// access names who may call an operation, in the document (x-kestrel-access) and at run time alike.
type access string

const (
	public access = "public"
	// atTenant is public too, at a tenant's host alone.
	atTenant access = "public_at_tenant"
	platform access = "platform_admin"
	// either serves both faces: row-level security decides what each sees.
	either access = "platform_admin | tenant:tenant.read"
)

// open reports whether anybody may.
func (w access) open() bool { return w == public || w == atTenant }

// tenant admits whoever may do the action in the host's tenant.
func tenant(action edge.Action) access { return access("tenant:" + action) }

func (w access) check(s edge.Scope) error {
	switch {
	case w.open():
		return nil
	case w == platform:
		return edge.RequirePlatformAdmin(s)
	case w == either && s.Principal.Kind == edge.PlatformAdmin:
		return nil
	}
	_, action, _ := strings.Cut(string(w), "tenant:")
	return edge.RequireAction(edge.Action(action))(s)
}

// doc is an operation's text: the first line sums it up, the rest describes it.
type doc string

func (d doc) split() (summary, description string) {
	summary, description, _ = strings.Cut(strings.TrimSpace(string(d)), "\n")
	return summary, strings.TrimSpace(description)
}

// option changes an operation.
type option func(*huma.Operation)

func status(code int) option { return func(op *huma.Operation) { op.DefaultStatus = code } }

// vendor adds the errors of operations that wait for Twilio.
func vendor(op *huma.Operation) { op.Errors = append(op.Errors, http.StatusBadGateway) }

// secret marks answers that hold what is shown once: a repeat with the same Idempotency-Key gets 409 instead.
func secret(op *huma.Operation) { op.Metadata = map[string]any{"secret": true} }

// gone adds 410: what was asked for has ended.
func gone(op *huma.Operation) { op.Errors = append(op.Errors, http.StatusGone) }

// socket answers with a websocket.
func socket(op *huma.Operation) {
	op.DefaultStatus = http.StatusSwitchingProtocols
	op.Errors = append(op.Errors, http.StatusUpgradeRequired, http.StatusConflict, http.StatusNotFound)
	op.Responses = map[string]*huma.Response{"101": {Description: "A websocket"}}
}

// conflicts adds 409, which POST and PATCH have anyway.
func conflicts(op *huma.Operation) { op.Errors = append(op.Errors, http.StatusConflict) }

// missing adds 404.
func missing(op *huma.Operation) { op.Errors = append(op.Errors, http.StatusNotFound) }

// answers documents an answer that the handler writes by itself: T as JSON, unless it is nothing, and another media type.
func answers[T any](a *API, contentType, example string) option {
	return func(op *huma.Operation) {
		content := map[string]*huma.MediaType{contentType: {Schema: &huma.Schema{Type: huma.TypeString}, Example: example}}
		if t := reflect.TypeFor[T](); t.NumField() > 0 {
			content["application/json"] = &huma.MediaType{Schema: a.huma.OpenAPI().Components.Schemas.Schema(t, true, "")}
		}
		op.Responses = map[string]*huma.Response{"200": {Description: "OK", Content: content}}
	}
}

// add registers one operation: "METHOD /path", who may call it, its id, its text, and the function that does it.
func add[I, O any](a *API, route string, who access, id string, text doc, handler func(context.Context, *I) (*O, error), options ...option) {
	method, path, _ := strings.Cut(route, " ")
	op := huma.Operation{
		OperationID: id, Method: method, Path: path, Tags: []string{tagOf(path)},
		BodyReadTimeout: -1, // fiber has read the body already; huma's deadline would outlive the request
		Errors:          []int{http.StatusUnprocessableEntity, http.StatusTooManyRequests, http.StatusServiceUnavailable},
		Extensions:      map[string]any{"x-kestrel-access": string(who)},
		Middlewares:     huma.Middlewares{a.admit(who), a.knownQuery},
	}
	op.Summary, op.Description = text.split()
	if !who.open() {
		op.Errors = append(op.Errors, http.StatusUnauthorized, http.StatusForbidden)
		op.Security = []map[string][]string{{"person": {}}}
		if who != platform {
			op.Security = append(op.Security, map[string][]string{"api_key": {}})
		}
	} else {
		op.Security = []map[string][]string{}
	}
	if strings.Contains(path, "{") || who == atTenant {
		op.Errors = append(op.Errors, http.StatusNotFound)
	}
	if strings.Contains(string(who), "tenant:") {
		op.Errors = append(op.Errors, http.StatusBadRequest, http.StatusNotFound) // no tenant is named, or none that is the caller's
	}
	if method == http.MethodPost || method == http.MethodPatch || method == http.MethodPut {
		op.Middlewares = append(op.Middlewares, a.jsonOnly)
		op.Errors = append(op.Errors, http.StatusBadRequest, http.StatusConflict, http.StatusRequestEntityTooLarge, http.StatusUnsupportedMediaType)
	}
	for _, o := range options {
		o(&op)
	}
	if method == http.MethodPost {
		op.Middlewares = append(op.Middlewares, a.idempotent)
		op.Parameters = append(op.Parameters, idempotencyParam())
	}
	slices.Sort(op.Errors)
	op.Errors = slices.Compact(op.Errors)
	huma.Register(a.huma, op, func(ctx context.Context, in *I) (*O, error) {
		out, err := handler(ctx, in)
		if err != nil {
			return nil, edge.FromError(err)
		}
		return out, nil
	})
}

// admit runs the operation's own check; the edge has identified the caller.
func (a *API) admit(who access) func(huma.Context, func(huma.Context)) {
	return func(ctx huma.Context, next func(huma.Context)) {
		if err := who.check(edge.FromContext(ctx.Context())); err != nil {
			a.fail(ctx, err)
			return
		}
		next(ctx)
	}
}

// fail answers from a middleware, in the same form as from a handler.
func (a *API) fail(ctx huma.Context, err error) {
	p := edge.FromError(err)
	for name, values := range p.GetHeaders() {
		ctx.SetHeader(name, values[0])
	}
	_ = huma.WriteErr(a.huma, ctx, p.Status, "", p)
}

var errNotJSON = edge.NewProblem(http.StatusUnsupportedMediaType, "unsupported_media_type", "Send JSON, with Content-Type: application/json.")

// jsonOnly refuses bodies that say they are something else, or nothing: a form of another site can send those.
func (a *API) jsonOnly(ctx huma.Context, next func(huma.Context)) {
	mediaType, _, _ := strings.Cut(ctx.Header("Content-Type"), ";")
	if len(humafiber.Unwrap(ctx).Body()) > 0 && !strings.EqualFold(strings.TrimSpace(mediaType), "application/json") {
		a.fail(ctx, errNotJSON)
		return
	}
	next(ctx)
}

// knownQuery refuses parameters that the operation does not have, or that come twice: a misspelt filter must not list
// everything, and half a filter not something else.
func (a *API) knownQuery(ctx huma.Context, next func(huma.Context)) {
	var unknown *edge.Problem
	refuse := func(name, why string) {
		if unknown == nil {
			unknown = edge.NewProblem(http.StatusUnprocessableEntity, "unknown_parameter", "A query parameter is not one of this operation, or comes twice.")
		}
		unknown = unknown.At(name, why)
	}
	seen := map[string]bool{}
	for key := range humafiber.Unwrap(ctx).Context().QueryArgs().All() {
		name := string(key)
		switch {
		case seen[name]:
			refuse(name, "comes twice; separate several values by commas")
		case name != "ticket" && !slices.ContainsFunc(ctx.Operation().Parameters, func(p *huma.Param) bool { return p.In == "query" && p.Name == name }):
			refuse(name, "is not a parameter of this operation")
		}
		seen[name] = true
	}
	if unknown != nil {
		a.fail(ctx, unknown)
		return
	}
	next(ctx)
}
