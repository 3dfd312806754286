package main

import (
	"fmt"
	"io"
	"log/slog"
)

// Secret is a value that prints as "[redacted]" wherever it is formatted, logged or encoded. Only Reveal gives it up.
type Secret string

// Reveal returns the value itself, for the one place that uses it.
func (s Secret) Reveal() string { return string(s) }

func (Secret) String() string { return "[redacted]" }

// Format covers every verb: %d of a string type would print its value otherwise.
func (s Secret) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, s.String()) }

// MarshalText covers JSON and slog's text handler.
func (s Secret) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// LogValue covers slog.
func (s Secret) LogValue() slog.Value { return slog.StringValue(s.String()) }
