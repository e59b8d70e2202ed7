package web

import (
	"net/http"
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
			Name: "telamon_http_requests_total", Help: "Requests served, by face, route, method and class of status.",
		}, []string{"face", "route", "method", "status"}),
		took: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "telamon_http_request_seconds", Help: "Time to serve a request, by face, route and method.",
			Buckets:                     []float64{.001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 10},
			NativeHistogramBucketFactor: 1.2,
		}, []string{"face", "route", "method"}),
	}
	registry.MustRegister(m.requests, m.took)
	return m
}

// Observe is an Observer.
func (m *Metrics) Observe(face, pattern, method string, status int, took time.Duration) {
	if pattern == "" {
		pattern = "none"
	}
	switch method {
	case http.MethodGet, http.MethodHead, http.MethodPost, http.MethodPut, http.MethodPatch, http.MethodDelete:
	default:
		method = "other" // a client could send any number of them
	}
	m.requests.WithLabelValues(face, pattern, method, strconv.Itoa(status/100)+"xx").Inc()
	m.took.WithLabelValues(face, pattern, method).Observe(took.Seconds())
}
