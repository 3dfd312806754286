package sandbox

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/coder/websocket"
)

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
