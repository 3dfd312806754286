package local

import (
	"net/http"
	"sync"
	"time"
)

// Limits are Auth's rate limits. They are counted per process and per address that is asked for, known or not.
type Limits struct {
	Off          bool
	Attempts     int           // wrong passwords or codes per caller and subject in 5 min; 10 if zero
	MailInterval time.Duration // between two mails to one address; 60 s if zero
	MailsPerHour int           // to all addresses together; 100 if zero
}

const attemptWindow = 5 * time.Minute

var (
	errRequestRate = fail(http.StatusTooManyRequests, "over_request_rate_limit", "Request rate limit reached")
	errMailRate    = fail(http.StatusTooManyRequests, "over_email_send_rate_limit", "email rate limit exceeded")
	errMailOften   = fail(http.StatusTooManyRequests, "over_email_send_rate_limit", "For security purposes, you can only request this once in a while.")
)

type limiter struct {
	Limits
	now func() time.Time

	mu       sync.Mutex
	failures map[string]window
	mailed   map[string]time.Time
	mails    window
}

// window counts events since start.
type window struct {
	start time.Time
	count int
}

func newLimiter(l Limits, now func() time.Time) *limiter {
	if l.Attempts == 0 {
		l.Attempts = 10
	}
	if l.MailInterval == 0 {
		l.MailInterval = time.Minute
	}
	if l.MailsPerHour == 0 {
		l.MailsPerHour = 100
	}
	return &limiter{Limits: l, now: now, failures: map[string]window{}, mailed: map[string]time.Time{}}
}

func (l *limiter) mayAttempt(subject string) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	f := l.failures[subject]
	return l.Off || f.count < l.Attempts || l.now().Sub(f.start) >= attemptWindow
}

func (l *limiter) failed(subject string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	now := l.now()
	f := l.failures[subject]
	if now.Sub(f.start) >= attemptWindow {
		f = window{start: now}
	}
	f.count++
	if len(l.failures) > 10_000 { // a flood of subjects must not fill the memory
		clear(l.failures)
	}
	l.failures[subject] = f
}

func (l *limiter) forget(subject string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.failures, subject)
}

// mayMail counts one mail to an address. It is asked before the address is looked up, so that its answer says
// nothing about accounts.
func (l *limiter) mayMail(address string) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.Off {
		return nil
	}
	now := l.now()
	if last, ok := l.mailed[address]; ok && now.Sub(last) < l.MailInterval {
		return errMailOften
	}
	if now.Sub(l.mails.start) >= time.Hour {
		l.mails = window{start: now}
		clear(l.mailed)
	}
	if l.mails.count >= l.MailsPerHour {
		return errMailRate
	}
	l.mails.count++
	l.mailed[address] = now
	return nil
}
