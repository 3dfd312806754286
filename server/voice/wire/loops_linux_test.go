package wire_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/gobwas/ws"

	"kestrel.ai/server/voice/wire"
)

// looped is a server's Conn that a loop reads, and the raw other end of its TCP connection.
func looped(t *testing.T, loops *wire.Loops) (*wire.Conn, *net.TCPConn) {
	t.Helper()
	ln, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = ln.Close() }()
	peer, err := net.Dial("tcp4", ln.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	ours, err := ln.Accept()
	if err != nil {
		t.Fatal(err)
	}
	c := wire.Server(loops.Conn(ours))
	t.Cleanup(func() { _ = peer.Close(); _ = c.Close() })
	return c, peer.(*net.TCPConn)
}

// each runs Each and tells what came, then how it ended.
func each(c *wire.Conn) (<-chan string, <-chan error) {
	heard, ended := make(chan string, 100), make(chan error, 1)
	go func() {
		ended <- c.Each(func(message []byte) error {
			heard <- string(message)
			if string(message) == "enough" {
				return errEnough
			}
			return nil
		})
	}()
	return heard, ended
}

var errEnough = errors.New("enough")

func say(t *testing.T, peer net.Conn, texts ...string) {
	t.Helper()
	var all []byte
	for _, text := range texts {
		all = append(all, ws.MustCompileFrame(masked(ws.OpText, true, []byte(text)))...)
	}
	if _, err := peer.Write(all); err != nil {
		t.Error(err)
	}
}

// What came before Each, what comes with it, in pieces and together, and what comes with the end: all is taken, once.
func TestLoopTakesEverything(t *testing.T) {
	t.Parallel()
	var loops wire.Loops
	c, peer := looped(t, &loops)
	say(t, peer, "one", "two", "three")
	first, err := c.Read()
	if err != nil || string(first) != "one" {
		t.Fatalf("%q %v", first, err)
	}
	heard, ended := each(c)
	long := strings.Repeat("x", 60_000)
	raw := ws.MustCompileFrame(masked(ws.OpText, true, []byte("in pieces")))
	for _, b := range raw {
		if _, err := peer.Write([]byte{b}); err != nil {
			t.Fatal(err)
		}
	}
	_ = ws.WriteFrame(peer, masked(ws.OpText, false, []byte("in ")))
	_ = ws.WriteFrame(peer, masked(ws.OpPing, true, []byte("still there?")))
	_ = ws.WriteFrame(peer, masked(ws.OpContinuation, true, []byte("parts")))
	say(t, peer, long, "", "last")
	if err := peer.CloseWrite(); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"two", "three", "in pieces", "in parts", long, "", "last"} {
		if got := <-heard; got != want {
			t.Fatalf("%.20q, not %.20q", got, want)
		}
	}
	if err := <-ended; !errors.Is(err, io.EOF) {
		t.Error(err)
	}
	if f, err := ws.ReadFrame(peer); err != nil || f.Header.OpCode != ws.OpPong || string(f.Payload) != "still there?" {
		t.Errorf("%+v %v", f.Header, err)
	}
}

func TestLoopEnds(t *testing.T) {
	t.Parallel()
	var loops wire.Loops
	t.Run("by what takes", func(t *testing.T) {
		c, peer := looped(t, &loops)
		_, ended := each(c)
		say(t, peer, "enough", "more")
		if err := <-ended; !errors.Is(err, errEnough) {
			t.Error(err)
		}
	})
	t.Run("by closing", func(t *testing.T) {
		c, _ := looped(t, &loops)
		_, ended := each(c)
		_ = c.Close()
		if err := <-ended; !errors.Is(err, io.EOF) {
			t.Error(err)
		}
	})
	t.Run("by closing where it is taken", func(t *testing.T) {
		c, peer := looped(t, &loops)
		ended := make(chan error, 1)
		go func() { ended <- c.Each(func([]byte) error { return c.Close() }) }()
		say(t, peer, "a", "b")
		if err := <-ended; !errors.Is(err, io.EOF) {
			t.Error(err)
		}
	})
	t.Run("by a reset", func(t *testing.T) {
		c, peer := looped(t, &loops)
		_, ended := each(c)
		_ = peer.SetLinger(0)
		_ = peer.Close()
		if err := <-ended; err == nil {
			t.Error("no error")
		}
	})
	t.Run("by a frame that is none", func(t *testing.T) {
		c, peer := looped(t, &loops)
		_, ended := each(c)
		_, _ = peer.Write([]byte{0x82, 0x80, 0, 0, 0, 0})
		if err := <-ended; !errors.Is(err, wire.ErrProtocol) {
			t.Error(err)
		}
	})
	t.Run("by a panic, of its call alone", func(t *testing.T) {
		c, peer := looped(t, &loops)
		other, otherPeer := looped(t, &loops)
		heard, _ := each(other)
		fault := make(chan any, 1)
		go func() {
			defer func() { fault <- recover() }()
			_ = c.Each(func([]byte) error { panic("broken") })
		}()
		say(t, peer, "x")
		if got := fmt.Sprint(<-fault); !strings.Contains(got, "broken") || !strings.Contains(got, "loops_linux_test.go") {
			t.Error(got)
		}
		say(t, otherPeer, "unhurt")
		if got := <-heard; got != "unhurt" {
			t.Error(got)
		}
	})
}

func TestLoopedReadHasADeadline(t *testing.T) {
	t.Parallel()
	var loops wire.Loops
	c, peer := looped(t, &loops)
	_ = c.SetReadDeadline(time.Now().Add(10 * time.Millisecond))
	if _, err := c.Read(); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Error(err)
	}
	_ = c.SetReadDeadline(time.Time{})
	say(t, peer, "late")
	if got, err := c.Read(); err != nil || string(got) != "late" {
		t.Errorf("%q %v", got, err)
	}
}

// A peer that does not read costs its own call only: writing never waits, keeps what it can, and is over at its bound.
func TestLoopedWriteNeverWaits(t *testing.T) {
	t.Parallel()
	var loops wire.Loops
	c, peer := looped(t, &loops)
	_, ended := each(c)
	message := bytes.Repeat([]byte("m"), 32<<10)
	sent := 0
	for ; sent < 40; sent++ {
		if err := c.Write(message); err != nil {
			t.Fatal(err)
		}
	}
	for range sent { // it reads after all
		if f, err := ws.ReadFrame(peer); err != nil || len(f.Payload) != len(message) {
			t.Fatal(len(f.Payload), err)
		}
	}
	for sent = 0; sent < 1000; sent++ {
		if err := c.Write(message); err != nil {
			break
		}
	}
	if sent == 1000 {
		t.Error("there is no bound")
	}
	if err := <-ended; !errors.Is(err, io.EOF) {
		t.Error(err)
	}
}
