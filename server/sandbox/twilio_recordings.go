package sandbox

import (
	"net/http"
	"slices"
	"strings"
)

// createRecording begins to record a call that is in progress.
func (s *Sandbox) createRecording(r *http.Request) (int, any, error) {
	l, c, err := s.legAt(r.PathValue("call"), r)
	if err != nil {
		return 0, nil, err
	}
	if l == nil || c.AnswerAt == nil || c.over() {
		return 0, nil, &twilioError{400, 21220, "Requested resource is not eligible for recording: the call is not in progress."}
	}
	f := r.PostForm
	channels := 1
	switch f.Get("RecordingChannels") {
	case "", "mono":
	case "dual":
		channels = 2
	default:
		return 0, nil, &twilioError{400, 20001, "RecordingChannels must be mono or dual"}
	}
	t := s.newTape(l, "StartCallRecordingAPI", channels, callReport{
		url: f.Get("RecordingStatusCallback"), method: or(f.Get("RecordingStatusCallbackMethod"), http.MethodPost),
		events: words(or(strings.Join(f["RecordingStatusCallbackEvent"], " "), "completed")),
	})
	l.tap(t)
	l.step("recording", t.sid)
	return 201, s.recordingResource(s.recording(t.sid), true), nil
}

// updateRecording pauses, resumes or stops one that is being made; Twilio.CURRENT is the latest of the call.
func (s *Sandbox) updateRecording(r *http.Request) (int, any, error) {
	l, c, err := s.legAt(r.PathValue("call"), r)
	if err != nil {
		return 0, nil, err
	}
	sid := fileSID(r)
	if sid == "Twilio.CURRENT" && len(c.Recordings) > 0 {
		sid = c.Recordings[len(c.Recordings)-1]
	}
	var t *tape
	if l != nil {
		l.mu.Lock()
		if i := slices.IndexFunc(l.taps, func(t *tape) bool { return t.sid == sid }); i >= 0 {
			t = l.taps[i]
		}
		l.mu.Unlock()
	}
	if t == nil {
		return 0, nil, notFound(r)
	}
	switch status := r.PostForm.Get("Status"); status {
	case "paused", "in-progress":
		t.mu.Lock()
		t.paused = status == "paused"
		t.mu.Unlock()
	case "stopped":
		l.untap(t)
		s.finishRecording(l, t)
	default:
		return 0, nil, &twilioError{400, 20001, "Status must be paused, in-progress or stopped"}
	}
	return 200, s.recordingResource(s.recording(sid), true), nil
}

func (s *Sandbox) recording(sid string) Recording {
	s.mu.Lock()
	defer s.mu.Unlock()
	r, _ := s.recordingBy(sid)
	return r
}

func (s *Sandbox) listRecordings(r *http.Request) (int, any, error) {
	of := or(r.PathValue("call"), r.Form.Get("CallSid"))
	matching := slices.DeleteFunc(s.Recordings(), func(rec Recording) bool {
		return of != "" && rec.CallSID != of || !inTimes(rec.StartedAt, r, "DateCreated")
	})
	return twilioPage(r, "recordings", matching, func(rec Recording) map[string]any { return s.recordingResource(rec, r.PathValue("call") != "") })
}

func (s *Sandbox) fetchRecording(r *http.Request) (int, any, error) {
	rec := s.recording(fileSID(r))
	if rec.SID == "" || rec.Deleted {
		return 0, nil, notFound(r)
	}
	return 200, s.recordingResource(rec, r.PathValue("call") != ""), nil
}

func (s *Sandbox) deleteRecording(r *http.Request) (int, any, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	rec, known := s.recordingBy(fileSID(r))
	if !known || rec.Deleted {
		return 0, nil, notFound(r)
	}
	rec.Deleted = true
	s.forgetRecording(rec.SID)
	return 204, nil, s.commit(entry{Recording: &rec})
}

// fetchRecordingFile gives the JSON of {sid}.json and the media of {sid} and {sid}.wav. There is no .mp3 here.
func (s *Sandbox) fetchRecordingFile(r *http.Request) (int, any, error) {
	file := r.PathValue("file")
	if strings.HasSuffix(file, ".json") {
		return s.fetchRecording(r)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	rec, known := s.recordingBy(strings.TrimSuffix(file, ".wav"))
	audio, kept := s.recordingFile(rec.SID)
	if !known || rec.Deleted || !kept {
		return 0, nil, notFound(r)
	}
	return 200, media{"audio/x-wav", audio}, nil
}

func (s *Sandbox) recordingResource(r Recording, ofCall bool) map[string]any {
	path := "/Recordings/" + r.SID
	if ofCall {
		path = "/Calls/" + r.CallSID + path
	}
	var duration any
	if r.Status == "completed" {
		duration = r.duration()
	}
	resource := map[string]any{
		"sid": r.SID, "account_sid": s.accountSID, "call_sid": r.CallSID, "conference_sid": nil, "api_version": "2010-04-01",
		"date_created": twilioTime(r.StartedAt), "date_updated": twilioTime(r.StartedAt), "start_time": twilioTime(r.StartedAt),
		"duration": duration, "status": r.Status, "channels": r.Channels, "source": r.Source, "error_code": nil,
		"price": nil, "price_unit": "USD", "encryption_details": nil, "uri": s.accountURI(path + ".json"),
	}
	if ofCall {
		resource["track"] = "both"
	} else {
		resource["media_url"] = s.recordingURL(r.SID)
		resource["subresource_uris"] = map[string]string{
			"add_on_results": s.accountURI("/Recordings/" + r.SID + "/AddOnResults.json"), "transcriptions": s.accountURI("/Recordings/" + r.SID + "/Transcriptions.json"),
		}
	}
	return resource
}
