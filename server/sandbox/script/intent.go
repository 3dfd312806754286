package script

// intent is what a caller wants by what they say; empty if that cannot be told from these words alone.
func intent(text string, f facts) string {
	for _, words := range f.emergencies() {
		if says(text, words...) {
			return wantEmergency
		}
	}
	switch {
	case says(text, "goodbye", "good bye", "bye", "hang up", "that's all", "that is all", "that will be all", "nothing else"):
		return wantEnd
	case says(text, "last call", "last called", "i last call", "called before", "my history", "when is my appointment", "what time is my appointment",
		"do i have an appointment", "my appointments", "when am i booked"):
		return wantHistory
	case says(text, "reschedule", "move my", "move it", "move the appointment", "change my appointment", "change the appointment", "change it to", "push my", "different time for my"):
		return wantReschedule
	case says(text, "cancel my", "cancel the", "cancel it", "cancel an", "cancel", "call off"):
		return wantCancel
	case says(text, "take a message", "leave a message", "have a message", "pass on", "tell them", "tell him", "tell her", "tell the owner", "let them know", "let the owner know"):
		return wantMessage
	case says(text, "speak to", "speak with", "talk to", "talk with", "transfer", "a person", "a human", "real person", "representative", "connect me", "put me through", "operator"):
		return wantPerson
	case says(text, "what times", "which times", "what time do you have", "times are free", "available", "availability", "openings", "opening tomorrow", "what slots", "anything free", "are you free", "free slots"):
		return wantAvailability
	case says(text, "book", "schedule", "appointment", "come out", "set up a visit", "send someone", "send somebody", "make a reservation"):
		return wantBook
	}
	return ""
}

// toolNames are the names under which tools for a goal are declared.
func toolNames(goal string) []string {
	switch goal {
	case wantBook:
		return []string{"book_appointment", "create_appointment"}
	case wantReschedule:
		return []string{"reschedule_appointment"}
	case wantCancel:
		return []string{"cancel_appointment"}
	case wantAvailability:
		return []string{"check_availability"}
	case wantMessage:
		return []string{"take_message"}
	case wantPerson:
		return []string{"transfer_call"}
	case wantHistory:
		return []string{"look_up_caller", "lookup_caller"}
	case wantEmergency:
		return []string{"report_emergency", "transfer_call", "take_message"}
	case wantEnd:
		return []string{"end_call"}
	}
	return nil
}

// goalOf is the goal that a tool reaches. A transfer reaches an emergency's too, but that is over with the call.
func goalOf(tool string) string {
	for _, goal := range []string{wantBook, wantReschedule, wantCancel, wantAvailability, wantMessage, wantPerson, wantHistory, wantEmergency, wantEnd} {
		if toolNames(goal)[0] == tool || len(toolNames(goal)) == 2 && toolNames(goal)[1] == tool {
			return goal
		}
	}
	return ""
}

// tool finds what reaches the goal among the tools that may be called.
func (s Scene) tool(goal string) (Tool, bool) {
	for _, name := range toolNames(goal) {
		for _, t := range s.Tools {
			if t.Name == name && (s.Choice == "" || s.Choice == "auto" || s.Choice == "required" || s.Choice == name) {
				return t, true
			}
		}
	}
	return Tool{}, false
}
