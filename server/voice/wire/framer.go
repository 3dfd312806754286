package wire

import (
	"encoding/binary"
	"fmt"

	"github.com/gobwas/ws"
)

// framer cuts one side's frames out of a stream of bytes, and joins a message that comes in parts.
type framer struct {
	masked  bool  // what a client sends is
	limit   int64 // bytes of one message
	parts   []byte
	started bool // a message in parts
}

// frame is a whole text message, or a control frame.
type frame struct {
	op      ws.OpCode
	payload []byte
}

// noFrame is what there is while a frame is not here to its end.
const noFrame ws.OpCode = 0xff

// cut takes the next message or control frame off data, whose bytes it unmasks in place. The payload aliases data, or
// what the framer keeps of a message in parts: it is valid until the next cut.
func (f *framer) cut(data []byte) (frame, []byte, error) {
	for {
		h, head, ok := header(data)
		if !ok {
			return frame{op: noFrame}, data, nil
		}
		if err := f.check(h); err != nil {
			return frame{op: noFrame}, data, err
		}
		if int64(len(data)-head) < h.Length {
			return frame{op: noFrame}, data, nil
		}
		payload := data[head : head+int(h.Length) : head+int(h.Length)]
		data = data[head+int(h.Length):]
		if h.Masked {
			ws.Cipher(payload, h.Mask, 0)
		}
		if h.OpCode.IsControl() {
			return frame{h.OpCode, payload}, data, nil
		}
		if h.Fin && !f.started {
			return frame{ws.OpText, payload}, data, nil
		}
		if !f.started {
			f.parts = f.parts[:0]
		}
		f.parts, f.started = append(f.parts, payload...), !h.Fin
		if h.Fin {
			payload, f.parts = append([]byte{}, f.parts...), nil
			return frame{ws.OpText, payload}, data, nil
		}
	}
}

// check refuses what RFC 6455, or this package, does not allow at this place.
func (f *framer) check(h ws.Header) error {
	kept := int64(0)
	if f.started {
		kept = int64(len(f.parts))
	}
	if h.Masked != f.masked || h.Rsv != 0 || h.Length < 0 || h.Length > f.limit-kept {
		return fmt.Errorf("%w: header %v", ErrProtocol, h.OpCode)
	}
	if h.OpCode.IsControl() {
		if !h.Fin || h.Length > ws.MaxControlFramePayloadSize {
			return fmt.Errorf("%w: control frame", ErrProtocol)
		}
		return nil
	}
	if (h.OpCode == ws.OpContinuation) != f.started || (h.OpCode != ws.OpText && h.OpCode != ws.OpContinuation) {
		return fmt.Errorf("%w: opcode %d", ErrProtocol, h.OpCode)
	}
	return nil
}

// header reads a frame's header, and how many bytes it has.
func header(b []byte) (h ws.Header, n int, ok bool) {
	if len(b) < 2 {
		return h, 0, false
	}
	h.Fin, h.Rsv, h.OpCode = b[0]&0x80 != 0, b[0]>>4&7, ws.OpCode(b[0]&0x0f)
	h.Masked, h.Length, n = b[1]&0x80 != 0, int64(b[1]&0x7f), 2
	switch h.Length {
	case 126:
		if len(b) < 4 {
			return h, 0, false
		}
		h.Length, n = int64(binary.BigEndian.Uint16(b[2:])), 4
	case 127:
		if len(b) < 10 {
			return h, 0, false
		}
		h.Length, n = int64(binary.BigEndian.Uint64(b[2:])), 10 //nolint:gosec // a negative one is refused
	}
	if h.Masked {
		if len(b) < n+4 {
			return h, 0, false
		}
		h.Mask, n = [4]byte(b[n:]), n+4
	}
	return h, n, true
}
