package voice

import (
	"encoding/json"
	"errors"
	"fmt"
	"strconv"

	"kestrel.ai/server/voice/wire"
)

// stream is Twilio's side of a call: Media Streams over a websocket
// (https://www.twilio.com/docs/voice/media-streams/websocket-messages).
type stream struct {
	conn *wire.Conn
	flat wire.Flat
	// What frames to Twilio consist of beside their content, made once.
	mediaHead, markHead, clearFrame []byte
}

// The ends of frames to Twilio.
var (
	mediaTail = []byte(`"}}`)
	markTail  = []byte(`"}}`)
)

// frame is one message from Twilio. Which fields are set depends on event.
type frame struct {
	event   string // connected, start, media, dtmf, mark, stop; "" for others
	payload []byte // media: base64 of µ-law, valid until the next frame is read
	mark    string
	digit   string
	start   streamStart
}

type streamStart struct {
	StreamSID        string            `json:"streamSid"`
	CallSID          string            `json:"callSid"`
	CustomParameters map[string]string `json:"customParameters"`
	MediaFormat      struct {
		Encoding   string `json:"encoding"`
		SampleRate int    `json:"sampleRate"`
		Channels   int    `json:"channels"`
	} `json:"mediaFormat"`
}

// errFrame is a message that is not Twilio's.
var errFrame = errors.New("voice: malformed media frame")

func newStream(conn *wire.Conn) *stream { return &stream{conn: conn} }

// read fills f with the next message. An error that is errFrame concerns that message alone.
func (s *stream) read(f *frame) error {
	message, err := s.conn.Read()
	if err != nil {
		return err
	}
	return s.parse(message, f)
}

func (s *stream) parse(message []byte, f *frame) error {
	*f = frame{}
	if s.flat.Scan(message) {
		switch string(s.flat.Get("", "event")) {
		case "media":
			f.event, f.payload = "media", s.flat.Get("media", "payload")
			return f.checkMedia(s.flat.Get("media", "track"))
		case "mark":
			f.event, f.mark = "mark", string(s.flat.Get("mark", "name"))
			return nil
		}
	}
	return f.decode(message)
}

// decode is for what is not an audio frame in its usual form.
func (f *frame) decode(message []byte) error {
	var in struct {
		Event string      `json:"event"`
		Start streamStart `json:"start"`
		Media struct {
			Track   string `json:"track"`
			Payload string `json:"payload"`
		} `json:"media"`
		Mark struct {
			Name string `json:"name"`
		} `json:"mark"`
		DTMF struct {
			Digit string `json:"digit"`
		} `json:"dtmf"`
	}
	if err := json.Unmarshal(message, &in); err != nil {
		return fmt.Errorf("%w: %w", errFrame, err)
	}
	switch in.Event {
	case "media":
		f.event, f.payload = in.Event, []byte(in.Media.Payload)
		return f.checkMedia([]byte(in.Media.Track))
	case "start":
		m := in.Start.MediaFormat
		if m.Encoding != "audio/x-mulaw" || m.SampleRate != 8000 || m.Channels != 1 {
			return fmt.Errorf("%w: audio of another format", errFrame)
		}
		if in.Start.StreamSID == "" || in.Start.CallSID == "" {
			return fmt.Errorf("%w: start without SIDs", errFrame)
		}
	case "dtmf":
		if d := in.DTMF.Digit; len(d) != 1 || (d[0] != '*' && d[0] != '#' && (d[0] < '0' || d[0] > '9')) {
			return fmt.Errorf("%w: digit", errFrame)
		}
	}
	f.event, f.start, f.mark, f.digit = in.Event, in.Start, in.Mark.Name, in.DTMF.Digit
	return nil
}

// checkMedia: the caller's track, in base64 that may stand in another JSON text as it is.
func (f *frame) checkMedia(track []byte) error {
	if len(track) > 0 && string(track) != "inbound" {
		f.event = ""
		return nil
	}
	if !wire.Base64(f.payload) {
		return fmt.Errorf("%w: payload", errFrame)
	}
	return nil
}

// open keeps what every frame to Twilio needs of the start.
func (s *stream) open(start streamStart) error {
	sid, err := json.Marshal(start.StreamSID)
	if err != nil {
		return fmt.Errorf("%w: %w", errFrame, err)
	}
	s.mediaHead = fmt.Appendf(nil, `{"event":"media","streamSid":%s,"media":{"payload":"`, sid)
	s.markHead = fmt.Appendf(nil, `{"event":"mark","streamSid":%s,"mark":{"name":"`, sid)
	s.clearFrame = fmt.Appendf(nil, `{"event":"clear","streamSid":%s}`, sid)
	return nil
}

// markEvery is how many base64 characters of audio may go out without a mark: 150 ms. It is a multiple of four, so
// longer audio is cut there without decoding it. Marks so far apart bound how much of what was heard a barge-in forgets.
const markEvery = 1600

// play sends audio with a mark after each piece for which p wants one, in one system call.
func (s *stream) play(p *playback, to *spoken, audio []byte) error {
	return s.conn.WriteBatch(func(b *wire.Batch) {
		for len(audio) > 0 {
			piece := audio[:min(markEvery, len(audio))]
			audio = audio[len(piece):]
			b.Text(s.mediaHead, piece, mediaTail)
			if p.sent(to, wire.Decoded(piece)) {
				s.addMark(b, p.mark(to))
			}
		}
	})
}

// mark sends a mark alone.
func (s *stream) mark(n uint64) error {
	return s.conn.WriteBatch(func(b *wire.Batch) { s.addMark(b, n) })
}

func (s *stream) addMark(b *wire.Batch, n uint64) {
	var name [20]byte
	b.Text(s.markHead, strconv.AppendUint(name[:0], n, 10), markTail)
}

// clear makes Twilio forget what it has not yet played.
func (s *stream) clear() error { return s.conn.Write(s.clearFrame) }

// close hands the caller to what follows <Connect> in the TwiML.
func (s *stream) close() { _ = s.conn.Close() }
