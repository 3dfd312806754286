package voice

import (
	"encoding/xml"
	"net/url"
)

// TwiML, the part that we send (https://www.twilio.com/docs/voice/twiml). A verb is one of the types below; their order in
// the response is the order in which Twilio carries them out.

type response struct {
	XMLName xml.Name `xml:"Response"`
	Verbs   []any
}

type say struct {
	XMLName xml.Name `xml:"Say"`
	Text    string   `xml:",chardata"`
}

type connect struct {
	XMLName xml.Name      `xml:"Connect"`
	Action  string        `xml:"action,attr"`
	Method  string        `xml:"method,attr"`
	Stream  connectStream `xml:"Stream"`
}

type connectStream struct {
	URL        string      `xml:"url,attr"`
	Parameters []parameter `xml:"Parameter"`
}

type parameter struct {
	Name  string `xml:"name,attr"`
	Value string `xml:"value,attr"`
}

type dial struct {
	XMLName        xml.Name   `xml:"Dial"`
	Action         string     `xml:"action,attr"`
	Method         string     `xml:"method,attr"`
	Timeout        int        `xml:"timeout,attr"` // seconds of ringing
	AnswerOnBridge bool       `xml:"answerOnBridge,attr"`
	Number         dialNumber `xml:"Number"`
}

type dialNumber struct {
	URL    string `xml:"url,attr,omitempty"` // TwiML that whoever answers hears first
	Method string `xml:"method,attr,omitempty"`
	Number string `xml:",chardata"`
}

type gather struct {
	XMLName   xml.Name `xml:"Gather"`
	Input     string   `xml:"input,attr"`
	NumDigits int      `xml:"numDigits,attr"`
	Timeout   int      `xml:"timeout,attr"` // seconds
	Action    string   `xml:"action,attr"`
	Method    string   `xml:"method,attr"`
	Say       say
}

type record struct {
	XMLName    xml.Name `xml:"Record"`
	Action     string   `xml:"action,attr"`
	Method     string   `xml:"method,attr"`
	MaxLength  int      `xml:"maxLength,attr"` // seconds
	Timeout    int      `xml:"timeout,attr"`   // seconds of silence that end it
	FinishOn   string   `xml:"finishOnKey,attr"`
	PlayBeep   bool     `xml:"playBeep,attr"`
	Transcribe bool     `xml:"transcribe,attr"`
	Callback   string   `xml:"recordingStatusCallback,attr"`
	CallMethod string   `xml:"recordingStatusCallbackMethod,attr"`
}

type reject struct {
	XMLName xml.Name `xml:"Reject"`
	Reason  string   `xml:"reason,attr"`
}

type hangup struct {
	XMLName xml.Name `xml:"Hangup"`
}

// document encodes a response. Plain fields cannot fail to encode.
func document(verbs ...any) []byte {
	out, _ := xml.Marshal(response{Verbs: verbs})
	return append([]byte(xml.Header), out...)
}

// address is the public URL of one of our webhooks for the tenant; more are pairs of a query parameter and its value.
func address(base, path, slug string, more ...string) string {
	query := url.Values{"tenant": {slug}}
	for i := 0; i+1 < len(more); i += 2 {
		query.Set(more[i], more[i+1])
	}
	return base + path + "?" + query.Encode()
}
