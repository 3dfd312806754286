package supabase

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rsa"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"math/big"
	"net/http"
	"slices"
	"sync/atomic"
	"time"
)

// jwksMaxAge is how long keys are used before they are fetched anew (Supabase's edge caches them 10 min as well).
const jwksMaxAge = 10 * time.Minute

// jwks keeps the public keys of Auth. A failed fetch keeps the keys there are.
type jwks struct {
	url   string
	http  *http.Client
	algs  []string
	every time.Duration
	now   func() time.Time

	set atomic.Pointer[keySet]
	// turn holds one token: who has it may fetch. The others wait for that fetch, or for their context.
	turn  chan struct{}
	tried time.Time // of the last fetch, guarded by turn
}

type keySet struct {
	keys    map[string]publicKey
	fetched time.Time
}

type publicKey struct {
	alg    string
	public any
}

func newJWKS(cfg VerifierConfig) *jwks {
	return &jwks{url: cfg.JWKSURL, http: cfg.HTTP, algs: cfg.Algs, every: cfg.Refetch, now: cfg.Now, turn: make(chan struct{}, 1)}
}

// find returns the key named kid. An unknown one is worth a fetch, at most one every Refetch for all callers
// together; in between it is ErrToken at once.
func (j *jwks) find(ctx context.Context, kid string) (publicKey, error) {
	if set := j.set.Load(); set != nil {
		if key, ok := set.keys[kid]; ok {
			if j.now().Sub(set.fetched) > jwksMaxAge {
				go j.refresh(context.WithoutCancel(ctx), set)
			}
			return key, nil
		}
	}
	if kid == "" || len(kid) > 256 {
		return publicKey{}, fmt.Errorf("%w: no usable kid", ErrToken)
	}
	old := j.set.Load()
	select {
	case j.turn <- struct{}{}:
	case <-ctx.Done():
		return publicKey{}, ctx.Err()
	}
	if j.set.Load() == old {
		j.fetchLocked(ctx)
	}
	<-j.turn
	set := j.set.Load()
	if set == nil {
		return publicKey{}, ErrKeysUnavailable
	}
	if key, ok := set.keys[kid]; ok {
		return key, nil
	}
	return publicKey{}, fmt.Errorf("%w: unknown key", ErrToken)
}

// refresh replaces keys that have grown old, unless someone is at it.
func (j *jwks) refresh(ctx context.Context, old *keySet) {
	select {
	case j.turn <- struct{}{}:
		if j.set.Load() == old {
			j.fetchLocked(ctx)
		}
		<-j.turn
	default:
	}
}

func (j *jwks) fetchLocked(ctx context.Context) {
	now := j.now()
	wait := j.every
	if j.set.Load() == nil {
		wait = min(wait, time.Second) // no token can be checked until the first set is here
	}
	if !j.tried.IsZero() && now.Sub(j.tried) < wait {
		return
	}
	j.tried = now
	// One caller's hanging up must not fail the fetch for those who wait for it.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
	defer cancel()
	if keys, err := j.fetch(ctx); err == nil && len(keys) > 0 {
		j.set.Store(&keySet{keys: keys, fetched: now})
	}
}

func (j *jwks) fetch(ctx context.Context) (map[string]publicKey, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, j.url, nil)
	if err != nil {
		return nil, err
	}
	res, err := j.http.Do(req)
	if err != nil {
		return nil, err
	}
	defer func() { _ = res.Body.Close() }()
	if res.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("jwks: status %d", res.StatusCode)
	}
	var doc struct {
		Keys []jwk `json:"keys"`
	}
	if err := json.NewDecoder(io.LimitReader(res.Body, 256<<10)).Decode(&doc); err != nil {
		return nil, fmt.Errorf("jwks: %w", err)
	}
	keys := make(map[string]publicKey)
	for _, k := range doc.Keys {
		if key, ok := k.publicKey(); ok && k.Kid != "" && slices.Contains(j.algs, key.alg) {
			keys[k.Kid] = key
		}
	}
	return keys, nil
}

// jwk is a public key of RFC 7517. Keys for other uses, and symmetric ones, are passed over.
type jwk struct {
	Kty, Kid, Alg, Use, Crv, X, Y, N, E string
}

func (k jwk) publicKey() (publicKey, bool) {
	if k.Use != "" && k.Use != "sig" {
		return publicKey{}, false
	}
	decode := base64.RawURLEncoding.DecodeString
	switch {
	case k.Kty == "EC" && k.Crv == "P-256" && (k.Alg == "" || k.Alg == "ES256"):
		x, errX := decode(k.X)
		y, errY := decode(k.Y)
		if errX != nil || errY != nil || len(x) != 32 || len(y) != 32 {
			return publicKey{}, false
		}
		// Fails for a point that is not on the curve.
		key, err := ecdsa.ParseUncompressedPublicKey(elliptic.P256(), slices.Concat([]byte{4}, x, y))
		return publicKey{"ES256", key}, err == nil
	case k.Kty == "RSA" && (k.Alg == "" || k.Alg == "RS256"):
		n, errN := decode(k.N)
		e, errE := decode(k.E)
		if errN != nil || errE != nil || len(e) > 4 {
			return publicKey{}, false
		}
		key := &rsa.PublicKey{N: new(big.Int).SetBytes(n), E: int(new(big.Int).SetBytes(e).Int64())}
		return publicKey{"RS256", key}, key.N.BitLen() >= 2048 && key.E >= 3 && key.E%2 == 1
	}
	return publicKey{}, false
}
