//go:build !production

package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"time"

	"github.com/google/uuid"
)

// caller is a signed-in person at one host.
type caller struct{ addr, host, token string }

type answerError struct {
	status int
	body   string
}

func (e *answerError) Error() string { return fmt.Sprintf("status %d: %s", e.status, e.body) }

func signIn(ctx context.Context, addr, host, email, password string) (caller, error) {
	c := caller{addr: addr, host: host}
	var session struct {
		AccessToken string `json:"access_token"`
	}
	err := c.do(ctx, http.MethodPost, "/auth/v1/token?grant_type=password", map[string]any{"email": email, "password": password}, &session)
	c.token = session.AccessToken
	return c, err
}

// do speaks to our own listener, naming the host: *.localhost needs no DNS this way.
func (c caller) do(ctx context.Context, method, path string, body, into any) error {
	payload, err := json.Marshal(body)
	if err != nil {
		return err
	}
	req, err := http.NewRequestWithContext(ctx, method, "http://"+c.addr+path, bytes.NewReader(payload))
	if err != nil {
		return err
	}
	req.Host = c.host
	req.Header.Set("Content-Type", "application/json")
	if c.token != "" {
		req.Header.Set("Authorization", "Bearer "+c.token)
	}
	return exchange(req, into)
}

func exchange(req *http.Request, into any) error {
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return err
	}
	defer func() { _ = resp.Body.Close() }()
	answer, err := io.ReadAll(io.LimitReader(resp.Body, 1<<20))
	if err != nil {
		return err
	}
	if resp.StatusCode >= 300 {
		return &answerError{resp.StatusCode, string(answer)}
	}
	if into == nil || len(answer) == 0 {
		return nil
	}
	return json.Unmarshal(answer, into)
}

func (c caller) await(ctx context.Context, job uuid.UUID) error {
	for {
		var j struct{ State, Reason string }
		if err := c.do(ctx, http.MethodGet, "/api/jobs/"+job.String(), nil, &j); err != nil {
			return err
		}
		switch j.State {
		case "done":
			return nil
		case "failed":
			return errors.New(j.Reason)
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(10 * time.Millisecond):
		}
	}
}

// authAdmin makes people in Auth, with the service key.
type authAdmin struct{ url, key string }

// ensure makes the person, or gives an existing one the password.
func (a authAdmin) ensure(ctx context.Context, email, password string) error {
	var made struct {
		ID string `json:"id"`
	}
	err := a.do(ctx, http.MethodPost, "/admin/users", map[string]any{"email": email, "password": password, "email_confirm": true}, &made)
	var refused *answerError
	if !errors.As(err, &refused) || refused.status != http.StatusUnprocessableEntity {
		return err
	}
	var list struct {
		Users []struct{ ID, Email string } `json:"users"`
	}
	if err := a.do(ctx, http.MethodGet, "/admin/users?per_page=1000", nil, &list); err != nil {
		return err
	}
	for _, u := range list.Users {
		if u.Email == email {
			return a.do(ctx, http.MethodPut, "/admin/users/"+u.ID, map[string]any{"password": password, "email_confirm": true}, nil)
		}
	}
	return err
}

func (a authAdmin) do(ctx context.Context, method, path string, body, into any) error {
	payload, err := json.Marshal(body)
	if err != nil {
		return err
	}
	req, err := http.NewRequestWithContext(ctx, method, a.url+"/auth/v1"+path, bytes.NewReader(payload))
	if err != nil {
		return err
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("apikey", a.key)
	return exchange(req, into)
}
