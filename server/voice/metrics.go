package voice

import (
	"errors"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// metrics are the bridge's counters; their labels come from fixed lists.
type metrics struct {
	ended    *prometheus.CounterVec
	turns    prometheus.Histogram
	greeting prometheus.Histogram
	rejected *prometheus.CounterVec
}

func newMetrics(to prometheus.Registerer, live func() float64) (*metrics, error) {
	m := &metrics{
		ended: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "kestrel_calls_ended_total", Help: "Calls that the agent's part of has ended, by reason."}, []string{"reason"}),
		turns: prometheus.NewHistogram(prometheus.HistogramOpts{Name: "kestrel_turn_latency_seconds", Help: "From the caller's last word, as the model noticed it, to the answer's first byte: ours and the model's.",
			Buckets: []float64{.1, .2, .3, .5, .75, 1, 1.5, 2, 3, 5, 10}}),
		greeting: prometheus.NewHistogram(prometheus.HistogramOpts{Name: "kestrel_greeting_seconds", Help: "From a stream's start to the greeting's first byte.",
			Buckets: []float64{.01, .05, .1, .25, .5, 1, 2, 4}}),
		rejected: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "kestrel_model_rejections_total", Help: "What the model's vendor objected to, by code."}, []string{"code"}),
	}
	if to == nil {
		return m, nil
	}
	return m, errors.Join(
		to.Register(prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: "kestrel_calls_live", Help: "Calls in this process, prepared ones among them."}, live)),
		to.Register(m.ended), to.Register(m.turns), to.Register(m.greeting), to.Register(m.rejected),
	)
}

func (m *metrics) turn(d time.Duration) { m.turns.Observe(d.Seconds()) }

// rejection counts under the vendor's code where it is one that is known.
func (m *metrics) rejection(code string) {
	switch code {
	case CodeResponseActive, CodeCancelNotActive, CodeSessionExpired, CodeRateLimitExceeded:
	default:
		code = "other"
	}
	m.rejected.WithLabelValues(code).Inc()
}
