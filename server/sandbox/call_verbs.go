package sandbox

import (
	"bytes"
	"context"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"kestrel.ai/server/sandbox/speech"
)

// execute runs one verb until it is over or ctx ends. It returns the document that replaces the rest, if any.
func (l *leg) execute(ctx context.Context, v element) (*document, *CallError) {
	switch v.Name {
	case "Say", "Play", "Pause":
		audio, failed := l.sound(ctx, v)
		if failed != nil {
			return nil, failed
		}
		p := newPlayer(audio)
		if l.record().AnswerAt == nil { // a call that is not answered has no line: ring on
			l.ringOn(ctx, audioTime(len(audio)))
			return nil, nil
		}
		l.run(ctx, p, p.done)
	case "Gather":
		return l.gather(ctx, v)
	case "Record":
		return l.recordVerb(ctx, v)
	case "Dial":
		return l.dial(ctx, v)
	case "Connect":
		return l.connectStream(ctx, v)
	case "Redirect":
		return &document{purpose: "action", url: v.Text, method: v.attr("method", "")}, nil
	case "Hangup":
		l.end(EndVerb, "")
	case "Reject":
		if l.record().AnswerAt == nil {
			l.end(EndRejected, map[string]string{"busy": "busy", "rejected": "no-answer"}[v.attr("reason", "rejected")])
		}
	}
	return nil, nil
}

// ringOn waits for d at the call's speed.
func (l *leg) ringOn(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(time.Duration(float64(d) / l.speed))
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
		return false
	}
}

// sound is what Say, Play or Pause plays.
func (l *leg) sound(ctx context.Context, v element) ([]byte, *CallError) {
	var once []byte
	switch v.Name {
	case "Pause":
		return quiet(time.Duration(v.number("length", 1)) * time.Second), nil
	case "Say":
		once = frames(speech.Encode(v.Text, speech.PerWord))
	case "Play":
		if v.attr("digits", "") != "" {
			once = quiet(time.Duration(len(v.attr("digits", ""))) * digitTime)
			break
		}
		hook := l.deliver(ctx, "play", http.MethodGet, v.Text, url.Values{})
		if hook.Status != http.StatusOK {
			return nil, &CallError{Code: 11200, Message: "HTTP retrieval failure: " + or(hook.Error, fmt.Sprint(hook.Status, " from ", v.Text))}
		}
		if !strings.HasPrefix(hook.ContentType, "audio/") {
			return nil, &CallError{Code: 12300, Message: "Invalid Content-Type for Play: " + hook.ContentType}
		}
		once = frames(wavSamples([]byte(hook.Body)))
	}
	times := v.number("loop", 1)
	if times == 0 {
		times = 1000 // as at Twilio: until the call ends, or nearly
	}
	return bytes.Repeat(once, min(times, 1+(10*60*sampleRate)/max(1, len(once)))), nil
}

// askInVain makes a request whose answer nobody can hear any more.
func (l *leg) askInVain(d *document) {
	if d.url == "" {
		return
	}
	form := l.form(l.record())
	for k, v := range d.fields {
		form[k] = v
	}
	l.later(d.purpose, or(d.method, http.MethodPost), l.absolute(d.url), form)
}

// absolute resolves against the first document's URL.
func (l *leg) absolute(reference string) string {
	return resolve(or(l.record().URL, l.number.VoiceURL), reference)
}

func recordingCallback(v element) callReport {
	return callReport{url: v.attr("recordingStatusCallback", ""), method: v.attr("recordingStatusCallbackMethod", http.MethodPost),
		events: words(v.attr("recordingStatusCallbackEvent", "completed"))}
}

func words(list string) []string {
	return slices.DeleteFunc(strings.FieldsFunc(list, func(r rune) bool { return r == ' ' || r == ',' }), func(w string) bool { return w == "" })
}
