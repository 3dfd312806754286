package wire_test

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"errors"
	"io"
	"net"
	"strings"
	"testing"

	"github.com/gobwas/ws"
	"go.uber.org/goleak"

	"kestrel.ai/server/voice/wire"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// pair is a Conn and the raw other end of its connection.
func pair(t *testing.T) (*wire.Conn, net.Conn) {
	t.Helper()
	ours, theirs := net.Pipe()
	c := wire.Server(ours)
	t.Cleanup(func() { _ = theirs.Close(); _ = c.Close() })
	return c, theirs
}

func masked(op ws.OpCode, fin bool, payload []byte) ws.Frame {
	f := ws.NewFrame(op, fin, bytes.Clone(payload))
	return ws.MaskFrameInPlaceWith(f, [4]byte{1, 2, 3, 4})
}

func TestConnReads(t *testing.T) {
	t.Parallel()
	long := []byte(strings.Repeat("x", 40_000))
	c, peer := pair(t)
	go func() {
		for _, f := range []ws.Frame{
			masked(ws.OpText, true, []byte("one")),
			masked(ws.OpText, false, []byte("two, ")),
			masked(ws.OpPong, true, nil), // control frames come between fragments
			masked(ws.OpContinuation, true, []byte("in parts")),
			masked(ws.OpText, true, long),
			masked(ws.OpText, true, nil),
			masked(ws.OpText, true, []byte("last")),
		} {
			_ = ws.WriteFrame(peer, f)
		}
		_ = peer.Close()
	}()
	for _, want := range []string{"one", "two, in parts", string(long), "", "last"} {
		got, err := c.Read()
		if err != nil || string(got) != want {
			t.Fatalf("%.20q, %v", got, err)
		}
	}
	if _, err := c.Read(); !errors.Is(err, io.EOF) {
		t.Error(err)
	}
}

func TestConnAnswersPingAndClose(t *testing.T) {
	t.Parallel()
	c, peer := pair(t)
	ended := make(chan error, 1)
	go func() { _, err := c.Read(); ended <- err }()
	if err := ws.WriteFrame(peer, masked(ws.OpPing, true, []byte("hi"))); err != nil {
		t.Fatal(err)
	}
	if f, err := ws.ReadFrame(peer); err != nil || f.Header.OpCode != ws.OpPong || string(f.Payload) != "hi" {
		t.Errorf("%+v %v", f, err)
	}
	if err := ws.WriteFrame(peer, masked(ws.OpClose, true, []byte{0x03, 0xE8})); err != nil {
		t.Fatal(err)
	}
	if f, err := ws.ReadFrame(peer); err != nil || f.Header.OpCode != ws.OpClose {
		t.Errorf("%+v %v", f, err)
	}
	if err := <-ended; !errors.Is(err, io.EOF) {
		t.Error(err)
	}
}

// TestConnRefuses: what breaks the protocol ends the connection, and nothing is allocated on its word.
func TestConnRefuses(t *testing.T) {
	t.Parallel()
	huge := binary.BigEndian.AppendUint64([]byte{0x81, 0xff}, 1<<40)
	for name, raw := range map[string][]byte{
		"unmasked":                 ws.MustCompileFrame(ws.NewTextFrame([]byte("x"))),
		"binary":                   ws.MustCompileFrame(masked(ws.OpBinary, true, []byte("x"))),
		"reserved bits":            {0xf1, 0x80, 0, 0, 0, 0},
		"reserved opcode":          {0x83, 0x80, 0, 0, 0, 0},
		"a terabyte":               append(huge, 0, 0, 0, 0),
		"negative":                 {0x81, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0},
		"65 KB":                    ws.MustCompileFrame(masked(ws.OpText, true, make([]byte, 65<<10))),
		"a continuation of none":   ws.MustCompileFrame(masked(ws.OpContinuation, true, []byte("x"))),
		"a text within a text":     append(ws.MustCompileFrame(masked(ws.OpText, false, []byte("x"))), ws.MustCompileFrame(masked(ws.OpText, true, []byte("x")))...),
		"a ping in parts":          ws.MustCompileFrame(masked(ws.OpPing, false, []byte("x"))),
		"parts that never end":     bytes.Repeat(ws.MustCompileFrame(masked(ws.OpContinuation, false, make([]byte, 8<<10))), 9),
		"a frame that breaks off":  {0x81, 0x85, 0, 0, 0, 0, 'x'},
		"a header that breaks off": {0x81},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c, peer := pair(t)
			go func() {
				if name == "parts that never end" {
					_ = ws.WriteFrame(peer, masked(ws.OpText, false, nil))
				}
				_, _ = peer.Write(raw)
				_ = peer.Close()
			}()
			for range 3 {
				if _, err := c.Read(); err != nil {
					return
				}
			}
			t.Error("was taken")
		})
	}
}

func TestConnWritesWhole(t *testing.T) {
	t.Parallel()
	ours, theirs := net.Pipe()
	client, server := wire.Client(ours, nil), wire.Server(theirs)
	defer func() { _ = server.Close() }()
	sizes := []int{0, 1, 125, 126, 65_000}
	go func() {
		for _, n := range sizes {
			half := bytes.Repeat([]byte("a"), n/2)
			_ = client.Write(half, bytes.Repeat([]byte("b"), n-n/2))
		}
		_ = client.WriteBatch(func(b *wire.Batch) { b.Text([]byte("1")); b.Text([]byte("2"), []byte("3")) })
		_ = client.Close()
		_ = client.Close()
	}()
	for _, n := range sizes {
		got, err := server.Read()
		if err != nil || len(got) != n || bytes.Count(got, []byte("b")) != n-n/2 {
			t.Fatalf("%d: %d bytes, %v", n, len(got), err)
		}
	}
	for _, want := range []string{"1", "23"} {
		if got, err := server.Read(); err != nil || string(got) != want {
			t.Errorf("%q %v", got, err)
		}
	}
	if _, err := server.Read(); !errors.Is(err, io.EOF) {
		t.Error(err)
	}
	if err := client.Write([]byte("x")); !errors.Is(err, net.ErrClosed) {
		t.Error(err)
	}
}

func TestMessagesCostNoAllocation(t *testing.T) {
	message := []byte(`{"event":"media","sequenceNumber":"3","media":{"track":"inbound","chunk":"1","timestamp":"5","payload":"/////w=="},"streamSid":"MZ1"}`)
	var f wire.Flat
	if n := testing.AllocsPerRun(100, func() {
		if !f.Scan(message) || !wire.Base64(f.Get("media", "payload")) {
			t.Fatal("not scanned")
		}
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

// FuzzFlat: what the scanner accepts, encoding/json reads alike.
func FuzzFlat(f *testing.F) {
	for _, seed := range []string{
		`{"event":"media","sequenceNumber":"3","media":{"track":"inbound","chunk":"1","payload":"/////w=="},"streamSid":"MZ1"}`,
		`{"type":"response.output_audio.delta","output_index":0,"delta":"AAAA"}`, `{}`, `{"a":{}}`, `{"a":{"b":{"c":"d"}}}`, `{"a":"b\"c"}`,
		`{"a":1e5}`, `{"a":-1}`, `{"a":01}`, `{"a":"b"} `, `{"a":"b","a":"c"}`, `{"a":{"b":"1"},"a":{"b":"2"}}`, `{"":{"a":"b"}}`, `{"a":`, `{"a"}`, "{\"a\":\"\x00\"}",
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, message []byte) {
		var flat wire.Flat
		if !flat.Scan(message) {
			return
		}
		decoder := json.NewDecoder(bytes.NewReader(message))
		decoder.UseNumber()
		var want map[string]any
		if err := decoder.Decode(&want); err != nil {
			t.Fatalf("%q is no JSON: %v", message, err)
		}
		check := func(in, name string, value any) {
			text, ok := value.(string)
			if number, isNumber := value.(json.Number); isNumber {
				text, ok = number.String(), true
			}
			if got := flat.Get(in, name); !ok || string(got) != text {
				t.Fatalf("%q: %s.%s is %q, not %v", message, in, name, got, value)
			}
		}
		for name, value := range want {
			nested, ok := value.(map[string]any)
			if !ok {
				// A name that was first an object and then a value keeps only the value.
				check("", name, value)
				continue
			}
			for inner, value := range nested {
				check(name, inner, value)
			}
		}
	})
}

// FuzzConn: no bytes of a peer make Read panic, hang or keep more than its limit.
func FuzzConn(f *testing.F) {
	f.Add(ws.MustCompileFrame(masked(ws.OpText, true, []byte("hello"))))
	f.Add(append(ws.MustCompileFrame(masked(ws.OpText, false, []byte("he"))), ws.MustCompileFrame(masked(ws.OpContinuation, true, []byte("llo")))...))
	f.Add(ws.MustCompileFrame(masked(ws.OpPing, true, []byte("hi"))))
	f.Fuzz(func(t *testing.T, raw []byte) {
		ours, theirs := net.Pipe()
		c := wire.Server(ours)
		go func() { _, _ = io.Copy(io.Discard, theirs) }()
		go func() { _, _ = theirs.Write(raw); _ = theirs.Close() }()
		for {
			message, err := c.Read()
			if err != nil {
				break
			}
			if len(message) > 64<<10 {
				t.Fatal(len(message))
			}
		}
		_ = c.Close()
	})
}
