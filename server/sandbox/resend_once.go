package sandbox

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"net/http"
	"time"
)

// idempotencyKey remembers the answer to a request for 24 hours:
// https://resend.com/docs/dashboard/emails/idempotency-keys.
type idempotencyKey struct {
	Key      string          `json:"key"`
	Endpoint string          `json:"endpoint"`
	Hash     string          `json:"hash"` // of the request's JSON, whatever its spacing and order
	Answer   json.RawMessage `json:"answer"`
	At       time.Time       `json:"at"`
}

const idempotencyWindow = 24 * time.Hour

// once decodes the body into q, and lets send make the mails unless the request's Idempotency-Key was seen before.
// Only a success is remembered. send runs with s.mu held.
func (s *Sandbox) once(r *http.Request, q any, send func(key string) ([]Email, any, error)) (any, error) {
	var canonical any
	raw := json.NewDecoder(r.Body)
	if err := raw.Decode(&canonical); err != nil {
		return nil, &resendError{400, "validation_error", "The request body is not valid JSON."}
	}
	same, err := json.Marshal(canonical)
	if err != nil {
		return nil, err
	}
	if err := json.Unmarshal(same, q); err != nil {
		return nil, &resendError{422, "validation_error", "A field has the wrong type."}
	}
	sum := sha256.Sum256(same)
	k := idempotencyKey{Key: r.Header.Get("Idempotency-Key"), Endpoint: r.URL.Path, Hash: hex.EncodeToString(sum[:]), At: s.now().UTC()}
	if values := r.Header.Values("Idempotency-Key"); len(values) > 0 && (k.Key == "" || len(k.Key) > 256) {
		return nil, &resendError{400, "invalid_idempotency_key", "The key must be between 1-256 chars."}
	}

	s.mu.Lock()
	defer s.mu.Unlock()
	if k.Key != "" {
		busy := k.Endpoint + " " + k.Key
		if s.inFlight[busy] {
			return nil, &resendError{409, "concurrent_idempotent_requests", "Another request with the same idempotency key is in progress."}
		}
		for _, seen := range s.state.Keys {
			if seen.Key != k.Key || seen.Endpoint != k.Endpoint || !k.At.Before(seen.At.Add(idempotencyWindow)) {
				continue
			}
			if seen.Hash != k.Hash {
				return nil, &resendError{409, "invalid_idempotent_request", "This idempotency key was used in the last 24 hours with another request body."}
			}
			return seen.Answer, nil
		}
		// In flight until the answer goes out, a fault's delay included.
		s.inFlight[busy] = true
		onFinish(r, func() {
			s.mu.Lock()
			delete(s.inFlight, busy)
			s.mu.Unlock()
		})
	}
	emails, answer, err := send(k.Key)
	if err != nil {
		return nil, err
	}
	e := entry{Emails: emails}
	if k.Key != "" {
		if k.Answer, err = json.Marshal(answer); err != nil {
			return nil, err
		}
		e.Key = &k
	}
	return answer, s.commit(e)
}
