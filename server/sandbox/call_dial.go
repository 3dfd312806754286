package sandbox

import (
	"context"
	"net/http"
	"net/url"
	"strconv"
	"time"
)

// dialled is a party that Dial rings.
type dialled struct {
	*leg
	whisper   *document
	near, far *bridgeEnd    // the caller's end and the party's of the bridge to be
	asked     chan struct{} // closed once it has answered and accepted, or will not
	yes       bool          // valid after asked
}

// dial connects the caller to a number, the first of several to accept, or a conference.
func (l *leg) dial(ctx context.Context, v element) (*document, *CallError) {
	if room, given := v.child("Conference"); given {
		return l.conference(ctx, v, room)
	}
	var parties []*dialled
	numbers := v.Children
	if v.Text != "" {
		numbers = append(numbers, element{Name: "Number", Text: v.Text})
	}
	limit := time.Duration(v.number("timeout", 30)) * time.Second
	for _, n := range numbers {
		d, failed := l.dialOne(ctx, v, n, limit)
		if failed != nil {
			return nil, failed
		}
		parties = append(parties, d)
	}
	if len(parties) == 0 {
		return nil, &CallError{Code: 13214, Message: "Dial: nobody to call"}
	}
	l.waits(true)
	connected := firstToAccept(ctx, parties)
	l.waits(false)
	for _, d := range parties {
		if d != connected {
			d.cancel()
		}
	}
	var fields url.Values
	if connected == nil {
		for _, d := range parties {
			<-d.over
		}
		ended := parties[0].record()
		status := ended.Status
		if status == "completed" { // it was answered, but hung up before it was connected
			status = "no-answer"
		}
		fields = url.Values{"DialCallSid": {ended.SID}, "DialCallStatus": {status}, "DialBridged": {"false"}}
	} else {
		l.answer()
		recording := l.bridge(ctx, v, connected)
		connected.end(EndOtherHungUp, "")
		<-connected.over
		ended := connected.record()
		fields = url.Values{
			"DialCallSid": {ended.SID}, "DialCallStatus": {"completed"}, "DialBridged": {"true"}, "DialCallDuration": {strconv.Itoa(ended.DurationS)},
		}
		if recording != "" {
			fields.Set("RecordingSid", recording)
			fields.Set("RecordingUrl", l.s.recordingURL(recording))
		}
	}
	l.step("Dial", "ended: "+fields.Get("DialCallStatus"))
	return l.afterDial(ctx, v, fields)
}

// waits tells whether the caller hears it ring.
func (l *leg) waits(yes bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.waiting = yes
}

// afterDial is the action's document, which is asked for even when the caller is gone.
func (l *leg) afterDial(ctx context.Context, v element, fields url.Values) (*document, *CallError) {
	if v.attr("action", "") == "" {
		return nil, nil
	}
	next := &document{purpose: "action", url: v.attr("action", ""), method: v.attr("method", ""), fields: fields}
	if ctx.Err() == nil {
		return next, nil
	}
	if l.record().over() {
		l.askInVain(next)
	}
	return nil, nil
}

func (l *leg) dialOne(ctx context.Context, v, n element, limit time.Duration) (*dialled, *CallError) {
	if !e164(n.Text) {
		return nil, &CallError{Code: 13223, Message: "Dial: Invalid phone number format: " + n.Text}
	}
	_, ours := l.s.owned(n.Text)
	phone := l.s.phone(n.Text)
	if ours {
		phone = Phone{Answers: AnswersFailed} // a call to oneself would go round for ever
	}
	me := l.record()
	child, err := l.s.open(Call{
		ParentSID: me.SID, Direction: "outbound-dial", From: v.attr("callerId", me.From), To: n.Text, Status: "queued",
	}, Number{}, phone.person(n.attr("url", "") != ""), l.speed)
	if err != nil {
		return nil, &CallError{Code: 13000, Message: err.Error()}
	}
	child.report = callReport{url: n.attr("statusCallback", ""), method: n.attr("statusCallbackMethod", http.MethodPost), events: words(n.attr("statusCallbackEvent", "completed"))}
	if child.report.url != "" {
		child.report.url = l.absolute(child.report.url)
	}
	d := &dialled{leg: child, asked: make(chan struct{})}
	d.near, d.far = newBridge(l.speed)
	if u := n.attr("url", ""); u != "" {
		d.whisper = &document{purpose: "whisper", url: l.absolute(u), method: n.attr("method", "")}
	}
	l.step("Dial", "rings "+n.Text)
	if !l.s.spawn(func() { d.ringUp(ctx, phone, limit) }) {
		child.close()
		close(d.asked)
	}
	return d, nil
}

// ringUp rings a dialled phone, whispers to whoever answers, and then waits for the call to end.
func (d *dialled) ringUp(ctx context.Context, phone Phone, limit time.Duration) {
	defer d.close()
	accepted := d.pickUp(ctx, phone, limit) && (d.whisper == nil || d.perform(d.whisper))
	if d.yes = accepted; accepted {
		d.connect(d.far)
	}
	close(d.asked)
	if accepted {
		d.wait(phone)
	}
	d.end(EndOtherHungUp, "")
}

// cancel ends a call that is not wanted any more.
func (d *dialled) cancel() {
	if d.record().AnswerAt == nil {
		d.end(EndOtherHungUp, "canceled")
		return
	}
	d.end(EndOtherHungUp, "")
}

// pickUp rings until phone answers, and reports whether it did within limit, before ctx or the call ended.
func (l *leg) pickUp(ctx context.Context, phone Phone, limit time.Duration) bool {
	l.progress("initiated")
	l.ring("ringing", "ringing")
	after := time.Duration(phone.AnswersAfterMS) * time.Millisecond
	ringing, cancel := context.WithCancel(l.ctx)
	defer cancel()
	defer context.AfterFunc(ctx, cancel)()
	switch phone.Answers {
	case AnswersBusy, AnswersFailed:
		if l.ringOn(ringing, after) {
			l.end(EndNotAnswered, string(phone.Answers))
		}
	case AnswersNever:
		if l.ringOn(ringing, limit) {
			l.end(EndNotAnswered, "no-answer")
		}
	default:
		switch {
		case after >= limit:
			if l.ringOn(ringing, limit) {
				l.end(EndNotAnswered, "no-answer")
			}
		case l.ringOn(ringing, after):
			l.answer()
			return l.ctx.Err() == nil
		}
	}
	if ringing.Err() != nil {
		l.end(EndOtherHungUp, "canceled")
	}
	return false
}

// wait lets a connected call run until it ends, or its person has had enough.
func (l *leg) wait(phone Phone) {
	limit := maxCall
	if phone.HangupAfterMS > 0 {
		limit = time.Duration(phone.HangupAfterMS) * time.Millisecond
	}
	if l.ringOn(l.ctx, limit) {
		l.end(EndPartyHungUp, "")
	}
}

// firstToAccept waits for one party to accept, all to decline, or the caller to go.
func firstToAccept(ctx context.Context, parties []*dialled) *dialled {
	asked := make(chan *dialled, len(parties))
	for _, d := range parties {
		go func() { <-d.asked; asked <- d }()
	}
	for range parties {
		select {
		case d := <-asked:
			if d.yes {
				return d
			}
		case <-ctx.Done():
			return nil
		}
	}
	return nil
}
