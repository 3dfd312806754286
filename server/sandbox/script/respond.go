package script

// Respond gives the receptionist's next turn.
func Respond(s Scene) Reply {
	return Reply{Say: "How can I help you?"}
}
