package voice_test

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"os"
	"runtime"
	"runtime/debug"
	"syscall"
	"time"

	"github.com/gobwas/ws"
)

// The bare relay passes the generator's frames on, re-framed as Kestrel must and with nothing else: a thread per core,
// no goroutine, no state, no check, one system call to read a frame and one to write it. What it cannot hold, no bridge
// on this machine can.
func relay() {
	debug.SetGCPercent(-1)
	in := json.NewDecoder(os.Stdin)
	ln, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		panic(err)
	}
	tell := func(v outcome) {
		if err := json.NewEncoder(os.Stdout).Encode(v); err != nil {
			panic(err)
		}
	}
	tell(outcome{Bridge: ln.Addr().String()})
	var o order
	if err := in.Decode(&o); err != nil {
		panic(err)
	}
	lanes := make([]*lane, runtime.NumCPU())
	for i := range lanes {
		lanes[i] = &lane{generator: newGenerator(0, 0, nil, nil), peers: map[int32]*party{}}
	}
	for i := range o.Calls {
		conn, err := ln.Accept()
		if err != nil {
			panic(err)
		}
		lanes[i%len(lanes)].join(conn, o.Model)
	}
	for _, l := range lanes {
		go l.run()
	}
	for in.Decode(&o) == nil {
		tell(outcome{CPU: spent()})
	}
}

func spent() time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		panic(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

type lane struct {
	*generator
	peers map[int32]*party // by the other's descriptor
}

func (l *lane) join(phone net.Conn, address string) {
	r := bufio.NewReader(phone)
	if _, err := ws.Upgrade(struct {
		io.Reader
		io.Writer
	}{r, phone}); err != nil {
		panic(err)
	}
	model, err := net.Dial("tcp4", address)
	if err != nil {
		panic(err)
	}
	_, _ = fmt.Fprint(model, "GET /realtime HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n")
	answer := make([]byte, 4096)
	if n, err := model.Read(answer); err != nil || !bytes.HasSuffix(answer[:n], []byte("\r\n\r\n")) {
		panic(fmt.Sprint(err, string(answer[:n])))
	}
	if _, err := model.Write(appendFrame(nil, true, []byte(`{"type":"session.update"}`))); err != nil {
		panic(err)
	}
	early, _ := r.Peek(r.Buffered())
	a, b := newParty(phone, true, bytes.Clone(early)), newParty(model, false, nil)
	l.watch(a)
	l.watch(b)
	l.peers[int32(a.fd)], l.peers[int32(b.fd)] = b, a
}

func (l *lane) run() {
	runtime.LockOSThread()
	events := make([]syscall.EpollEvent, 256)
	for {
		for i := range l.wait(events, 20) {
			from := l.parties[events[i].Fd]
			to := l.peers[events[i].Fd]
			if events[i].Events&syscall.EPOLLOUT != 0 {
				l.flush(from)
			}
			before := len(to.out)
			l.read1(from, func(message []byte) { to.out = pass(from, message, to.out) })
			if len(to.out) > before {
				l.flush(to)
			}
		}
	}
}

var deltaOf = []byte(`"delta":"`)

func pass(from *party, message, out []byte) []byte {
	if !from.phone {
		if i := bytes.Index(message, deltaOf); i >= 0 {
			return appendFrame(out, false, []byte(`{"event":"media","streamSid":"MZ18ad3ab5a668481ce02b83e7395059f0","media":{"payload":"`), message[i+len(deltaOf):len(message)-2], []byte(`"}}`))
		}
		return out
	}
	if i := bytes.Index(message, mediaOf); i >= 0 {
		audio := message[i+len(mediaOf):]
		return appendFrame(out, true, appendOf, audio[:bytes.IndexByte(audio, '"')], []byte(`"}`))
	}
	return out
}
