package local

import "time"

// TOTPAt is the code that an authenticator app shows at a time.
func TOTPAt(secret string, at time.Time) (string, error) {
	return totpCode(secret, at.Unix()/totpPeriod)
}
