// Package twiml writes the part of TwiML that Kestrel sends (https://www.twilio.com/docs/voice/twiml). A verb is one of the
// types below; their order in the response is the order in which Twilio carries them out. Durations are whole seconds.
package twiml

import "encoding/xml"

type response struct {
	XMLName xml.Name `xml:"Response"`
	Verbs   []any
}

// Say speaks a text.
type Say struct {
	XMLName xml.Name `xml:"Say"`
	Text    string   `xml:",chardata"`
}

// Connect joins the call to a media stream, until our side closes it; then Twilio asks Action how to go on.
type Connect struct {
	XMLName xml.Name `xml:"Connect"`
	Action  string   `xml:"action,attr"`
	Method  string   `xml:"method,attr"`
	Stream  Stream   `xml:"Stream"`
}

// Stream is where the media go. Its URL may have no query.
type Stream struct {
	URL        string      `xml:"url,attr"`
	Parameters []Parameter `xml:"Parameter"`
}

// Parameter arrives in the stream's start frame.
type Parameter struct {
	Name  string `xml:"name,attr"`
	Value string `xml:"value,attr"`
}

// Dial rings somebody; then Twilio asks Action how to go on.
type Dial struct {
	XMLName        xml.Name `xml:"Dial"`
	Action         string   `xml:"action,attr"`
	Method         string   `xml:"method,attr"`
	Timeout        int      `xml:"timeout,attr"` // seconds of ringing
	AnswerOnBridge bool     `xml:"answerOnBridge,attr"`
	CallerID       string   `xml:"callerId,attr,omitempty"` // whom the person who is rung sees; the caller, if empty
	Number         Number   `xml:"Number"`
}

// Number is whom to ring.
type Number struct {
	URL    string `xml:"url,attr,omitempty"` // TwiML that whoever answers hears first
	Method string `xml:"method,attr,omitempty"`
	Number string `xml:",chardata"`
}

// Gather waits for keys; without any, the next verb follows.
type Gather struct {
	XMLName   xml.Name `xml:"Gather"`
	Input     string   `xml:"input,attr"`
	NumDigits int      `xml:"numDigits,attr"`
	Timeout   int      `xml:"timeout,attr"` // seconds
	Action    string   `xml:"action,attr"`
	Method    string   `xml:"method,attr"`
	Say       Say
}

// Record takes a message.
type Record struct {
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

// Reject refuses the call without answering it: it costs nothing.
type Reject struct {
	XMLName xml.Name `xml:"Reject"`
	Reason  string   `xml:"reason,attr"`
}

// Hangup ends the call.
type Hangup struct {
	XMLName xml.Name `xml:"Hangup"`
}

// Document encodes a response. Without verbs it is the empty answer: nothing more is to happen.
func Document(verbs ...any) []byte {
	// Plain fields cannot fail to encode.
	out, _ := xml.Marshal(response{Verbs: verbs})
	return append([]byte(xml.Header), out...)
}
