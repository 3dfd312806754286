package supabase

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"errors"
	"net/http"
	"regexp"
	"strings"

	"github.com/google/uuid"
	"github.com/supabase-community/gotrue-go"
	"github.com/supabase-community/gotrue-go/types"
	sdk "github.com/supabase-community/supabase-go"
)

// What a link that Auth makes is for.
const (
	LinkRecovery   = "recovery"  // set a new password
	LinkMagic      = "magiclink" // sign in
	LinkInvitation = "invite"    // accept an invitation; for somebody who has no login yet
)

// Auth is Supabase Auth's admin side. It is for jobs, and for whoever accepts an invitation. Errors are *ServiceError.
type Auth struct {
	client gotrue.Client
	key    string
	base   http.RoundTripper
}

// NewAuth reaches the project at url with its secret key, in either style. It does not connect.
func NewAuth(url, key string) (*Auth, error) {
	client, err := sdk.NewClient(strings.TrimRight(url, "/"), key, nil)
	if err != nil {
		return nil, errors.New("SUPABASE_URL and SUPABASE_SERVICE_KEY are needed")
	}
	return &Auth{client: client.Auth, key: key, base: http.DefaultTransport.(*http.Transport).Clone()}, nil
}

// EnsureUser finds the login with this address or creates it, confirmed. A login that was there unconfirmed gets a new
// random password, so that whoever registered the address without owning it gains nothing; a confirmed one stays as it
// is. unused tells that nobody has ever signed in with it: its owner needs a link to set a password.
func (a *Auth) EnsureUser(ctx context.Context, email string) (id uuid.UUID, unused bool, err error) {
	err = a.call(ctx, func(c gotrue.Client) error {
		password := randomPassword()
		made, err := c.AdminCreateUser(types.AdminCreateUserRequest{Email: email, Password: &password, EmailConfirm: true})
		if err == nil {
			id, unused = made.ID, true
		}
		return err
	})
	var known *ServiceError
	if err == nil || !errors.As(err, &known) || (known.Status != http.StatusUnprocessableEntity && known.Status != http.StatusConflict) {
		return id, unused, err
	}
	// Auth's list of users has no filter by address; making a link returns whom it is for.
	var user types.User
	err = a.call(ctx, func(c gotrue.Client) error {
		link, err := c.AdminGenerateLink(types.AdminGenerateLinkRequest{Type: types.LinkTypeRecovery, Email: email})
		if err == nil {
			user = link.User
		}
		return err
	})
	if err != nil {
		return uuid.Nil, false, err
	}
	if user.EmailConfirmedAt == nil {
		err = a.call(ctx, func(c gotrue.Client) error {
			_, err := c.AdminUpdateUser(types.AdminUpdateUserRequest{UserID: user.ID, Password: randomPassword(), EmailConfirm: true})
			return err
		})
	}
	return user.ID, user.LastSignInAt == nil, err
}

// SetPassword replaces a login's password.
func (a *Auth) SetPassword(ctx context.Context, id uuid.UUID, password string) error {
	return a.call(ctx, func(c gotrue.Client) error {
		_, err := c.AdminUpdateUser(types.AdminUpdateUserRequest{UserID: id, Password: password})
		return err
	})
}

// Link makes a link of one of the kinds above that leads to redirectTo. It is a secret: whoever has it is that person.
func (a *Auth) Link(ctx context.Context, kind, email, redirectTo string) (string, error) {
	var link string
	err := a.call(ctx, func(c gotrue.Client) error {
		made, err := c.AdminGenerateLink(types.AdminGenerateLinkRequest{Type: types.LinkType(kind), Email: email, RedirectTo: redirectTo})
		if err == nil {
			link = made.ActionLink
		}
		return err
	})
	return link, err
}

// DeleteUser removes a login; one that is gone already is removed.
func (a *Auth) DeleteUser(ctx context.Context, id uuid.UUID) error {
	err := a.call(ctx, func(c gotrue.Client) error { return c.AdminDeleteUser(types.AdminDeleteUserRequest{UserID: id}) })
	var known *ServiceError
	if errors.As(err, &known) && known.Status == http.StatusNotFound {
		return nil
	}
	return err
}

var errorCode = regexp.MustCompile(`"(?:error_code|code)"\s*:\s*"([a-z_]{1,60})"`)

// call runs one request. The SDK's errors quote the whole answer, so only status and code are kept of them.
func (a *Auth) call(ctx context.Context, do func(gotrue.Client) error) error {
	ctx, cancel := context.WithTimeout(ctx, ServiceTimeout)
	defer cancel()
	carry := &carrier{ctx: ctx, base: a.base}
	client := a.client
	if isToken(a.key) {
		client = client.WithToken(a.key)
	}
	// After WithToken, which forgets the HTTP client.
	err := do(client.WithClient(http.Client{Transport: carry}))
	if err == nil {
		return nil
	}
	code := ""
	if found := errorCode.FindStringSubmatch(err.Error()); found != nil {
		code = found[1]
	}
	status := carry.status
	if status >= 200 && status < 300 {
		status = http.StatusBadGateway // an answer that cannot be read
	}
	return serviceError("Auth", status, code)
}

func randomPassword() string {
	b := make([]byte, 32)
	_, _ = rand.Read(b) // never fails
	return base64.RawURLEncoding.EncodeToString(b)
}
