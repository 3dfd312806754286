package supabase

import (
	"bytes"
	"encoding/json"
	"fmt"
	"unicode/utf8"
)

// maxTokenDepth bounds the nesting of a token's JSON.
const maxTokenDepth = 16

// object reads one JSON object strictly. encoding/json takes the last of two equal names where another reader
// (Postgres, PostgREST) may take the first, replaces bad UTF-8, and lets text follow: each is refused at every level.
// So is \u0000, which jsonb cannot hold.
func object(data []byte) (map[string]json.RawMessage, error) {
	if !utf8.Valid(data) || bytes.Contains(data, []byte(`\u0000`)) {
		return nil, fmt.Errorf("%w: not clean UTF-8", ErrToken)
	}
	dec := json.NewDecoder(bytes.NewReader(data))
	dec.UseNumber()
	if err := unique(dec, 0); err != nil {
		return nil, err
	}
	if dec.InputOffset() != int64(len(data)) {
		return nil, fmt.Errorf("%w: text after the JSON", ErrToken)
	}
	var fields map[string]json.RawMessage
	if err := json.Unmarshal(data, &fields); err != nil || fields == nil {
		return nil, fmt.Errorf("%w: not a JSON object", ErrToken)
	}
	return fields, nil
}

// unique consumes one JSON value and fails if any object in it has a name twice.
func unique(dec *json.Decoder, depth int) error {
	malformed := fmt.Errorf("%w: malformed JSON", ErrToken)
	token, err := dec.Token()
	if err != nil || depth > maxTokenDepth {
		return malformed
	}
	opening, nested := token.(json.Delim)
	if !nested {
		return nil
	}
	names := map[string]struct{}{}
	for dec.More() {
		if opening == '{' {
			name, err := dec.Token()
			if err != nil {
				return malformed
			}
			if _, twice := names[name.(string)]; twice {
				return fmt.Errorf("%w: a name occurs twice", ErrToken)
			}
			names[name.(string)] = struct{}{}
		}
		if err := unique(dec, depth+1); err != nil {
			return err
		}
	}
	if _, err := dec.Token(); err != nil {
		return malformed
	}
	return nil
}

// text reads a JSON string and nothing else (null included).
func text(raw json.RawMessage, into *string) bool {
	return len(raw) > 0 && raw[0] == '"' && json.Unmarshal(raw, into) == nil
}
