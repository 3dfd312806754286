package edge

import (
	"context"
	"errors"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/gofiber/fiber/v2"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"kestrel.ai/subdomain"
	"kestrel.ai/supabase"
)

// FromError says what an error means to the caller: the one place where that is decided. What it does not know is
// a 500 that shows nothing.
func FromError(err error) *Problem {
	var (
		problem *Problem
		pg      *pgconn.PgError
		connect *pgconn.ConnectError
		web     *fiber.Error
	)
	switch {
	case errors.As(err, &problem):
		return problem
	case errors.As(err, &pg):
		return fromPostgres(pg).Because(err)
	case errors.Is(err, pgx.ErrNoRows):
		return errNotFound.Because(err)
	case errors.Is(err, subdomain.ErrNotFound):
		return errTenantUnknown.Because(err)
	case errors.Is(err, supabase.ErrToken):
		return errCredentials.Because(err)
	case errors.As(err, &connect), errors.Is(err, supabase.ErrKeysUnavailable), errors.Is(err, context.DeadlineExceeded), errors.Is(err, context.Canceled):
		return errUnavailable.Because(err)
	case errors.As(err, &web) && web.Code >= 400 && web.Code < 500:
		// fiber's own messages quote the request; the status says enough.
		return NewProblem(web.Code, codeOf(web.Code), "").Because(err)
	}
	return errInternal.Because(err)
}

// fromPostgres maps SQLSTATEs (https://www.postgresql.org/docs/17/errcodes-appendix.html) and the class KS, whose
// messages our own SQL writes for the public: CONSTRAINT is the code, COLUMN the field.
func fromPostgres(e *pgconn.PgError) *Problem {
	if status, ok := strings.CutPrefix(e.Code, "KS"); ok {
		n, err := strconv.Atoi(status)
		if err != nil || n < 400 || n > 599 {
			return errInternal
		}
		code := e.ConstraintName
		if code == "" {
			code = codeOf(n)
		}
		p := NewProblem(n, code, e.Message)
		if e.ColumnName != "" {
			p = p.At(e.ColumnName, e.Message)
		}
		if n == http.StatusTooManyRequests {
			p = p.RetryAfter(time.Minute)
		}
		return p
	}
	field := constrained(e)
	switch e.Code {
	case "23505": // unique_violation
		return onField(NewProblem(409, joined(field, "taken"), "This is already in use."), field, "is already in use")
	case "23P01": // exclusion_violation
		return onField(NewProblem(409, joined(field, "conflict"), "This collides with something that exists."), field, "collides with something that exists")
	case "23503": // foreign_key_violation
		return onField(NewProblem(409, joined(field, "reference"), "This refers to something that does not exist, or is still referred to."), field, "refers to nothing, or is still referred to")
	case "23514": // check_violation
		return onField(NewProblem(422, joined(field, "invalid"), "A value is not acceptable."), field, "is not acceptable")
	case "23502": // not_null_violation
		return onField(NewProblem(422, joined(e.ColumnName, "required"), "A value is missing."), e.ColumnName, "is required")
	case "22001", "22003", "22007", "22008", "22021", "22023", "22P02", "22P05": // a value of the wrong form
		return NewProblem(422, "invalid", "A value is not acceptable.")
	case "25006": // read_only_sql_transaction: a view's
		return errView
	case "42501": // insufficient_privilege, row-level security included
		return errForbidden
	case "57014", "55P03", "25P03", "57P01", "57P02", "57P03", "40001", "40P01": // timed out, locked, going down, lost a race
		return errUnavailable
	}
	switch class := e.Code[:min(2, len(e.Code))]; class {
	case "08", "53": // connection, resources
		return errUnavailable
	}
	return errInternal
}

// constrained reads the field out of a constraint's name, <table>_<field>_<rule>.
func constrained(e *pgconn.PgError) string {
	rest, ok := strings.CutPrefix(e.ConstraintName, e.TableName+"_")
	if !ok {
		return e.ColumnName
	}
	if i := strings.LastIndexByte(rest, '_'); i > 0 {
		return rest[:i]
	}
	return ""
}

func onField(p *Problem, field, message string) *Problem {
	if field == "" {
		return p
	}
	return p.At(field, message)
}

func joined(field, code string) string {
	if field == "" {
		return code
	}
	return field + "_" + code
}

// codeOf is the code of a status that nobody gave a closer one: 404 is not_found.
func codeOf(status int) string {
	return strings.ReplaceAll(strings.ReplaceAll(strings.ToLower(http.StatusText(status)), " ", "_"), "-", "_")
}

func lastName(location string) string {
	return location[strings.LastIndexByte(location, '.')+1:]
}
