package voice

import (
	"encoding/json"
	"time"

	"github.com/google/uuid"

	"kestrel.ai/server/agent"
	"kestrel.ai/server/voice/wire"
)

// Talk is a person in a browser who talks to a tenant's agent as a caller would, in Twilio's protocol and through the
// same code. Before the first frame the browser is told the call's id: {"event":"call","call_id":"…"}. The call is
// marked as a test: it does not count, nothing follows it, and what the agent does for the caller (books, takes down,
// texts) is undone at once, though within the conversation it holds. It returns when the conversation is over; the errors
// are Prepare's.
func (b *Bridge) Talk(conn *wire.Conn, p *agent.Profile) error {
	if b.opts.TestDesk == nil {
		return ErrUnavailable
	}
	id := uuid.Must(uuid.NewV7())
	call := agent.Call{ID: id, SID: "TEST" + id.String(), Channel: agent.ChannelTest, StartedAt: time.Now()}
	if err := conn.Write([]byte(`{"event":"call","call_id":"` + id.String() + `"}`)); err != nil {
		return err
	}
	told := func(kind string, data any) {
		raw, err := json.Marshal(data)
		if err != nil {
			return // plain fields: it cannot fail
		}
		b.opts.Recorder.Record(Event{ID: uuid.Must(uuid.NewV7()), CallID: id, TenantID: p.TenantID, CallSID: call.SID, Type: kind, At: time.Now(), Data: raw})
	}
	told(CallStarted, Started{Channel: call.Channel, Route: RouteAgent, AgentVersion: p.Version})
	defer told(CallStatus, map[string]string{"status": "completed"})
	return b.ServeOffer(conn, Offer{Call: call, Profile: p, Desk: b.opts.TestDesk()})
}
