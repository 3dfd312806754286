package agent

import "time"

// Instructions is what the model is told before the call.
func (p *Profile) Instructions(_ Call, _ time.Time) string { return "" }
