// Package emails writes Kestrel's emails. Each template is a params struct that
// composes blocks of content; one layout turns the blocks into HTML and another into
// plain text, so both always say the same.
package emails

import (
	"bytes"
	"embed"
	"encoding/json"
	"errors"
	"fmt"
	htmltemplate "html/template"
	"reflect"
	"regexp"
	"strings"
	texttemplate "text/template"
)

// Names of the templates, as the outbox stores them.
const (
	TemplateAdminNewTenant  = "admin_new_tenant"
	TemplateWelcome         = "welcome"
	TemplateLive            = "live"
	TemplateTrialEnding     = "trial_ending"
	TemplateUsageWarning    = "usage_warning"
	TemplateMemberInvite    = "member_invite"
	TemplateAnnouncement    = "announcement"
	TemplatePendingReminder = "pending_reminder"
	TemplateTenantRequest   = "tenant_request"
	TemplateCallSummary     = "call_summary"
	TemplateAuthRecovery    = "auth_recovery"
	TemplateAuthMagicLink   = "auth_magic_link"
	TemplateAuthConfirm     = "auth_confirm"
	TemplateAuthInvite      = "auth_invite"
)

var (
	// ErrUnknownTemplate: no template has this name.
	ErrUnknownTemplate = errors.New("unknown email template")
	// ErrParams: a field is missing, unusable or of the wrong type; the error names it.
	ErrParams = errors.New("unusable email params")
)

// Params is implemented by the params struct of each template.
type Params interface {
	// Template is the name under which Render knows the struct.
	Template() string
	compose(*draft)
}

// Rendered is an email without its envelope.
type Rendered struct {
	Subject string // one line
	HTML    string
	Text    string
}

//go:embed layout/layout.html layout/layout.txt
var layouts embed.FS

var (
	htmlLayout = htmltemplate.Must(htmltemplate.ParseFS(layouts, "layout/layout.html"))
	textLayout = texttemplate.Must(texttemplate.ParseFS(layouts, "layout/layout.txt"))
	blankLines = regexp.MustCompile(`\n{3,}`)
)

// Render writes the email. params is the template's own struct, or anything that is or
// marshals to its JSON: json.RawMessage, []byte, a map. Unknown JSON fields are ignored,
// so that an older binary can render what a newer one stored. It fails with
// ErrUnknownTemplate or ErrParams; it never returns half an email.
func Render(template string, params any) (Rendered, error) {
	p, err := read(template, params)
	if err != nil {
		return Rendered{}, err
	}
	d := &draft{Theme: kestrelTheme}
	p.compose(d)
	if len(d.problems) > 0 {
		return Rendered{}, fmt.Errorf("%w: %s: %s", ErrParams, template, strings.Join(d.problems, "; "))
	}
	var html, text bytes.Buffer
	if err := htmlLayout.Execute(&html, d); err != nil {
		return Rendered{}, fmt.Errorf("email %s: html: %w", template, err)
	}
	if err := textLayout.Execute(&text, d); err != nil {
		return Rendered{}, fmt.Errorf("email %s: text: %w", template, err)
	}
	plain := blankLines.ReplaceAllString(strings.TrimSpace(text.String()), "\n\n") + "\n"
	return Rendered{Subject: d.Subject, HTML: legible.Replace(html.String()), Text: plain}, nil
}

// legible undoes two of html/template's escapes. Neither matters in UTF-8 with attributes
// in double quotes, and some mail apps and filters read tel: links without decoding them.
var legible = strings.NewReplacer("&#43;", "+", "&#39;", "'")

func blank(template string) Params {
	switch template {
	case TemplateAdminNewTenant:
		return &AdminNewTenant{}
	case TemplateWelcome:
		return &Welcome{}
	case TemplateLive:
		return &Live{}
	case TemplateTrialEnding:
		return &TrialEnding{}
	case TemplateUsageWarning:
		return &UsageWarning{}
	case TemplatePendingReminder:
		return &PendingReminder{}
	case TemplateTenantRequest:
		return &TenantRequest{}
	case TemplateCallSummary:
		return &CallSummary{}
	case TemplateAnnouncement:
		return &Announcement{}
	case TemplateMemberInvite:
		return &MemberInvite{}
	case TemplateAuthRecovery:
		return &AuthRecovery{}
	case TemplateAuthMagicLink:
		return &AuthMagicLink{}
	case TemplateAuthConfirm:
		return &AuthConfirm{}
	case TemplateAuthInvite:
		return &AuthInvite{}
	}
	return nil
}

func read(template string, params any) (Params, error) {
	p := blank(template)
	if p == nil {
		return nil, fmt.Errorf("%w: %q", ErrUnknownTemplate, template)
	}
	if typed, ok := params.(Params); ok {
		if v := reflect.ValueOf(typed); v.Kind() == reflect.Pointer && v.IsNil() {
			return nil, fmt.Errorf("%w: %s: no params", ErrParams, template)
		}
		if typed.Template() != template {
			return nil, fmt.Errorf("%w: %s: params are those of %s", ErrParams, template, typed.Template())
		}
		return typed, nil
	}
	raw, ok := params.([]byte)
	if !ok {
		var err error
		if raw, err = json.Marshal(params); err != nil {
			return nil, fmt.Errorf("%w: %s: %w", ErrParams, template, err)
		}
	}
	if err := json.Unmarshal(raw, p); err != nil {
		return nil, fmt.Errorf("%w: %s: %w", ErrParams, template, err)
	}
	return p, nil
}
