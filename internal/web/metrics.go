package web

import (
	"strconv"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// Metrics counts requests. Its labels are few and never come from outside: the
// face, the route's pattern, the method of a known route and the status class.
type Metrics struct {
	requests *prometheus.CounterVec
	took     *prometheus.HistogramVec
}

// NewMetrics returns metrics that it has registered.
func NewMetrics(registry prometheus.Registerer) *Metrics {
	m := &Metrics{
		requests: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "telamon_http_requests_total", Help: "Requests served, by face, route and class of status.",
		}, []string{"face", "route", "status"}),
		took: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "telamon_http_request_seconds", Help: "Time to serve a request, by face and route.",
			NativeHistogramBucketFactor: 1.2,
		}, []string{"face", "route"}),
	}
	registry.MustRegister(m.requests, m.took)
	return m
}

// Observe is an Observer.
func (m *Metrics) Observe(face, pattern, _ string, status int, took time.Duration) {
	if pattern == "" {
		pattern = "none"
	}
	m.requests.WithLabelValues(face, pattern, strconv.Itoa(status/100)+"xx").Inc()
	m.took.WithLabelValues(face, pattern).Observe(took.Seconds())
}
