package supabase

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/golang-jwt/jwt/v5"
	"github.com/google/uuid"
)

// MaxTokenBytes is the longest access token that is looked at.
const MaxTokenBytes = 8 << 10

// What Verify says about a token, apart from errors of the context.
var (
	ErrToken           = errors.New("invalid access token")                           // forged, expired, malformed: 401
	ErrNotPerson       = fmt.Errorf("%w: it does not stand for a person", ErrToken)   // anon, service_role or anonymous sign-in: 401
	ErrKeysUnavailable = errors.New("the signing keys of Auth could not be obtained") // nothing could be checked: 503
)

// VerifierConfig says which tokens are ours. Algs decides which algorithms exist; a token can only pick among them.
type VerifierConfig struct {
	Issuer      string   // "<supabase url>/auth/v1"
	Audience    string   // "authenticated" if empty
	Algs        []string // of ES256, RS256 (keys from JWKSURL) and HS256 (HS256Secret)
	JWKSURL     string
	HS256Secret string // the project's legacy JWT secret; needed if and only if Algs has HS256
	HTTP        *http.Client
	Leeway      time.Duration // 30 s if zero
	Refetch     time.Duration // JWKS is fetched at most this often, whatever kids arrive; 10 s if zero
	Now         func() time.Time
}

// Claims is what a verified token says. Raw is its payload as signed, for request.jwt.claims; Email and all of
// Raw's metadata are the Auth server's word about that moment, never authority over a tenant.
type Claims struct {
	Subject   uuid.UUID
	Email     string
	Role      string // always "authenticated"
	AAL       string // "aal1", or "aal2" after a second factor
	SessionID string
	Raw       json.RawMessage
	ExpiresAt time.Time
}

// Verifier checks Supabase Auth access tokens. It is safe for concurrent use.
type Verifier struct {
	cfg    VerifierConfig
	keys   *jwks
	secret []byte
	seen   tokenCache
}

// NewVerifier returns an error for a configuration in which no token, or any token, could be valid.
func NewVerifier(cfg VerifierConfig) (*Verifier, error) {
	if cfg.Audience == "" {
		cfg.Audience = "authenticated"
	}
	if cfg.Leeway == 0 {
		cfg.Leeway = 30 * time.Second
	}
	if cfg.Refetch == 0 {
		cfg.Refetch = 10 * time.Second
	}
	if cfg.HTTP == nil {
		cfg.HTTP = &http.Client{Timeout: 5 * time.Second}
	}
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	if cfg.Issuer == "" || len(cfg.Algs) == 0 {
		return nil, errors.New("jwt: an issuer and at least one algorithm are needed")
	}
	for _, alg := range cfg.Algs {
		switch alg {
		case "ES256", "RS256":
			if cfg.JWKSURL == "" {
				return nil, fmt.Errorf("jwt: %s needs a JWKS URL", alg)
			}
		case "HS256":
			if len(cfg.HS256Secret) < 32 {
				return nil, errors.New("jwt: HS256 needs a secret of 32 bytes or more")
			}
		default:
			return nil, fmt.Errorf("jwt: algorithm %q is not supported", alg)
		}
	}
	return &Verifier{cfg: cfg, keys: newJWKS(cfg), secret: []byte(cfg.HS256Secret)}, nil
}

// Verify returns the claims of a person's token, ErrToken (or ErrNotPerson, which is one), ErrKeysUnavailable, or
// the context's error. Claims are shared between callers: do not change them.
func (v *Verifier) Verify(ctx context.Context, token string) (*Claims, error) {
	if len(token) > MaxTokenBytes {
		return nil, fmt.Errorf("%w: longer than %d bytes", ErrToken, MaxTokenBytes)
	}
	now := v.cfg.Now()
	id := sha256.Sum256([]byte(token))
	if claims, ok := v.seen.get(id, now); ok {
		return claims, nil
	}
	claims, err := v.verify(ctx, token, now)
	if err != nil {
		return nil, err
	}
	v.seen.put(id, claims, now)
	return claims, nil
}

func (v *Verifier) verify(ctx context.Context, token string, now time.Time) (*Claims, error) {
	signed, signature, header, payload, err := split(token)
	if err != nil {
		return nil, err
	}
	alg, kid, err := readHeader(header)
	if err != nil {
		return nil, err
	}
	if !slices.Contains(v.cfg.Algs, alg) {
		return nil, fmt.Errorf("%w: algorithm not accepted", ErrToken)
	}
	key, err := v.key(ctx, alg, kid)
	if err != nil {
		return nil, err
	}
	if err := jwt.GetSigningMethod(alg).Verify(signed, signature, key); err != nil {
		return nil, fmt.Errorf("%w: bad signature", ErrToken)
	}
	return v.readClaims(payload, now)
}

// key returns the one key that is meant for alg. The type of a key decides its algorithm: a public key can never
// serve as an HMAC secret.
func (v *Verifier) key(ctx context.Context, alg, kid string) (any, error) {
	if alg == "HS256" {
		return v.secret, nil
	}
	key, err := v.keys.find(ctx, kid)
	if err != nil {
		return nil, err
	}
	if key.alg != alg {
		return nil, fmt.Errorf("%w: the key is for another algorithm", ErrToken)
	}
	return key.public, nil
}

func split(token string) (signed string, signature, header, payload []byte, err error) {
	if strings.Count(token, ".") != 2 {
		return "", nil, nil, nil, fmt.Errorf("%w: not three parts", ErrToken)
	}
	last := strings.LastIndexByte(token, '.')
	signed = token[:last]
	first := strings.IndexByte(signed, '.')
	strict := base64.RawURLEncoding.Strict()
	header, err1 := strict.DecodeString(signed[:first])
	payload, err2 := strict.DecodeString(signed[first+1:])
	signature, err3 := strict.DecodeString(token[last+1:])
	if err1 != nil || err2 != nil || err3 != nil || len(signature) == 0 {
		return "", nil, nil, nil, fmt.Errorf("%w: not base64url", ErrToken)
	}
	return signed, signature, header, payload, nil
}

// readHeader accepts alg, kid and typ and nothing else: jwk, jku, x5u and x5c bring keys along, crit and b64
// change what is signed, and Auth sets none of them.
func readHeader(header []byte) (alg, kid string, err error) {
	fields, err := object(header)
	if err != nil {
		return "", "", err
	}
	var typ string
	for name, raw := range fields {
		var into *string
		switch name {
		case "alg":
			into = &alg
		case "kid":
			into = &kid
		case "typ":
			into = &typ
		default:
			return "", "", fmt.Errorf("%w: unexpected header", ErrToken)
		}
		if !text(raw, into) {
			return "", "", fmt.Errorf("%w: a header is not text", ErrToken)
		}
	}
	if typ != "" && !strings.EqualFold(typ, "JWT") {
		return "", "", fmt.Errorf("%w: not an access token", ErrToken)
	}
	return alg, kid, nil
}

func (v *Verifier) readClaims(payload []byte, now time.Time) (*Claims, error) {
	fields, err := object(payload)
	if err != nil {
		return nil, err
	}
	var issuer, subject string
	c := &Claims{Raw: payload}
	for name, into := range map[string]*string{"iss": &issuer, "sub": &subject, "email": &c.Email, "role": &c.Role, "aal": &c.AAL, "session_id": &c.SessionID} {
		if raw, ok := fields[name]; ok && !text(raw, into) {
			return nil, fmt.Errorf("%w: %s is not text", ErrToken, name)
		}
	}
	if issuer != v.cfg.Issuer {
		return nil, fmt.Errorf("%w: another issuer", ErrToken)
	}
	if c.ExpiresAt, err = v.times(fields, now); err != nil {
		return nil, err
	}
	if c.Role != "authenticated" || string(fields["is_anonymous"]) == "true" {
		return nil, ErrNotPerson
	}
	if !audience(fields["aud"], v.cfg.Audience) {
		return nil, fmt.Errorf("%w: another audience", ErrToken)
	}
	if c.Subject, err = uuid.Parse(subject); err != nil || len(subject) != 36 || c.Subject == uuid.Nil {
		return nil, fmt.Errorf("%w: the subject is not a UUID", ErrToken)
	}
	return c, nil
}

// times checks exp (required), nbf and iat against the clock and returns exp.
func (v *Verifier) times(fields map[string]json.RawMessage, now time.Time) (time.Time, error) {
	at := func(name string) (t time.Time, present bool, err error) {
		raw, present := fields[name]
		if !present {
			return t, false, nil
		}
		var seconds float64
		if raw[0] == '"' || json.Unmarshal(raw, &seconds) != nil || seconds < 0 || seconds > 1<<40 {
			return t, true, fmt.Errorf("%w: %s is not a time", ErrToken, name)
		}
		return time.Unix(int64(seconds), 0), true, nil
	}
	expires, ok, err := at("exp")
	if err != nil || !ok || !now.Before(expires.Add(v.cfg.Leeway)) {
		return expires, errors.Join(err, fmt.Errorf("%w: expired", ErrToken))
	}
	for _, name := range []string{"nbf", "iat"} {
		if t, ok, err := at(name); err != nil || ok && now.Add(v.cfg.Leeway).Before(t) {
			return expires, errors.Join(err, fmt.Errorf("%w: not valid yet", ErrToken))
		}
	}
	return expires, nil
}

func audience(raw json.RawMessage, want string) bool {
	var one string
	if text(raw, &one) {
		return one == want
	}
	var many []string
	return json.Unmarshal(raw, &many) == nil && slices.Contains(many, want)
}
