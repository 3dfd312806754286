package wire

import "bytes"

// field is a string without escapes, or a number as text. All alias the message; in is nil at the top.
type field struct{ in, name, value []byte }

// Flat is a JSON object of strings and numbers, in which a member may be one more such object. Vendors' audio
// frames are of this form.
type Flat struct {
	fields [16]field
	n      int
}

// Scan reads message into f. False means only that the message is of another form (escapes, lists, true, null,
// spaces, more depth or fields, or no JSON at all) and wants a real decoder. It allocates nothing.
func (f *Flat) Scan(message []byte) bool {
	f.n = 0
	rest, ok := f.object(nil, message)
	return ok && len(rest) == 0
}

// Get is the value of a field in the object named in, or at the top where in is empty; nil if there is none. Where a
// name comes twice, the last one counts, as in encoding/json.
func (f *Flat) Get(in, name string) []byte {
	for i := f.n - 1; i >= 0; i-- {
		if at := &f.fields[i]; string(at.name) == name && string(at.in) == in {
			return at.value
		}
	}
	return nil
}

func (f *Flat) object(in, b []byte) ([]byte, bool) {
	if len(b) < 2 || b[0] != '{' {
		return nil, false
	}
	if b = b[1:]; b[0] == '}' {
		return b[1:], true
	}
	for {
		name, rest, ok := plain(b)
		if !ok || len(rest) < 2 || rest[0] != ':' {
			return nil, false
		}
		b = rest[1:]
		if b[0] == '{' {
			if in != nil || len(name) == 0 {
				return nil, false
			}
			b, ok = f.object(name, b)
		} else {
			b, ok = f.value(in, name, b)
		}
		if !ok || len(b) == 0 {
			return nil, false
		}
		switch b[0] {
		case ',':
			b = b[1:]
		case '}':
			return b[1:], true
		default:
			return nil, false
		}
	}
}

func (f *Flat) value(in, name, b []byte) (rest []byte, ok bool) {
	var value []byte
	if b[0] == '"' {
		value, rest, ok = plain(b)
	} else {
		value, rest, ok = digits(b)
	}
	if !ok || f.n == len(f.fields) {
		return nil, false
	}
	f.fields[f.n] = field{in, name, value}
	f.n++
	return rest, true
}

// plain cuts a string that means itself: printable ASCII and no escape.
func plain(b []byte) (text, rest []byte, ok bool) {
	if len(b) < 2 || b[0] != '"' {
		return nil, nil, false
	}
	end := bytes.IndexByte(b[1:], '"')
	if end < 0 {
		return nil, nil, false
	}
	text = b[1 : 1+end]
	for _, c := range text {
		if c < ' ' || c > '~' || c == '\\' {
			return nil, nil, false
		}
	}
	return text, b[end+2:], true
}

// digits cuts a whole number that is not negative.
func digits(b []byte) (number, rest []byte, ok bool) {
	n := 0
	for n < len(b) && b[n] >= '0' && b[n] <= '9' {
		n++
	}
	if n == 0 || (n > 1 && b[0] == '0') {
		return nil, nil, false
	}
	return b[:n], b[n:], true
}

// Base64 reports whether b is nothing but standard base64 text, so that it can stand inside a JSON string as it is.
func Base64(b []byte) bool {
	if len(b) == 0 || len(b)%4 != 0 {
		return false
	}
	n := len(b)
	for n > len(b)-2 && b[n-1] == '=' {
		n--
	}
	for _, c := range b[:n] {
		if !alphabet[c] {
			return false
		}
	}
	return true
}

var alphabet = func() (t [256]bool) {
	for _, c := range []byte("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/") {
		t[c] = true
	}
	return t
}()

// Decoded is how many bytes the base64 text b stands for.
func Decoded(b []byte) int {
	n := len(b) / 4 * 3
	for i := len(b) - 1; i >= 0 && b[i] == '='; i-- {
		n--
	}
	return n
}
