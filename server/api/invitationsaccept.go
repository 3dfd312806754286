package api

import (
	"context"
	"errors"
	"net/http"
	"time"
	"unicode/utf8"

	"github.com/danielgtaylor/huma/v2"
	"github.com/google/uuid"

	"kestrel.ai/server/edge"
	"kestrel.ai/supabase"
	"kestrel.ai/supabase/db"
)

// invited is the scope of whoever holds an invitation's link: the third of the API's uses of the service role. The
// functions it calls keep to the invitation that the link opens.
func (a *API) invited(ctx context.Context) supabase.Scope {
	return supabase.AsService("invitation").Request(edge.FromContext(ctx).RequestID)
}

type openInvitationInput struct{ Body InvitationToken }

// InvitationToken is what an invitation's link holds.
type InvitationToken struct {
	Token string `json:"token" minLength:"1" maxLength:"64" example:"X3Q7ZK2V5M4N6P7R2S5T3W4Y6A"`
}

// OpenedInvitation is what the holder of the link is shown.
type OpenedInvitation struct {
	Email         string    `json:"email" example:"dispatch@haiec.com"`
	Role          string    `json:"role" enum:"viewer,member,admin,owner"`
	CompanyName   string    `json:"company_name" example:"HAIEC"`
	ExpiresAt     time.Time `json:"expires_at"`
	NeedsPassword bool      `json:"needs_password" doc:"Whether acceptance sets a password: nobody has signed in with this address yet"`
}

type openedInvitationOutput struct{ Body OpenedInvitation }

const openInvitationDoc doc = `Look at an invitation
By its link's token, at the tenant's host. Changes nothing. An invitation that was used, withdrawn or has expired is 410.`

func (a *API) openInvitation(ctx context.Context, in *openInvitationInput) (*openedInvitationOutput, error) {
	r, err := db.New(a.DB.As(a.invited(ctx))).OpenInvitation(ctx, tenantOf(ctx), hashOf(in.Body.Token), a.Now())
	if err != nil {
		return nil, err
	}
	return &openedInvitationOutput{Body: OpenedInvitation{Email: r.Email, Role: r.Role, CompanyName: r.CompanyName, ExpiresAt: r.ExpiresAt, NeedsPassword: !r.SignsIn}}, nil
}

type acceptInvitationInput struct{ Body AcceptInvitation }

// AcceptInvitation is the link's token, and a password for a login that nobody has used.
type AcceptInvitation struct {
	InvitationToken
	Password string `json:"password,omitempty" maxLength:"72" example:"correct horse battery" doc:"8 characters or more; only where the invitation needs one"` //nolint:gosec // an example
}

// Resolve wants a password of some length, if any. 72 bytes are all that Auth's hash reads.
func (b *AcceptInvitation) Resolve(_ huma.Context, at *huma.PathBuffer) []error {
	f := faults{at: at}
	if n := utf8.RuneCountInString(b.Password); n > 0 && n < 8 {
		f.add("password", "is 8 characters or more")
	} else if len(b.Password) > 72 {
		f.add("password", "is too long")
	}
	return f.errs
}

// AcceptedInvitation says whom to sign in as.
type AcceptedInvitation struct {
	Email       string `json:"email" example:"dispatch@haiec.com" doc:"The login that is now a member. Sign in with it"`
	Role        string `json:"role" enum:"viewer,member,admin,owner"`
	PasswordSet bool   `json:"password_set" doc:"Whether the password sent is the login's now; else it keeps its own"`
}

type acceptedInvitationOutput struct{ Body AcceptedInvitation }

var (
	errPasswordWanted = edge.NewProblem(http.StatusUnprocessableEntity, "password_required", "Choose a password to sign in with.").At("password", "is required")
	errPasswordWeak   = edge.NewProblem(http.StatusUnprocessableEntity, "password_weak", "Choose a stronger password.").At("password", "is too weak")
	errAuthDown       = edge.NewProblem(http.StatusServiceUnavailable, "unavailable", "Sign-in is not available right now. Try again.").RetryAfter(5 * time.Second)
)

const acceptInvitationDoc doc = `Accept an invitation
Makes the invited address's login a member, creating it if there is none, and uses the invitation up. The token proves
the mailbox. A login that was used before keeps its password.`

func (a *API) acceptInvitation(ctx context.Context, in *acceptInvitationInput) (*acceptedInvitationOutput, error) {
	q := db.New(a.DB.As(a.invited(ctx)))
	r, err := q.ClaimInvitation(ctx, tenantOf(ctx), hashOf(in.Body.Token), a.Now())
	if err != nil {
		return nil, err
	}
	set, err := a.join(ctx, r, in.Body.Password)
	if err != nil {
		after, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
		defer cancel()
		if released := q.ReleaseInvitation(after, r.ID); released != nil {
			a.Log.ErrorContext(ctx, "invitation not released; it is held for a minute", "error", released)
		}
		return nil, err
	}
	return &acceptedInvitationOutput{Body: AcceptedInvitation{Email: r.Email, Role: r.Role, PasswordSet: set}}, nil
}

// join finds or makes the login, gives it the password if nobody has used it, and makes it a member. It may run again
// after any failure.
func (a *API) join(ctx context.Context, r db.ClaimInvitationRow, password string) (set bool, err error) {
	user := r.UserID
	if !r.SignsIn {
		if password == "" {
			return false, errPasswordWanted
		}
		if user, set, err = a.login(ctx, r.Email, password); err != nil {
			return false, err
		}
	}
	scope := a.invited(ctx)
	scope.Actor, scope.ActorLabel = "person:"+user.String(), r.Email
	return set, db.New(a.DB.As(scope)).AcceptInvitation(ctx, r.ID, user, a.Now())
}

func (a *API) login(ctx context.Context, email, password string) (user uuid.UUID, set bool, err error) {
	if user, set, err = a.Auth.EnsureUser(ctx, email); err == nil && set {
		err = a.Auth.SetPassword(ctx, user, password)
	}
	var refused *supabase.ServiceError
	switch {
	case err == nil:
		return user, set, nil
	case errors.As(err, &refused) && refused.Code == "weak_password":
		return user, false, errPasswordWeak.Because(err)
	}
	return user, false, errAuthDown.Because(err)
}
