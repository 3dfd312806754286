package apitest

import (
	"crypto/ecdsa"
	"encoding/base64"
	"encoding/json"
	"time"

	"github.com/golang-jwt/jwt/v5"
	"github.com/google/uuid"
)

// Issuer is of every good token.
const Issuer = "http://auth.test/auth/v1"

// TokenHeader is the header of every good token.
const TokenHeader = `{"alg":"ES256","kid":"k1","typ":"JWT"}` //nolint:gosec // a header, not a token

// Claims are those of a good access token, after a second factor.
func Claims(user uuid.UUID, email string) jwt.MapClaims {
	now := time.Now()
	return jwt.MapClaims{"iss": Issuer, "aud": "authenticated", "role": "authenticated", "sub": user.String(), "email": email,
		"aal": "aal2", "iat": now.Unix(), "exp": now.Add(time.Hour).Unix()}
}

// Token is an access token of the person.
func (w *World) Token(user uuid.UUID, email string) string {
	return w.Sign(TokenHeader, Claims(user, email))
}

// Sign signs with Auth's own key. Claims that are a string are the payload as it is, else they are sent as JSON.
func (w *World) Sign(header string, claims any) string {
	payload, raw := claims.(string)
	if !raw {
		encoded, err := json.Marshal(claims)
		if err != nil {
			w.t.Fatal(err)
		}
		payload = string(encoded)
	}
	enc := base64.RawURLEncoding.EncodeToString
	signed := enc([]byte(header)) + "." + enc([]byte(payload))
	signature, err := jwt.SigningMethodES256.Sign(signed, w.signer)
	if err != nil {
		w.t.Fatal(err)
	}
	return signed + "." + enc(signature)
}

// PublicKey is what the JWKS shows to everybody.
func (w *World) PublicKey() *ecdsa.PublicKey { return &w.signer.PublicKey }
