package api

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humafiber"
	"github.com/google/uuid"

	"kestrel.ai/server/agent"
	"kestrel.ai/server/edge"
	"kestrel.ai/server/voice"
	"kestrel.ai/server/voice/wire"
)

// Calls is what the API asks of the calls that this process holds; *voice.Bridge is one.
type Calls interface {
	Watch(tenant, callID uuid.UUID) (moments <-chan voice.Moment, stop func(), ok bool)
	Talk(conn *wire.Conn, p *agent.Profile) error
}

var (
	errUpgrade   = edge.NewProblem(http.StatusUpgradeRequired, "upgrade_required", "This is a websocket: ask for an upgrade to it.")
	errListenOff = edge.NewProblem(http.StatusForbidden, "listen_in_off", "Listening in is off. Turn it on in the agent's settings and publish them.")
	errNotHere   = edge.NewProblem(http.StatusConflict, "call_not_here", "This call is over, or another machine holds it. Try again for another machine.")
	errNoCalls   = edge.NewProblem(http.StatusServiceUnavailable, "calls_unavailable", "This process takes no calls.")
	errNoVersion = edge.NewProblem(http.StatusNotFound, "version_not_found", "There is no such version of the agent.")
)

// websocket answers with a socket for serve, whose context ends with the caller's right to it. Both sides may end it.
func (a *API) websocket(ctx context.Context, serve func(ctx context.Context, conn *wire.Conn)) *huma.StreamResponse {
	scope := edge.FromContext(ctx)
	return &huma.StreamResponse{Body: func(hc huma.Context) {
		// That it is one, upgrading has checked.
		wire.Upgrade(humafiber.Unwrap(hc).Context(), nil, func(conn *wire.Conn) {
			ctx, closed := a.Edge.Streams().Open(scope)
			defer closed()
			defer context.AfterFunc(ctx, func() { _ = conn.Close() })()
			serve(ctx, conn)
		})
	}}
}

// WebsocketInput is what every websocket takes.
type WebsocketInput struct {
	Upgrade string `header:"Upgrade" hidden:"true"`
	Version string `header:"Sec-WebSocket-Version" hidden:"true"`
	Key     string `header:"Sec-WebSocket-Key" hidden:"true"`
}

// upgrading refuses what asks for no websocket of version 13 (RFC 6455), and where no calls are held.
func (in WebsocketInput) upgrading(a *API) error {
	if in.Upgrade == "" || in.Version != "13" || in.Key == "" {
		return errUpgrade
	}
	if a.Calls == nil {
		return errNoCalls
	}
	return nil
}

type listenInput struct {
	CallPath
	WebsocketInput
}

type tenantListenInput struct {
	TenantCallPath
	WebsocketInput
}

const listenDoc doc = `Listen in on a live call
A websocket (with a ticket) of JSON messages: {"state"}, {"turn"} and {"speaker", "audio"}, which is base64 of µ-law at
8 kHz. For the tenant's admins and owners, where its agent's settings allow it; it is written to the activity log. The call
must be on the machine that answers: 409 call_not_here says that it is not.`

func (a *API) listen(ctx context.Context, in *listenInput) (*huma.StreamResponse, error) {
	return a.listenTo(ctx, tenantOf(ctx), in.ID.UUID, in.WebsocketInput)
}

func (a *API) listenAsStaff(ctx context.Context, in *tenantListenInput) (*huma.StreamResponse, error) {
	return a.listenTo(ctx, in.ID.UUID, in.CallID.UUID, in.WebsocketInput)
}

func (a *API) listenTo(ctx context.Context, tenant, call uuid.UUID, in WebsocketInput) (*huma.StreamResponse, error) {
	if err := in.upgrading(a); err != nil {
		return nil, err
	}
	scope := edge.FromContext(ctx)
	profile, err := agent.Load(ctx, a.DB.As(scope.SQL()), tenant, agent.Published)
	if errors.Is(err, agent.ErrNoVersion) || err == nil && !profile.Settings.ListenIn {
		return nil, errListenOff
	}
	if err != nil {
		return nil, err
	}
	moments, stop, ok := a.Calls.Watch(tenant, call)
	if !ok {
		return nil, errNotHere
	}
	if err := a.query(ctx).NoteListening(ctx, tenant, call); err != nil {
		stop()
		return nil, err
	}
	return a.websocket(ctx, func(_ context.Context, conn *wire.Conn) {
		defer stop()
		go func() { // the listener says nothing; that it goes is noticed here
			for {
				if _, err := conn.Read(); err != nil {
					stop()
					return
				}
			}
		}()
		for m := range moments {
			message, err := json.Marshal(heard(m))
			if err != nil || conn.Write(message) != nil {
				return
			}
		}
	}), nil
}

func heard(m voice.Moment) map[string]any {
	switch {
	case m.Turn != nil:
		return map[string]any{"turn": m.Turn}
	case m.Audio != nil:
		return map[string]any{"speaker": m.Speaker, "audio": string(m.Audio)}
	}
	return map[string]any{"state": m.State}
}

type talkInput struct {
	WebsocketInput
	State string `query:"version" enum:"draft,published" default:"published" doc:"Which of the agent's versions answers"`
}

const talkDoc doc = `Talk to your agent
A websocket (with a ticket) that is a phone: it speaks Twilio's media stream protocol, with µ-law at 8 kHz from the
browser's microphone. After {"event":"call","call_id"} send start, then media. The call is marked as a test and does not
count; appointments and messages that are made on it are kept for the conversation alone, and nobody is texted.`

func (a *API) talk(ctx context.Context, in *talkInput) (*huma.StreamResponse, error) {
	if err := in.upgrading(a); err != nil {
		return nil, err
	}
	profile, err := agent.Load(ctx, a.DB.As(edge.FromContext(ctx).SQL()), tenantOf(ctx), in.State)
	if errors.Is(err, agent.ErrNoVersion) {
		return nil, errNoVersion
	}
	if err != nil {
		return nil, err
	}
	return a.websocket(ctx, func(ctx context.Context, conn *wire.Conn) {
		if err := a.Calls.Talk(conn, profile); err != nil {
			a.Log.InfoContext(ctx, "talk to the agent ended", "tenant_id", profile.TenantID, "error", err)
		}
	}), nil
}
