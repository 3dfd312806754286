package sandbox

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/coder/websocket"
)

// Media Streams (https://www.twilio.com/docs/voice/media-streams/websocket-messages).
const (
	maxStreamMessage = 1 << 20          // bytes of one message from the server
	maxPlayout       = 600 * sampleRate // bytes that wait to be played
	streamQueue      = 256              // messages that wait for a slow reader; half of it is for media
	streamHandshake  = 10 * time.Second // to connect
	streamFarewell   = 1500 * time.Millisecond
	maxParameters    = 500 // characters of a Parameter's name and value
)

// StreamLog is what happened on a media stream.
type StreamLog struct {
	SID       string `json:"sid"`
	URL       string `json:"url"`
	StartMS   int64  `json:"start_ms"`
	EndMS     int64  `json:"end_ms"`     // 0: still open
	Sent      int    `json:"sent"`       // media messages to the server
	Dropped   int    `json:"dropped"`    // those it was too slow for
	Received  int    `json:"received"`   // media messages from it
	Bytes     int    `json:"bytes"`      // of audio in them
	Played    int    `json:"played"`     // of those, played to the party
	Cleared   int    `json:"cleared"`    // of those, thrown away by clear
	Marks     int    `json:"marks"`      // echoed
	EndReason string `json:"end_reason"` // call_ended, redirected, server_closed or error
}

// stream is the program of Connect Stream: one websocket to the server.
type stream struct {
	l    *leg
	sid  string
	conn *websocket.Conn
	out  chan []byte

	mu       sync.Mutex
	closed   bool // nothing more goes to out
	sequence int
	chunk    int
	buffer   []byte // to be played
	marks    []pendingMark
	log      StreamLog
	failed   *CallError
	warned   bool
}

// pendingMark is echoed when the buffer's first At bytes have been played.
type pendingMark struct {
	name string
	at   int
}

func (l *leg) connectStream(ctx context.Context, v element) (*document, *CallError) {
	noun, given := v.child("Stream")
	if !given {
		return nil, &CallError{Code: 12200, Message: "Schema validation: Connect needs a Stream"}
	}
	parameters := map[string]string{}
	for _, p := range noun.Children {
		name, value := p.attr("name", ""), p.attr("value", "")
		if name == "" || len(name)+len(value) > maxParameters {
			return nil, &CallError{Code: 12200, Message: "Schema validation: a Parameter needs a name, and has up to 500 characters"}
		}
		parameters[name] = value
	}
	st := &stream{l: l, sid: l.s.newSID("MZ"), out: make(chan []byte, streamQueue)}
	st.log = StreamLog{SID: st.sid, URL: noun.attr("url", ""), StartMS: l.atMS()}
	st.note()
	reason, failed := st.serve(ctx, noun, parameters)
	if failed != nil {
		l.fail(failed)
		reason = "error"
		st.tell(noun, "stream-error", failed)
	} else {
		st.tell(noun, "stream-stopped", nil)
	}
	st.mu.Lock()
	st.log.EndMS, st.log.EndReason = l.atMS(), reason
	st.mu.Unlock()
	st.note()
	if ctx.Err() == nil && v.attr("action", "") != "" {
		return &document{purpose: "action", url: v.attr("action", ""), method: v.attr("method", ""), fields: url.Values{"StreamSid": {st.sid}}}, nil
	}
	return nil, nil // a stream that failed is no reason not to go on
}

// streamURL holds a Stream's url to Twilio's rules: wss, and no query. Plain ws may go to this machine.
func streamURL(raw string) *CallError {
	u, err := url.Parse(raw)
	if err != nil || u.Host == "" {
		return &CallError{Code: 31920, Message: "Stream - WebSocket - Handshake Error: not a URL: " + raw}
	}
	host := u.Hostname()
	ip := net.ParseIP(host)
	local := host == "localhost" || strings.HasSuffix(host, ".localhost") || ip != nil && ip.IsLoopback()
	switch {
	case u.Scheme != "wss" && (u.Scheme != "ws" || !local):
		return &CallError{Code: 31920, Message: "Stream - WebSocket - Handshake Error: the URL must be wss, not " + u.Scheme}
	case u.RawQuery != "" || strings.Contains(raw, "?"):
		return &CallError{Code: 31920, Message: "Stream - WebSocket - Handshake Error: the URL cannot have a query"}
	}
	return nil
}

// serve connects and runs the stream until one of both sides ends it, and says why.
func (st *stream) serve(ctx context.Context, noun element, parameters map[string]string) (string, *CallError) {
	target := noun.attr("url", "")
	if failed := streamURL(target); failed != nil {
		return "", failed
	}
	dialling, cancel := context.WithTimeout(ctx, streamHandshake)
	defer cancel()
	conn, resp, err := websocket.Dial(dialling, target, &websocket.DialOptions{ //nolint:bodyclose // Dial has read it
		HTTPClient: &http.Client{Transport: st.l.s.webhooks.Transport},
		HTTPHeader: http.Header{"X-Twilio-Signature": {Signature(st.l.s.authToken, target, nil)}, "User-Agent": {"Twilio.TmeWs/1.0"}},
	})
	if err != nil {
		if ctx.Err() != nil {
			return "call_ended", nil
		}
		message := err.Error()
		if resp != nil {
			message = "status " + strconv.Itoa(resp.StatusCode)
		}
		return "", &CallError{Code: 31920, Message: "Stream - WebSocket - Handshake Error: " + message}
	}
	defer func() { _ = conn.CloseNow() }()
	conn.SetReadLimit(maxStreamMessage)
	st.conn = conn
	st.tell(noun, "stream-started", nil)

	st.send(map[string]any{"event": "connected", "protocol": "Call", "version": "1.0.0"})
	st.send(map[string]any{"event": "start", "streamSid": st.sid, "start": map[string]any{
		"streamSid": st.sid, "accountSid": st.l.s.accountSID, "callSid": st.l.call.SID, "tracks": []string{"inbound"},
		"customParameters": parameters, "mediaFormat": map[string]any{"encoding": "audio/x-mulaw", "sampleRate": sampleRate, "channels": 1},
	}})
	written, read := make(chan struct{}), make(chan struct{})
	life, end := context.WithCancel(st.l.s.life) // longer than the call's: stop is still to be sent
	defer end()
	go func() { defer close(written); st.write(life) }()
	go func() { defer close(read); st.read(life) }()

	st.l.connect(st)
	reason := "server_closed"
	select {
	case <-read:
	case <-ctx.Done():
		if reason = "redirected"; st.l.ctx.Err() != nil {
			reason = "call_ended"
		}
		st.send(map[string]any{"event": "stop", "streamSid": st.sid, "stop": map[string]any{"accountSid": st.l.s.accountSID, "callSid": st.l.call.SID}})
	}
	st.l.connect(nil)
	st.mu.Lock()
	st.closed = true
	failed := st.failed
	close(st.out)
	st.mu.Unlock()

	limit := time.AfterFunc(streamFarewell, end)
	defer limit.Stop()
	<-written
	stuck := time.AfterFunc(streamFarewell, func() { _ = conn.CloseNow() })
	defer stuck.Stop()
	status, text := websocket.StatusNormalClosure, ""
	if failed != nil {
		status, text = websocket.StatusPolicyViolation, fmt.Sprint(failed.Code)
	}
	_ = conn.Close(status, text)
	end()
	<-read
	return reason, failed
}

// note puts the stream's log into the call's record.
func (st *stream) note() {
	st.mu.Lock()
	defer st.mu.Unlock()
	st.noted()
}

// noted is note for who holds st.mu.
func (st *stream) noted() {
	now := st.log
	st.l.log(func(c *Call) bool {
		for i := range c.Streams {
			if c.Streams[i].SID == now.SID {
				c.Streams[i] = now
				return true
			}
		}
		c.Streams = append(c.Streams, now)
		return true
	})
}

// tell sends the stream's status callback.
func (st *stream) tell(noun element, event string, failed *CallError) {
	target := noun.attr("statusCallback", "")
	if target == "" {
		return
	}
	form := url.Values{
		"AccountSid": {st.l.s.accountSID}, "CallSid": {st.l.call.SID}, "StreamSid": {st.sid}, "StreamName": {noun.attr("name", st.sid)},
		"StreamEvent": {event}, "Timestamp": {st.l.s.now().UTC().Format(time.RFC3339Nano)},
	}
	if failed != nil {
		form.Set("StreamError", failed.Error())
	}
	st.l.later("stream", noun.attr("statusCallbackMethod", http.MethodPost), st.l.absolute(target), form)
}
