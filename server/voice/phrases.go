package voice

import (
	"strings"
	"time"
	"unicode"

	"kestrel.ai/server/agent"
)

// What the model is asked to say on the bridge's own account. It says it in the language of the conversation.

func say(words string) Reply {
	return Reply{NoTools: true, Instructions: "Say exactly this to the caller, in the language you are speaking with them, and nothing else: " + words}
}

func greeting(p *agent.Profile, now time.Time) Reply {
	return Reply{NoTools: true, Instructions: "The caller has just been connected. Greet them with exactly these words, and nothing else: " + p.Greeting(now)}
}

func stillThere() Reply { return say("Are you still there?") }

func nobodyThere() Reply {
	return say("I cannot hear you, so I will hang up now. Please call again. Goodbye.")
}

func timeRunsOut() Reply {
	return say("Our time on this call is nearly over. Is there anything important that I should note down?")
}

func timeIsUp() Reply {
	return say("Our time on this call is over. Thank you for calling. Goodbye.")
}

func whileWaiting(filler string) Reply {
	if filler == "" {
		filler = "One moment, please."
	}
	return say(filler)
}

var carryOn = Reply{Instructions: "You were interrupted by a noise or by a sound of agreement, not by a question. Carry on from where you were interrupted, without repeating what was heard and without mentioning the interruption."}

// backchannel reports whether words are none, or only show that the caller listens.
func backchannel(words string) bool {
	fields := strings.FieldsFunc(strings.ToLower(words), func(r rune) bool { return !unicode.IsLetter(r) })
	for _, w := range fields {
		switch w {
		case "uh", "huh", "mm", "mhm", "hm", "hmm", "mmhmm", "um", "ah", "oh", "okay", "ok", "right", "yeah", "aha", "ajá", "sí", "claro":
		default:
			return false
		}
	}
	return len(fields) <= 3
}
