package sandbox

import (
	"bytes"
	"encoding/binary"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"sync"
	"time"
)

// maxRecorded bounds what is kept of recordings in memory, in bytes; the oldest go first. With a StateFile they are files
// beside it, without a bound.
const maxRecorded = 256 << 20

// Recording is one at Twilio.
type Recording struct {
	SID       string    `json:"sid"`
	CallSID   string    `json:"call_sid"`
	Source    string    `json:"source"`
	Status    string    `json:"status"` // in-progress, completed, absent
	Channels  int       `json:"channels"`
	StartedAt time.Time `json:"started_at"`
	// DurationMS is how long it is; 0 while it is being made.
	DurationMS int64 `json:"duration_ms"`
	Deleted    bool  `json:"deleted,omitempty"`
}

func (r Recording) duration() string { return strconv.FormatInt((r.DurationMS+999)/1000, 10) }

// tape is a recording that is being made: both sides of a call from where it began.
type tape struct {
	sid      string
	channels int
	report   callReport

	mu     sync.Mutex
	said   []byte
	heard  []byte
	paused bool
	ended  bool
}

// add takes 20 ms; heard nil means that only the party is recorded.
func (t *tape) add(said, heard []byte) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.paused || t.ended {
		return
	}
	if t.said = append(t.said, said...); heard != nil {
		t.heard = append(t.heard, heard...)
	}
}

// wav is the tape as a WAV file: 8 kHz µ-law; with two channels, the party is left and what it heard is right. (Twilio's own
// is linear PCM; µ-law keeps the words in the sandbox's audio readable.)
func (t *tape) wav() ([]byte, time.Duration) {
	t.mu.Lock()
	defer t.mu.Unlock()
	samples := t.said
	switch {
	case t.channels == 2:
		samples = make([]byte, 0, 2*len(t.said))
		for i, b := range t.said {
			samples = append(samples, b, t.heard[i])
		}
	case t.heard != nil: // mono of both sides: whoever speaks
		samples = slices.Clone(t.said)
		for i := 0; i+frameBytes <= len(samples); i += frameBytes {
			if isSilence(samples[i : i+frameBytes]) {
				copy(samples[i:], t.heard[i:i+frameBytes])
			}
		}
	}
	return wavFile(samples, t.channels), audioTime(len(t.said))
}

const wavMulaw = 7 // WAVE_FORMAT_MULAW

func wavFile(samples []byte, channels int) []byte {
	var b bytes.Buffer
	put := func(v any) { _ = binary.Write(&b, binary.LittleEndian, v) } // into memory: never fails
	b.WriteString("RIFF")
	put(uint32(4 + 26 + 12 + 8 + len(samples)))
	b.WriteString("WAVEfmt ")
	put(uint32(18))
	put([]uint16{wavMulaw, uint16(channels)})
	put([]uint32{sampleRate, uint32(sampleRate * channels)})
	put([]uint16{uint16(channels), 8, 0})
	b.WriteString("fact")
	put([]uint32{4, uint32(len(samples) / max(1, channels))})
	b.WriteString("data")
	put(uint32(len(samples)))
	b.Write(samples)
	return b.Bytes()
}

// wavSamples finds the samples of a µ-law WAV file with one channel; any other sound is taken for a second of silence.
func wavSamples(file []byte) []byte {
	if len(file) < 12 || string(file[:4]) != "RIFF" {
		return quiet(time.Second)
	}
	mulaw := false
	for rest := file[12:]; len(rest) >= 8; {
		size := int(binary.LittleEndian.Uint32(rest[4:8]))
		body := rest[8:min(len(rest), 8+size)]
		switch string(rest[:4]) {
		case "fmt ":
			mulaw = len(body) >= 4 && binary.LittleEndian.Uint16(body) == wavMulaw && binary.LittleEndian.Uint16(body[2:]) == 1
		case "data":
			if mulaw {
				return slices.Clone(body)
			}
		}
		rest = rest[min(len(rest), 8+size+size%2):]
	}
	return quiet(time.Second)
}

// newTape begins a recording of l.
func (s *Sandbox) newTape(l *leg, source string, channels int, report callReport) *tape {
	if report.url != "" {
		report.url = l.absolute(report.url)
	}
	s.mu.Lock()
	t := &tape{sid: "RE" + s.nextHex("recording"), channels: channels, report: report}
	r := Recording{SID: t.sid, CallSID: l.call.SID, Source: source, Status: "in-progress", Channels: channels, StartedAt: s.now().UTC()}
	s.save(entry{Recording: &r})
	s.mu.Unlock()
	l.log(func(c *Call) bool { c.Recordings = append(c.Recordings, t.sid); return true })
	if slices.Contains(report.events, "in-progress") {
		l.reportRecording(t, r)
	}
	return t
}

func (l *leg) tap(t *tape) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.taps = append(slices.Clone(l.taps), t)
}

func (l *leg) untap(t *tape) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.taps = slices.DeleteFunc(slices.Clone(l.taps), func(o *tape) bool { return o == t })
}

// finishRecording ends a recording, once, and tells who wanted to know.
func (s *Sandbox) finishRecording(l *leg, t *tape) Recording {
	t.mu.Lock()
	first := !t.ended
	t.ended = true
	t.mu.Unlock()
	file, lasted := t.wav()
	s.mu.Lock()
	r, known := s.recordingBy(t.sid)
	if !first || !known {
		s.mu.Unlock()
		return r
	}
	r.Status, r.DurationMS = "completed", lasted.Milliseconds()
	s.keepRecording(r.SID, file)
	s.save(entry{Recording: &r})
	s.mu.Unlock()
	if slices.Contains(t.report.events, "completed") {
		l.reportRecording(t, r)
	}
	return r
}

// dropRecording forgets a recording on which nobody spoke.
func (s *Sandbox) dropRecording(l *leg, t *tape) {
	t.mu.Lock()
	t.ended = true
	t.mu.Unlock()
	s.mu.Lock()
	if r, known := s.recordingBy(t.sid); known {
		r.Status = "absent"
		s.save(entry{Recording: &r})
		if slices.Contains(t.report.events, "absent") {
			defer l.reportRecording(t, r)
		}
	}
	s.mu.Unlock()
	l.log(func(c *Call) bool {
		c.Recordings = slices.DeleteFunc(slices.Clone(c.Recordings), func(sid string) bool { return sid == t.sid })
		return true
	})
}

// reportRecording sends a recording's status callback
// (https://www.twilio.com/docs/voice/api/recording#recordingstatuscallback).
func (l *leg) reportRecording(t *tape, r Recording) {
	if t.report.url == "" {
		return
	}
	form := url.Values{
		"AccountSid": {l.s.accountSID}, "CallSid": {r.CallSID}, "RecordingSid": {r.SID}, "RecordingStatus": {r.Status}, "RecordingSource": {r.Source},
		"RecordingChannels": {strconv.Itoa(r.Channels)}, "RecordingTrack": {"both"}, "RecordingStartTime": {twilioTime(r.StartedAt)}, "ErrorCode": {"0"},
	}
	if r.Status == "completed" {
		form.Set("RecordingUrl", l.s.recordingURL(r.SID))
		form.Set("RecordingDuration", r.duration())
	}
	l.later("recording", t.report.method, t.report.url, form)
}

// recordingURL is where a recording's media is, without its extension, as Twilio sends it.
func (s *Sandbox) recordingURL(sid string) string {
	return s.base.Load().(string) + s.accountURI("/Recordings/"+sid)
}

// recordingBy finds a recording. s.mu must be held.
func (s *Sandbox) recordingBy(sid string) (Recording, bool) {
	for _, r := range slices.Backward(s.state.Recordings) {
		if r.SID == sid {
			return r, true
		}
	}
	return Recording{}, false
}

// Recordings lists every recording that is not deleted, newest first.
func (s *Sandbox) Recordings() []Recording {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.DeleteFunc(newestFirst(s.state.Recordings), func(r Recording) bool { return r.Deleted })
}

// keepRecording stores a recording's media. s.mu must be held.
func (s *Sandbox) keepRecording(sid string, file []byte) {
	if dir := s.recordingDir(); dir != "" {
		if os.MkdirAll(dir, 0o700) == nil && os.WriteFile(filepath.Join(dir, sid+".wav"), file, 0o600) == nil {
			return
		}
	}
	s.media = append(s.media, recorded{sid, file})
	total := 0
	for i, m := range slices.Backward(s.media) {
		if total += len(m.file); total > maxRecorded && i < len(s.media)-1 {
			s.media = slices.Delete(s.media, 0, i+1)
			return
		}
	}
}

type recorded struct {
	sid  string
	file []byte
}

// recordingFile is a recording's media. s.mu must be held.
func (s *Sandbox) recordingFile(sid string) ([]byte, bool) {
	for _, m := range s.media {
		if m.sid == sid {
			return m.file, true
		}
	}
	if dir := s.recordingDir(); dir != "" {
		file, err := os.ReadFile(filepath.Join(dir, sid+".wav"))
		return file, err == nil
	}
	return nil, false
}

// forgetRecording removes a recording's media. s.mu must be held.
func (s *Sandbox) forgetRecording(sid string) {
	s.media = slices.DeleteFunc(s.media, func(m recorded) bool { return m.sid == sid })
	if dir := s.recordingDir(); dir != "" {
		os.Remove(filepath.Join(dir, sid+".wav"))
	}
}

func (s *Sandbox) recordingDir() string {
	if s.file == nil {
		return ""
	}
	return s.file.path + ".recordings"
}
