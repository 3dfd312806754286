package sandbox_test

import (
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/coder/websocket"
	api "github.com/twilio/twilio-go/rest/api/v2010"

	"kestrel.ai/server/sandbox"
	"kestrel.ai/server/sandbox/caller"
)

// streaming rings a number whose call goes to run, and to rest when run has returned and closed the stream.
func streaming(t *testing.T, o sandbox.Options, rest string, run func(*server), options ...caller.Option) (*rig, *kestrel, *caller.Call) {
	t.Helper()
	r, k := line(t, o, nil)
	k.answer("/voice", k.twiml(rest))
	k.stream = run
	return r, k, caller.Ring(t, r.url, haiec, caller1, options...)
}

func (s *server) close() { _ = s.conn.Close(websocket.StatusNormalClosure, "") }

// untilMark reads until a mark comes, and counts the frames before it.
func (s *server) untilMark() (name string, frames int) {
	for {
		switch m, ok := s.next(); {
		case !ok:
			return "", frames
		case m.Event == "mark":
			return m.Mark.Name, frames
		case m.Event == "media":
			frames++
		}
	}
}

func TestStreamPace(t *testing.T) {
	t.Parallel()
	type span struct {
		frames   int
		inOrder  bool
		lastSent int
	}
	got := make(chan span, 1)
	began := time.Now()
	_, _, call := streaming(t, sandbox.Options{}, "<Hangup/>", func(s *server) {
		out := span{inOrder: true}
		for i := 1; i <= 50; i++ {
			m, ok := s.next()
			if !ok {
				break
			}
			out.frames++
			out.lastSent, _ = strconv.Atoi(m.Media.Timestamp)
			out.inOrder = out.inOrder && m.Event == "media" && m.Media.Chunk == strconv.Itoa(i) && m.SequenceNumber == strconv.Itoa(i+1) && len(m.Media.Payload) == 160
		}
		s.close()
		got <- out
	})
	out := <-got
	// The machine may be slow, but a second of audio never takes less than a second.
	if took := time.Since(began); out.frames != 50 || !out.inOrder || out.lastSent != 980 || took < 980*time.Millisecond {
		t.Errorf("50 frames in %v: %+v", took, out)
	}
	call.Ends()
}

func TestMarksEchoWhenPlayed(t *testing.T) {
	t.Parallel()
	_, _, call := streaming(t, sandbox.Options{}, "<Hangup/>", func(s *server) {
		defer s.close()
		s.mark("at once")
		if m, _ := s.until("mark"); m.Mark.Name != "at once" {
			t.Errorf("got %+v", m)
		}
		s.play(speak("one two three four five"))
		s.mark("first")
		s.play(speak("six"))
		s.mark("second")
		first, frames := s.untilMark()
		second, more := s.untilMark()
		if first != "first" || second != "second" || frames < 74 || more != 15 { // 1.5 s, and 0.3 s
			t.Errorf("%q after %d frames, %q after %d", first, frames, second, more)
		}
	})
	call.Hears("one two three four five six")
	log := call.Ends().Streams[0]
	if log.Marks != 3 || log.Cleared != 0 || log.Played != log.Bytes || log.Bytes != len(speak("one two three four five six")) {
		t.Errorf("%+v", log)
	}
}

func TestClearEchoesMarksAndSilences(t *testing.T) {
	t.Parallel()
	_, _, call := streaming(t, sandbox.Options{}, "<Hangup/>", func(s *server) {
		defer s.close()
		s.play(speak("heard"))
		s.mark("heard")
		s.play(speak(strings.Repeat("lost ", 200)))
		s.mark("a")
		s.mark("b")
		s.until("mark")
		s.send("clear", nil)
		a, frames := s.untilMark()
		b, more := s.untilMark()
		if a != "a" || b != "b" || frames > 1500 || more != 0 { // not the 3,000 of what was cleared
			t.Errorf("%q after %d frames, %q after %d", a, frames, b, more)
		}
		s.play(speak("again"))
		s.mark("c")
		s.until("mark")
	})
	call.Hears("again")
	ended := call.Ends()
	if text := ended.HeardText(); !strings.HasPrefix(text, "heard") || !strings.HasSuffix(text, "again") || strings.Count(text, "lost") > 150 {
		t.Errorf("heard %q", text)
	}
	if log := ended.Streams[0]; log.Cleared == 0 || log.Played+log.Cleared != log.Bytes {
		t.Errorf("%+v", log)
	}
}

func TestStreamHearsCallerAndKeys(t *testing.T) {
	t.Parallel()
	_, _, call := streaming(t, sandbox.Options{Speed: 4}, "<Hangup/>", func(s *server) {
		defer s.close()
		s.play(speak("Hello?"))
		var ear ear
		digits := ""
		for digits != "42#" || ear.text != "my furnace is out" {
			m, ok := s.next()
			if !ok {
				t.Errorf("the stream ended with %q and keys %q", ear.text, digits)
				return
			}
			ear.hear(m.Media.Payload)
			digits += m.DTMF.Digit
		}
	})
	call.Hears("hello")
	call.Says("my furnace is out")
	call.Presses("42#")
	call.Ends()
}

func TestBargeIn(t *testing.T) {
	t.Parallel()
	_, _, call := streaming(t, sandbox.Options{Speed: 2}, "<Hangup/>", func(s *server) {
		defer s.close()
		s.play(speak(strings.Repeat("talk ", 200)))
		var ear ear
		for ear.text != "stop" {
			m, ok := s.next()
			if !ok {
				t.Error("the stream ended early")
				return
			}
			ear.hear(m.Media.Payload)
		}
		s.send("clear", nil)
		for range 50 {
			s.next()
		}
	})
	call.Interrupts("stop")
	if log := call.Ends().Streams[0]; log.Cleared == 0 {
		t.Errorf("nothing was left to clear: %+v", log)
	}
}

func TestStreamProtocolErrors(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		kind    websocket.MessageType
		message string
		code    int
	}{
		"binary":       {websocket.MessageBinary, `{"event":"clear"}`, 31950},
		"not JSON":     {websocket.MessageText, `hello`, 31924},
		"other event":  {websocket.MessageText, `{"event":"dtmf","streamSid":"SID"}`, 31924},
		"no media":     {websocket.MessageText, `{"event":"media","streamSid":"SID"}`, 31924},
		"not base64":   {websocket.MessageText, `{"event":"media","streamSid":"SID","media":{"payload":"%%"}}`, 31924},
		"mark unnamed": {websocket.MessageText, `{"event":"mark","streamSid":"SID","mark":{}}`, 31924},
		"other stream": {websocket.MessageText, `{"event":"clear","streamSid":"MZ0"}`, 31924},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, _, call := streaming(t, sandbox.Options{Speed: 4}, "<Say>Sorry</Say>", func(s *server) {
				_ = s.conn.Write(s.ctx, c.kind, []byte(strings.ReplaceAll(c.message, "SID", s.sid)))
				for {
					if _, ok := s.next(); !ok {
						return
					}
				}
			})
			ended := call.Ends()
			if len(ended.Errors) != 1 || ended.Errors[0].Code != c.code || ended.Streams[0].EndReason != "error" || ended.HeardText() != "Sorry" {
				t.Errorf("%+v %+v %q", ended.Errors[0], ended.Streams, ended.HeardText())
			}
		})
	}
}

func TestStreamURLRules(t *testing.T) {
	t.Parallel()
	for name, u := range map[string]string{
		"query": "ws://127.0.0.1:1/stream?token=x", "plain": "ws://kestrel.example/stream", "http": "http://127.0.0.1/stream", "refused": "ws://127.0.0.1:1/stream", "far": "wss://192.0.2.1/stream",
	} {
		r, k := line(t, sandbox.Options{Speed: 4}, nil)
		k.answer("/voice", `<Response><Connect><Stream url="`+u+`" statusCallback="/streams"/></Connect><Say>Sorry</Say></Response>`)
		ended := caller.Ring(t, r.url, haiec, caller1).Ends()
		if len(ended.Errors) != 1 || ended.Errors[0].Code != 31920 || ended.HeardText() != "Sorry" {
			t.Errorf("%s: %+v", name, ended.Errors)
		}
		eventually(t, "the stream's status callback", func() bool { return len(k.got("/streams")) == 1 })
		if got := k.got("/streams")[0]; got.Get("StreamEvent") != "stream-error" || got.Get("StreamError") == "" {
			t.Errorf("%s: %v", name, got)
		}
	}
}

// TestSlowServerLosesAudio: what a server does not read in time is dropped, and does not hold the call up.
func TestSlowServerLosesAudio(t *testing.T) {
	t.Parallel()
	release := make(chan struct{})
	_, _, call := streaming(t, sandbox.Options{Speed: 50}, "<Hangup/>", func(s *server) { <-release; s.close() })
	call.Until("audio to be dropped", func(c sandbox.Call) bool { return len(c.Streams) == 1 && c.Streams[0].Dropped > 0 })
	close(release)
	if ended := call.Ends(); len(ended.Errors) != 1 || ended.Errors[0].Code != 31930 {
		t.Errorf("%+v", ended.Errors)
	}
}

func TestLiveRedirect(t *testing.T) {
	t.Parallel()
	stopped := make(chan bool, 1)
	r, k, call := streaming(t, sandbox.Options{Speed: 4}, "<Say>never</Say>", func(s *server) {
		s.play(speak("Please hold"))
		_, ok := s.until("stop")
		stopped <- ok
		s.next()
	})
	call.Hears("please hold")
	k.answer("/moved", "<Response><Say>Moved by URL</Say><Pause length=\"60\"/></Response>")
	if _, err := r.twilio.UpdateCall(call.SID, (&api.UpdateCallParams{}).SetUrl(k.url+"/moved")); err != nil {
		t.Fatal(err)
	}
	if !<-stopped {
		t.Error("the stream got no stop")
	}
	call.Hears("moved by url")
	if _, err := r.twilio.UpdateCall(call.SID, (&api.UpdateCallParams{}).SetTwiml("<Response><Say>Moved by TwiML</Say></Response>")); err != nil {
		t.Fatal(err)
	}
	call.Hears("moved by twiml")
	ended := call.Ends()
	if ended.Streams[0].EndReason != "redirected" || ended.EndReason != sandbox.EndTwiML || len(ended.Errors) != 0 {
		t.Errorf("%+v", ended)
	}
	_, err := r.twilio.UpdateCall(call.SID, (&api.UpdateCallParams{}).SetTwiml("<Response/>"))
	wantTwilioCode(t, err, 400, 21220)
}

func TestStreamStopsWithTheCall(t *testing.T) {
	t.Parallel()
	for name, end := range map[string]func(*rig, *caller.Call){
		"caller": func(_ *rig, c *caller.Call) { c.HangsUp() },
		"api": func(r *rig, c *caller.Call) {
			if _, err := r.twilio.UpdateCall(c.SID, (&api.UpdateCallParams{}).SetStatus("completed")); err != nil {
				t.Error(err)
			}
		},
	} {
		stopped := make(chan bool, 1)
		r, k, call := streaming(t, sandbox.Options{Speed: 4}, "<Say>never</Say>", func(s *server) {
			_, ok := s.until("stop")
			stopped <- ok
			s.next()
		})
		call.Until("the stream to run", func(c sandbox.Call) bool { return len(c.Streams) == 1 && c.Streams[0].Sent > 0 })
		end(r, call)
		if !<-stopped {
			t.Errorf("%s: no stop", name)
		}
		if ended := call.Ends(); ended.Streams[0].EndReason != "call_ended" || ended.Status != "completed" || ended.HeardText() != "" {
			t.Errorf("%s: %+v", name, ended)
		}
		eventually(t, "the status callback", func() bool { return len(k.got("/status")) == 1 })
	}
}
