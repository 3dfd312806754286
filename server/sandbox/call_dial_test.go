package sandbox_test

import (
	"testing"

	api "github.com/twilio/twilio-go/rest/api/v2010"

	"kestrel.ai/server/sandbox"
	"kestrel.ai/server/sandbox/caller"
)

const (
	owner  = "+16175550100"
	oncall = "+16175550101"
)

const whisper = `<Gather numDigits="1" timeout="3" action="/accepted"><Say>Call from HAIEC press 1</Say></Gather><Hangup/>`

func transferring(t *testing.T, attrs string, phones ...sandbox.Phone) (*rig, *kestrel, sandbox.Call) {
	t.Helper()
	r, k := fast(t, map[string]string{
		"/voice":   `<Dial answerOnBridge="true" timeout="20" action="/next" ` + attrs + `><Number url="/whisper" statusCallback="/child" statusCallbackEvent="initiated ringing answered completed">` + owner + `</Number></Dial>`,
		"/whisper": whisper, "/accepted": `<Say>Connecting</Say>`, "/next": `<Say>Nobody could come</Say>`,
	})
	for _, p := range phones {
		if err := r.sandbox.SetPhone(p); err != nil {
			t.Fatal(err)
		}
	}
	ended := caller.Ring(t, r.url, haiec, caller1, caller.Saying(sandbox.Line{Text: "My basement floods", After: "Bob"})).Ends()
	return r, k, ended
}

func TestTransferAccepted(t *testing.T) {
	t.Parallel()
	r, k, ended := transferring(t, `record="record-from-answer-dual" recordingStatusCallback="/recording"`,
		sandbox.Phone{Number: owner, Digits: "1", Say: []sandbox.Line{{Text: "Hi this is Bob", After: "connecting"}, {Text: "I am coming", After: "floods", HangUp: true}}})
	if got := ended.HeardText(); got != "Hi this is Bob I am coming Nobody could come" {
		t.Errorf("the caller heard %q", got)
	}
	child := r.sandbox.Calls()[0]
	if child.ParentSID != ended.SID || child.Direction != "outbound-dial" || child.From != caller1 || child.HeardText() != "Call from HAIEC press 1 Connecting My basement floods" || child.Status != "completed" {
		t.Errorf("the owner's call: %+v", child)
	}
	next := k.got("/next")[0]
	if next.Get("DialCallStatus") != "completed" || next.Get("DialBridged") != "true" || next.Get("DialCallSid") != child.SID || next.Get("DialCallDuration") == "0" || next.Get("RecordingUrl") == "" {
		t.Errorf("action: %v", next)
	}
	eventually(t, "four status callbacks and the recording's", func() bool { return len(k.got("/child")) == 4 && len(k.got("/recording")) == 1 })
	for i, want := range []string{"initiated", "ringing", "in-progress", "completed"} {
		if got := k.got("/child")[i]; got.Get("CallStatus") != want || got.Get("CallSid") != child.SID || got.Get("ParentCallSid") != ended.SID {
			t.Errorf("callback %d: %v", i, got)
		}
	}
	listed, err := r.twilio.ListCall((&api.ListCallParams{}).SetParentCallSid(ended.SID))
	if err != nil || len(listed) != 1 || *listed[0].Sid != child.SID || *listed[0].ParentCallSid != ended.SID {
		t.Errorf("%v %+v", err, listed)
	}
}

func TestTransferNotAccepted(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		phone  sandbox.Phone
		status string
		hears  string // the phone's owner
	}{
		"presses nothing": {sandbox.Phone{Number: owner}, "no-answer", "Call from HAIEC press 1"},
		"voicemail":       {sandbox.Phone{Number: owner, Answers: sandbox.AnswersVoicemail}, "no-answer", "Call from HAIEC press 1"},
		"busy":            {sandbox.Phone{Number: owner, Answers: sandbox.AnswersBusy}, "busy", ""},
		"never answers":   {sandbox.Phone{Number: owner, Answers: sandbox.AnswersNever}, "no-answer", ""},
		"answers late":    {sandbox.Phone{Number: owner, AnswersAfterMS: 25_000}, "no-answer", ""},
		"cannot be had":   {sandbox.Phone{Number: owner, Answers: sandbox.AnswersFailed}, "failed", ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r, k, ended := transferring(t, "", c.phone)
			if ended.HeardText() != "Nobody could come" {
				t.Errorf("the caller heard %q", ended.HeardText())
			}
			next := k.got("/next")[0]
			if next.Get("DialCallStatus") != c.status || next.Get("DialBridged") != "false" {
				t.Errorf("action: %v", next)
			}
			if child := r.sandbox.Calls()[0]; child.HeardText() != c.hears {
				t.Errorf("the owner heard %q", child.HeardText())
			}
		})
	}
}

// TestCallerLeavesWhileRinging: the phone stops ringing, and the action is asked all the same.
func TestCallerLeavesWhileRinging(t *testing.T) {
	t.Parallel()
	r, k := fast(t, map[string]string{"/voice": `<Say>Wait</Say><Dial action="/next">` + owner + `</Dial>`})
	if err := r.sandbox.SetPhone(sandbox.Phone{Number: owner, Answers: sandbox.AnswersNever}); err != nil {
		t.Fatal(err)
	}
	call := caller.Ring(t, r.url, haiec, caller1)
	eventually(t, "the phone to ring", func() bool { return r.sandbox.Calls()[0].Status == "ringing" })
	call.HangsUp()
	if child := r.sandbox.Calls()[0]; child.Status != "canceled" || child.EndedAt == nil {
		t.Errorf("the phone: %+v", child)
	}
	eventually(t, "the action", func() bool { return len(k.got("/next")) == 1 })
	if got := k.got("/next")[0]; got.Get("CallStatus") != "completed" || got.Get("DialCallStatus") != "canceled" {
		t.Errorf("action: %v", got)
	}
}

func TestFirstToAcceptIsConnected(t *testing.T) {
	t.Parallel()
	r, k := fast(t, map[string]string{"/voice": `<Dial action="/next"><Number>` + owner + `</Number><Number>` + oncall + `</Number></Dial>`})
	for _, p := range []sandbox.Phone{{Number: owner, Answers: sandbox.AnswersNever}, {Number: oncall, Say: []sandbox.Line{{Text: "Alice here", Barge: true, HangUp: true}}}} {
		if err := r.sandbox.SetPhone(p); err != nil {
			t.Fatal(err)
		}
	}
	if ended := caller.Ring(t, r.url, haiec, caller1).Ends(); ended.HeardText() != "Alice here" {
		t.Errorf("heard %q", ended.HeardText())
	}
	statuses := map[string]string{}
	for _, c := range r.sandbox.Calls() {
		statuses[c.To] = c.Status
	}
	if statuses[owner] != "canceled" || statuses[oncall] != "completed" || len(k.got("/next")) != 1 {
		t.Errorf("%v", statuses)
	}
}

func TestConference(t *testing.T) {
	t.Parallel()
	r, k := fast(t, map[string]string{
		"/voice": `<Dial action="/next"><Conference endConferenceOnExit="true" statusCallback="/room" statusCallbackEvent="join leave end">help</Conference></Dial>`,
		"/next":  `<Say>Over</Say>`,
	})
	first := caller.Ring(t, r.url, haiec, caller1)
	second := caller.Ring(t, r.url, haiec, oncall)
	eventually(t, "both to be in", func() bool { return len(k.got("/room")) == 2 })
	first.Says("Is anybody here")
	second.Hears("is anybody here")
	second.Says("Yes I am")
	first.Hears("yes i am")
	second.HangsUp()
	first.Hears("over")
	first.Ends()
	eventually(t, "the room to close", func() bool { return len(k.got("/room")) >= 5 })
}

// TestPlacedCall: a call that the API places, with all its status callbacks.
func TestPlacedCall(t *testing.T) {
	t.Parallel()
	r, k := fast(t, map[string]string{"/outbound": `<Say>Your appointment is tomorrow</Say>`})
	if err := r.sandbox.SetPhone(sandbox.Phone{Number: owner}); err != nil {
		t.Fatal(err)
	}
	p := (&api.CreateCallParams{}).SetTo(owner).SetFrom(haiec).SetUrl(k.url + "/outbound").SetStatusCallback(k.url + "/placed").SetStatusCallbackEvent([]string{"initiated", "ringing", "answered", "completed"})
	placed, err := r.twilio.CreateCall(p)
	if err != nil {
		t.Fatal(err)
	}
	eventually(t, "four callbacks", func() bool { return len(k.got("/placed")) == 4 })
	if c, _ := r.sandbox.Call(*placed.Sid); c.HeardText() != "Your appointment is tomorrow" || c.Status != "completed" || c.EndReason != sandbox.EndTwiML {
		t.Errorf("%+v", c)
	}
	if got := k.got("/outbound")[0]; got.Get("CallStatus") != "in-progress" || got.Get("Direction") != "outbound-api" || got.Get("From") != haiec {
		t.Errorf("%v", got)
	}
}
