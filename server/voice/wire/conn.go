// Package wire is what the two media sockets of a call share: websocket frames over a net.Conn with one system call
// a message and no allocation per message, a scanner of the flat JSON that both vendors send fifty times a second, and
// the event loops that serve many such sockets with a few threads.
package wire

import (
	"bufio"
	"encoding/binary"
	"errors"
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
	readBuffer  = 4 << 10          // what a read has room for, at least
	keepBuffer  = 16 << 10         // a message buffer that grew past this is not kept
	writeWithin = 10 * time.Second // a peer that takes nothing for so long is gone
	refresh     = 2 * time.Second  // the write deadline is moved at most this often
)

// ErrProtocol is a peer that breaks RFC 6455, or sends what no vendor sends: binary or oversized messages.
var ErrProtocol = errors.New("wire: protocol error")

// Conn is one websocket. Read and Each are for one goroutine; Write and Close may be called by any.
type Conn struct {
	conn   net.Conn
	state  ws.State
	in     framer
	buffer []byte // read and not yet taken; part of store, where Read has read it
	store  []byte

	writing  sync.Mutex
	out      []byte
	deadline time.Time
	closed   bool
}

// Server is the accepting side of conn after its handshake.
func Server(conn net.Conn) *Conn {
	return &Conn{conn: conn, state: ws.StateServerSide, in: framer{masked: true, limit: maxServerMessage}}
}

// Client is the dialling side of conn after its handshake. early, which may be nil, holds what the peer already sent.
func Client(conn net.Conn, early *bufio.Reader) *Conn {
	c := &Conn{conn: conn, state: ws.StateClientSide, in: framer{limit: maxClientMessage}}
	if early != nil {
		pending, _ := early.Peek(early.Buffered())
		c.buffer = append(c.buffer, pending...)
		ws.PutReader(early)
	}
	return c
}

// Read is the next text message, valid until the next Read. It answers pings itself. io.EOF is a close by the peer,
// with or without a close frame.
func (c *Conn) Read() ([]byte, error) {
	for {
		message, rest, err := c.next(c.buffer)
		if err != nil {
			return nil, err
		}
		c.buffer = rest
		if message != nil {
			return message, nil
		}
		if err := c.fill(); err != nil {
			return nil, err
		}
	}
}

// next takes the next message off data, or nil where there is none yet, and answers what it finds before it.
func (c *Conn) next(data []byte) (message, rest []byte, err error) {
	for {
		f, rest, err := c.in.cut(data)
		if err != nil || f.op == noFrame {
			return nil, rest, err
		}
		data = rest
		switch f.op {
		case ws.OpText:
			return f.payload, rest, nil
		case ws.OpPing:
			if err := c.write(func(b *Batch) { b.frame(ws.OpPong, f.payload) }); err != nil {
				return nil, rest, err
			}
		case ws.OpClose:
			_ = c.write(func(b *Batch) { b.frame(ws.OpClose, f.payload[:min(2, len(f.payload))]) })
			return nil, rest, io.EOF
		}
	}
}

// fill reads once, behind what is in the buffer already.
func (c *Conn) fill() error {
	left := len(c.buffer)
	switch {
	case left == 0:
		if c.store == nil || len(c.store) > keepBuffer {
			c.store = make([]byte, readBuffer)
		}
		c.buffer = c.store[:0]
	case cap(c.buffer)-left < readBuffer/4:
		if len(c.store) < left+readBuffer/2 {
			c.store = make([]byte, max(2*left, readBuffer))
		}
		c.buffer = c.store[:copy(c.store, c.buffer)]
	}
	n, err := c.conn.Read(c.buffer[left:cap(c.buffer)])
	c.buffer = c.buffer[:left+n]
	if n > 0 {
		return nil
	}
	return eof(err)
}

// Each hands every message to take, one after the other, until take or the connection fails, and returns that error. A
// message is valid until take returns. On a connection of a Loops it is one of their threads that calls take, which
// must not wait for anything then; a panic of take's comes out of Each all the same.
func (c *Conn) Each(take func(message []byte) error) error {
	if s, ok := c.conn.(looped); ok {
		c.store = nil
		if err := c.feed(nil, take); err != nil {
			return err
		}
		return eof(s.each(func(data []byte) error { return c.feed(data, take) }))
	}
	for {
		message, err := c.Read()
		if err != nil {
			return err
		}
		if err := take(message); err != nil {
			return err
		}
	}
}

// looped is a connection that a loop reads: it hands over all it reads, one read after the other.
type looped interface {
	each(feed func(data []byte) error) error
}

// feed takes the messages of what was just read. What is left of it is kept for the next time.
func (c *Conn) feed(data []byte, take func([]byte) error) error {
	if len(c.buffer) > 0 {
		c.buffer = append(c.buffer, data...)
		data = c.buffer
	}
	for {
		message, rest, err := c.next(data)
		if err != nil {
			return err
		}
		data = rest
		if message == nil {
			break
		}
		if err := take(message); err != nil {
			return err
		}
	}
	if len(data) == 0 {
		c.buffer = nil
	} else {
		c.buffer = append([]byte(nil), data...)
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
	if _, ok := c.conn.(looped); !ok { // which never waits
		if now := time.Now(); c.deadline.Sub(now) < writeWithin-refresh {
			c.deadline = now.Add(writeWithin)
			_ = c.conn.SetWriteDeadline(c.deadline)
		}
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
