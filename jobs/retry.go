package jobs

import (
	"math/rand/v2"
	"sync"
	"time"

	"github.com/riverqueue/river/rivertype"
)

// retries is when failed jobs run again: after 1, 2, 4… times the base, give or take a fifth, but never sooner than the
// vendor wished. With the defaults the 25 tries of a job span 14 hours.
type retries struct {
	base, max time.Duration

	mu     sync.Mutex
	wishes map[int64]time.Duration // by River's job id, from the failure to River's question
}

func newRetries(t Tuning) *retries {
	return &retries{base: t.RetryBase, max: t.RetryMax, wishes: map[int64]time.Duration{}}
}

// wish plans the next try of a job that has just failed, and returns the wait.
func (r *retries) wish(job *rivertype.JobRow, after time.Duration) time.Duration {
	wait := max(after, r.backoff(job.Attempt))
	r.mu.Lock()
	defer r.mu.Unlock()
	r.wishes[job.ID] = wait
	return wait
}

// NextRetry implements river.ClientRetryPolicy.
func (r *retries) NextRetry(job *rivertype.JobRow) time.Time {
	r.mu.Lock()
	defer r.mu.Unlock()
	wait, planned := r.wishes[job.ID]
	if !planned {
		wait = r.backoff(job.Attempt)
	}
	delete(r.wishes, job.ID)
	return time.Now().Add(wait)
}

func (r *retries) backoff(attempt int) time.Duration {
	wait := r.base << min(max(attempt, 1)-1, 30)
	if wait <= 0 || wait > r.max {
		wait = r.max
	}
	return time.Duration(float64(wait) * (0.8 + 0.4*rand.Float64())) //nolint:gosec // spreads retries, guards nothing //nolint:gosec // jitter is no secret
}
