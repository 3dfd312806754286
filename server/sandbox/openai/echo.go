package openai

import (
	"bytes"
	"crypto/sha1"
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"errors"
	"io"
	"net"
	"net/http"
	"strings"
)

// EchoModel is the model that says every frame of audio back at once, for measuring what lies between. It speaks the same
// events, but thinks, checks and remembers nothing, and handles its websocket's frames itself: a session is one
// goroutine, and what has come in one packet goes out in one.
const EchoModel = "echo"

// maxEchoMessage bounds a client message, in bytes.
const maxEchoMessage = 1 << 20

var errEchoEnd = errors.New("the client has left")

// websocket opcodes (RFC 6455).
const (
	opText  = 0x1
	opClose = 0x8
	opPing  = 0x9
	opPong  = 0xA
)

// echo holds one echo session on the request's connection.
func (s *Server) echo(w http.ResponseWriter, r *http.Request) {
	key := r.Header.Get("Sec-WebSocket-Key")
	hijacker, ok := w.(http.Hijacker)
	if key == "" || !strings.EqualFold(r.Header.Get("Upgrade"), "websocket") || !ok {
		WriteError(w, http.StatusUpgradeRequired, "", "A websocket handshake is wanted.")
		return
	}
	conn, buffered, err := hijacker.Hijack()
	if err != nil {
		return
	}
	defer conn.Close()
	s.mu.Lock()
	s.echoes[conn] = true
	if s.closed {
		conn.Close()
	}
	s.mu.Unlock()
	defer func() {
		s.mu.Lock()
		delete(s.echoes, conn)
		s.mu.Unlock()
	}()
	sum := sha1.Sum([]byte(key + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"))
	if _, err := io.WriteString(conn, "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: "+
		base64.StdEncoding.EncodeToString(sum[:])+"\r\n\r\n"); err != nil {
		return
	}
	early := make([]byte, buffered.Reader.Buffered())
	_, _ = io.ReadFull(buffered, early)
	e := &echoing{conn: conn, in: append(make([]byte, 0, 4096), early...), out: make([]byte, 0, 4096)}
	e.session = firstSession("sess_"+tag(), EchoModel, s.Now().Add(s.SessionLife))
	e.event("session.created", map[string]any{"session": e.session})
	for e.step() == nil {
	}
}

// echoing is an echo session: what has come and is not yet a whole frame, and what is to go out.
type echoing struct {
	conn    net.Conn
	in, out []byte
	session map[string]any
}

// step answers the frames that are there, then waits for more.
func (e *echoing) step() error {
	rest := e.in
	for {
		op, message, n, err := cutFrame(rest)
		if err != nil {
			return err
		}
		if n == 0 {
			break
		}
		rest = rest[n:]
		if err := e.answer(op, message); err != nil {
			_, _ = e.conn.Write(e.out)
			return err
		}
	}
	e.in = e.in[:copy(e.in, rest)]
	if len(e.out) > 0 {
		if _, err := e.conn.Write(e.out); err != nil {
			return err
		}
		e.out = e.out[:0]
	}
	if len(e.in) == cap(e.in) {
		e.in = append(e.in, make([]byte, len(e.in))...)[:len(e.in)]
	}
	n, err := e.conn.Read(e.in[len(e.in):cap(e.in)])
	e.in = e.in[:len(e.in)+n]
	return err
}

// cutFrame takes a client's frame from the front of b, unmasked in place; n is its length, 0 where it is not whole yet.
func cutFrame(b []byte) (op byte, message []byte, n int, err error) {
	if len(b) < 6 {
		return 0, nil, 0, nil
	}
	if b[0]&0x80 == 0 || b[1]&0x80 == 0 {
		return 0, nil, 0, errors.New("a fragment, or a frame without a mask")
	}
	size, head := uint64(b[1]&0x7F), 2
	switch size {
	case 126:
		size, head = uint64(binary.BigEndian.Uint16(b[2:])), 4
	case 127:
		if len(b) < 10 {
			return 0, nil, 0, nil
		}
		size, head = binary.BigEndian.Uint64(b[2:]), 10
	}
	if size > maxEchoMessage {
		return 0, nil, 0, errors.New("message too long")
	}
	n = head + 4 + int(size)
	if len(b) < n {
		return 0, nil, 0, nil
	}
	message = b[head+4 : n]
	unmask(message, b[head:head+4])
	return b[0] & 0x0F, message, n, nil
}

func unmask(message, key []byte) {
	word := uint64(binary.LittleEndian.Uint32(key))
	word |= word << 32
	i := 0
	for ; i+8 <= len(message); i += 8 {
		binary.LittleEndian.PutUint64(message[i:], binary.LittleEndian.Uint64(message[i:])^word)
	}
	for ; i < len(message); i++ {
		message[i] ^= key[i&3]
	}
}

// The two ends of an echoed delta.
const (
	echoHead = `{"type":"response.output_audio.delta","event_id":"event_echo","response_id":"resp_echo","item_id":"item_echo","output_index":0,"content_index":0,"delta":"`
	echoTail = `"}`
)

func (e *echoing) answer(op byte, message []byte) error {
	switch op {
	case opClose:
		e.frame(opClose, message)
		return errEchoEnd
	case opPing:
		e.frame(opPong, message)
		return nil
	case opText:
	default:
		return nil
	}
	if isAppend(message) {
		if _, rest, found := bytes.Cut(message, []byte(`"audio":"`)); found {
			if end := bytes.IndexByte(rest, '"'); end >= 0 {
				e.header(opText, len(echoHead)+end+len(echoTail))
				e.out = append(append(append(e.out, echoHead...), rest[:end]...), echoTail...)
			}
		}
		return nil
	}
	var event struct {
		Type    string
		Session map[string]any
	}
	if json.Unmarshal(message, &event) != nil {
		return nil
	}
	response := map[string]any{"id": "resp_echo", "object": "realtime.response", "status": "in_progress", "output": []any{}}
	switch event.Type {
	case "session.update":
		merge(e.session, event.Session)
		e.event("session.updated", map[string]any{"session": e.session})
	case "response.create":
		e.event("response.created", map[string]any{"response": response})
	case "response.cancel":
		response["status"] = "cancelled"
		e.event("response.done", map[string]any{"response": response})
	}
	return nil
}

// isAppend looks for the event's type at either end of it: between them is the audio.
func isAppend(message []byte) bool {
	kind, n := []byte(`"input_audio_buffer.append"`), min(len(message), 80)
	return bytes.Contains(message[:n], kind) || bytes.Contains(message[len(message)-n:], kind)
}

func (e *echoing) event(kind string, fields map[string]any) {
	message, err := json.Marshal(with(with(fields, "type", kind), "event_id", "event_echo"))
	if err == nil {
		e.frame(opText, message)
	}
}

func (e *echoing) frame(op byte, message []byte) {
	e.header(op, len(message))
	e.out = append(e.out, message...)
}

func (e *echoing) header(op byte, size int) {
	e.out = append(e.out, 0x80|op)
	switch {
	case size < 126:
		e.out = append(e.out, byte(size))
	case size < 1<<16:
		e.out = binary.BigEndian.AppendUint16(append(e.out, 126), uint16(size))
	default:
		e.out = binary.BigEndian.AppendUint64(append(e.out, 127), uint64(size))
	}
}
