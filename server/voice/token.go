package voice

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"log/slog"
	"strings"
	"sync"
	"time"

	"github.com/google/uuid"

	"kestrel.ai/jobs/twilio"
	"kestrel.ai/server/agent"
)

// ErrToken says that a stream's token is forged, expired, used, or of a tenant that is not here.
var ErrToken = errors.New("voice: the stream's token is not valid")

// tokenLife is how long after the webhook's answer a stream may come.
const tokenLife = time.Minute

// claims is what a token says; Leg counts the call's conversations with the agent, since a failed transfer comes back.
// Any process can serve it: nothing about the call has to be looked up.
type claims struct {
	CallID  uuid.UUID `json:"i"`
	CallSID string    `json:"s"`
	Tenant  uuid.UUID `json:"t"`
	From    string    `json:"f,omitempty"`
	To      string    `json:"o"`
	Began   int64     `json:"b"` // Unix milliseconds
	Expires int64     `json:"e"` // Unix seconds
	Leg     int       `json:"l,omitempty"`
}

// Uses remembers, for all processes, which leg of a call has had its stream. first is false if it is known to have had one;
// an error means that nobody could tell.
type Uses interface {
	Use(ctx context.Context, tenant uuid.UUID, callSID string, leg int, at time.Time) (first bool, err error)
}

// Minter makes and opens the tokens of media streams, each good for one stream. It satisfies Tokens.
type Minter struct {
	key      []byte
	profiles func(tenant uuid.UUID) (*agent.Profile, bool)
	uses     Uses
	now      func() time.Time
	log      *slog.Logger

	mu   sync.Mutex
	used map[use]time.Time // until when the token would be good
}

type use struct {
	callSID string
	leg     int
}

// NewMinter derives its key from sessionKey, which all processes share. uses may be nil: only this process's memory counts then.
func NewMinter(sessionKey []byte, profiles func(uuid.UUID) (*agent.Profile, bool), uses Uses, now func() time.Time, log *slog.Logger) *Minter {
	mac := hmac.New(sha256.New, sessionKey)
	mac.Write([]byte("kestrel media stream"))
	return &Minter{key: mac.Sum(nil), profiles: profiles, uses: uses, now: now, log: log, used: map[use]time.Time{}}
}

// Mint makes the token of a call's leg.
func (m *Minter) Mint(c agent.Call, tenant uuid.UUID, leg int) string {
	body, _ := json.Marshal(claims{
		CallID: c.ID, CallSID: c.SID, Tenant: tenant, From: c.From, To: c.To, Began: c.StartedAt.UnixMilli(), Expires: m.now().Add(tokenLife).Unix(), Leg: leg,
	})
	payload := base64.RawURLEncoding.EncodeToString(body)
	return payload + "." + m.sign(payload)
}

func (m *Minter) sign(payload string) string {
	mac := hmac.New(sha256.New, m.key)
	mac.Write([]byte(payload))
	return base64.RawURLEncoding.EncodeToString(mac.Sum(nil))
}

// Open takes a token for the one stream it is good for. A call has one stream per leg, whichever answer brought the token:
// a leg that is known to have had its stream is refused here or in another process. Where that cannot be told because
// Postgres is away, the caller is not made to suffer for it.
func (m *Minter) Open(ctx context.Context, token string) (Offer, error) {
	payload, signature, _ := strings.Cut(token, ".")
	if len(token) > 2048 || !hmac.Equal([]byte(m.sign(payload)), []byte(signature)) {
		return Offer{}, ErrToken
	}
	var c claims
	body, err := base64.RawURLEncoding.DecodeString(payload)
	if err != nil || json.Unmarshal(body, &c) != nil || m.now().Unix() > c.Expires || c.CallSID == twilio.CheckCallSID {
		return Offer{}, ErrToken
	}
	profile, known := m.profiles(c.Tenant)
	if !known || !m.take(c) {
		return Offer{}, ErrToken
	}
	if m.uses != nil {
		first, err := m.uses.Use(ctx, c.Tenant, c.CallSID, c.Leg, m.now())
		switch {
		case err != nil:
			m.log.Warn("voice: a token's use could not be looked up", "call_id", c.CallID, "error", err)
		case !first:
			return Offer{}, ErrToken
		}
	}
	if c.Leg > 0 {
		profile = comingBack(profile)
	}
	call := agent.Call{ID: c.CallID, SID: c.CallSID, From: c.From, To: c.To, Channel: agent.ChannelCall, StartedAt: time.UnixMilli(c.Began)}
	return Offer{Call: call, Profile: profile}, nil
}

// take marks the leg as used here; false if it was.
func (m *Minter) take(c claims) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	now := m.now()
	for u, until := range m.used {
		if now.After(until) {
			delete(m.used, u)
		}
	}
	key := use{c.CallSID, c.Leg}
	if _, used := m.used[key]; used {
		return false
	}
	// Until the last copy of the answer that holds it has been forgotten and its token has expired.
	m.used[key] = now.Add(answersKept + tokenLife)
	return true
}
