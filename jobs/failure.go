package jobs

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/jackc/pgx/v5/pgconn"

	"kestrel.ai/jobs/emails"
	"kestrel.ai/jobs/openai"
	"kestrel.ai/jobs/resend"
	"kestrel.ai/jobs/twilio"
	"kestrel.ai/supabase"
)

// Failure is why a job did not succeed, in words for staff.
type Failure struct {
	Reason    string        // a sentence or two that an admin can act on
	Permanent bool          // the same job will fail again
	After     time.Duration // do not try again sooner; 0 leaves it to the retry policy
	MaybeDone bool          // it may have taken effect all the same
	cause     error
}

func (f *Failure) Error() string { return f.Reason }

// Unwrap returns the cause, which is for logs only.
func (f *Failure) Unwrap() error { return f.cause }

func permanently(format string, args ...any) *Failure {
	return &Failure{Permanent: true, Reason: fmt.Sprintf(format, args...)}
}

const internalReason = "Something went wrong inside Kestrel; it tries again by itself. The log has the details."

// judge turns any error of a worker into a Failure. What it does not know is no text for staff.
func judge(err error) *Failure {
	var (
		known  *Failure
		tw     *twilio.Error
		mail   *resend.Error
		model  *openai.Error
		supa   *supabase.ServiceError
		ruling *pgconn.PgError
	)
	switch {
	case errors.As(err, &known):
		return known
	case errors.As(err, &tw):
		return &Failure{Reason: tw.Reason, Permanent: tw.Permanent, After: tw.RetryAfter, MaybeDone: errors.Is(err, twilio.ErrOutcomeUnknown), cause: err}
	case errors.As(err, &mail):
		f := &Failure{Reason: mail.Reason, Permanent: mail.Permanent, After: mail.RetryAfter, cause: err}
		f.MaybeDone = errors.Is(err, resend.ErrOutcomeUnknown) || errors.Is(err, resend.ErrInProgress) || errors.Is(err, resend.ErrIdempotencyConflict)
		return f
	case errors.As(err, &model):
		return &Failure{Reason: model.Reason, Permanent: model.Permanent, After: model.RetryAfter, cause: err}
	case errors.As(err, &supa):
		return &Failure{Reason: supa.Reason, Permanent: supa.Permanent, cause: err}
	case errors.As(err, &ruling) && strings.HasPrefix(ruling.Code, "KS4"):
		return &Failure{Reason: ruling.Message, Permanent: true, cause: err}
	case errors.Is(err, emails.ErrParams), errors.Is(err, emails.ErrUnknownTemplate):
		return &Failure{Reason: "The e-mail could not be written: " + err.Error() + ".", Permanent: true, cause: err}
	case errors.Is(err, context.DeadlineExceeded):
		return &Failure{Reason: "It took too long; Kestrel tries again by itself.", cause: err}
	}
	return &Failure{Reason: internalReason, cause: err}
}
