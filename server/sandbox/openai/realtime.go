package openai

import (
	"context"
	"encoding/json"
	"net/http"
	"strconv"
	"sync"
	"time"

	"github.com/coder/websocket"

	"kestrel.ai/server/sandbox/speech"
)

// Session is one realtime session. All but the fields under mu belong to the goroutine of run.
type Session struct {
	server *Server
	conn   *websocket.Conn
	ctx    context.Context
	tag    string
	serial int

	session map[string]any
	config  config
	ear     ear
	active  *response
	usage   usage
	next    *time.Timer // of the active response's next step
	silent  bool
	over    bool

	mu    sync.Mutex
	items []*item
	view  View
}

// Realtime answers GET /v1/realtime?model=…: it upgrades to a websocket and holds one session on it.
func (s *Server) Realtime(w http.ResponseWriter, r *http.Request) {
	model := r.URL.Query().Get("model")
	switch {
	case !s.authorize(w, r):
		return
	case model == "":
		WriteError(w, http.StatusBadRequest, "missing_model", "You must provide a model parameter.")
		return
	case !s.begin():
		WriteError(w, http.StatusServiceUnavailable, "", "The server is shutting down.")
		return
	}
	defer s.end()
	if model == EchoModel {
		s.echo(w, r)
		return
	}
	conn, err := websocket.Accept(w, r, &websocket.AcceptOptions{Subprotocols: []string{"realtime"}, InsecureSkipVerify: true})
	if err != nil {
		return // Accept has answered
	}
	conn.SetReadLimit(32 << 20)
	ctx, cancel := context.WithCancel(context.WithoutCancel(r.Context()))
	session := &Session{server: s, conn: conn, ctx: ctx, tag: tag(), ear: ear{idleFrom: -1}}
	session.run(r, model)
	cancel()
	_ = conn.CloseNow()
}

// run holds the session until either side ends it. Nothing of it is left when it returns.
func (s *Session) run(r *http.Request, model string) {
	now := s.server.Now()
	id := s.nextID("sess")
	s.view = View{ID: id, Model: model, OpenedAt: now, Sent: map[string]int{}, Received: map[string]int{}}
	s.server.remember(s)
	defer func() {
		s.mu.Lock()
		at := s.server.Now()
		s.view.ClosedAt = &at
		s.mu.Unlock()
	}()
	if r.Header.Get("OpenAI-Beta") != "" {
		s.fail(problem{"beta_api_shape_disabled", "The Realtime Beta API is no longer supported. Please use /v1/realtime for the GA API.", ""}, nil)
		s.close(4000, "beta_api_shape_disabled")
		return
	}
	if !known(model) {
		s.fail(problem{"model_not_found", "The model '" + model + "' does not exist or you do not have access to it.", "model"}, nil)
		s.close(4000, "model_not_found")
		return
	}
	s.session = firstSession(id, model, now.Add(s.server.SessionLife))
	s.config, _ = read(s.session)

	events, gone, done := make(chan []byte), make(chan struct{}), make(chan struct{})
	go func() {
		defer close(gone)
		for {
			_, message, err := s.conn.Read(s.ctx)
			if err != nil {
				return
			}
			select {
			case events <- message:
			case <-done:
				return
			}
		}
	}()
	s.loop(events, gone)
	close(done)
	_ = s.conn.CloseNow()
	<-gone
}

func (s *Session) loop(events <-chan []byte, gone <-chan struct{}) {
	expiry := time.NewTimer(s.server.SessionLife)
	defer expiry.Stop()
	s.next = time.NewTimer(time.Hour)
	defer s.next.Stop()
	s.next.Stop()
	s.send("session.created", map[string]any{"session": s.session})
	for !s.over {
		select {
		case message := <-events:
			s.receive(message)
		case <-s.next.C:
			s.advance()
		case <-expiry.C:
			s.expire()
		case <-gone:
			s.ended("client")
			return
		case <-s.server.closing:
			s.close(websocket.StatusGoingAway, "server")
		}
	}
}

// receive handles one client event. Whatever is wrong with it is answered with an error event; the session goes on.
func (s *Session) receive(message []byte) {
	raw, err := parse(message)
	event, isObject := raw.(map[string]any)
	if err != nil || !isObject {
		s.fail(problem{"invalid_json", "Failed to parse the event as a JSON object.", ""}, nil)
		return
	}
	kind, _ := event["type"].(string)
	id, _ := event["event_id"].(string)
	s.mu.Lock()
	s.view.Received[kind]++
	s.mu.Unlock()
	p := s.server.events.check("", raw)
	if p == nil {
		fault, hit := s.fault("client " + kind)
		if hit && !s.suffer(fault) {
			return
		}
		p = s.handle(kind, event)
	}
	if p != nil {
		s.fail(*p, &id)
	}
}

func (s *Session) handle(kind string, event map[string]any) *problem {
	field := func(name string) string { v, _ := event[name].(string); return v }
	switch kind {
	case "session.update":
		return s.update(event["session"].(map[string]any))
	case "input_audio_buffer.append":
		return s.appendAudio(field("audio"))
	case "input_audio_buffer.commit":
		return s.commit()
	case "input_audio_buffer.clear":
		s.clear()
	case "conversation.item.create":
		return s.createItem(event)
	case "conversation.item.retrieve":
		return s.retrieveItem(field("item_id"))
	case "conversation.item.delete":
		return s.deleteItem(field("item_id"))
	case "conversation.item.truncate":
		var at struct {
			Content int `json:"content_index"`
			End     int `json:"audio_end_ms"`
		}
		if err := convert(event, &at); err != nil {
			return &problem{"invalid_value", "Invalid 'audio_end_ms': out of range.", "audio_end_ms"}
		}
		return s.truncate(field("item_id"), at.Content, at.End)
	case "response.create":
		return s.createResponse(event)
	case "response.cancel":
		return s.cancelResponse(field("response_id"))
	}
	return nil
}

func (s *Session) update(change map[string]any) *problem {
	if model, given := change["model"]; given && model != s.session["model"] {
		return &problem{"invalid_value", "The model of a session cannot be changed.", "session.model"}
	}
	before := s.config.Audio.Output.Voice
	raw, err := json.Marshal(s.session)
	if err != nil {
		return &problem{"invalid_value", err.Error(), "session"}
	}
	copied, err := parse(raw)
	if err != nil {
		return &problem{"invalid_value", err.Error(), "session"}
	}
	session := copied.(map[string]any)
	merge(session, change)
	config, err := read(session)
	switch {
	case err != nil:
		return &problem{"invalid_value", err.Error(), "session"}
	case config.Audio.Output.Voice != before && s.usage.ourAudio > 0:
		return &problem{"cannot_update_voice", "Cannot update a conversation's voice if assistant audio is present.", "session.audio.output.voice"}
	}
	s.session, s.config = session, config
	s.mu.Lock()
	s.view.Instructions = config.Instructions
	s.mu.Unlock()
	s.send("session.updated", map[string]any{"session": session})
	return nil
}

// nextID is an id that no other thing of this server's has.
func (s *Session) nextID(kind string) string {
	s.serial++
	return kind + "_" + s.tag + strconv.Itoa(s.serial)
}

// perWord is the time a word takes at the session's speed.
func (s *Session) perWord() time.Duration {
	return time.Duration(float64(speech.PerWord) / max(s.config.Audio.Output.Speed, 0.25))
}
