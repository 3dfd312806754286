package sandbox_test

import (
	"encoding/json"
	"strings"
	"testing"

	"kestrel.ai/server/sandbox"
	"kestrel.ai/server/sandbox/caller"
)

// TestScriptedCallerIsPolite: each line waits for the other side to finish, however long it talks, and the caller leaves
// three seconds after the last answer.
func TestScriptedCallerIsPolite(t *testing.T) {
	t.Parallel()
	long := strings.TrimSpace(strings.Repeat("word ", 60)) // 18 s, more than a caller's patience with silence
	r, _ := fast(t, map[string]string{
		"/voice": `<Gather input="speech" action="/then"><Say>` + long + `</Say></Gather>`,
		"/then":  `<Say>` + long + `</Say><Pause length="60"/>`,
	})
	var made sandbox.Call
	r.call("POST", "/_sandbox/calls", `{"to":"`+haiec+`","from":"`+caller1+`","say":["book me"]}`, 201, &made)
	var ended sandbox.Call
	eventually(t, "the caller to leave", func() bool { ended, _ = r.sandbox.Call(made.SID); return ended.EndedAt != nil })
	if ended.EndReason != sandbox.EndPartyHungUp || len(ended.Heard) != 120 {
		t.Fatalf("%s after %d words", ended.EndReason, len(ended.Heard))
	}
	said, last := ended.Transcript[1], ended.Heard[119].AtMS
	if said.Text != "book me" || said.FromMS < ended.Heard[59].AtMS+500 {
		t.Errorf("spoke at %d ms, the last word was at %d", said.FromMS, ended.Heard[59].AtMS)
	}
	if left := ended.EndedAt.Sub(*ended.AnswerAt).Milliseconds(); left < last+2900 || left > last+6000 {
		t.Errorf("left at %d ms, the last word was at %d", left, last)
	}
}

func TestSilenceIsNotWaitedForForEver(t *testing.T) {
	t.Parallel()
	r, _ := fast(t, map[string]string{"/voice": `<Say/><Pause length="600"/>`})
	call := caller.Ring(t, r.url, haiec, caller1, caller.Saying(
		sandbox.Line{Text: "Hello"}, sandbox.Line{Text: "Anybody", After: "never said"}, sandbox.Line{WaitMS: 500}, sandbox.Line{Digits: "1w2"}, sandbox.Line{HangUp: true, Barge: true}))
	ended := call.Ends()
	if len(ended.Transcript) != 2 || ended.Transcript[0].FromMS < 10_000 || ended.Transcript[1].FromMS < 40_000 {
		t.Errorf("%+v", ended.Transcript)
	}
	if len(ended.Errors) != 1 || !strings.Contains(ended.Errors[0].Message, "never said") {
		t.Errorf("%+v", ended.Errors)
	}
	keys := ""
	for _, v := range ended.Verbs {
		if v.Verb == "digit" {
			keys += v.Detail
		}
	}
	if keys != "12" {
		t.Errorf("pressed %q", keys)
	}
}

func TestLinesInJSON(t *testing.T) {
	t.Parallel()
	var lines []sandbox.Line
	if err := json.Unmarshal([]byte(`["Hello", {"text":"Stop","barge":true,"wait_ms":5}, {"digits":"12#"}, {"wait_ms":9}, {"hang_up":true}, {"after":"name","text":"Ada"}]`), &lines); err != nil {
		t.Fatal(err)
	}
	if len(lines) != 6 || lines[0].Text != "Hello" || !lines[1].Barge || lines[2].Digits != "12#" || lines[3].WaitMS != 9 || !lines[4].HangUp || lines[5].After != "name" {
		t.Errorf("%+v", lines)
	}
	for _, bad := range []string{`[1]`, `[{"texts":"a"}]`, `[{"digits":"1a"}]`, `[{"wait_ms":-1}]`} {
		if err := json.Unmarshal([]byte(bad), &lines); err == nil {
			t.Errorf("%s is taken", bad)
		}
	}
}

func TestControlOfCallsRefuses(t *testing.T) {
	t.Parallel()
	r, _ := fast(t, map[string]string{"/voice": `<Pause length="6000"/>`})
	const good = `"to":"` + haiec + `","from":"` + caller1 + `"`
	for body, want := range map[string]struct {
		status int
		field  string
	}{
		`{"to":"` + haiec + `","from":"Anna"}`:              {422, "from"},
		`{"to":"` + haiec + `"}`:                            {422, "from"},
		`{"from":"` + caller1 + `"}`:                        {422, "to"},
		`{"to":8573825169,"from":"` + caller1 + `"}`:        {422, "to"},
		`{"to":"+16175550199","from":"` + caller1 + `"}`:    {404, "to"},
		`{` + good + `,"hangup_after_ms":-1}`:               {422, "hangup_after_ms"},
		`{` + good + `,"hangup_after_ms":"soon"}`:           {422, "hangup_after_ms"},
		`{` + good + `,"speed":1000}`:                       {422, "speed"},
		`{` + good + `,"say":[{"loud":true}]}`:              {422, "loud"},
		`{` + good + `,"say":"book me please"}`:             {422, "say"},
		`{` + good + `,"sya":[]}`:                           {422, "sya"},
		`{` + good + `,"say":[{"digits":"call me maybe"}]}`: {422, ""},
		`[]`:    {422, ""},
		`{`:     {422, ""},
		``:      {422, ""},
		`{} {}`: {422, ""},
	} {
		var refused struct {
			Error struct{ Code, Message, Field string }
		}
		r.call("POST", "/_sandbox/calls", body, want.status, &refused)
		if refused.Error.Field != want.field || refused.Error.Message == "" || refused.Error.Code == "" {
			t.Errorf("%s: %+v", body, refused)
		}
	}
	var made sandbox.Call
	r.call("POST", "/_sandbox/calls", `{"to":"`+haiec+`","from":"`+caller1+`"}`, 201, &made)
	at := "/_sandbox/calls/" + made.SID
	r.call("POST", at+"/digits", `{"digits":"x"}`, 422, nil)
	r.call("POST", at+"/say", `{"text":"a","loud":true}`, 422, nil)
	r.call("POST", at+"/say", `{"lines":["a",{"text":"b"}]}`, 200, nil)
	r.call("GET", at+"?rev=x", "", 422, nil)
	r.call("GET", "/_sandbox/calls/CA0", "", 404, nil)
	r.call("POST", "/_sandbox/calls/CA0/say", `{"text":"a"}`, 404, nil)
	r.call("POST", "/_sandbox/phones/617", `{"answers":true}`, 422, nil)
	r.call("POST", "/_sandbox/phones/"+owner, `{"answers":"perhaps"}`, 422, nil)
	for answers, want := range map[string]sandbox.Answers{"true": sandbox.AnswersPerson, "false": sandbox.AnswersNever, `"voicemail"`: sandbox.AnswersVoicemail} {
		var p sandbox.Phone
		r.call("POST", "/_sandbox/phones/"+owner, `{"answers":`+answers+`,"digits":"1","say":["Hello"]}`, 200, &p)
		if p.Answers != want || p.Number != owner {
			t.Errorf("%s: %+v", answers, p)
		}
	}
	r.call("POST", at+"/hangup", `{}`, 200, &made)
	if made.EndReason != sandbox.EndPartyHungUp {
		t.Errorf("%+v", made)
	}
	r.call("POST", at+"/hangup", `{}`, 409, nil)
	r.call("POST", at+"/say", `{"text":"a"}`, 409, nil)
}
