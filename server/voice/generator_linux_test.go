package voice_test

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"os"
	"runtime"
	"runtime/debug"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"
	"unsafe"

	"github.com/gobwas/ws"
)

// The load generator is both ends of many calls, Twilio's and the model's, in a process of its own: as many threads over
// epoll as Kestrel has cores, so that the kernel gives both their share, and nothing but system calls in each, so that
// what it costs leaves the cores to what is measured. It is started by BenchmarkBridge.

// order is what a generator is told on its standard input.
type order struct {
	Bridge string // host:port of the stream's websocket
	Tenant string
	Model  string // the bare relay's to dial
	Calls  int
	For    time.Duration // of measuring, after a second of warming up
}

// outcome is a line it prints.
type outcome struct {
	Model      string        `json:",omitempty"` // its address, at the beginning
	Bridge     string        `json:",omitempty"` // the bare relay's
	CPU        time.Duration `json:",omitempty"` // the bare relay has used so far
	Connected  bool          `json:",omitempty"` // all calls are, and a second has passed
	Sent, Lost int
	P50, P99   time.Duration
	Worst      time.Duration
}

const (
	frameEvery    = 20 * time.Millisecond
	generatorBeat = 500 * time.Microsecond
)

// party is one socket: of a telephone, or of the model where mask is false.
type party struct {
	fd      int
	phone   bool
	in      []byte // what is left of a frame
	out     []byte // what the socket did not take
	blocked bool   // it takes no more
	sent    []int64
	n       int // frames sent
}

type generator struct {
	epoll   int
	parties map[int32]*party
	phones  []*party
	from    int64 // frames sent before it are warming up
	until   int64
	late    []time.Duration
	read    []byte
	message []byte
}

func generate() {
	var o order
	if err := json.NewDecoder(os.Stdin).Decode(&o); err != nil {
		panic(err)
	}
	tell := func(v outcome) {
		if err := json.NewEncoder(os.Stdout).Encode(v); err != nil {
			panic(err)
		}
	}
	ln, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		panic(err)
	}
	debug.SetGCPercent(-1) // whose pauses would be measured as Kestrel's
	tell(outcome{Model: ln.Addr().String()})
	phones, models := connect(o, ln)
	from := time.Now().Add(time.Second)
	threads := min(runtime.NumCPU(), len(phones))
	shards := make([]*generator, threads)
	for i := range shards {
		shards[i] = newGenerator(from.UnixNano(), from.Add(o.For).UnixNano(), share(phones, i, threads), share(models, i, threads))
	}
	warm := time.AfterFunc(time.Until(from), func() { tell(outcome{Connected: true}) })
	defer warm.Stop()
	var group sync.WaitGroup
	for _, g := range shards {
		group.Go(g.run)
	}
	group.Wait()
	var late []time.Duration
	var result outcome
	for _, g := range shards {
		late = append(late, g.late...)
		result.Sent += g.total()
	}
	slices.Sort(late)
	result.Lost = result.Sent - len(late)
	if n := len(late); n > 0 {
		result.P50, result.P99, result.Worst = late[n/2], late[n*99/100], late[n-1]
	}
	tell(result)
}

// share is every n-th of all, from the i-th.
func share(all []*party, i, n int) (some []*party) {
	for ; i < len(all); i += n {
		some = append(some, all[i])
	}
	return some
}

func newGenerator(from, until int64, phones, models []*party) *generator {
	g := &generator{parties: map[int32]*party{}, phones: phones, read: make([]byte, 64<<10), from: from, until: until}
	frames := int(time.Duration(until-from)/frameEvery) + 2*int(time.Second/frameEvery)
	g.late = make([]time.Duration, 0, frames*len(phones))
	for _, p := range phones {
		p.sent = make([]int64, 0, frames)
	}
	var err error
	if g.epoll, err = syscall.EpollCreate1(0); err != nil {
		panic(err)
	}
	for _, p := range slices.Concat(phones, models) {
		g.watch(p)
	}
	return g
}

func (g *generator) watch(p *party) {
	g.parties[int32(p.fd)] = p
	if err := syscall.EpollCtl(g.epoll, syscall.EPOLL_CTL_ADD, p.fd, &syscall.EpollEvent{Events: syscall.EPOLLIN, Fd: int32(p.fd)}); err != nil {
		panic(err)
	}
}

// connect opens all calls, a few at a time. The bridge dials the model's end of each itself.
func connect(o order, ln net.Listener) (phones, models []*party) {
	var mu sync.Mutex
	add := func(conn net.Conn, phone bool, early []byte) {
		p := newParty(conn, phone, early)
		mu.Lock()
		defer mu.Unlock()
		if phone {
			phones = append(phones, p)
		} else {
			models = append(models, p)
		}
	}
	var group sync.WaitGroup
	group.Go(func() {
		for range o.Calls {
			conn, err := ln.Accept()
			if err != nil {
				panic(err)
			}
			group.Go(func() { add(conn, false, openModel(conn)) })
		}
	})
	slots := make(chan struct{}, 16)
	for i := range o.Calls {
		slots <- struct{}{}
		group.Go(func() {
			add(openPhone(o, i), true, nil)
			<-slots
		})
	}
	group.Wait()
	return phones, models
}

// newParty takes a connection over.
func newParty(conn net.Conn, phone bool, early []byte) *party {
	file, err := conn.(*net.TCPConn).File()
	if err != nil {
		panic(err)
	}
	fd, err := syscall.Dup(int(file.Fd()))
	if err != nil {
		panic(err)
	}
	_ = file.Close()
	_ = conn.Close()
	if err := syscall.SetNonblock(fd, true); err != nil {
		panic(err)
	}
	_ = syscall.SetsockoptString(fd, syscall.IPPROTO_TCP, 13, "cubic")
	return &party{fd: fd, phone: phone, in: early}
}

func openPhone(o order, i int) net.Conn {
	conn, err := net.Dial("tcp4", o.Bridge)
	if err != nil {
		panic(err)
	}
	_, _ = fmt.Fprintf(conn, "GET /api/voice/stream HTTP/1.1\r\nHost: api.kestrel.ai\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n")
	answer := make([]byte, 4096)
	n, err := conn.Read(answer)
	if err != nil || !bytes.HasSuffix(answer[:n], []byte("\r\n\r\n")) {
		panic(fmt.Sprint(err, string(answer[:n])))
	}
	sid := fmt.Sprintf("CAf%031x", i)
	start := fmt.Sprintf(`{"event":"start","sequenceNumber":"1","streamSid":"MZ%d","start":{"streamSid":"MZ%d","accountSid":"AC1","callSid":"%s","tracks":["inbound"],"customParameters":{"tenant":"%s","token":"%s"},"mediaFormat":{"encoding":"audio/x-mulaw","sampleRate":8000,"channels":1}}}`,
		i, i, sid, o.Tenant, sid)
	out := appendFrame(nil, true, []byte(`{"event":"connected","protocol":"Call","version":"1.0.0"}`))
	if _, err := conn.Write(appendFrame(out, true, []byte(start))); err != nil {
		panic(err)
	}
	return conn
}

// openModel takes a session to where it echoes, and returns what it read too much.
func openModel(conn net.Conn) []byte {
	r := bufio.NewReader(conn)
	if _, err := ws.Upgrade(struct {
		io.Reader
		io.Writer
	}{r, conn}); err != nil {
		panic(err)
	}
	for {
		frame, err := ws.ReadFrame(r)
		if err != nil {
			panic(err)
		}
		if bytes.Contains(ws.UnmaskFrame(frame).Payload, []byte("session.update")) {
			break
		}
	}
	out := appendFrame(nil, false, []byte(`{"type":"session.created"}`))
	if _, err := conn.Write(appendFrame(out, false, []byte(`{"type":"session.updated"}`))); err != nil {
		panic(err)
	}
	early, _ := r.Peek(r.Buffered())
	return bytes.Clone(early)
}

// run sends a frame every 20 ms for each phone, evenly spread, and answers what comes, until a second after the end.
func (g *generator) run() {
	runtime.LockOSThread()
	events := make([]syscall.EpollEvent, 256)
	began := time.Now().UnixNano()
	gap := int64(frameEvery) / int64(len(g.phones))
	next := int64(0) // frame of all phones
	for {
		now := time.Now().UnixNano()
		for now < g.until && began+next*gap <= now {
			g.say(g.phones[next%int64(len(g.phones))])
			next++
		}
		if now > g.until+int64(time.Second) {
			return
		}
		nap := syscall.Timespec{Nsec: int64(generatorBeat)}
		_, _, _ = syscall.RawSyscall(syscall.SYS_NANOSLEEP, uintptr(unsafe.Pointer(&nap)), 0, 0)
		for i := range g.wait(events, 0) {
			g.ready(g.parties[events[i].Fd], events[i].Events)
		}
	}
}

// wait is syscall.EpollWait without telling Go's scheduler, which would hand the thread's processor on each time.
func (g *generator) wait(events []syscall.EpollEvent, milliseconds int) int {
	n, _, errno := syscall.RawSyscall6(syscall.SYS_EPOLL_PWAIT, uintptr(g.epoll), uintptr(unsafe.Pointer(&events[0])), uintptr(len(events)), uintptr(milliseconds), 0, 0)
	if errno == syscall.EINTR {
		return 0
	}
	if errno != 0 {
		panic(errno)
	}
	return int(n)
}

var silence = strings.Repeat("/", 204)

// say sends the next frame of a phone. Its number, as twelve characters of base64, comes back in the echo.
func (g *generator) say(p *party) {
	m := append(g.message[:0], `{"event":"media","sequenceNumber":"`...)
	m = strconv.AppendInt(m, int64(p.n+3), 10)
	m = append(m, `","media":{"track":"inbound","chunk":"`...)
	m = strconv.AppendInt(m, int64(p.n+1), 10)
	m = append(m, `","timestamp":"`...)
	m = strconv.AppendInt(m, int64(p.n*20), 10)
	m = append(m, `","payload":"`...)
	m = strconv.AppendInt(m, int64(1e11+p.n), 10)
	m = append(m, silence...)
	m = append(m, `"},"streamSid":"MZ18ad3ab5a668481ce02b83e7395059f0"}`...)
	g.message = m
	p.sent = append(p.sent, time.Now().UnixNano())
	p.n++
	p.out = appendFrame(p.out, true, m)
	g.flush(p)
}

// raw reads or writes. On an error n is 0.
func raw(call uintptr, fd int, b []byte) (n int, err syscall.Errno) {
	done, _, err := syscall.RawSyscall6(call, uintptr(fd), uintptr(unsafe.Pointer(unsafe.SliceData(b))), uintptr(len(b)), syscall.MSG_DONTWAIT|syscall.MSG_NOSIGNAL, 0, 0)
	if err != 0 {
		return 0, err
	}
	return int(done), 0
}

// flush writes what is to go out. Frames that are lost are counted.
func (g *generator) flush(p *party) {
	n, err := raw(syscall.SYS_SENDTO, p.fd, p.out)
	if err != 0 && err != syscall.EAGAIN {
		return
	}
	p.out = p.out[:copy(p.out, p.out[n:])]
	if blocked := len(p.out) > 0; blocked == p.blocked {
		return
	}
	p.blocked = !p.blocked
	events := uint32(syscall.EPOLLIN)
	if p.blocked {
		events |= syscall.EPOLLOUT
	}
	_ = syscall.EpollCtl(g.epoll, syscall.EPOLL_CTL_MOD, p.fd, &syscall.EpollEvent{Events: events, Fd: int32(p.fd)})
}

func (g *generator) ready(p *party, events uint32) {
	if events&syscall.EPOLLOUT != 0 {
		g.flush(p)
	}
	before := len(p.out)
	g.read1(p, func(message []byte) { p.out = g.take(p, message, p.out) })
	if len(p.out) > before {
		g.flush(p)
	}
}

// read1 reads once, and hands over each message that is whole.
func (g *generator) read1(p *party, take func([]byte)) {
	n, err := raw(syscall.SYS_RECVFROM, p.fd, g.read)
	if n == 0 {
		if err != syscall.EAGAIN {
			_ = syscall.EpollCtl(g.epoll, syscall.EPOLL_CTL_DEL, p.fd, nil)
		}
		return
	}
	data := g.read[:n]
	if len(p.in) > 0 {
		data = append(p.in, data...)
	}
	for {
		message, rest, ok := cutFrame(data)
		if !ok {
			break
		}
		data = rest
		take(message)
	}
	p.in = append(p.in[:0], data...)
}

var (
	appendOf  = []byte(`{"type":"input_audio_buffer.append","audio":"`)
	mediaOf   = []byte(`"payload":"`)
	markOf    = []byte(`{"event":"mark"`)
	deltaHead = []byte(`{"type":"response.output_audio.delta","event_id":"event_Cd","response_id":"resp_1","item_id":"item_1","output_index":0,"content_index":0,"delta":"`)
	deltaTail = []byte(`"}`)
)

// take answers one message: the model echoes audio, the phone returns marks and times its own frames.
func (g *generator) take(p *party, message, out []byte) []byte {
	if !p.phone {
		if audio, ok := bytes.CutPrefix(message, appendOf); ok {
			return appendFrame(out, false, deltaHead, audio[:len(audio)-2], deltaTail)
		}
		return out
	}
	if bytes.HasPrefix(message, markOf) {
		return appendFrame(out, true, message)
	}
	if i := bytes.Index(message, mediaOf); i >= 0 {
		n, err := strconv.Atoi(string(message[i+len(mediaOf):][:12]))
		if n -= 1e11; err == nil && n >= 0 && n < len(p.sent) && p.sent[n] >= g.from && p.sent[n] < g.until {
			g.late = append(g.late, time.Duration(time.Now().UnixNano()-p.sent[n]))
		}
	}
	return out
}

func (g *generator) total() int {
	total := 0
	for _, p := range g.phones {
		for _, at := range p.sent {
			if at >= g.from && at < g.until {
				total++
			}
		}
	}
	return total
}

func appendFrame(out []byte, mask bool, parts ...[]byte) []byte {
	length := 0
	for _, p := range parts {
		length += len(p)
	}
	var masked byte
	if mask {
		masked = 0x80
	}
	out = append(out, 0x81)
	if length < 126 {
		out = append(out, masked|byte(length))
	} else {
		out = binary.BigEndian.AppendUint16(append(out, masked|126), uint16(length))
	}
	if mask {
		out = append(out, 0, 0, 0, 0) // a mask of zeros costs nothing
	}
	for _, p := range parts {
		out = append(out, p...)
	}
	return out
}

// cutFrame takes a whole frame off data.
func cutFrame(data []byte) (message, rest []byte, ok bool) {
	if len(data) < 2 {
		return nil, data, false
	}
	length, at := int(data[1]&0x7f), 2
	if length == 126 {
		if len(data) < 4 {
			return nil, data, false
		}
		length, at = int(binary.BigEndian.Uint16(data[2:])), 4
	}
	masked := data[1]&0x80 != 0
	if masked {
		at += 4
	}
	if len(data) < at+length {
		return nil, data, false
	}
	message = data[at : at+length]
	if masked {
		ws.Cipher(message, [4]byte(data[at-4:at]), 0)
	}
	return message, data[at+length:], true
}
