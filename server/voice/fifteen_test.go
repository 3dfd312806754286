package voice_test

import (
	"context"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"kestrel.ai/server/agent"
	"kestrel.ai/server/voice"
)

// TestFifteen holds the bridge's share of the fifteen ways in which others' voice agents failed. The rest is where the
// webhooks, the desk and the jobs are.
func TestFifteen(t *testing.T) {
	t.Parallel()
	t.Run("01_truncation_overshoot", truncationOvershoot)
	t.Run("02_barge_in_after_generation", bargeInAfterGeneration)
	t.Run("03_vendor_errors_are_not_fatal", vendorErrors)
	t.Run("04_session_expiry", sessionExpiry)
	t.Run("05_false_alarms", falseAlarms)
	t.Run("06_speaking_but_silent", speakingButSilent)
	t.Run("07_greeting_at_once", greetingAtOnce)
	t.Run("08_cancelled_tool_call", cancelledToolCall)
	t.Run("09_leaks", leaks)
	t.Run("11_tool_silence", toolSilence)
	t.Run("12_transfer_after_the_last_words", transferAfterLastWords)
	t.Run("15_dead_air", deadAir)
}

func truncationOvershoot(t *testing.T) {
	t.Parallel()
	t.Run("never more than was heard", func(t *testing.T) {
		within(t, func(r *rig) {
			p, s := r.greeted()
			s.begin("resp_1")
			s.audio("resp_1", "item_1", 3*time.Second) // of which the caller hears one
			time.Sleep(time.Second + 10*time.Millisecond)
			s.starts("u1", 2000)
			m := s.expect("conversation.item.truncate")
			if m.ItemID != "item_1" || m.ContentIndex == nil || *m.ContentIndex != 0 || m.AudioEndMS > 1000 || m.AudioEndMS < 850 {
				t.Errorf("%s", m.raw)
			}
			s.expect("response.cancel")
			s.done("resp_1", "item_1", "cancelled", "one two three four five six")
			s.stops("u1", 4000)
			s.expect("response.create")
			s.speak("resp_2", "item_2", time.Second, "Yes.") // the agent is not mute
			time.Sleep(2 * time.Second)
			if played, _, _ := p.heard(); played < 2490*time.Millisecond {
				t.Errorf("the caller heard %v", played)
			}
			p.hangUp()
			turns := r.events.turns(t)
			if len(turns) < 2 || turns[1].Text != "one two" || !turns[1].Interrupted {
				t.Errorf("turns %+v", turns)
			}
		})
	})
	t.Run("nothing heard, nothing truncated", func(t *testing.T) {
		within(t, func(r *rig) {
			p, s := r.greeted()
			s.begin("resp_1")
			s.audio("resp_1", "item_1", 3*time.Second)
			synctest.Wait()
			s.starts("u1", 2000)
			if m := s.expect("response.cancel"); m.ResponseID != "resp_1" {
				t.Errorf("%s", m.raw)
			}
			s.quiet()
			if _, _, clears := p.heard(); clears != 1 {
				t.Errorf("%d clears", clears)
			}
			p.hangUp()
		})
	})
	t.Run("cleared marks do not count as heard", func(t *testing.T) {
		within(t, func(r *rig) {
			p, s := r.greeted()
			s.begin("resp_1")
			s.audio("resp_1", "item_1", 2*time.Second)
			time.Sleep(500 * time.Millisecond)
			s.starts("u1", 2000)
			first := s.expect("conversation.item.truncate")
			s.expect("response.cancel")
			synctest.Wait() // the marks that the clear set free are back
			s.stops("u1", 4000)
			s.done("resp_1", "item_1", "cancelled", "…")
			s.expect("response.create")
			s.begin("resp_2")
			s.audio("resp_2", "item_2", 2*time.Second)
			time.Sleep(320 * time.Millisecond)
			s.starts("u2", 6000)
			second := s.expect("conversation.item.truncate")
			if first.AudioEndMS > 500 || second.ItemID != "item_2" || second.AudioEndMS > 320 {
				t.Errorf("%s\n%s", first.raw, second.raw)
			}
			p.hangUp()
		})
	})
}

func bargeInAfterGeneration(t *testing.T) {
	t.Parallel()
	within(t, func(r *rig) {
		p, s := r.greeted()
		s.speak("resp_1", "item_1", 5*time.Second, "a b c d e") // done at once, heard for five seconds
		time.Sleep(2 * time.Second)
		s.starts("u1", 2000)
		if m := s.expect("conversation.item.truncate"); m.AudioEndMS < 1800 || m.AudioEndMS > 2000 {
			t.Errorf("%s", m.raw)
		}
		s.quiet() // there is no response to cancel
		played, _, clears := p.heard()
		time.Sleep(3 * time.Second)
		if after, _, _ := p.heard(); clears != 1 || after > played+400*time.Millisecond {
			t.Errorf("%d clears, %v of the interrupted sentence were heard after it", clears, after-played)
		}
		s.stops("u1", 6000)
		s.expect("response.create")
		p.hangUp()
	})
}

func vendorErrors(t *testing.T) {
	t.Parallel()
	t.Run("there is a response already", func(t *testing.T) {
		within(t, func(r *rig) {
			p, s := r.greeted()
			s.begin("resp_own") // the vendor's own idea
			s.starts("u1", 1000)
			s.expect("response.cancel")
			s.fails("response_cancel_not_active")
			s.stops("u1", 3000)
			s.expect("response.create")
			s.fails("conversation_already_has_active_response")
			s.quiet() // asking again at once would fail again
			s.done("resp_own", "", "completed", "")
			s.expect("response.create")
			s.speak("resp_2", "item_2", time.Second, "Yes.")
			time.Sleep(2 * time.Second)
			if played, _, _ := p.heard(); played != 1500*time.Millisecond {
				t.Errorf("the caller heard %v", played)
			}
			p.hangUp()
		})
	})
	t.Run("anything else", func(t *testing.T) {
		within(t, func(r *rig) {
			p, s := r.greeted()
			for _, code := range []string{"invalid_value", "item_truncate_invalid_item_id", "rate_limit_exceeded", "", "server_error"} {
				s.fails(code)
			}
			if err := s.conn.Write([]byte(`{"type":"response.output_audio.delta","delta":"%%%"}`)); err != nil {
				t.Error(err)
			}
			if err := s.conn.Write([]byte(`not JSON`)); err != nil {
				t.Error(err)
			}
			s.send(map[string]any{"type": "an.event.of.next.year", "x": []int{1}})
			s.starts("u1", 1000)
			s.stops("u1", 3000)
			s.expect("response.create")
			s.begin("resp_1")
			s.done("resp_1", "", "failed", "")
			s.expect("response.create") // again, a second later
			p.hangUp()
			if e := r.ended(); e.Reason != voice.CallerHungUp {
				t.Errorf("%+v", e)
			}
		})
	})
	t.Run("three failed responses", func(t *testing.T) {
		within(t, func(r *rig) {
			p, s := r.greeted()
			s.starts("u1", 1000)
			s.stops("u1", 3000)
			for _, id := range []string{"resp_1", "resp_2", "resp_3"} {
				s.expect("response.create")
				s.begin(id)
				s.done(id, "", "failed", "")
			}
			p.over()
			if e := r.ended(); e.Reason != voice.ModelLost || e.Ending.Kind != voice.HandOver {
				t.Errorf("%+v", e)
			}
		})
	})
}

func sessionExpiry(t *testing.T) {
	t.Parallel()
	t.Run("the next session takes over", func(t *testing.T) {
		within(t, func(r *rig) {
			p, s := r.greeted()
			s.starts("u1", 1000)
			s.words("u1", "My furnace is cold.")
			s.stops("u1", 3000)
			s.expect("response.create")
			s.speak("resp_1", "item_1", time.Second, "When may we come?")
			stop := p.breathe()
			next := r.vendor.session() // 55 minutes later
			for _, want := range []string{"assistant:HAIEC, how can I help?", "user:My furnace is cold.", "assistant:When may we come?"} {
				m := next.expect("conversation.item.create")
				if got := m.Item.Role + ":" + m.Item.Content[0].Text; got != want {
					t.Errorf("carried %q, not %q", got, want)
				}
			}
			next.quiet() // the agent has nothing to say
			next.starts("u2", 1000)
			next.stops("u2", 3000)
			next.expect("response.create")
			next.speak("resp_1", "item_1", time.Second, "Tomorrow at three.")
			time.Sleep(2 * time.Second)
			stop()
			if played, _, _ := p.heard(); played != 2500*time.Millisecond {
				t.Errorf("the caller heard %v", played)
			}
			if _, open := <-s.in; open {
				t.Error("the old session lives")
			}
			p.hangUp()
			if e := r.ended(); e.Rollovers != 1 || e.Recoveries != 0 || e.Reason != voice.CallerHungUp {
				t.Errorf("%+v", e)
			}
		})
	})
	t.Run("a session that breaks is had again, once", func(t *testing.T) {
		within(t, func(r *rig) {
			p, s := r.greeted()
			s.starts("u1", 1000)
			s.words("u1", "Hello?")
			s.stops("u1", 3000)
			s.expect("response.create")
			s.fails("session_expired")
			_ = s.conn.Close()
			next := r.vendor.session()
			next.expect("conversation.item.create")
			next.expect("conversation.item.create")
			next.expect("response.create") // the caller still waits for an answer
			_ = next.conn.Close()
			p.over()
			if e := r.ended(); e.Reason != voice.ModelLost || e.Recoveries != 1 || e.Ending.Kind != voice.HandOver {
				t.Errorf("%+v", e)
			}
		})
	})
}

func falseAlarms(t *testing.T) {
	t.Parallel()
	interrupt := func(t *testing.T, length int, words *string, resumed bool) {
		within(t, func(r *rig) {
			p, s := r.greeted()
			s.speak("resp_1", "item_1", 5*time.Second, "a b c d e")
			time.Sleep(time.Second)
			s.starts("u1", 1000)
			s.expect("conversation.item.truncate")
			s.stops("u1", 1000+800+length)
			if words != nil {
				s.words("u1", *words)
			}
			m := s.expect("response.create")
			if carriesOn := strings.Contains(m.Response.Instructions, "Carry on"); carriesOn != resumed {
				t.Errorf("%s", m.raw)
			}
			p.hangUp()
		})
	}
	nothing, uhuh, real := "", "Uh-huh.", "Stop!"
	t.Run("a noise without words", func(t *testing.T) { t.Parallel(); interrupt(t, 200, &nothing, true) })
	t.Run("a noise whose words never come", func(t *testing.T) { t.Parallel(); interrupt(t, 200, nil, true) })
	t.Run("uh-huh", func(t *testing.T) { t.Parallel(); interrupt(t, 400, &uhuh, true) })
	t.Run("a short word", func(t *testing.T) { t.Parallel(); interrupt(t, 400, &real, false) })
	t.Run("a sentence", func(t *testing.T) { t.Parallel(); interrupt(t, 1500, nil, false) })
	t.Run("not interruptible", func(t *testing.T) {
		t.Parallel()
		within(t, func(r *rig) {
			p, s := r.greeted()
			s.speak("resp_1", "item_1", 5*time.Second, "a b c d e")
			time.Sleep(time.Second)
			s.starts("u1", 1000)
			s.quiet()
			s.stops("u1", 3000)
			s.expect("response.create")
			if _, _, clears := p.heard(); clears != 0 {
				t.Error("cleared")
			}
			p.hangUp()
		}, func(_ *voice.Options, p *agent.Profile) { p.Settings.VAD.Interruptible = false })
	})
	t.Run("noise reduction and the tenant's VAD", func(t *testing.T) {
		t.Parallel()
		within(t, func(r *rig) {
			p, s := r.connected()
			for _, want := range []string{`"noise_reduction":{"type":"near_field"}`, `"silence_duration_ms":500`, `"threshold":0.7`, `"create_response":false`, `"interrupt_response":false`} {
				if !strings.Contains(string(s.update), want) {
					t.Errorf("no %s in %s", want, s.update)
				}
			}
			p.hangUp()
		}, func(_ *voice.Options, p *agent.Profile) { p.Settings.VAD.Threshold = 0.7 })
	})
}

func speakingButSilent(t *testing.T) {
	t.Parallel()
	t.Run("asked again", func(t *testing.T) {
		within(t, func(r *rig) {
			p, s := r.greeted()
			stop := p.breathe()
			s.starts("u1", 1000)
			s.stops("u1", 3000)
			s.expect("response.create")
			s.begin("resp_1")
			s.expect("response.cancel") // eight seconds later
			s.expect("response.create")
			s.done("resp_1", "", "cancelled", "")
			s.speak("resp_2", "item_2", time.Second, "Yes.")
			time.Sleep(2 * time.Second)
			stop()
			p.hangUp()
			if e := r.ended(); e.Reason != voice.CallerHungUp {
				t.Errorf("%+v", e)
			}
		})
	})
	t.Run("given up", func(t *testing.T) {
		within(t, func(r *rig) {
			p, s := r.greeted()
			stop := p.breathe()
			s.starts("u1", 1000)
			s.stops("u1", 3000)
			s.expect("response.create")
			s.expect("response.create")
			p.over()
			stop()
			if e := r.ended(); e.Reason != voice.ModelSilent || e.Ending.Kind != voice.HandOver {
				t.Errorf("%+v", e)
			}
		})
	})
}

func greetingAtOnce(t *testing.T) {
	t.Parallel()
	t.Run("the greeting waits for the caller", func(t *testing.T) {
		within(t, func(r *rig) {
			r.prepare() // the webhook
			s := r.vendor.session()
			if m := s.expect("response.create"); !strings.Contains(m.Response.Instructions, "HAIEC, how can I help?") {
				t.Errorf("%s", m.raw)
			}
			go s.speak("resp_0", "item_0", time.Second, "HAIEC, how can I help?")
			time.Sleep(2 * time.Second) // Twilio connects
			p := r.ring()
			if _, sent, _ := p.heard(); sent == 0 {
				t.Error("the greeting was not there when the stream came")
			}
			time.Sleep(2 * time.Second)
			p.hangUp()
			if answered := r.events.of(voice.CallAnswered); len(answered) != 1 || !strings.Contains(string(answered[0].Data), `"greeting_ms":0`) {
				t.Errorf("%+v", answered)
			}
		})
	})
	t.Run("early audio is kept, in order", func(t *testing.T) {
		within(t, func(r *rig) {
			p := r.ring() // on a machine that was not asked: it dials now
			p.say(tone(20 * time.Millisecond))
			p.say("AAECAwQF")
			s := r.vendor.session()
			p.say("BgcICQoL")
			if heard := s.audioHeard(); len(heard) != 3 || heard[1] != "AAECAwQF" || heard[2] != "BgcICQoL" {
				t.Errorf("%q", heard)
			}
			p.hangUp()
		}, slow(time.Second))
	})
	t.Run("early audio is bounded", func(t *testing.T) {
		within(t, func(r *rig) {
			p := r.ring()
			for range 400 {
				p.say(tone(20 * time.Millisecond)) // 216 base64 bytes
			}
			s := r.vendor.session()
			if heard := s.audioHeard(); len(heard) != 100 {
				t.Errorf("%d frames were kept", len(heard))
			}
			p.hangUp()
		}, slow(time.Second), func(o *voice.Options, _ *agent.Profile) { o.Limits.EarlyAudio = 21_600 })
	})
}

func cancelledToolCall(t *testing.T) {
	t.Parallel()
	within(t, func(r *rig) {
		p, s := r.greeted()
		s.starts("u1", 1000)
		s.stops("u1", 3000)
		s.expect("response.create")
		s.begin("resp_1")
		s.calls("resp_1", "call_1", "book")
		s.starts("u2", 4000) // "no, wait"
		s.expect("response.cancel")
		s.done("resp_1", "", "cancelled", "")
		s.stops("u2", 6000)
		s.expect("response.create")
		s.begin("resp_2")
		s.calls("resp_2", "call_2", "book")
		s.done("resp_2", "", "completed", "")
		if m := s.expect("conversation.item.create"); m.Item.CallID != "call_2" {
			t.Errorf("%s", m.raw)
		}
		s.expect("response.create")
		if used := r.desk.asked(); len(used) != 1 || used[0] != "call_2" {
			t.Errorf("used %v", used)
		}
		p.hangUp()
	})
}

func toolSilence(t *testing.T) {
	t.Parallel()
	slowTool := func(o *voice.Options, _ *agent.Profile) {
		o.Limits.ToolWithin = 5 * time.Second
		o.Desk.(*desk).do = func(ctx context.Context, name string) agent.Result {
			if name == "quick" {
				return agent.Result{Output: `{"ok":true}`}
			}
			<-ctx.Done()
			return agent.Result{Output: `{"never":"seen"}`}
		}
	}
	t.Run("a phrase, and then the truth", func(t *testing.T) {
		within(t, func(r *rig) {
			p, s := r.greeted()
			s.starts("u1", 1000)
			s.stops("u1", 3000)
			s.expect("response.create")
			s.begin("resp_1")
			s.calls("resp_1", "call_1", "slow")
			s.done("resp_1", "", "completed", "")
			asked := time.Now()
			m := s.expect("response.create")
			if waited := time.Since(asked); waited > 700*time.Millisecond || m.Response.ToolChoice != "none" {
				t.Errorf("after %v: %s", waited, m.raw)
			}
			s.speak("resp_2", "item_2", time.Second, "One moment, please.")
			if m := s.expect("conversation.item.create"); m.Item.Type != "function_call_output" || !strings.Contains(m.Item.Output, "too long") {
				t.Errorf("%s", m.raw)
			}
			if waited := time.Since(asked); waited > 5*time.Second {
				t.Errorf("timed out after %v", waited)
			}
			s.expect("response.create")
			s.quiet()
			p.hangUp()
		}, slowTool)
	})
	t.Run("no phrase for a quick one", func(t *testing.T) {
		within(t, func(r *rig) {
			p, s := r.greeted()
			s.starts("u1", 1000)
			s.stops("u1", 3000)
			s.expect("response.create")
			s.begin("resp_1")
			s.calls("resp_1", "call_1", "quick")
			s.done("resp_1", "", "completed", "")
			s.expect("conversation.item.create")
			s.expect("response.create")
			s.begin("resp_2")
			time.Sleep(2 * time.Second)
			s.quiet()
			p.hangUp()
		}, slowTool)
	})
}
