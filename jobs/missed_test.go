package jobs_test

import (
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"kestrel.ai/jobs"
)

// happens takes an event of a call in as the journal would.
func (w *world) happens(tenant uuid.UUID, sid, kind, data string) {
	w.t.Helper()
	w.exec(`select private.record_call_event(gen_random_uuid(), $1, $2, '00000000-0000-0000-0000-000000000000', $3, now(), $4::jsonb)`, kind, tenant, sid, data)
}

// unanswered is a call that went elsewhere than to the receptionist.
func (w *world) unanswered(tenant uuid.UUID, route, from string) (sid string, call uuid.UUID) {
	w.t.Helper()
	sid = "CA" + strings.ReplaceAll(uuid.NewString(), "-", "")
	w.happens(tenant, sid, "call.started", `{"route": "`+route+`", "route_reason": "unavailable", "channel": "call", "from": "`+from+`", "to": "`+haiecNumber+`"}`)
	return sid, scan[uuid.UUID](w, `select id from call_logs where call_sid = $1`, sid)
}

func (w *world) ended(call uuid.UUID) string {
	w.t.Helper()
	return scan[string](w, `select concat_ws('|', route, end_reason, outcome) from call_logs where id = $1`, call)
}

// TestForwardedCalls: one that nobody took was missed and is told so; one that a person took was not.
func TestForwardedCalls(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	tenant := w.haiec()
	w.settings(tenant, `{"notify": {"when": ["missed", "message"]}}`)
	w.work(func(d *jobs.Deps) { d.Config.Tuning.VoicemailIn = 300 * time.Millisecond })
	const over = `{"status": "completed", "duration": 31}`
	for name, c := range map[string]struct {
		route, from string
		events      [][2]string
		want        string
		told        string
	}{
		"nobody took it":                 {"forward", "+16175550131", [][2]string{{"call.forwarded", `{"taken": false}`}, {"call.status", over}}, "forward|missed|missed", "Missed call: "},
		"told in the other order":        {"forward", "+16175550132", [][2]string{{"call.status", over}, {"call.forwarded", `{"taken": false}`}}, "forward|missed|missed", "Missed call: "},
		"a person took it":               {"forward", "+16175550133", [][2]string{{"call.forwarded", `{"taken": true}`}, {"call.status", over}}, "forward|forwarded|transferred", ""},
		"who took it, told later":        {"forward", "+16175550134", [][2]string{{"call.status", over}, {"call.forwarded", `{"taken": true}`}}, "forward|forwarded|transferred", ""},
		"the agent could not":            {"agent", "+16175550135", [][2]string{{"call.ended", `{"reason": "model_unreachable"}`}, {"call.forwarded", `{"taken": false}`}, {"call.status", over}}, "agent|model_unreachable|missed", "Missed call: "},
		"the agent could not, owner did": {"agent", "+16175550136", [][2]string{{"call.ended", `{"reason": "model_unreachable"}`}, {"call.forwarded", `{"taken": true}`}, {"call.status", over}}, "agent|model_unreachable|transferred", ""},
		"the agent was cut off":          {"agent", "+16175550137", [][2]string{{"call.answered", `{"channel": "call"}`}, {"call.ended", `{"reason": "model_lost", "agent_seconds": 9}`}, {"call.forwarded", `{"taken": false}`}, {"call.status", over}}, "agent|model_lost|missed", "Missed call: "},
		"a voicemail":                    {"forward", "+16175550138", [][2]string{{"call.forwarded", `{"taken": false}`}, {"call.recording", `{"kind": "voicemail", "recording_sid": "RE8", "duration": 9}`}, {"message.taken", `{"recording_sid": "RE8", "body": "Voicemail of 9 seconds."}`}, {"call.status", over}}, "forward|voicemail|message", "New message: "},
		"hung up before the tone":        {"voicemail", "+16175550139", [][2]string{{"call.status", over}}, "voicemail|missed|missed", "Missed call: "},
	} {
		sid, call := w.unanswered(tenant, c.route, c.from)
		for _, e := range c.events {
			w.happens(tenant, sid, e[0], e[1])
		}
		w.ends("done", "call_notify", call)
		if got := w.ended(call); got != c.want {
			t.Errorf("%s: %s, want %s", name, got, c.want)
		}
		digits := strings.TrimPrefix(c.from, "+1617555")
		if c.told == "" {
			if mails := w.mails("haiec@example.com", digits); len(mails) != 0 {
				t.Errorf("%s: told: %s", name, mails[0].Subject)
			}
			continue
		}
		w.until(name+" to be told", func() bool { return len(w.mails("haiec@example.com", c.told+"(617) 555-"+digits)) == 1 })
	}
}

// TestALateVoicemail: what comes when the call has been told as missed is told as well, once, and makes it no missed call.
func TestALateVoicemail(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	tenant := w.haiec()
	w.settings(tenant, `{"notify": {"when": ["missed", "message"]}}`)
	w.work(func(d *jobs.Deps) { d.Config.Tuning.VoicemailIn = time.Millisecond })
	sid, call := w.unanswered(tenant, "voicemail", annsNumber)
	w.happens(tenant, sid, "call.status", `{"status": "completed", "duration": 31}`)
	w.ends("done", "call_notify", call)
	w.until("the missed call's notice", func() bool { return len(w.mails("haiec@example.com", "Missed call: ")) == 1 })
	for range 2 { // Twilio says so twice
		w.happens(tenant, sid, "call.recording", `{"kind": "voicemail", "recording_sid": "RE1", "duration": 9}`)
		w.happens(tenant, sid, "message.taken", `{"recording_sid": "RE1", "body": "Voicemail of 9 seconds."}`)
	}
	w.until("the voicemail's notice", func() bool { return len(w.mails("haiec@example.com", "New message: ")) == 1 })
	w.until("every notice", func() bool {
		return scan[int](w, `select count(*) from jobs where kind in ('message_notify', 'call_notify', 'email_send', 'call_analyze') and state in ('queued', 'running')`) == 0
	})
	if mail := w.mails("haiec@example.com", "New message: "); len(mail) != 1 || !strings.Contains(mail[0].Text, "Voicemail of 9 seconds.") || !strings.Contains(mail[0].Text, "/calls/"+call.String()) {
		t.Errorf("%+v", mail)
	}
	same(t, "notices", scan[int](w, `select count(*) from email_log where template = 'call_summary'`), 2)
	same(t, "the call", w.ended(call), "voicemail|voicemail|message")
}
