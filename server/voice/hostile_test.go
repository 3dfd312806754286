package voice_test

import (
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"kestrel.ai/server/voice"
)

// TestHostileStreams: a socket that is not Twilio's with a token of ours gets nothing, and costs nothing.
func TestHostileStreams(t *testing.T) {
	t.Parallel()
	refused := func(name string, send func(r *rig, p *phone)) {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			within(t, func(r *rig) {
				p := r.dialIn()
				send(r, p)
				select {
				case err := <-p.served:
					if err == nil {
						t.Error("served")
					}
				case <-time.After(time.Minute):
					t.Error("still open after a minute")
				}
				_ = p.conn.Close()
				if n := len(r.events.all); n != 0 {
					t.Errorf("%d events", n)
				}
			})
		})
	}
	refused("says nothing", func(*rig, *phone) {})
	refused("no token", func(r *rig, p *phone) { p.start("CA1", r.offer.Profile.TenantID.String(), "") })
	refused("a made-up token", func(r *rig, p *phone) { p.start("CA1", r.offer.Profile.TenantID.String(), "x") })
	refused("another call's token", func(r *rig, p *phone) { p.start("CA2", r.offer.Profile.TenantID.String(), "CA1") })
	refused("another tenant", func(_ *rig, p *phone) { p.start("CA1", "0199e7f5-0000-7000-8000-000000000000", "CA1") })
	refused("not JSON", func(_ *rig, p *phone) { _ = p.conn.Write([]byte("hello")) })
	refused("audio before the start", func(_ *rig, p *phone) {
		for range 6 {
			p.say("AAAA")
		}
	})
	refused("oversized", func(_ *rig, p *phone) { _ = p.conn.Write([]byte(strings.Repeat("x", 70<<10))) })
}

// TestMalformedFramesInACall: Twilio's are never so, but one of them would not be worth a call.
func TestMalformedFramesInACall(t *testing.T) {
	t.Parallel()
	within(t, func(r *rig) {
		p, s := r.greeted()
		for _, raw := range []string{`{`, `{"event":"media","media":{"payload":"\"}"}}`, `{"event":"mark","mark":{"name":"-1"}}`, `{"event":"mark","mark":{"name":"999999"}}`, `{"event":"dtmf","dtmf":{"digit":"99"}}`, `{"event":"start"}`, `{"event":"of next year"}`} {
			if err := p.conn.Write([]byte(raw)); err != nil {
				t.Fatal(err)
			}
		}
		p.say("AAECAwQF")
		if heard := s.audioHeard(); len(heard) != 1 || heard[0] != "AAECAwQF" {
			t.Errorf("%q", heard)
		}
		_ = p.conn.Write([]byte(strings.Repeat("x", 70<<10))) // this one is
		p.over()
		if e := r.ended(); e.Reason != voice.StreamLost {
			t.Errorf("%+v", e)
		}
	})
}

// TestSecondStream: a call has one stream.
func TestSecondStream(t *testing.T) {
	t.Parallel()
	within(t, func(r *rig) {
		p, s := r.greeted()
		second := r.ring()
		synctest.Wait()
		s.starts("u1", 1000)
		s.stops("u1", 3000)
		s.expect("response.create")
		p.hangUp()
		second.over()
	})
}

func TestKeysPressed(t *testing.T) {
	t.Parallel()
	within(t, func(r *rig) {
		p, s := r.greeted()
		p.press("12")
		time.Sleep(500 * time.Millisecond)
		p.press("3")
		m := s.expect("conversation.item.create")
		if m.Item.Role != "user" || !strings.Contains(m.Item.Content[0].Text, "123") {
			t.Errorf("%s", m.raw)
		}
		s.expect("response.create")
		p.hangUp()
	})
}

func TestWatching(t *testing.T) {
	t.Parallel()
	within(t, func(r *rig) {
		p, s := r.greeted()
		tenant, id := r.offer.Profile.TenantID, r.offer.Call.ID
		if live := r.bridge.Live(tenant); len(live) != 1 || live[0].CallID != id || live[0].State != voice.Listening {
			t.Errorf("%+v", live)
		}
		if live := r.bridge.Live(id); len(live) != 0 {
			t.Error("another tenant's call")
		}
		if _, _, ok := r.bridge.Watch(id, id); ok {
			t.Error("another tenant listens in")
		}
		moments, stop, ok := r.bridge.Watch(tenant, id)
		_, lazy, _ := r.bridge.Watch(tenant, id) // reads nothing, and slows nobody
		if !ok {
			t.Fatal("not here")
		}
		seen := map[string]int{}
		done := make(chan bool)
		go func() {
			defer close(done)
			for m := range moments {
				switch {
				case m.Turn != nil:
					seen[m.Turn.Speaker+" said "+m.Turn.Text]++
				case m.State != "":
					seen[string(m.State)]++
				default:
					seen[m.Speaker]++
				}
			}
		}()
		for range 100 {
			p.say("AAECAwQF")
		}
		s.starts("u1", 1000)
		s.words("u1", "Hello.")
		s.stops("u1", 3000)
		s.expect("response.create")
		s.speak("resp_1", "item_1", 800*time.Millisecond, "Hello!")
		time.Sleep(2 * time.Second)
		lazy()
		p.hangUp()
		<-done
		stop()
		for what, n := range map[string]int{"caller": 1, "agent": 1, "speaking": 1, "thinking": 1, "caller said Hello.": 1, "agent said Hello!": 1} {
			if seen[what] < n {
				t.Errorf("%d of %d %q in %v", seen[what], n, what, seen)
			}
		}
		if _, _, ok := r.bridge.Watch(tenant, id); ok {
			t.Error("a call that is over can be watched")
		}
	})
}
