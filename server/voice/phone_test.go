package voice_test

import (
	"encoding/base64"
	"encoding/json"
	"net"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"kestrel.ai/server/voice/wire"
)

// phone is Twilio's end of a media stream: it plays what it is sent at the pace of speech, and sends marks back when
// they are reached or cleared.
type phone struct {
	t      *testing.T
	conn   *wire.Conn
	served chan error

	mu     sync.Mutex
	queue  []sound
	busy   bool
	played time.Duration
	sent   time.Duration
	clears int
	gone   chan struct{}
}

type sound struct {
	length time.Duration
	mark   string
}

// dialIn opens a stream's socket, and sends nothing.
func (r *rig) dialIn() *phone {
	ours, theirs := net.Pipe()
	p := &phone{t: r.t, conn: wire.Client(ours, nil), served: make(chan error, 1), gone: make(chan struct{})}
	go func() {
		conn := wire.Server(theirs)
		err := r.bridge.Serve(r.t.Context(), conn)
		_ = conn.Close()
		p.served <- err
	}()
	go p.listen()
	return p
}

func (r *rig) ring() *phone {
	p := r.dialIn()
	p.start("CA1", r.offer.Profile.TenantID.String(), "CA1")
	synctest.Wait()
	return p
}

func (p *phone) send(frame map[string]any) {
	raw, err := json.Marshal(frame)
	if err != nil {
		p.t.Error(err)
	}
	_ = p.conn.Write(raw) // the bridge may have closed by now
}

func (p *phone) start(callSID, tenant, token string) {
	p.send(map[string]any{"event": "connected", "protocol": "Call", "version": "1.0.0"})
	p.send(map[string]any{"event": "start", "sequenceNumber": "1", "streamSid": "MZ1", "start": map[string]any{
		"streamSid": "MZ1", "accountSid": "AC1", "callSid": callSID, "tracks": []string{"inbound"},
		"customParameters": map[string]string{"tenant": tenant, "token": token},
		"mediaFormat":      map[string]any{"encoding": "audio/x-mulaw", "sampleRate": 8000, "channels": 1},
	}})
}

func (p *phone) say(payload string) {
	p.send(map[string]any{"event": "media", "sequenceNumber": "3", "streamSid": "MZ1", "media": map[string]any{
		"track": "inbound", "chunk": "1", "timestamp": "5", "payload": payload}})
}

func (p *phone) press(digits string) {
	for _, d := range digits {
		p.send(map[string]any{"event": "dtmf", "streamSid": "MZ1", "dtmf": map[string]any{"track": "inbound_track", "digit": string(d)}})
	}
}

// hangUp ends the call as a caller does.
func (p *phone) hangUp() {
	p.t.Helper()
	p.send(map[string]any{"event": "stop", "streamSid": "MZ1"})
	p.over()
}

// over waits until the bridge has let go of the stream.
func (p *phone) over() {
	p.t.Helper()
	select {
	case <-p.served:
	case <-time.After(3 * time.Hour):
		p.t.Fatal("the bridge holds the stream")
	}
	_ = p.conn.Close()
	synctest.Wait()
}

func (p *phone) listen() {
	for {
		raw, err := p.conn.Read()
		if err != nil {
			close(p.gone)
			return
		}
		var f struct {
			Event, StreamSID string
			Media            struct{ Payload string }
			Mark             struct{ Name string }
		}
		if err := json.Unmarshal(raw, &f); err != nil || f.StreamSID != "MZ1" {
			p.t.Errorf("Twilio got %s", raw)
		}
		p.mu.Lock()
		switch f.Event {
		case "media":
			audio, err := base64.StdEncoding.DecodeString(f.Media.Payload)
			if err != nil {
				p.t.Errorf("Twilio got %s", raw)
			}
			length := time.Duration(len(audio)) * time.Second / 8000
			p.sent += length
			p.queue = append(p.queue, sound{length: length})
		case "mark":
			p.queue = append(p.queue, sound{mark: f.Mark.Name})
		case "clear":
			p.clears++
			for _, s := range p.queue {
				if s.mark != "" {
					go p.reached(s.mark)
				}
			}
			p.queue = nil
		default:
			p.t.Errorf("Twilio got %s", raw)
		}
		if !p.busy && len(p.queue) > 0 {
			p.busy = true
			go p.play()
		}
		p.mu.Unlock()
	}
}

func (p *phone) reached(mark string) {
	p.send(map[string]any{"event": "mark", "streamSid": "MZ1", "mark": map[string]any{"name": mark}})
}

func (p *phone) play() {
	for {
		p.mu.Lock()
		if len(p.queue) == 0 {
			p.busy = false
			p.mu.Unlock()
			return
		}
		s := p.queue[0]
		p.queue = p.queue[1:]
		p.mu.Unlock()
		if s.mark != "" {
			p.reached(s.mark)
			continue
		}
		select {
		case <-time.After(s.length):
		case <-p.gone:
			return
		}
		p.mu.Lock()
		p.played += s.length
		p.mu.Unlock()
	}
}

func (p *phone) heard() (played, sent time.Duration, clears int) {
	synctest.Wait()
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.played, p.sent, p.clears
}
