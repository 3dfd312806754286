package agent

import (
	"encoding/json"
	"time"
)

// Names of the tools.
const (
	toolAvailability = "check_availability"
	toolBook         = "book_appointment"
	toolReschedule   = "reschedule_appointment"
	toolCancel       = "cancel_appointment"
	toolMessage      = "take_message"
	toolTransfer     = "transfer_call"
	toolEmergency    = "report_emergency"
	toolHistory      = "look_up_caller"
	toolEnd          = "end_call"
)

type property map[string]any

func text(description string) property {
	return property{"type": "string", "description": description}
}

// schema is a strict one: every property is required, and nothing else may come.
func schema(names []string, properties map[string]property) json.RawMessage {
	raw, err := json.Marshal(map[string]any{"type": "object", "properties": properties, "required": names, "additionalProperties": false})
	if err != nil {
		return nil // plain strings: it cannot fail
	}
	return raw
}

// Tools lists what the model may use in the call. In a text conversation nobody can be transferred or hung up on.
func (p *Profile) Tools(c Call) []Tool {
	const quick, slow = 5 * time.Second, 8 * time.Second
	when := text("Local date and time in the business's timezone, as 2026-12-03T15:00; or exactly as check_availability gave it, with its offset.")
	service := text("One of the services, by its name; empty if none fits.")
	appointment := text("The appointment's id from look_up_caller or from booking it; empty if the caller has just one.")
	var tools []Tool
	if p.Settings.Booking.Enabled {
		tools = append(tools,
			Tool{
				Name: toolAvailability, Filler: "Let me check the calendar.", Timeout: quick,
				Description: "Lists free appointment times. Use it before you offer or book any time.",
				Parameters: schema([]string{"date", "time", "service"}, map[string]property{
					"date":    text("First local date to look at, as 2026-12-03; empty for the next free times."),
					"time":    text("The time wished for on that date, as 15:00; empty for any."),
					"service": service,
				}),
			},
			Tool{
				Name: toolBook, Filler: "One moment while I book that.", Timeout: slow,
				Description: "Books an appointment, once the caller has agreed to that very date and time and given a name. Afterwards read the answer's words back: weekday, date, time and timezone.",
				Parameters: schema([]string{"starts_at", "service", "name", "phone", "address", "notes"}, map[string]property{
					"starts_at": when, "service": service, "name": text("The caller's name."),
					"phone":   text("Number to confirm to; empty for the one they call from."),
					"address": text("Where the work is to be done; empty if it is not needed."), "notes": text("What it is about; may be empty."),
				}),
			},
			Tool{
				Name: toolReschedule, Filler: "Let me move that for you.", Timeout: slow,
				Description: "Moves the caller's appointment to another time they have agreed to. Read the new time back.",
				Parameters:  schema([]string{"appointment_id", "starts_at"}, map[string]property{"appointment_id": appointment, "starts_at": when}),
			},
			Tool{
				Name: toolCancel, Filler: "One moment.", Timeout: slow,
				Description: "Cancels the caller's appointment, after they have confirmed that they want that.",
				Parameters:  schema([]string{"appointment_id"}, map[string]property{"appointment_id": appointment}),
			})
	}
	tools = append(tools,
		Tool{
			Name: toolMessage, Filler: "I am writing that down.", Timeout: slow,
			Description: "Keeps a message for the business. Use it when you cannot help, or nobody can be reached.",
			Parameters: schema([]string{"name", "phone", "message"}, map[string]property{
				"name": text("The caller's name."), "phone": text("Number to call back; empty for the one they call from."),
				"message": text("The message, complete, in the caller's sense."),
			}),
		},
		Tool{
			Name: toolHistory, Filler: "Let me look that up.", Timeout: quick,
			Description: "Tells what is known of the caller by their own number: name, address, appointments, earlier calls.",
			Parameters:  schema([]string{}, map[string]property{}),
		})
	if c.Channel == ChannelSMS {
		return tools
	}
	return append(tools,
		Tool{
			Name: toolEmergency, Timeout: slow,
			Description: "Call this at once, before anything else, when the caller describes an emergency.",
			Parameters: schema([]string{"words", "address"}, map[string]property{
				"words": text("What the caller says is happening."), "address": text("Where; empty if they have not said."),
			}),
		},
		Tool{
			Name: toolTransfer, Timeout: quick,
			Description: "Hands the call to a person. Tell the caller that you are connecting them.",
			Parameters: schema([]string{"to", "reason"}, map[string]property{
				"to": text("A name from the list of people; empty for the business's main line."), "reason": text("Why, in a few words."),
			}),
		},
		Tool{
			Name: toolEnd, Timeout: quick,
			Description: "Ends the call. Say good-bye first, and only when the caller has nothing more to ask.",
			Parameters:  schema([]string{"reason"}, map[string]property{"reason": text("booked, message, answered, wrong_number, spam or other.")}),
		})
}
