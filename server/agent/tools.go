package agent

// Tools lists what the model may use in the call.
func (p *Profile) Tools(_ Call) []Tool { return nil }
