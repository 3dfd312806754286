package sandbox

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
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

// write sends what is queued until the queue is closed.
func (st *stream) write(ctx context.Context) {
	broken := false
	for message := range st.out {
		if !broken && st.conn.Write(ctx, websocket.MessageText, message) != nil {
			broken = true
		}
	}
}

// read takes what the server sends until it closes, or says what is not allowed.
func (st *stream) read(ctx context.Context) {
	for {
		kind, raw, err := st.conn.Read(ctx)
		if err != nil {
			if status := websocket.CloseStatus(err); status != websocket.StatusNormalClosure && status != websocket.StatusGoingAway && status != websocket.StatusNoStatusRcvd && ctx.Err() == nil {
				st.fail(&CallError{Code: 31921, Message: "Stream - WebSocket - Close Error: " + err.Error()})
			}
			return
		}
		if kind != websocket.MessageText {
			st.fail(&CallError{Code: 31950, Message: "Stream - Protocol - a binary message"})
			return
		}
		if err := st.take(raw); err != nil {
			st.fail(&CallError{Code: 31924, Message: "Stream - Protocol - " + err.Error()})
			return
		}
	}
}

// fail remembers the first error, unless the stream is over anyway.
func (st *stream) fail(e *CallError) {
	st.mu.Lock()
	defer st.mu.Unlock()
	if st.failed == nil && !st.closed {
		st.failed = e
	}
}

// take obeys one message from the server.
func (st *stream) take(raw []byte) error {
	var m struct {
		Event     string `json:"event"`
		StreamSID string `json:"streamSid"`
		Media     *struct {
			Payload string `json:"payload"`
		} `json:"media"`
		Mark *struct {
			Name string `json:"name"`
		} `json:"mark"`
	}
	if err := json.Unmarshal(raw, &m); err != nil {
		return errors.New("a message that is not JSON")
	}
	if m.StreamSID != st.sid {
		return fmt.Errorf("%s for another stream: %q", m.Event, m.StreamSID)
	}
	st.mu.Lock()
	defer st.mu.Unlock()
	switch {
	case m.Event == "media" && m.Media != nil:
		audio, err := base64.StdEncoding.DecodeString(m.Media.Payload)
		if err != nil {
			return errors.New("a media payload that is not base64")
		}
		if len(st.buffer)+len(audio) > maxPlayout {
			return errors.New("more than ten minutes of audio wait to be played")
		}
		st.buffer = append(st.buffer, audio...)
		st.log.Received++
		st.log.Bytes += len(audio)
	case m.Event == "mark" && m.Mark != nil && m.Mark.Name != "":
		st.marks = append(st.marks, pendingMark{m.Mark.Name, len(st.buffer)})
		st.echo()
	case m.Event == "clear":
		st.log.Cleared += len(st.buffer)
		st.buffer = nil
		for i := range st.marks {
			st.marks[i].at = 0
		}
		st.echo()
	default:
		return fmt.Errorf("a message that is not media, mark or clear: %.40q", m.Event)
	}
	return nil
}

// echo sends the marks whose time has come. st.mu must be held.
func (st *stream) echo() {
	for len(st.marks) > 0 && st.marks[0].at <= 0 {
		st.queue(map[string]any{"event": "mark", "streamSid": st.sid, "mark": map[string]any{"name": st.marks[0].name}})
		st.marks = st.marks[1:]
		st.log.Marks++
	}
}

// frame sends 20 ms to the server and plays 20 ms of what it sent.
func (st *stream) frame(in []byte) []byte {
	st.mu.Lock()
	defer st.mu.Unlock()
	if st.closed {
		return nil
	}
	st.media(in)
	if st.chunk%50 == 0 {
		st.noted()
	}
	n := min(frameBytes, len(st.buffer))
	if n == 0 {
		return nil
	}
	out := st.buffer[:n:n]
	st.buffer = st.buffer[n:]
	st.log.Played += n
	for i := range st.marks {
		st.marks[i].at -= n
	}
	st.echo()
	return frames(out)
}

// media queues 20 ms for the server, or drops them if it reads too slowly. st.mu must be held.
func (st *stream) media(in []byte) {
	at := st.chunk * int(frameTime/time.Millisecond)
	st.chunk++
	if len(st.out) >= streamQueue/2 {
		if st.log.Dropped++; !st.warned {
			st.warned = true
			st.l.fail(&CallError{Code: 31930, Message: "Stream - audio dropped: the server reads too slowly"})
		}
		return
	}
	st.sequence++
	st.log.Sent++
	b := make([]byte, 0, 400)
	b = append(b, `{"event":"media","sequenceNumber":"`...)
	b = strconv.AppendInt(b, int64(st.sequence), 10)
	b = append(b, `","media":{"track":"inbound","chunk":"`...)
	b = strconv.AppendInt(b, int64(st.chunk), 10)
	b = append(b, `","timestamp":"`...)
	b = strconv.AppendInt(b, int64(at), 10)
	b = append(b, `","payload":"`...)
	b = base64.StdEncoding.AppendEncode(b, in)
	b = append(b, `"},"streamSid":"`...)
	b = append(b, st.sid...)
	b = append(b, `"}`...)
	st.out <- b
}

func (st *stream) digit(d byte) {
	st.send(map[string]any{"event": "dtmf", "streamSid": st.sid, "dtmf": map[string]any{"track": "inbound_track", "digit": string(d)}})
}

func (st *stream) send(message map[string]any) {
	st.mu.Lock()
	defer st.mu.Unlock()
	st.queue(message)
}

// queue numbers a message and queues it. A server that lets the queue run full loses it. st.mu must be held.
func (st *stream) queue(message map[string]any) {
	if st.closed {
		return
	}
	if message["event"] != "connected" {
		st.sequence++
		message["sequenceNumber"] = strconv.Itoa(st.sequence)
	}
	raw, err := json.Marshal(message)
	if err != nil {
		return
	}
	select {
	case st.out <- raw:
	default:
	}
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
