// Package agent is the AI receptionist: its settings, what it is told, and the tools it uses on the tenant's diary,
// contacts and messages. It knows no HTTP, no socket and no model: the voice bridge, texting and scenarios speak for it.
package agent

// Settings is how a tenant's receptionist behaves: agent_versions.settings. Validate says what is wrong with one, Defaults
// what a new tenant begins with. Durations carry their unit in their name; dates and times are the tenant's own.
type Settings struct {
	BusinessName       string      `json:"business_name" minLength:"1" maxLength:"120" example:"HAIEC" doc:"Said by the receptionist"`
	Description        string      `json:"description" maxLength:"2000" doc:"What the business does, where, for whom"`
	Greeting           string      `json:"greeting" minLength:"1" maxLength:"500" doc:"First words of a call"`
	AfterHoursGreeting string      `json:"after_hours_greeting" maxLength:"500" doc:"First words outside business hours; empty for the ordinary ones"`
	Voice              string      `json:"voice" maxLength:"40" example:"marin" doc:"The model's voice; empty for Kestrel's own choice"`
	Languages          []string    `json:"languages" nullable:"false" minItems:"1" maxItems:"8" example:"[\"en\",\"es\"]" doc:"ISO 639-1; the first is spoken until the caller speaks another of them"`
	Services           []Service   `json:"services" nullable:"false" maxItems:"50"`
	Knowledge          []Knowledge `json:"knowledge" nullable:"false" maxItems:"100" doc:"What the receptionist may tell callers"`
	Hours              Hours       `json:"hours"`
	Booking            Booking     `json:"booking"`
	Transfers          []Transfer  `json:"transfers" nullable:"false" maxItems:"20"`
	Emergencies        []Emergency `json:"emergencies" nullable:"false" maxItems:"20"`
	Recording          Recording   `json:"recording"`
	BlockList          []string    `json:"block_list" nullable:"false" maxItems:"1000" doc:"E.164 numbers whose calls are rejected; see routing.blocked"`
	VAD                VAD         `json:"vad"`
	Limits             Limits      `json:"limits"`
	Routing            Routing     `json:"routing"`
	Notify             Notify      `json:"notify"`
	SMS                SMS         `json:"sms"`
	ListenIn           bool        `json:"listen_in" doc:"Owners and admins may listen to live calls"`
}

// Service is something a caller may book or ask for.
type Service struct {
	Name        string `json:"name" minLength:"1" maxLength:"120" example:"Furnace repair"`
	Description string `json:"description" maxLength:"1000"`
	Minutes     int    `json:"minutes" minimum:"0" maximum:"1440" doc:"Length of its appointment; 0 for the booking slot's"`
	Price       string `json:"price" maxLength:"120" example:"$89 call-out, then by the hour" doc:"As it may be told to callers; empty: no price is told"`
}

// Knowledge is one thing the receptionist knows about the business.
type Knowledge struct {
	Title string `json:"title" minLength:"1" maxLength:"120" example:"Service area"`
	Text  string `json:"text" minLength:"1" maxLength:"4000"`
}

// Hours are when the business is open, in the tenant's timezone. A day without an entry is closed.
type Hours struct {
	Weekly   []Opening `json:"weekly" nullable:"false" maxItems:"28" doc:"May hold a day more than once, for a lunch break"`
	Holidays []Holiday `json:"holidays" nullable:"false" maxItems:"100"`
}

// Opening is one stretch of a weekday; one past midnight is two.
type Opening struct {
	Day    string `json:"day" enum:"monday,tuesday,wednesday,thursday,friday,saturday,sunday"`
	Opens  string `json:"opens" pattern:"^([01][0-9]|2[0-3]):[0-5][0-9]$" example:"08:00"`
	Closes string `json:"closes" pattern:"^(([01][0-9]|2[0-3]):[0-5][0-9]|24:00)$" example:"17:00" doc:"Exclusive; 24:00 is midnight"`
}

// Holiday is a date that has hours of its own, or none.
type Holiday struct {
	Date   string `json:"date" format:"date" example:"2026-12-25"`
	Name   string `json:"name" maxLength:"80" example:"Christmas Day"`
	Opens  string `json:"opens,omitempty" maxLength:"5" example:"09:00" doc:"With closes: open all the same, in these hours"`
	Closes string `json:"closes,omitempty" maxLength:"5" example:"12:00"`
}

// Booking is how appointments are given.
type Booking struct {
	Enabled       bool `json:"enabled"`
	SlotMinutes   int  `json:"slot_minutes" minimum:"5" maximum:"1440" example:"60" doc:"Length of an appointment, and the grid that starts are offered on"`
	LeadMinutes   int  `json:"lead_minutes" minimum:"0" maximum:"43200" doc:"Least time from now to an appointment"`
	BufferMinutes int  `json:"buffer_minutes" minimum:"0" maximum:"480" doc:"Kept free after each appointment"`
	Capacity      int  `json:"capacity" minimum:"1" maximum:"50" doc:"Appointments that can run side by side"`
	HorizonDays   int  `json:"horizon_days" minimum:"1" maximum:"365" doc:"How far ahead one may book"`
}

// Transfer is somebody to whom a call may be handed.
type Transfer struct {
	Name   string `json:"name" minLength:"1" maxLength:"80" example:"Service desk"`
	Number string `json:"number" maxLength:"16" example:"+18575550123" doc:"E.164; never a number of Kestrel's"`
	When   string `json:"when" maxLength:"500" example:"The caller asks about an invoice"`
}

// Emergency is what must not wait.
type Emergency struct {
	Words  []string `json:"words" nullable:"false" minItems:"1" maxItems:"30" example:"[\"gas\",\"smell of gas\"]"`
	Action string   `json:"action" enum:"transfer,text"`
	Number string   `json:"number" maxLength:"16" example:"+18575550199" doc:"E.164 of whoever is on call; empty for the tenant's forward number"`
	Advice string   `json:"advice" maxLength:"500" example:"Leave the house and call 911." doc:"Told to the caller first"`
}

// Recording is whether calls are recorded, and for how long they are kept.
type Recording struct {
	Enabled        bool   `json:"enabled"`
	ConsentText    string `json:"consent_text" maxLength:"500" example:"This call is recorded." doc:"Said before the greeting where recording is on; never empty then"`
	KeepDays       int    `json:"keep_days" minimum:"1" maximum:"3650"`
	DeleteAtTwilio bool   `json:"delete_at_twilio"`
}

// VAD is how the model notices that the caller speaks (OpenAI Realtime turn_detection).
type VAD struct {
	Type            string  `json:"type" enum:"server_vad,semantic_vad"`
	Threshold       float64 `json:"threshold" minimum:"0" maximum:"1" doc:"server_vad: higher for noisy surroundings"`
	PrefixPaddingMS int     `json:"prefix_padding_ms" minimum:"0" maximum:"2000" doc:"server_vad: audio kept from before speech was noticed"`
	SilenceMS       int     `json:"silence_ms" minimum:"100" maximum:"5000" example:"500" doc:"server_vad: silence that ends a turn"`
	Eagerness       string  `json:"eagerness" enum:"auto,low,medium,high" doc:"semantic_vad: how soon the receptionist answers"`
	NoiseReduction  string  `json:"noise_reduction" enum:"near_field,far_field,off"`
	Interruptible   bool    `json:"interruptible" doc:"The caller's speech stops the receptionist's"`
}

// Limits bound a call.
type Limits struct {
	MaxCallSeconds  int `json:"max_call_seconds" minimum:"60" maximum:"7200" example:"1200"`
	SilenceSeconds  int `json:"silence_seconds" minimum:"5" maximum:"300" example:"20" doc:"Nobody speaks for so long: the call ends, after being asked for"`
	ConcurrentCalls int `json:"concurrent_calls" minimum:"1" maximum:"100"`
}

// Ways a call may go (Routing).
const (
	ToAgent     = "agent"
	ToForward   = "forward"   // the tenant's forward number, else voicemail
	ToVoicemail = "voicemail" // a recorded message
	ToMessage   = "message"   // a polite sentence, then the end
	ToReject    = "reject"    // not answered at all
)

// Routing is where a call goes when something is not as usual.
type Routing struct {
	AfterHours  string `json:"after_hours" enum:"agent,forward,voicemail,message" doc:"Outside business hours"`
	OverLimit   string `json:"over_limit" enum:"agent,forward,voicemail,message" doc:"The plan's calls are used up"`
	Suspended   string `json:"suspended" enum:"forward,voicemail,message" doc:"The tenant is suspended or cancelled"`
	Concurrency string `json:"concurrency" enum:"forward,voicemail,message" doc:"All lines are busy"`
	Unavailable string `json:"unavailable" enum:"forward,voicemail,message" doc:"The model cannot be reached"`
	Blocked     string `json:"blocked" enum:"reject,voicemail,message" doc:"The caller is on the block list"`
	NoForward   string `json:"no_forward" enum:"voicemail,message" doc:"To be forwarded, and there is no forward number, or it is Kestrel's own"`
}

// What the owner may be told of (Notify.When).
const (
	WhenMessage     = "message"
	WhenBooked      = "booked"
	WhenRescheduled = "rescheduled"
	WhenCancelled   = "cancelled"
	WhenEmergency   = "emergency"
	WhenMissed      = "missed"
	WhenEveryCall   = "every_call"
)

// Notify is how the owner hears of what happened.
type Notify struct {
	Email string   `json:"email" maxLength:"254" doc:"Address; empty for the owner's"`
	SMS   string   `json:"sms" maxLength:"16" doc:"E.164; empty for no texts"`
	When  []string `json:"when" nullable:"false" maxItems:"7" enum:"message,booked,rescheduled,cancelled,emergency,missed,every_call"`
}

// SMS is what happens to texts that come in.
type SMS struct {
	Answer         bool `json:"answer" doc:"The receptionist answers them"`
	ForwardToOwner bool `json:"forward_to_owner"`
}
