package voice_test

import (
	"context"
	"errors"
	"net"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"kestrel.ai/server/agent"
	"kestrel.ai/server/voice"
)

// breathe sends a frame of silence every second, so that the stream is seen to live.
func (p *phone) breathe() (stop func()) {
	done := make(chan struct{})
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		tick := time.NewTicker(time.Second)
		defer tick.Stop()
		for {
			select {
			case <-tick.C:
				p.say("/////w==")
			case <-done:
				return
			}
		}
	}()
	return func() { close(done); <-ended }
}

// slow delays every dial of the model.
func slow(d time.Duration) func(*voice.Options, *agent.Profile) {
	return func(o *voice.Options, _ *agent.Profile) { o.Model = slowModel{o.Model, d} }
}

type slowModel struct {
	voice.Model
	by time.Duration
}

func (m slowModel) Dial(ctx context.Context, s voice.Session) (voice.Conversation, error) {
	select {
	case <-time.After(m.by):
		return m.Model.Dial(ctx, s)
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// leaks: however a call ends, nothing of it is left. The rig fails on any goroutine that outlives it.
func leaks(t *testing.T) {
	t.Parallel()
	t.Run("hung up while the model is dialled", func(t *testing.T) {
		within(t, func(r *rig) {
			p := r.ring()
			p.hangUp()
			if e := r.ended(); e.Reason != voice.CallerHungUp || e.AgentSeconds != 0 {
				t.Errorf("%+v", e)
			}
		}, slow(3*time.Second))
	})
	t.Run("hung up while the model's handshake hangs", func(t *testing.T) {
		within(t, func(r *rig) {
			p := r.ring()
			p.hangUp()
			r.ended()
		}, func(o *voice.Options, _ *agent.Profile) { o.Model = hanging(t) })
	})
	t.Run("the model closes, and comes back no more", func(t *testing.T) {
		within(t, func(r *rig) {
			p, s := r.greeted()
			r.vendor.refuse = true
			_ = s.conn.Close()
			p.over() // not left in silence
			if e := r.ended(); e.Reason != voice.ModelLost || e.Ending.Kind != voice.HandOver {
				t.Errorf("%+v", e)
			}
			if ending, ok := r.bridge.Ending("CA1"); !ok || ending.Kind != voice.HandOver {
				t.Errorf("%+v", ending)
			}
		})
	})
	t.Run("the model cannot be reached", func(t *testing.T) {
		within(t, func(r *rig) {
			r.vendor.refuse = true
			r.prepare()
			synctest.Wait()
			p := r.ring()
			p.over()
			if e := r.ended(); e.Reason != voice.ModelUnreachable || e.Ending.Kind != voice.HandOver {
				t.Errorf("%+v", e)
			}
		})
	})
	t.Run("a model that is down is not waited for", func(t *testing.T) {
		within(t, func(r *rig) {
			r.vendor.refuse = true
			for _, sid := range []string{"CA1", "CA2"} {
				r.offer.Call.SID = sid
				r.prepare()
				synctest.Wait()
			}
			r.offer.Call.SID = "CA3"
			if err := r.bridge.Prepare(r.offer); !errors.Is(err, voice.ErrUnavailable) {
				t.Error(err)
			}
			r.vendor.refuse = false
			time.Sleep(11 * time.Second)
			r.prepare()
			r.vendor.session()
			r.bridge.Release("CA3")
			synctest.Wait()
		})
	})
	t.Run("the stream never comes", func(t *testing.T) {
		within(t, func(r *rig) {
			r.prepare()
			r.vendor.session()
			time.Sleep(61 * time.Second)
			if e := r.ended(); e.Reason != voice.NeverConnected {
				t.Errorf("%+v", e)
			}
		})
	})
	t.Run("the stream breaks", func(t *testing.T) {
		within(t, func(r *rig) {
			p, _ := r.greeted()
			_ = p.conn.Close()
			p.over()
			if e := r.ended(); e.Reason != voice.StreamLost || e.Ending.Kind != voice.HandOver {
				t.Errorf("%+v", e)
			}
		})
	})
	t.Run("the stream falls silent", func(t *testing.T) {
		within(t, func(r *rig) {
			p, _ := r.greeted()
			p.over()
			if e := r.ended(); e.Reason != voice.StreamLost {
				t.Errorf("%+v", e)
			}
		})
	})
	t.Run("hung up while a tool runs", func(t *testing.T) {
		within(t, func(r *rig) {
			p, s := r.greeted()
			s.begin("resp_1")
			s.calls("resp_1", "call_1", "slow")
			s.done("resp_1", "", "completed", "")
			synctest.Wait()
			p.hangUp()
			r.ended()
		}, func(o *voice.Options, _ *agent.Profile) {
			o.Desk.(*desk).do = func(ctx context.Context, _ string) agent.Result {
				<-ctx.Done()
				return agent.Result{}
			}
		})
	})
	t.Run("a tool panics", func(t *testing.T) {
		within(t, func(r *rig) {
			p, s := r.greeted()
			s.begin("resp_1")
			s.calls("resp_1", "call_1", "book")
			s.done("resp_1", "", "completed", "")
			p.over()
			if e := r.ended(); e.Reason != voice.Broken || e.Ending.Kind != voice.HandOver {
				t.Errorf("%+v", e)
			}
		}, func(o *voice.Options, _ *agent.Profile) {
			o.Desk.(*desk).do = func(context.Context, string) agent.Result { panic("a fault of ours") }
		})
	})
	t.Run("drained", func(t *testing.T) {
		within(t, func(r *rig) {
			p, _ := r.greeted()
			stop := p.breathe()
			ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
			defer cancel()
			drained := make(chan error, 1)
			go func() { drained <- r.bridge.Drain(ctx) }()
			synctest.Wait()
			r.offer.Call.SID = "CA2"
			if err := r.bridge.Prepare(r.offer); !errors.Is(err, voice.ErrDraining) {
				t.Error(err)
			}
			if err := <-drained; err == nil {
				t.Error("the call's end was nobody's news")
			}
			p.over()
			stop()
			if e := r.ended(); e.Reason != voice.Drained || e.Ending.Kind != voice.HandOver {
				t.Errorf("%+v", e)
			}
		})
	})
}

// hanging is a model whose server takes the connection and says nothing.
func hanging(t *testing.T) voice.Model {
	return dialFunc(func(ctx context.Context) (voice.Conversation, error) {
		ours, theirs := net.Pipe()
		defer func() { _ = ours.Close(); _ = theirs.Close() }()
		<-ctx.Done()
		t.Log("let go")
		return nil, ctx.Err()
	})
}

type dialFunc func(ctx context.Context) (voice.Conversation, error)

func (f dialFunc) Dial(ctx context.Context, _ voice.Session) (voice.Conversation, error) {
	return f(ctx)
}

func transferAfterLastWords(t *testing.T) {
	t.Parallel()
	transfer := func(o *voice.Options, _ *agent.Profile) {
		o.Desk.(*desk).do = func(_ context.Context, name string) agent.Result {
			if name == "transfer" {
				return agent.Result{Output: `{"ok":true}`, Action: agent.Action{Kind: agent.ActionTransfer, Number: "+15550123", Reason: "asked_for"}}
			}
			return agent.Result{Output: `{"ok":true}`, Action: agent.Action{Kind: agent.ActionHangUp, Reason: "done"}}
		}
	}
	t.Run("the words are heard first", func(t *testing.T) {
		within(t, func(r *rig) {
			p, s := r.greeted()
			s.begin("resp_1")
			s.calls("resp_1", "call_1", "transfer")
			s.done("resp_1", "", "completed", "")
			s.expect("conversation.item.create")
			if m := s.expect("response.create"); m.Response.ToolChoice != "none" {
				t.Errorf("%s", m.raw)
			}
			s.speak("resp_2", "item_2", 2*time.Second, "I am connecting you now.")
			p.over()
			if played, _, _ := p.heard(); played != 2500*time.Millisecond {
				t.Errorf("the caller heard %v", played)
			}
			if e := r.ended(); e.Reason != voice.Transferred || e.Ending != (voice.Ending{Kind: voice.Transfer, Number: "+15550123", Reason: "asked_for"}) {
				t.Errorf("%+v", e)
			}
		}, transfer)
	})
	t.Run("words that were said already are not asked for again", func(t *testing.T) {
		within(t, func(r *rig) {
			p, s := r.greeted()
			s.begin("resp_1")
			s.audio("resp_1", "item_1", time.Second)
			s.calls("resp_1", "call_1", "end_call")
			s.done("resp_1", "item_1", "completed", "Goodbye.")
			s.expect("conversation.item.create")
			p.over()
			if played, _, _ := p.heard(); played != 1500*time.Millisecond {
				t.Errorf("the caller heard %v", played)
			}
			if e := r.ended(); e.Reason != voice.AgentHungUp || e.Ending.Kind != voice.HangUp {
				t.Errorf("%+v", e)
			}
		}, transfer)
	})
	t.Run("last words that never come are not waited for long", func(t *testing.T) {
		within(t, func(r *rig) {
			p, s := r.greeted()
			stop := p.breathe()
			s.begin("resp_1")
			s.calls("resp_1", "call_1", "transfer")
			s.done("resp_1", "", "completed", "")
			decided := time.Now()
			p.over()
			stop()
			if waited := time.Since(decided); waited > 13*time.Second {
				t.Errorf("waited %v", waited)
			}
			if e := r.ended(); e.Reason != voice.Transferred {
				t.Errorf("%+v", e)
			}
		}, transfer)
	})
	t.Run("one more thing", func(t *testing.T) {
		within(t, func(r *rig) {
			p, s := r.greeted()
			stop := p.breathe()
			s.begin("resp_1")
			s.audio("resp_1", "item_1", 3*time.Second)
			s.calls("resp_1", "call_1", "end_call")
			s.done("resp_1", "item_1", "completed", "Thank you for calling. Goodbye.")
			time.Sleep(time.Second)
			s.starts("u1", 1000)
			s.stops("u1", 4000)
			s.expect("conversation.item.create")
			s.expect("conversation.item.truncate")
			s.expect("response.create")
			s.speak("resp_2", "item_2", time.Second, "Of course.")
			time.Sleep(time.Minute)
			stop()
			p.hangUp()
			if e := r.ended(); e.Reason != voice.CallerHungUp {
				t.Errorf("%+v", e)
			}
		}, transfer)
	})
}

func deadAir(t *testing.T) {
	t.Parallel()
	t.Run("a silent caller is asked, and then let go", func(t *testing.T) {
		within(t, func(r *rig) {
			p, s := r.greeted()
			stop := p.breathe()
			if m := s.expect("response.create"); !strings.Contains(m.Response.Instructions, "still there") {
				t.Errorf("%s", m.raw)
			}
			s.speak("resp_1", "item_1", time.Second, "Are you still there?")
			if m := s.expect("response.create"); !strings.Contains(m.Response.Instructions, "Goodbye") {
				t.Errorf("%s", m.raw)
			}
			s.speak("resp_2", "item_2", time.Second, "Goodbye.")
			p.over()
			stop()
			if e := r.ended(); e.Reason != voice.CallerSilent || e.Ending.Kind != voice.HangUp {
				t.Errorf("%+v", e)
			}
		}, func(_ *voice.Options, p *agent.Profile) { p.Settings.Limits.SilenceSeconds = 20 })
	})
	t.Run("a call has a longest time, and a warning before", func(t *testing.T) {
		within(t, func(r *rig) {
			p, s := r.greeted()
			stop := p.breathe()
			began := time.Now()
			if m := s.expect("response.create"); !strings.Contains(m.Response.Instructions, "nearly over") {
				t.Errorf("%s", m.raw)
			}
			s.speak("resp_1", "item_1", time.Second, "Our time is nearly over.")
			s.expect("response.create")
			s.speak("resp_2", "item_2", time.Second, "Goodbye.")
			p.over()
			stop()
			if held := time.Since(began); held > 305*time.Second {
				t.Errorf("held %v", held)
			}
			if e := r.ended(); e.Reason != voice.TooLong {
				t.Errorf("%+v", e)
			}
		}, func(_ *voice.Options, p *agent.Profile) { p.Settings.Limits.MaxCallSeconds = 300 })
	})
	t.Run("so many at once", func(t *testing.T) {
		within(t, func(r *rig) {
			for _, sid := range []string{"CA1", "CA2", "CA2"} {
				r.offer.Call.SID = sid
				r.prepare()
			}
			r.offer.Call.SID = "CA3"
			if err := r.bridge.Prepare(r.offer); !errors.Is(err, voice.ErrTenantFull) {
				t.Error(err)
			}
			other := *r.offer.Profile
			other.TenantID[0]++
			if err := r.bridge.Prepare(voice.Offer{Call: r.offer.Call, Profile: &other}); err != nil {
				t.Error(err)
			}
			r.offer.Call.SID = "CA4"
			if err := r.bridge.Prepare(r.offer); !errors.Is(err, voice.ErrFull) {
				t.Error(err)
			}
			for _, sid := range []string{"CA1", "CA2", "CA3"} {
				r.bridge.Release(sid)
			}
			synctest.Wait()
		}, func(o *voice.Options, p *agent.Profile) {
			o.Limits.Calls, p.Settings.Limits.ConcurrentCalls = 3, 2
		})
	})
}
