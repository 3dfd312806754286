package main

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/mail"
	"net/url"
	"reflect"
	"slices"
	"strings"

	"github.com/caarlos0/env/v11"
)

// checks are the rules that a `check` tag of Config names. Each takes a value that is set and returns what is wrong
// with it and how to mend that, or "". The text is printed, so it never repeats the value.
func checks() map[string]func(value string) string {
	return map[string]func(value string) string{
		"environment": oneOf("dev", "production"),
		"scheme":      oneOf("https", "http"),
		"domain": func(v string) string {
			return problem(!strings.ContainsAny(v, "/:@ ") && !strings.HasPrefix(v, "."), "must be a bare domain such as kestrel.ai, without scheme or port")
		},
		"listen": func(v string) string {
			_, _, err := net.SplitHostPort(v)
			return problem(err == nil, "must be host:port or :port")
		},
		"url": func(v string) string {
			u, err := url.Parse(v)
			return problem(err == nil && (u.Scheme == "http" || u.Scheme == "https") && u.Host != "", "must be an http(s) URL such as https://example.com")
		},
		"postgres": func(v string) string {
			u, err := url.Parse(v)
			return problem(err == nil && (u.Scheme == "postgres" || u.Scheme == "postgresql") && u.User.Username() != "",
				"must be postgres://user:password@host:port/database, with special characters of the password percent-encoded")
		},
		"email": func(v string) string {
			_, err := mail.ParseAddress(v)
			return problem(err == nil, "must be an e-mail address")
		},
		"long": func(v string) string {
			return problem(len(v) >= 32, "must have 32 characters or more: openssl rand -hex 32")
		},
		"header": func(v string) string {
			return problem(!strings.ContainsAny(v, " :,"), "must be one header name")
		},
		"positive": func(v string) string {
			return problem(strings.Trim(v, "0smh") != "" && v[0] != '-', "must be more than zero")
		},
		"not_negative": func(v string) string {
			return problem(v[0] != '-', "must not be negative")
		},
		"cost": func(v string) string {
			return problem(v[0] >= '0' && v[0] <= '9', "must not be negative")
		},
		"twilio_sid": func(v string) string {
			return problem(strings.HasPrefix(v, "AC"), "must be the account's SID, which starts with AC")
		},
		"jwt_algs": func(v string) string {
			for alg := range strings.SplitSeq(v, ",") {
				if !slices.Contains([]string{"ES256", "RS256", "HS256"}, alg) {
					return "must list only ES256, RS256 and HS256, separated by commas"
				}
			}
			return ""
		},
		"public_key": func(v string) string {
			return problem(!strings.HasPrefix(v, "sb_secret_") && legacyRole(v) != "service_role",
				"holds a secret key; put the publishable (or anon) key there, it is given to browsers")
		},
		"service_key": func(v string) string {
			return problem(!strings.HasPrefix(v, "sb_publishable_") && legacyRole(v) != "anon",
				"holds a public key; put the secret (or service_role) key there")
		},
	}
}

func problem(ok bool, text string) string {
	if ok {
		return ""
	}
	return text
}

func oneOf(values ...string) func(string) string {
	return func(v string) string {
		return problem(slices.Contains(values, v), "must be "+strings.Join(values, " or "))
	}
}

// legacyRole reads the role from a legacy Supabase key, which is a JWT; "" for any other key. Nothing is verified:
// it only finds keys put into each other's place.
func legacyRole(key string) string {
	parts := strings.Split(key, ".")
	if len(parts) != 3 {
		return ""
	}
	var claims struct{ Role string }
	payload, err := base64.RawURLEncoding.DecodeString(parts[1])
	if err != nil || json.Unmarshal(payload, &claims) != nil {
		return ""
	}
	return claims.Role
}

// halves finds settings of which one half is missing.
func (c Config) halves() (problems []error) {
	need := func(have, missing bool, text string) {
		if have && missing {
			problems = append(problems, errors.New(text))
		}
	}
	need(c.TwilioAccountSID != "", c.TwilioAuthToken == "", "TWILIO_AUTH_TOKEN is not set but TWILIO_ACCOUNT_SID is; set both or neither")
	need(c.TwilioAuthToken != "", c.TwilioAccountSID == "", "TWILIO_ACCOUNT_SID is not set but TWILIO_AUTH_TOKEN is; set both or neither")
	need(c.ResendAPIKey != "", c.ResendFromEmail == "", "RESEND_FROM_EMAIL is not set but RESEND_API_KEY is; set the sender of e-mails")
	need(c.ResendAPIKey != "", c.AdminEmail == "", "ADMIN_EMAIL is not set but RESEND_API_KEY is; set who is told of signups")
	need(slices.Contains(c.SupabaseJWTAlgs, "HS256"), c.SupabaseJWTSecret == "", "SUPABASE_JWT_SECRET is not set but SUPABASE_JWT_ALGS allows HS256; set it or remove HS256")
	return problems
}

// parseProblems turns the parser's errors, which name Go fields, into one line for each variable.
func parseProblems(err error) error {
	var aggregate env.AggregateError
	if !errors.As(err, &aggregate) {
		return err
	}
	byField := map[string]Variable{}
	for _, v := range variables() {
		byField[v.field] = v
	}
	var problems []error
	for _, e := range aggregate.Errors {
		var parse env.ParseError
		if !errors.As(e, &parse) {
			problems = append(problems, e)
			continue
		}
		v := byField[parse.Name]
		problems = append(problems, fmt.Errorf("%s must be %s", v.Name, v.want))
	}
	return errors.Join(problems...)
}

// Variable documents one environment variable.
type Variable struct {
	Name    string
	Default string
	Needs   []string // commands that cannot run without it
	Secret  bool
	Doc     string

	field, check, want string
	list               bool // separated by commas
}

// variables lists every environment variable in the order of Config.
func variables() []Variable {
	var all []Variable
	for _, f := range reflect.VisibleFields(reflect.TypeFor[Config]()) {
		v := Variable{
			Name: f.Tag.Get("env"), Default: f.Tag.Get("envDefault"), Secret: f.Type == reflect.TypeFor[Secret](),
			Doc: f.Tag.Get("doc"), field: f.Name, check: f.Tag.Get("check"), want: f.Tag.Get("want"),
			list: f.Type.Kind() == reflect.Slice,
		}
		if need := f.Tag.Get("need"); need != "" {
			v.Needs = strings.Split(need, ",")
		}
		all = append(all, v)
	}
	return all
}

// environmentTable is the Markdown table of `kestrel help env` and of the README.
func environmentTable() string {
	var b strings.Builder
	b.WriteString("| variable | default | needed by | meaning |\n| --- | --- | --- | --- |\n")
	for _, v := range variables() {
		value, doc := v.Default, v.Doc
		if value != "" {
			value = "`" + value + "`"
		}
		if v.Secret {
			doc = "**Secret.** " + doc
		}
		fmt.Fprintf(&b, "| `%s` | %s | %s | %s |\n", v.Name, value, strings.Join(v.Needs, ", "), doc)
	}
	return b.String()
}
