package local

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/golang-jwt/jwt/v5"
	"github.com/google/uuid"
)

// Keys are a project's API keys, in both of Supabase's styles. An empty one is accepted from nobody.
type Keys struct {
	Publishable string // sb_publishable_…
	Secret      string // sb_secret_…
	AnonJWT     string // legacy; see SigningKey.RoleJWT
	ServiceJWT  string // legacy service_role key
}

// role returns the Postgres role that a key stands for: anon, service_role, or "" if it is none of ours.
func (k Keys) role(key string) string {
	is := func(ours string) bool {
		return ours != "" && subtle.ConstantTimeCompare([]byte(key), []byte(ours)) == 1
	}
	switch {
	case is(k.Secret) || is(k.ServiceJWT):
		return "service_role"
	case is(k.Publishable) || is(k.AnonJWT):
		return "anon"
	}
	return ""
}

// SigningKey signs access tokens and signed URLs with ES256.
type SigningKey struct {
	id      string
	private *ecdsa.PrivateKey
}

// NewSigningKey makes a key that lives as long as the process.
func NewSigningKey() (*SigningKey, error) {
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	return signingKey(private)
}

// LoadOrCreateKey reads the key in the PEM file at path (PKCS #8), or makes one and stores it there, readable by
// the owner only. It returns an error for a file that others can read or that holds anything else.
func LoadOrCreateKey(path string) (*SigningKey, error) {
	info, err := os.Stat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return createKey(path)
	}
	if err != nil {
		return nil, err
	}
	if info.Mode().Perm()&0o077 != 0 {
		return nil, fmt.Errorf("signing key %s: others can read it (mode %v); want 0600", path, info.Mode().Perm())
	}
	raw, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	block, _ := pem.Decode(raw)
	if block == nil {
		return nil, fmt.Errorf("signing key %s: not a PEM file", path)
	}
	parsed, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	private, ok := parsed.(*ecdsa.PrivateKey)
	if err != nil || !ok || private.Curve != elliptic.P256() {
		return nil, fmt.Errorf("signing key %s: not a P-256 private key", path)
	}
	return signingKey(private)
}

func createKey(path string) (*SigningKey, error) {
	key, err := NewSigningKey()
	if err != nil {
		return nil, err
	}
	der, err := x509.MarshalPKCS8PrivateKey(key.private)
	if err != nil {
		return nil, err
	}
	// Linked into place whole: of two processes that start at once, one wins and both use its key.
	temp, err := os.CreateTemp(filepath.Dir(path), ".key-*") // mode 0600
	if err != nil {
		return nil, err
	}
	defer os.Remove(temp.Name())
	err = errors.Join(pem.Encode(temp, &pem.Block{Type: "PRIVATE KEY", Bytes: der}), temp.Sync(), temp.Close())
	if err != nil {
		return nil, err
	}
	if err := os.Link(temp.Name(), path); errors.Is(err, fs.ErrExist) {
		return LoadOrCreateKey(path)
	} else if err != nil {
		return nil, err
	}
	return key, nil
}

func signingKey(private *ecdsa.PrivateKey) (*SigningKey, error) {
	der, err := x509.MarshalPKIXPublicKey(&private.PublicKey)
	if err != nil {
		return nil, err
	}
	// The kid is a UUID, as on the platform, and follows from the key so that it survives a restart.
	id := uuid.NewHash(sha256.New(), uuid.Nil, der, 8)
	return &SigningKey{id: id.String(), private: private}, nil
}

// Sign returns claims as a compact ES256 token with a kid.
func (k *SigningKey) Sign(claims jwt.Claims) (string, error) {
	token := jwt.NewWithClaims(jwt.SigningMethodES256, claims)
	token.Header["kid"] = k.id
	return token.SignedString(k.private)
}

// RoleJWT makes a legacy API key for role, anon or service_role, valid for ten years.
func (k *SigningKey) RoleJWT(role string, now time.Time) (string, error) {
	return k.Sign(jwt.MapClaims{"iss": "supabase", "role": role, "iat": now.Unix(), "exp": now.AddDate(10, 0, 0).Unix()})
}

// parse checks a token's algorithm, key, signature and times, and what options demand besides.
func (k *SigningKey) parse(token string, claims jwt.Claims, now func() time.Time, options ...jwt.ParserOption) error {
	options = append(options, jwt.WithValidMethods([]string{"ES256"}), jwt.WithExpirationRequired(), jwt.WithTimeFunc(now), jwt.WithIssuedAt())
	_, err := jwt.NewParser(options...).ParseWithClaims(token, claims, func(t *jwt.Token) (any, error) {
		if t.Header["kid"] != k.id {
			return nil, errors.New("unknown key")
		}
		return &k.private.PublicKey, nil
	})
	return err
}

// jwks is the public half, as served at /auth/v1/.well-known/jwks.json.
func (k *SigningKey) jwks() (map[string]any, error) {
	point, err := k.private.PublicKey.Bytes()
	if err != nil {
		return nil, err
	}
	text := base64.RawURLEncoding.EncodeToString
	return map[string]any{"keys": []map[string]any{{
		"alg": "ES256", "crv": "P-256", "ext": true, "key_ops": []string{"verify"}, "kid": k.id, "kty": "EC", "use": "sig",
		"x": text(point[1:33]), "y": text(point[33:]),
	}}}, nil
}
