package agent

import (
	"fmt"
	"maps"
	"slices"
)

// trade is what an industry's defaults add to everybody's.
type trade struct {
	description string // completes "<name> is …"
	services    []Service
	knowledge   []Knowledge
	emergencies []Emergency
	opens       string
	closes      string
	saturday    string // when it closes on Saturdays; empty: closed
	slot        int
	lead        int
	buffer      int
	capacity    int
}

// Industries lists those that have defaults of their own, sorted; any other begins with those of "generic".
func Industries() []string { return slices.Sorted(maps.Keys(trades())) }

// Defaults is what a tenant of the industry begins with. An unknown industry gets the generic ones.
func Defaults(industry, businessName string) Settings {
	all := trades()
	t, known := all[industry]
	if !known {
		t = all["generic"]
	}
	return Settings{
		BusinessName:       businessName,
		Description:        fmt.Sprintf("%s is %s.", businessName, t.description),
		Greeting:           fmt.Sprintf("Thank you for calling %s. How can I help you today?", businessName),
		AfterHoursGreeting: fmt.Sprintf("Thank you for calling %s. We are closed right now, but I can book an appointment or take a message. How can I help?", businessName),
		Languages:          []string{"en"},
		Services:           t.services,
		Knowledge:          append([]Knowledge{}, t.knowledge...),
		Hours:              Hours{Weekly: t.week(), Holidays: []Holiday{}},
		Booking:            Booking{Enabled: true, SlotMinutes: t.slot, LeadMinutes: t.lead, BufferMinutes: t.buffer, Capacity: t.capacity, HorizonDays: 60},
		Transfers:          []Transfer{},
		Emergencies:        append([]Emergency{}, t.emergencies...),
		Recording:          Recording{Enabled: true, ConsentText: "This call is recorded.", KeepDays: 90},
		BlockList:          []string{},
		VAD: VAD{
			Type: "server_vad", Threshold: 0.5, PrefixPaddingMS: 300, SilenceMS: 500, Eagerness: "auto",
			NoiseReduction: "near_field", Interruptible: true,
		},
		Limits:  Limits{MaxCallSeconds: 1200, SilenceSeconds: 20, ConcurrentCalls: 5},
		Routing: Routing{AfterHours: ToAgent, OverLimit: ToForward, Suspended: ToMessage, Concurrency: ToForward, Unavailable: ToForward, Blocked: ToReject, NoForward: ToVoicemail},
		Notify:  Notify{When: []string{WhenMessage, WhenBooked, WhenRescheduled, WhenCancelled, WhenEmergency}},
		SMS:     SMS{Answer: true},
	}
}

func (t trade) week() []Opening {
	var week []Opening
	for _, day := range Weekdays[:5] {
		week = append(week, Opening{Day: day, Opens: t.opens, Closes: t.closes})
	}
	if t.saturday != "" {
		week = append(week, Opening{Day: "saturday", Opens: t.opens, Closes: t.saturday})
	}
	return week
}

func trades() map[string]trade {
	gas := Emergency{Words: []string{"gas leak", "smell gas", "smell of gas", "carbon monoxide"}, Action: "transfer", Advice: "Leave the building now, touch no switches, and call 911 from outside."}
	area := Knowledge{Title: "Service area", Text: "Tell us your address and zip code, and we confirm before the visit whether you are within our service area."}
	return map[string]trade{
		"hvac": {
			description: "a heating, ventilation and air-conditioning company",
			services: []Service{
				{Name: "Heating repair", Minutes: 120}, {Name: "Air-conditioning repair", Minutes: 120},
				{Name: "Maintenance tune-up", Minutes: 60}, {Name: "Installation estimate", Description: "A visit to look and to name a price.", Minutes: 60},
			},
			knowledge:   []Knowledge{area},
			emergencies: []Emergency{gas, {Words: []string{"no heat", "heat is out", "furnace is dead", "frozen pipes"}, Action: "transfer", Advice: "I am connecting you with our on-call technician."}},
			opens:       "08:00", closes: "17:00", saturday: "12:00", slot: 60, lead: 120, buffer: 30, capacity: 2,
		},
		"plumbing": {
			description: "a plumbing company",
			services: []Service{
				{Name: "Leak repair", Minutes: 90}, {Name: "Drain cleaning", Minutes: 60}, {Name: "Water heater service", Minutes: 120},
				{Name: "Fixture installation", Minutes: 120}, {Name: "Estimate", Minutes: 60},
			},
			knowledge:   []Knowledge{area},
			emergencies: []Emergency{gas, {Words: []string{"flooding", "flooded", "burst pipe", "sewage", "water everywhere"}, Action: "transfer", Advice: "If you can do so safely, close the main water valve."}},
			opens:       "07:00", closes: "17:00", saturday: "12:00", slot: 60, lead: 120, buffer: 30, capacity: 2,
		},
		"electrical": {
			description: "an electrical contractor",
			services: []Service{
				{Name: "Electrical repair", Minutes: 90}, {Name: "Panel inspection", Minutes: 60}, {Name: "Lighting or outlet installation", Minutes: 120},
				{Name: "Car charger estimate", Minutes: 60},
			},
			knowledge:   []Knowledge{area},
			emergencies: []Emergency{{Words: []string{"sparks", "sparking", "burning smell", "electric shock", "electrical fire"}, Action: "transfer", Advice: "Stay away from it. If there is fire or smoke, leave the building and call 911."}},
			opens:       "08:00", closes: "17:00", slot: 60, lead: 120, buffer: 30, capacity: 2,
		},
		"dental": {
			description: "a dental practice",
			services: []Service{
				{Name: "Check-up and cleaning", Minutes: 60}, {Name: "New patient examination", Minutes: 60}, {Name: "Toothache", Minutes: 30}, {Name: "Filling", Minutes: 60},
			},
			knowledge:   []Knowledge{{Title: "Insurance", Text: "Coverage depends on your plan. Tell us your insurer, and the office confirms your coverage before the visit."}},
			emergencies: []Emergency{{Words: []string{"knocked out tooth", "knocked-out tooth", "heavy bleeding", "swollen face", "cannot breathe", "can't breathe"}, Action: "transfer", Advice: "If breathing or swallowing is hard, call 911 now."}},
			opens:       "08:00", closes: "17:00", slot: 30, lead: 120, buffer: 0, capacity: 2,
		},
		"legal": {
			description: "a law firm",
			services:    []Service{{Name: "Initial consultation", Minutes: 30}, {Name: "Client meeting", Minutes: 60}},
			knowledge:   []Knowledge{{Title: "Before a consultation", Text: "Legal advice is given by an attorney at a consultation, not on this call, and a call alone makes nobody a client. To check for conflicts of interest we need your name, the other party's name and the kind of matter."}},
			emergencies: []Emergency{{Words: []string{"arrested", "in custody", "court today", "restraining order"}, Action: "transfer", Advice: "Say nothing about the matter to anybody until you have spoken with the attorney."}},
			opens:       "09:00", closes: "17:00", slot: 30, lead: 240, buffer: 0, capacity: 1,
		},
		"salon": {
			description: "a hair and beauty salon",
			services: []Service{
				{Name: "Haircut", Minutes: 45}, {Name: "Color", Minutes: 120}, {Name: "Blow-dry", Minutes: 45}, {Name: "Manicure", Minutes: 45},
			},
			opens: "09:00", closes: "18:00", saturday: "16:00", slot: 15, lead: 60, buffer: 0, capacity: 3,
		},
		"generic": {
			description: "a local business",
			services:    []Service{{Name: "Appointment", Minutes: 0}, {Name: "Estimate", Minutes: 0}},
			emergencies: []Emergency{{Words: []string{"emergency", "fire", "life threatening", "life-threatening"}, Action: "transfer", Advice: "If anybody is in danger, hang up and call 911."}},
			opens:       "09:00", closes: "17:00", slot: 60, lead: 120, buffer: 0, capacity: 1,
		},
	}
}
