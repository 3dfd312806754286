// Package wire is what the two media sockets of a call share: websocket frames over a net.Conn with one system call
// a message and no allocation per message, and a scanner of the flat JSON that both vendors send fifty times a second.
package wire

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
	"time"

	"github.com/gobwas/ws"
)

// A longer message ends the connection. Twilio sends 20 ms at a time; a vendor's longest are seconds of audio, and a
// session's configuration.
const (
	maxServerMessage = 64 << 10
	maxClientMessage = 1 << 20
)

const (
	readBuffer  = 4 << 10          // what a quiet connection keeps
	keepBuffer  = 16 << 10         // a message buffer that grew past this is not kept
	writeWithin = 10 * time.Second // a peer that takes nothing for so long is gone
	refresh     = 2 * time.Second  // the write deadline is moved at most this often
)

// ErrProtocol is a peer that breaks RFC 6455, or sends what no vendor sends: binary or oversized messages.
var ErrProtocol = errors.New("wire: protocol error")

// Conn is one websocket. Read is for one goroutine; Write and Close may be called by any.
type Conn struct {
	conn   net.Conn
	state  ws.State
	limit  int64 // bytes of one message
	reader *bufio.Reader
	in     []byte

	writing  sync.Mutex
	out      []byte
	deadline time.Time
	closed   bool
}

// Server is the accepting side of conn after its handshake.
func Server(conn net.Conn) *Conn {
	return &Conn{conn: conn, state: ws.StateServerSide, limit: maxServerMessage, reader: bufio.NewReaderSize(conn, readBuffer)}
}

// Client is the dialling side of conn after its handshake. early, which may be nil, holds what the peer already sent.
func Client(conn net.Conn, early *bufio.Reader) *Conn {
	c := &Conn{conn: conn, state: ws.StateClientSide, limit: maxClientMessage}
	if early != nil {
		pending, _ := early.Peek(early.Buffered())
		rest := append([]byte(nil), pending...)
		ws.PutReader(early)
		c.reader = bufio.NewReaderSize(&prefixed{rest: rest, conn: conn}, readBuffer)
		return c
	}
	c.reader = bufio.NewReaderSize(conn, readBuffer)
	return c
}

// prefixed reads what was read too early, then the connection.
type prefixed struct {
	rest []byte
	conn net.Conn
}

func (p *prefixed) Read(b []byte) (int, error) {
	if len(p.rest) > 0 {
		n := copy(b, p.rest)
		p.rest = p.rest[n:]
		return n, nil
	}
	return p.conn.Read(b)
}

// Read is the next text message, valid until the next Read. It answers pings itself. io.EOF is a close by the peer,
// with or without a close frame.
func (c *Conn) Read() ([]byte, error) {
	if cap(c.in) > keepBuffer {
		c.in = nil
	}
	c.in = c.in[:0]
	started := false
	for {
		h, err := ws.ReadHeader(c.reader)
		if err != nil {
			return nil, eof(err)
		}
		if h.Masked != c.state.ServerSide() || h.Rsv != 0 || h.Length > c.limit-int64(len(c.in)) {
			return nil, fmt.Errorf("%w: header %v", ErrProtocol, h.OpCode)
		}
		if h.OpCode.IsControl() {
			if err := c.control(h); err != nil {
				return nil, err
			}
			continue
		}
		if (h.OpCode == ws.OpContinuation) != started || (h.OpCode != ws.OpText && h.OpCode != ws.OpContinuation) {
			return nil, fmt.Errorf("%w: opcode %d", ErrProtocol, h.OpCode)
		}
		started = true
		if err := c.payload(h); err != nil {
			return nil, err
		}
		if h.Fin {
			return c.in, nil
		}
	}
}

// payload appends a frame's payload to the message.
func (c *Conn) payload(h ws.Header) error {
	start := len(c.in)
	need := start + int(h.Length)
	if cap(c.in) < need {
		grown := make([]byte, start, max(need, 512))
		copy(grown, c.in)
		c.in = grown
	}
	c.in = c.in[:need]
	if _, err := io.ReadFull(c.reader, c.in[start:]); err != nil {
		return eof(err)
	}
	if h.Masked {
		ws.Cipher(c.in[start:], h.Mask, 0)
	}
	return nil
}

// control answers a ping, swallows a pong, and ends at a close.
func (c *Conn) control(h ws.Header) error {
	if !h.Fin || h.Length > ws.MaxControlFramePayloadSize {
		return fmt.Errorf("%w: control frame", ErrProtocol)
	}
	var body [ws.MaxControlFramePayloadSize]byte
	payload := body[:h.Length]
	if _, err := io.ReadFull(c.reader, payload); err != nil {
		return eof(err)
	}
	if h.Masked {
		ws.Cipher(payload, h.Mask, 0)
	}
	switch h.OpCode {
	case ws.OpPing:
		return c.write(func(b *Batch) { b.frame(ws.OpPong, payload) })
	case ws.OpClose:
		_ = c.write(func(b *Batch) { b.frame(ws.OpClose, payload[:min(2, len(payload))]) })
		return io.EOF
	}
	return nil
}

// Batch is messages on their way out together.
type Batch struct{ c *Conn }

// Text adds one message made of parts.
func (b *Batch) Text(parts ...[]byte) {
	b.frame(ws.OpText, parts...)
}

func (b *Batch) frame(op ws.OpCode, parts ...[]byte) {
	c := b.c
	length := 0
	for _, p := range parts {
		length += len(p)
	}
	c.out = append(c.out, 0x80|byte(op))
	var masked byte
	if c.state.ClientSide() {
		masked = 0x80
	}
	switch {
	case length < 126:
		c.out = append(c.out, masked|byte(length))
	case length < 1<<16:
		c.out = binary.BigEndian.AppendUint16(append(c.out, masked|126), uint16(length))
	default:
		c.out = binary.BigEndian.AppendUint64(append(c.out, masked|127), uint64(length))
	}
	if masked == 0 {
		for _, p := range parts {
			c.out = append(c.out, p...)
		}
		return
	}
	mask := ws.NewMask()
	c.out = append(c.out, mask[:]...)
	start := len(c.out)
	for _, p := range parts {
		c.out = append(c.out, p...)
	}
	ws.Cipher(c.out[start:], mask, 0)
}

// Write sends one text message made of parts.
func (c *Conn) Write(parts ...[]byte) error {
	c.writing.Lock()
	defer c.writing.Unlock()
	if c.closed {
		return net.ErrClosed
	}
	(&Batch{c}).Text(parts...)
	return c.flush()
}

// WriteBatch sends what fill adds, in one system call.
func (c *Conn) WriteBatch(fill func(*Batch)) error { return c.write(fill) }

func (c *Conn) write(fill func(*Batch)) error {
	c.writing.Lock()
	defer c.writing.Unlock()
	if c.closed {
		return net.ErrClosed
	}
	fill(&Batch{c})
	return c.flush()
}

func (c *Conn) flush() error {
	if now := time.Now(); c.deadline.Sub(now) < writeWithin-refresh {
		c.deadline = now.Add(writeWithin)
		_ = c.conn.SetWriteDeadline(c.deadline)
	}
	_, err := c.conn.Write(c.out)
	c.out = c.out[:0]
	if cap(c.out) > keepBuffer {
		c.out = nil
	}
	if err != nil {
		c.closed = true
		_ = c.conn.Close()
	}
	return err
}

// SetReadDeadline bounds the wait of Read; the zero time lifts the bound.
func (c *Conn) SetReadDeadline(t time.Time) error { return c.conn.SetReadDeadline(t) }

// Close says goodbye with status 1000, waiting no longer than a second for the peer to take it, and closes the
// connection. A Read that waits returns. It may be called repeatedly.
func (c *Conn) Close() error {
	_ = c.conn.SetWriteDeadline(time.Now().Add(time.Second)) // frees a writer that is stuck, too
	c.writing.Lock()
	defer c.writing.Unlock()
	if c.closed {
		return nil
	}
	c.closed = true
	(&Batch{c}).frame(ws.OpClose, []byte{0x03, 0xE8})
	_, _ = c.conn.Write(c.out)
	c.out = nil
	return c.conn.Close()
}

func eof(err error) error {
	if errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, net.ErrClosed) {
		return io.EOF
	}
	return err
}
