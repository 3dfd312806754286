package agent

// FieldError is one thing wrong with settings.
type FieldError struct {
	Field   string // path within the settings, e.g. hours.weekly[2].closes
	Message string // completes "<field> …"
}

// Validate lists all that is wrong with the settings; none if they can be published.
func (s *Settings) Validate() []FieldError { return nil }

// Defaults is what a tenant of the industry begins with. An unknown industry gets the generic ones.
func Defaults(_, _ string) Settings { return Settings{} }
