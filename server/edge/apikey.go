package edge

import (
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"math/big"
	"strings"
)

const (
	keyPrefix = "kst_live_"
	keyDigits = 43 // 62^43 > 2^256
	keyShown  = len(keyPrefix) + 4
)

// ErrKey says that a text cannot be an API key.
var ErrKey = errors.New("not an API key")

// NewKey makes an API key of 256 random bits: the plain text, to be shown once; its beginning, to tell keys apart
// by; and its SHA-256, which is what is stored. Base 62, so that a double click selects it whole.
func NewKey() (plain, prefix string, hash [sha256.Size]byte) {
	plain, hash = newToken(keyPrefix)
	return plain, plain[:keyShown], hash
}

func newToken(prefix string) (plain string, hash [sha256.Size]byte) {
	var secret [32]byte
	_, _ = rand.Read(secret[:]) // never fails: crypto/rand
	digits := new(big.Int).SetBytes(secret[:]).Text(62)
	plain = prefix + strings.Repeat("0", keyDigits-len(digits)) + digits
	return plain, sha256.Sum256([]byte(plain))
}

// HashKey returns the SHA-256 that a key is found by, or ErrKey. 256 random bits need no slow hash.
func HashKey(plain string) ([sha256.Size]byte, error) { return hashToken(keyPrefix, plain) }

func hashToken(prefix, plain string) ([sha256.Size]byte, error) {
	digits, ok := strings.CutPrefix(plain, prefix)
	if !ok || len(digits) != keyDigits {
		return [sha256.Size]byte{}, ErrKey
	}
	for i := range len(digits) {
		c := digits[i]
		if (c < '0' || c > '9') && (c < 'A' || c > 'Z') && (c < 'a' || c > 'z') {
			return [sha256.Size]byte{}, ErrKey
		}
	}
	return sha256.Sum256([]byte(plain)), nil
}
