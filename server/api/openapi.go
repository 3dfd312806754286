package api

import (
	"encoding/json"
	"net/http"
	"slices"
	"strconv"
	"strings"

	"github.com/danielgtaylor/huma/v2"

	"kestrel.ai/server/edge"
)

const about = `Everything Kestrel's screens do, they do here.

Platform admins use ` + "`/api/admin`" + ` and ` + "`/api/twilio`" + ` at admin. and api.; a tenant's people and API keys use ` + "`/api/tenant`" + ` at their
own host, or at api. with the header X-Kestrel-Tenant (a key names its tenant by itself). Lists answer
` + "`{\"items\": […], \"next\": cursor}`" + `: pass ` + "`next`" + ` as ` + "`cursor`" + ` for what follows. Errors are RFC 9457 problems with a stable ` + "`code`" + `.
Every POST takes an Idempotency-Key.`

func (a *API) humaConfig() huma.Config {
	return huma.Config{
		OpenAPI: &huma.OpenAPI{
			OpenAPI: "3.1.0",
			Info:    &huma.Info{Title: "Kestrel", Version: a.Config.Version, Description: about},
			Components: &huma.Components{
				Schemas: huma.NewMapRegistry("#/components/schemas/", huma.DefaultSchemaNamer),
				SecuritySchemes: map[string]*huma.SecurityScheme{
					"person":  {Type: "http", Scheme: "bearer", BearerFormat: "JWT", Description: "An access token of Supabase Auth."},
					"api_key": {Type: "http", Scheme: "bearer", BearerFormat: "kst_live_…", Description: "An API key of one tenant; X-Api-Key works too."}, //nolint:gosec // a name, not a key
				},
			},
		},
		Formats:       map[string]huma.Format{"application/json": huma.DefaultJSONFormat, "json": huma.DefaultJSONFormat},
		DefaultFormat: "application/json",
		Transformers:  []huma.Transformer{nameFields, edge.HumaTransformer},
	}
}

// nameFields puts the field's name where huma only has it in the message.
func nameFields(_ huma.Context, _ string, v any) (any, error) {
	p, ok := v.(*edge.Problem)
	if !ok || len(p.Errors) == 0 {
		return v, nil
	}
	copied := *p
	copied.Errors = make([]edge.ProblemField, len(p.Errors))
	for i, e := range p.Errors {
		if rest, ok := strings.CutPrefix(e.Message, "expected required property "); ok {
			if name, ok := strings.CutSuffix(rest, " to be present"); ok {
				e.Field, e.Location, e.Message = name, strings.TrimPrefix(e.Location+"."+name, "."), "is required"
			}
		}
		copied.Errors[i] = e
	}
	return &copied, nil
}

// tagOf groups operations by what they are about.
func tagOf(path string) string {
	rest := strings.TrimPrefix(path, "/api/")
	switch first, _, _ := strings.Cut(rest, "/"); first {
	case "admin":
		_, rest, _ = strings.Cut(rest, "/")
		part, _, _ := strings.Cut(rest, "/")
		return "Admin: " + part
	case "tenant":
		return "Tenant"
	case "twilio":
		return "Phone numbers"
	default:
		return strings.ToUpper(first[:1]) + first[1:]
	}
}

// document renders the OpenAPI document, with an example of every body put together from those of its fields.
func (a *API) document() []byte {
	doc := a.huma.OpenAPI()
	for _, schema := range doc.Components.Schemas.Map() {
		for _, property := range schema.Properties {
			if property.Nullable && len(property.Enum) > 0 {
				property.Enum = append(property.Enum, nil) // JSON Schema allows null only where enum lists it
			}
		}
	}
	for _, item := range doc.Paths {
		for _, op := range []*huma.Operation{item.Get, item.Post, item.Put, item.Patch, item.Delete} {
			if op == nil {
				continue
			}
			if op.RequestBody != nil {
				a.exemplify(op.RequestBody.Content, http.StatusOK)
			}
			for code, response := range op.Responses {
				status, _ := strconv.Atoi(code)
				a.exemplify(response.Content, status)
			}
		}
	}
	out, err := json.Marshal(doc)
	if err != nil {
		panic("the OpenAPI document cannot be rendered: " + err.Error()) // a type that is wrong in the source
	}
	return out
}

func (a *API) exemplify(content map[string]*huma.MediaType, status int) {
	for mediaType, media := range content {
		switch {
		case media.Example != nil:
		case mediaType == edge.ProblemType:
			code := strings.ReplaceAll(strings.ToLower(http.StatusText(status)), " ", "_")
			media.Example = map[string]any{"type": "/docs/errors#" + code, "title": http.StatusText(status), "status": status, "code": code}
		default:
			media.Example = a.example(media.Schema)
		}
	}
}

func (a *API) example(s *huma.Schema) any {
	for s != nil && s.Ref != "" {
		s = a.huma.OpenAPI().Components.Schemas.SchemaFromRef(s.Ref)
	}
	switch {
	case s == nil:
		return nil
	case len(s.Examples) > 0:
		return s.Examples[0]
	case s.Type == huma.TypeArray:
		return []any{a.example(s.Items)}
	case s.Type == huma.TypeObject:
		out := map[string]any{}
		for name, property := range s.Properties {
			if value := a.example(property); value != nil || slices.Contains(s.Required, name) {
				out[name] = value
			}
		}
		return out
	case len(s.Enum) > 0:
		return s.Enum[0]
	case s.Nullable:
		return nil
	}
	switch s.Format {
	case "date-time":
		return "2026-03-01T09:30:00Z"
	case "uuid":
		return "019d2f4e-6c1a-7c3e-9b0a-2f6d1c4e8a51"
	}
	switch s.Type {
	case huma.TypeBoolean:
		return true
	case huma.TypeInteger, huma.TypeNumber:
		return 1
	case huma.TypeString:
		return "text"
	}
	return nil
}
