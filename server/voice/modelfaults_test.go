package voice_test

import (
	"testing"

	"kestrel.ai/server/sandbox"
	"kestrel.ai/server/sandbox/caller"
	"kestrel.ai/server/voice"
)

// TestModelFaults: what can go wrong at the model goes wrong in mid-call, at its wire, and the caller is answered all the same.
func TestModelFaults(t *testing.T) {
	t.Parallel()
	const heard = "client input_audio_buffer.append"
	for name, f := range map[string]sandbox.Fault{
		"session expires":        {Match: heard, Do: "expire"},
		"connection drops":       {Match: heard, Do: "drop"},
		"rate limit":             {Match: "client response.create", Do: "fail", Code: "rate_limit_exceeded"},
		"request refused":        {Match: "client response.create", Do: "error", Code: "rate_limit_exceeded"},
		"response fails":         {Match: "client response.create", Do: "fail", Code: "server_error"},
		"an error of no concern": {Match: heard, Do: "error", Code: "invalid_value"},
		"late":                   {Match: "server response.created", Do: "delay", DelayMS: 300},
		"goes silent":            {Match: "server response.created", Do: "silent"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			o := newOffice(t)
			o.settings("haiec", `{`+openAlways+`}`)
			call := caller.Ring(t, o.vendor, haiec, aCaller)
			call.Hears("how can I help you today")
			f.Service = "openai"
			_, err := o.sandbox.AddFault(f)
			o.must(err)
			call.Says("When are you open?")
			if f.Do == "silent" { // nothing brings that session back: somebody else takes the call
				call.Until("to be forwarded", func(c sandbox.Call) bool { return len(c.Verbs) > 0 && c.Verbs[len(c.Verbs)-1].Verb == "Dial" })
				call.HangsUp()
				o.row(`select end_reason = $1 from call_logs`, string(voice.ModelSilent))
				return
			}
			call.Hears("hours")
			if o.sandbox.Faults()[0].Hits != 1 {
				t.Error("the fault did not happen")
			}
			call.HangsUp()
			o.row(`select end_reason = $1 from call_logs`, string(voice.CallerHungUp))
		})
	}
}

// TestInterruption: who speaks into the agent's words is heard, and the transcript says so.
func TestInterruption(t *testing.T) {
	t.Parallel()
	o := newOffice(t)
	o.settings("haiec", `{`+openAlways+`}`)
	call := caller.Ring(t, o.vendor, haiec, aCaller, caller.Speed(2))
	call.Hears("thank you")
	call.Interrupts("When are you open? When are you open?")
	call.Hears("hours")
	call.HangsUp()
	o.row(`select count(*) >= 1 from call_turns where speaker = 'agent' and interrupted`)
}
