package sandbox

import (
	"context"
	"net/http"
	"net/url"
	"strconv"
	"strings"

	"kestrel.ai/server/sandbox/speech"
)

// document is TwiML to perform: given, or to be fetched.
type document struct {
	purpose     string // voice, fallback, action, whisper
	url, method string
	fields      url.Values // beside the usual ones
	twiml       string
}

// perform plays documents until none is left or the call ends. It reports whether the last one came to its end.
func (l *leg) perform(d *document) bool {
	for d != nil && l.ctx.Err() == nil {
		ctx, cancel := context.WithCancel(l.ctx)
		l.mu.Lock()
		if l.redirect != nil {
			d, l.redirect = l.redirect, nil
		}
		l.interrupt = cancel
		l.mu.Unlock()
		next, failed := l.play(ctx, d)
		cancel()
		l.mu.Lock()
		if l.redirect != nil {
			next, failed = l.redirect, nil
		}
		l.interrupt = nil
		l.mu.Unlock()
		switch {
		case l.ctx.Err() != nil:
			return false
		case failed != nil:
			l.fail(failed)
			if next = l.fallback(d, failed); next == nil {
				l.apologise()
				return false
			}
		}
		d = next
	}
	return l.ctx.Err() == nil
}

// fallback is the number's second chance, once.
func (l *leg) fallback(d *document, e *CallError) *document {
	if d.purpose == "fallback" || l.number.VoiceFallbackURL == "" {
		return nil
	}
	return &document{
		purpose: "fallback", url: l.number.VoiceFallbackURL, method: l.number.VoiceFallbackMethod,
		fields: url.Values{"ErrorCode": {strconv.Itoa(e.Code)}, "ErrorUrl": {d.url}},
	}
}

// apologise is what Twilio does when there is nothing left to try.
func (l *leg) apologise() {
	if l.record().AnswerAt == nil {
		l.end(EndApplication, "failed")
		return
	}
	l.say(l.ctx, "We are sorry, an application error has occurred. Goodbye.")
	l.end(EndApplication, "")
}

// transfer performs d instead of what is being performed, or what the call was to begin with.
func (l *leg) transfer(d *document) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.redirect = d
	if l.interrupt != nil {
		l.interrupt()
	}
}

// play fetches d and executes its verbs. It returns the document that comes next, if any.
func (l *leg) play(ctx context.Context, d *document) (*document, *CallError) {
	twiml, failed := l.load(ctx, d)
	if failed != nil {
		return nil, failed
	}
	verbs, failed := parseTwiML(twiml, voiceRules())
	if failed != nil {
		return nil, failed
	}
	for _, v := range verbs {
		if ctx.Err() != nil {
			return nil, nil
		}
		l.step(v.Name, v.detail())
		if !v.rings() {
			l.answer()
		}
		l.settle.Do(func() { close(l.settled) })
		next, failed := l.execute(ctx, v)
		if failed != nil {
			return nil, failed
		}
		if next != nil {
			next.url = resolve(d.url, next.url)
			return next, nil
		}
	}
	return nil, nil
}

// rings tells whether a call that begins with this verb is not answered by it.
func (e element) rings() bool {
	return e.Name == "Reject" || e.Name == "Redirect" || e.Name == "Pause" || e.Name == "Dial" && e.attr("answerOnBridge", "") == "true"
}

// detail says in a few words what a verb is to do.
func (e element) detail() string {
	for _, c := range e.Children {
		if c.Name == "Stream" {
			return c.attr("url", "")
		}
	}
	var texts []string
	for _, c := range append([]element{e}, e.Children...) {
		if c.Text != "" {
			texts = append(texts, c.Text)
		}
	}
	return strings.Join(texts, " ")
}

func resolve(base, reference string) string {
	if reference == "" {
		return base // as at Twilio: no URL means the present document's
	}
	b, err := url.Parse(base)
	if err != nil {
		return reference
	}
	u, err := b.Parse(reference)
	if err != nil {
		return reference
	}
	return u.String()
}

// load gets the text of d. The error has Twilio's code: 11200 for no answer or not a good one, 12300 for a wrong type.
func (l *leg) load(ctx context.Context, d *document) (string, *CallError) {
	if d.twiml != "" {
		return d.twiml, nil
	}
	form := l.form(l.record())
	for k, v := range d.fields {
		form[k] = v
	}
	hook := l.deliver(ctx, d.purpose, or(d.method, http.MethodPost), d.url, form)
	if d.purpose == "voice" {
		l.log(func(c *Call) bool {
			if c.Webhook != nil {
				return false
			}
			c.Webhook = hook
			if hook.Status == http.StatusOK {
				c.TwiML = hook.Body
			}
			return true
		})
	}
	if hook.Error != "" || hook.Status < 200 || hook.Status > 299 {
		return "", &CallError{Code: 11200, Message: "HTTP retrieval failure: " + or(hook.Error, strconv.Itoa(hook.Status)+" from "+d.url)}
	}
	kind, _, _ := strings.Cut(hook.ContentType, ";")
	switch strings.ToLower(strings.TrimSpace(kind)) {
	case "text/xml", "application/xml", "text/html":
		if strings.TrimSpace(hook.Body) == "" {
			return "<Response/>", nil
		}
		return hook.Body, nil
	case "":
		if hook.Body == "" {
			return "<Response/>", nil
		}
	}
	return "", &CallError{Code: 12300, Message: "Invalid Content-Type: " + hook.ContentType}
}

// say speaks as Twilio does.
func (l *leg) say(ctx context.Context, text string) bool {
	p := newPlayer(speech.Encode(text, speech.PerWord))
	return l.run(ctx, p, p.done)
}
