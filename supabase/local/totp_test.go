package local

import (
	"strings"
	"testing"
	"time"
)

// The vectors of RFC 6238, appendix B, for SHA-1, cut to six digits.
func TestTOTPCode(t *testing.T) {
	t.Parallel()
	secret := totpEncoding.EncodeToString([]byte("12345678901234567890"))
	for unix, want := range map[int64]string{
		59: "287082", 1111111109: "081804", 1111111111: "050471", 1234567890: "005924", 2000000000: "279037", 20000000000: "353130",
	} {
		if got, err := totpCode(secret, unix/totpPeriod); err != nil || got != want {
			t.Errorf("at %d: got %s, %v; want %s", unix, got, err, want)
		}
	}
	at := time.Unix(1111111109, 0)
	for offset, want := range map[time.Duration]bool{-60 * time.Second: false, -30 * time.Second: true, 0: true, 30 * time.Second: true, 60 * time.Second: false} {
		if _, got := checkTOTP(secret, "081804", at.Add(offset)); got != want {
			t.Errorf("code %v later: accepted %v, want %v", offset, got, want)
		}
	}
}

func TestQRHasNoHash(t *testing.T) {
	t.Parallel()
	svg, err := qrSVG(totpURI("app.localhost:8080", "a+b@example.com", newTOTPSecret()))
	if err != nil || !strings.HasPrefix(svg, "<svg ") || strings.Contains(svg, "#") {
		t.Fatalf("%v: %.80s", err, svg)
	}
}
