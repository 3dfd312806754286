package sandbox

import (
	"context"
	"crypto/hmac"
	"crypto/sha1"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"
)

// maxWebhookAnswer bounds what is kept of an answer, in bytes.
const maxWebhookAnswer = 64 << 10

// Webhook is one delivery to Kestrel and what came back.
type Webhook struct {
	URL         string `json:"url"`
	Status      int    `json:"status"` // 0: no answer
	ContentType string `json:"content_type,omitempty"`
	Body        string `json:"body,omitempty"`
	Error       string `json:"error,omitempty"`
}

var errNoWebhook = errors.New("the number has no webhook for this")

// deliver sends a webhook signed as Twilio signs it. A receiver that is absent or fails is told in the result.
func (s *Sandbox) deliver(ctx context.Context, method, target string, form url.Values) *Webhook {
	hook := &Webhook{URL: target}
	fail := func(err error) *Webhook {
		hook.Error = err.Error()
		return hook
	}
	if target == "" {
		return fail(errNoWebhook)
	}
	signed, body := form, io.Reader(strings.NewReader(form.Encode()))
	if method == http.MethodGet {
		u, err := url.Parse(target)
		if err != nil {
			return fail(err)
		}
		u.RawQuery = strings.TrimPrefix(u.RawQuery+"&"+form.Encode(), "&")
		target, signed, body = u.String(), nil, nil
	}
	req, err := http.NewRequestWithContext(ctx, method, target, body)
	if err != nil {
		return fail(err)
	}
	if method != http.MethodGet {
		req.Header.Set("Content-Type", "application/x-www-form-urlencoded; charset=UTF-8")
	}
	req.Header.Set("User-Agent", "TwilioProxy/1.1")
	req.Header.Set("X-Twilio-Signature", Signature(s.authToken, target, signed))
	resp, err := s.webhooks.Do(req)
	if err != nil {
		return fail(err)
	}
	defer resp.Body.Close()
	answer, err := io.ReadAll(io.LimitReader(resp.Body, maxWebhookAnswer))
	if err != nil {
		return fail(err)
	}
	hook.Status, hook.ContentType, hook.Body = resp.StatusCode, resp.Header.Get("Content-Type"), string(answer)
	return hook
}

// Signature is the X-Twilio-Signature of a form POSTed to target (for a GET: the full URL and no form), by
// https://www.twilio.com/docs/usage/security#validating-requests.
func Signature(authToken, target string, form url.Values) string {
	keys := make([]string, 0, len(form))
	for k := range form {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	mac := hmac.New(sha1.New, []byte(authToken))
	io.WriteString(mac, target)
	for _, k := range keys {
		for _, v := range form[k] {
			io.WriteString(mac, k+v)
		}
	}
	return base64.StdEncoding.EncodeToString(mac.Sum(nil))
}

// loopbackClient has Twilio's time limits, takes *.localhost for this machine, and reaches nothing else: what is tried in
// the sandbox never leaves it.
func loopbackClient(timeout time.Duration) *http.Client {
	dialer := &net.Dialer{Timeout: 5 * time.Second}
	return &http.Client{
		Timeout: timeout,
		Transport: &http.Transport{
			MaxIdleConnsPerHost: 4,
			IdleConnTimeout:     30 * time.Second,
			DialContext: func(ctx context.Context, network, address string) (net.Conn, error) {
				host, port, err := net.SplitHostPort(address)
				if err != nil {
					return nil, err
				}
				if host == "localhost" || strings.HasSuffix(host, ".localhost") {
					host = "127.0.0.1"
				}
				if ip := net.ParseIP(host); ip == nil || !ip.IsLoopback() {
					return nil, fmt.Errorf("the sandbox delivers to this machine only, not to %s", host)
				}
				return dialer.DialContext(ctx, network, net.JoinHostPort(host, port))
			},
		},
	}
}
