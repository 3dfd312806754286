package local

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"net/http"
)

// authError is an error that the caller may see. Status, code and message are those of Supabase Auth
// (https://supabase.com/docs/guides/auth/debugging/error-codes); cause is for the log alone.
type authError struct {
	status  int
	code    string
	message string
	reasons []string // why a password is weak
	cause   error
}

func (e *authError) Error() string {
	if e.cause != nil {
		return e.code + ": " + e.cause.Error()
	}
	return e.code + ": " + e.message
}

func (e *authError) Unwrap() error { return e.cause }

func fail(status int, code, message string) *authError {
	return &authError{status: status, code: code, message: message}
}

func invalid(message string) *authError {
	return fail(http.StatusBadRequest, "validation_failed", message)
}

var errUnexpected = &authError{
	status: http.StatusInternalServerError, code: "unexpected_failure",
	message: "Unexpected failure, please check server logs for more information",
}

const (
	apiVersionHeader = "X-Supabase-Api-Version"
	apiVersion2024   = "2024-01-01"
)

// writeAuthError answers in the shape the caller's API version asks for. What is not an authError is logged and
// answered as unexpected_failure, without its text.
func writeAuthError(w http.ResponseWriter, r *http.Request, log *slog.Logger, err error) {
	var e *authError
	if !errors.As(err, &e) {
		e = errUnexpected
	}
	if e.status >= http.StatusInternalServerError && !errors.Is(err, context.Canceled) {
		log.ErrorContext(r.Context(), "auth request failed", "path", r.URL.Path, "error", err)
	}
	w.Header().Set("X-Sb-Error-Code", e.code)
	body := map[string]any{"code": e.status, "error_code": e.code, "msg": e.message}
	if r.Header.Get(apiVersionHeader) >= apiVersion2024 {
		w.Header().Set(apiVersionHeader, apiVersion2024)
		body = map[string]any{"code": e.code, "message": e.message}
	}
	if e.reasons != nil {
		body["weak_password"] = map[string]any{"reasons": e.reasons}
	}
	_ = writeJSON(w, e.status, body)
}

func writeJSON(w http.ResponseWriter, status int, body any) error {
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	enc := json.NewEncoder(w)
	enc.SetEscapeHTML(false)
	_ = enc.Encode(body) // the status is sent: a broken connection is nobody's business
	return nil
}
