package sandbox_test

import (
	"encoding/binary"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	api "github.com/twilio/twilio-go/rest/api/v2010"

	"kestrel.ai/server/sandbox"
	"kestrel.ai/server/sandbox/caller"
)

// fetchMedia is what a client with these credentials gets.
func fetchMedia(t *testing.T, url, token string) (int, string, []byte) {
	t.Helper()
	req, err := http.NewRequest(http.MethodGet, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	req.SetBasicAuth(sandbox.DefaultAccountSID, token)
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, resp.Header.Get("Content-Type"), body
}

// channel is the words in one channel of a WAV file of µ-law.
func channel(t *testing.T, wav []byte, n int) string {
	t.Helper()
	if string(wav[:4]) != "RIFF" || string(wav[8:16]) != "WAVEfmt " || int(binary.LittleEndian.Uint32(wav[4:])) != len(wav)-8 {
		t.Fatalf("not a WAV file: %q", wav[:44])
	}
	format, channels := binary.LittleEndian.Uint16(wav[20:]), int(binary.LittleEndian.Uint16(wav[22:]))
	if format != 7 || binary.LittleEndian.Uint32(wav[24:]) != 8000 {
		t.Fatalf("format %d", format)
	}
	data := strings.Index(string(wav), "data")
	var ear ear
	var samples []byte
	for i, b := range wav[data+8:] {
		if i%channels == n {
			samples = append(samples, b)
		}
	}
	ear.hear(samples)
	return ear.text
}

func TestCallRecording(t *testing.T) {
	t.Parallel()
	for _, state := range []string{"", filepath.Join(t.TempDir(), "sandbox.jsonl")} {
		r, k := line(t, sandbox.Options{Speed: 20, StateFile: state}, map[string]string{"/voice": `<Response><Pause length="1"/><Say>Hello</Say><Pause length="60"/><Say>Bye</Say></Response>`})
		call := caller.Ring(t, r.url, haiec, caller1)
		call.Until("the answer", func(c sandbox.Call) bool { return c.AnswerAt != nil })
		made, err := r.twilio.CreateCallRecording(call.SID, (&api.CreateCallRecordingParams{}).SetRecordingChannels("dual").SetRecordingStatusCallback(k.url+"/recording").SetRecordingStatusCallbackEvent([]string{"in-progress completed"}))
		if err != nil || *made.Status != "in-progress" || made.Channels != 2 || *made.Source != "StartCallRecordingAPI" {
			t.Fatalf("%v %+v", err, made)
		}
		call.Says("Please fix my boiler")
		ended := call.HangsUp()
		eventually(t, "both callbacks", func() bool { return len(k.got("/recording")) == 2 })
		begun, done := k.got("/recording")[0], k.got("/recording")[1]
		if begun.Get("RecordingStatus") != "in-progress" || done.Get("RecordingStatus") != "completed" || done.Get("RecordingSid") != *made.Sid || done.Get("RecordingChannels") != "2" || done.Get("CallSid") != ended.SID || done.Get("RecordingDuration") == "0" {
			t.Errorf("callbacks: %v %v", begun, done)
		}
		location := done.Get("RecordingUrl")
		for _, suffix := range []string{"", ".wav"} {
			status, kind, wav := fetchMedia(t, location+suffix, sandbox.DefaultAuthToken)
			if status != 200 || kind != "audio/x-wav" {
				t.Fatalf("the media: %d %s", status, kind)
			}
			if left := channel(t, wav, 0); left != "Please fix my boiler" {
				t.Errorf("the caller's channel: %q", left)
			}
			if right := channel(t, wav, 1); !strings.HasPrefix("Hello", right) {
				t.Errorf("the other channel: %q", right)
			}
		}
		if status, _, _ := fetchMedia(t, location, "wrong"); status != 401 {
			t.Errorf("without credentials: %d", status)
		}
		if status, _, _ := fetchMedia(t, location+".mp3", sandbox.DefaultAuthToken); status != 404 {
			t.Errorf("mp3: %d", status)
		}
		if listed, err := r.twilio.ListCallRecording(call.SID, nil); err != nil || len(listed) != 1 || *listed[0].Status != "completed" {
			t.Errorf("%v %+v", err, listed)
		}
		if all, err := r.twilio.ListRecording((&api.ListRecordingParams{}).SetCallSid(call.SID)); err != nil || len(all) != 1 || *all[0].MediaUrl != location {
			t.Errorf("%v %+v", err, all)
		}
		if err := r.twilio.DeleteRecording(*made.Sid, nil); err != nil {
			t.Fatal(err)
		}
		if status, _, _ := fetchMedia(t, location, sandbox.DefaultAuthToken); status != 404 {
			t.Errorf("a deleted recording's media: %d", status)
		}
		_, err = r.twilio.FetchRecording(*made.Sid, nil)
		wantTwilioCode(t, err, 404, 20404)
		wantTwilioCode(t, r.twilio.DeleteRecording(*made.Sid, nil), 404, 20404)
		if files, _ := os.ReadDir(state + ".recordings"); state != "" && len(files) != 0 {
			t.Errorf("left behind: %v", files)
		}
		_, err = r.twilio.CreateCallRecording(call.SID, nil)
		wantTwilioCode(t, err, 400, 21220)
	}
}

func TestRecordingPausesAndStops(t *testing.T) {
	t.Parallel()
	r, _ := line(t, sandbox.Options{Speed: 10}, map[string]string{"/voice": `<Response><Say>Hello</Say><Pause length="600"/></Response>`})
	call := caller.Ring(t, r.url, haiec, caller1)
	made, err := r.twilio.CreateCallRecording(call.SID, nil)
	if err != nil {
		t.Fatal(err)
	}
	update := func(status string) {
		t.Helper()
		if _, err := r.twilio.UpdateCallRecording(call.SID, "Twilio.CURRENT", (&api.UpdateCallRecordingParams{}).SetStatus(status)); err != nil {
			t.Fatal(err)
		}
	}
	call.Says("one")
	update("paused")
	call.Says("two")
	update("in-progress")
	call.Says("three")
	update("stopped")
	call.Says("four")
	call.HangsUp()
	_, _, wav := fetchMedia(t, r.url+"/2010-04-01/Accounts/"+sandbox.DefaultAccountSID+"/Recordings/"+*made.Sid, sandbox.DefaultAuthToken)
	if got := channel(t, wav, 0); !strings.Contains(got, "one three") || strings.Contains(got, "two") || strings.Contains(got, "four") {
		t.Errorf("recorded %q", got)
	}
}

func TestVoicemail(t *testing.T) {
	t.Parallel()
	r, k := fast(t, map[string]string{"/voice": `<Say>Leave a message</Say><Record action="/left" maxLength="60" finishOnKey="#" recordingStatusCallback="/recording"/>`, "/left": `<Say>Thanks</Say>`})
	caller.Ring(t, r.url, haiec, caller1, caller.Saying(sandbox.Line{Text: "Call me back please"}, sandbox.Line{HangUp: true, WaitMS: 100})).Ends()
	eventually(t, "the message", func() bool { return len(k.got("/left")) == 1 && len(k.got("/recording")) == 1 })
	got := k.got("/left")[0]
	if got.Get("RecordingSid") == "" || got.Get("RecordingDuration") == "0" {
		t.Errorf("%v", got)
	}
	_, _, wav := fetchMedia(t, got.Get("RecordingUrl"), sandbox.DefaultAuthToken)
	if words := channel(t, wav, 0); words != "Call me back please" {
		t.Errorf("the message says %q", words)
	}
}
