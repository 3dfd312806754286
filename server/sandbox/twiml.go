package sandbox

import (
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"net/url"
	"slices"
	"strconv"
	"strings"
)

// CallError is what Twilio's debugger would show of a call (https://www.twilio.com/docs/api/errors).
type CallError struct {
	Code    int    `json:"code"`
	Message string `json:"message"`
	AtMS    int64  `json:"at_ms"`
}

func (e *CallError) Error() string { return fmt.Sprintf("twilio %d: %s", e.Code, e.Message) }

// element is a TwiML verb or noun.
type element struct {
	Name     string
	Attrs    map[string]string
	Text     string
	Children []element
}

func (e element) attr(name, fallback string) string {
	if v, given := e.Attrs[name]; given {
		return v
	}
	return fallback
}

func (e element) number(name string, fallback int) int {
	if n, err := strconv.Atoi(e.Attrs[name]); err == nil {
		return n
	}
	return fallback
}

func (e element) child(name string) (element, bool) {
	if i := slices.IndexFunc(e.Children, func(c element) bool { return c.Name == name }); i >= 0 {
		return e.Children[i], true
	}
	return element{}, false
}

// rule is what an element may have: attributes with their kinds, nouns, text.
type rule struct {
	attrs map[string]string
	nouns map[string]rule
	text  bool
}

// The kinds of attributes: any text, or one of the words of the kind.
const (
	anything   = ""
	httpMethod = "GET|POST"
	truth      = "true|false"
	whole      = "a whole number"
	address    = "a URL"
)

func attributes(pairs ...string) map[string]string {
	m := map[string]string{}
	for i := 0; i < len(pairs); i += 2 {
		m[pairs[i]] = pairs[i+1]
	}
	return m
}

// voiceRules is the part of https://www.twilio.com/docs/voice/twiml that the sandbox plays: an attribute is here if it has
// its effect. Twilio itself only warns of one that it does not know; here it is an error, so that nothing is relied on that
// was never tried.
func voiceRules() map[string]rule {
	say := rule{attrs: attributes("loop", whole), text: true}
	play := rule{attrs: attributes("loop", whole, "digits", anything), text: true}
	pause := rule{attrs: attributes("length", whole)}
	recording := []string{
		"recordingStatusCallback", address, "recordingStatusCallbackMethod", httpMethod, "recordingStatusCallbackEvent", anything,
	}
	progress := []string{"statusCallback", address, "statusCallbackMethod", httpMethod, "statusCallbackEvent", anything}
	return map[string]rule{
		"Say": say, "Play": play, "Pause": pause,
		"Hangup":   {},
		"Reject":   {attrs: attributes("reason", "rejected|busy")},
		"Redirect": {attrs: attributes("method", httpMethod), text: true},
		"Gather": {
			attrs: attributes("input", "dtmf|speech|dtmf speech|speech dtmf", "action", address, "method", httpMethod, "timeout", whole, "numDigits", whole,
				"finishOnKey", anything, "actionOnEmptyResult", truth, "bargeIn", truth, "speechTimeout", anything),
			nouns: map[string]rule{"Say": say, "Play": play, "Pause": pause},
		},
		"Record": {attrs: attributes(append([]string{
			"action", address, "method", httpMethod, "timeout", whole, "finishOnKey", anything, "maxLength", whole, "playBeep", truth, "transcribe", "false",
		}, recording...)...)},
		"Dial": {
			text: true,
			attrs: attributes(append([]string{
				"action", address, "method", httpMethod, "timeout", whole, "timeLimit", whole, "callerId", anything, "answerOnBridge", truth,
				"hangupOnStar", truth,
				"record", "do-not-record|record-from-answer|record-from-ringing|record-from-answer-dual|record-from-ringing-dual",
			}, recording...)...),
			nouns: map[string]rule{
				"Number": {text: true, attrs: attributes(append([]string{"url", address, "method", httpMethod}, progress...)...)},
				"Conference": {text: true, attrs: attributes(append([]string{
					"muted", truth, "startConferenceOnEnter", truth, "endConferenceOnExit", truth,
					"maxParticipants", whole, "participantLabel", anything, "record", anything,
				}, append(progress, recording...)...)...)},
			},
		},
		"Connect": {
			attrs: attributes("action", address, "method", httpMethod),
			nouns: map[string]rule{"Stream": {
				attrs: attributes("url", anything, "name", anything, "track", "inbound_track", "statusCallback", address, "statusCallbackMethod", httpMethod),
				nouns: map[string]rule{"Parameter": {attrs: attributes("name", anything, "value", anything)}},
			}},
		},
	}
}

// messageRules is the part of https://www.twilio.com/docs/messaging/twiml that the sandbox can play.
func messageRules() map[string]rule {
	return map[string]rule{
		"Message": {text: true, attrs: attributes("to", anything, "from", anything, "action", address, "method", httpMethod, "statusCallback", address),
			nouns: map[string]rule{"Body": {text: true}}},
	}
}

// parseTwiML reads a document and holds it to rules. The error's code is Twilio's: 12100 for what is not XML, 12102 for a
// root other than Response, 12200 for what the rules do not know.
func parseTwiML(document string, rules map[string]rule) ([]element, *CallError) {
	root, err := readElement(xml.NewDecoder(strings.NewReader(document)))
	if err != nil {
		return nil, &CallError{Code: 12100, Message: "Document parse failure: " + err.Error()}
	}
	if root.Name != "Response" {
		return nil, &CallError{Code: 12102, Message: "The root element must be Response, not " + root.Name}
	}
	if err := (rule{nouns: rules}).check(root); err != nil {
		return nil, &CallError{Code: 12200, Message: "Schema validation: " + err.Error()}
	}
	return root.Children, nil
}

// readElement reads the one element of a document.
func readElement(d *xml.Decoder) (element, error) {
	var open []element
	for {
		token, err := d.Token()
		if errors.Is(err, io.EOF) {
			return element{}, errors.New("it is empty or cut off")
		}
		if err != nil {
			return element{}, err
		}
		switch t := token.(type) {
		case xml.Directive:
			return element{}, errors.New("a document type is not allowed")
		case xml.StartElement:
			e := element{Name: t.Name.Local, Attrs: map[string]string{}}
			for _, a := range t.Attr {
				if a.Name.Space == "" && a.Name.Local != "xmlns" {
					e.Attrs[a.Name.Local] = a.Value
				}
			}
			open = append(open, e)
		case xml.CharData:
			if len(open) > 0 {
				open[len(open)-1].Text += string(t)
			}
		case xml.EndElement:
			done := open[len(open)-1]
			done.Text = strings.TrimSpace(done.Text)
			if open = open[:len(open)-1]; len(open) == 0 {
				return done, nil
			}
			parent := &open[len(open)-1]
			parent.Children = append(parent.Children, done)
		}
	}
}

func (r rule) check(e element) error {
	for name, value := range e.Attrs {
		kind, known := r.attrs[name]
		if !known {
			return fmt.Errorf("%s has no attribute %s, or none that the sandbox plays", e.Name, name)
		}
		if !ofKind(kind, value) {
			return fmt.Errorf("%s of %s must be %s, not %q", name, e.Name, kind, value)
		}
	}
	if e.Text != "" && !r.text {
		return fmt.Errorf("%s takes no text", e.Name)
	}
	for _, c := range e.Children {
		noun, known := r.nouns[c.Name]
		if !known {
			return fmt.Errorf("%s cannot be in %s, or the sandbox does not play it", c.Name, e.Name)
		}
		if err := noun.check(c); err != nil {
			return err
		}
	}
	return nil
}

func ofKind(kind, value string) bool {
	switch kind {
	case anything:
		return true
	case whole:
		n, err := strconv.Atoi(value)
		return err == nil && n >= 0
	case address:
		u, err := url.Parse(value)
		return err == nil && (u.Scheme == "" || u.Scheme == "http" || u.Scheme == "https")
	}
	return slices.Contains(strings.Split(kind, "|"), value)
}
