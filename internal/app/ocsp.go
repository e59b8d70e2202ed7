package app

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/telamon-ca/telamon/internal/responder"
	"github.com/telamon-ca/telamon/internal/status"
	"github.com/telamon-ca/telamon/internal/web"
)

// The values of ocsp.nonce.
const (
	nonceIgnore = "ignore"
	nonceLive   = "live"
)

// problems reports what is wrong with the configuration of OCSP.
func (c *OCSPConfig) problems() (problems []error) {
	if c.Validity < responder.MinValidity || c.Validity > responder.MaxValidity || c.Validity%time.Second != 0 {
		problems = append(problems, errors.New("ocsp.validity: must be 8h to 240h, in whole seconds")) // BR 4.9.9
	}
	if c.MaxAge < 0 {
		problems = append(problems, errors.New("ocsp.max_age: must not be negative"))
	}
	if c.Nonce != nonceIgnore && c.Nonce != nonceLive {
		problems = append(problems, errors.New("ocsp.nonce: must be ignore or live"))
	}
	if !(c.LiveRate > 0 && c.LiveAddressRate > 0) {
		problems = append(problems, errors.New("ocsp.live_rate, ocsp.live_address_rate: must be positive"))
	}
	if c.CacheBytes < 1<<20 {
		problems = append(problems, errors.New("ocsp.cache_bytes: must be at least 1048576"))
	}
	for _, series := range c.InCertificates {
		if slices.Contains(c.Without, series) {
			problems = append(problems, fmt.Errorf("ocsp.in_certificates: nothing is answered for %q", series))
		}
	}
	return problems
}

// wireOCSP makes the responder, unless the configuration wants none. It warns of series
// in the configuration that are not there.
func (a *App) wireOCSP(ctx context.Context) {
	cfg := &a.Config.OCSP
	if cfg.Off {
		return
	}
	for _, name := range slices.Concat(cfg.Without, cfg.InCertificates) {
		if _, err := a.Issuance.SeriesNamed(name); err != nil {
			a.Log.WarnContext(ctx, "the configuration of OCSP names a series that is not there", "series", name)
		}
	}
	a.OCSP = responder.New(responder.Config{
		Store: a.Store, Engine: a.Issuance, Keys: a.CAKeys, ReadKeys: a.Keys.Refresh, Clock: a.Clock, Log: a.Log, Validity: cfg.Validity,
		CacheOctets: cfg.CacheBytes, LiveNonce: cfg.Nonce == nonceLive, Without: cfg.Without, Always: cfg.InCertificates,
	})
	stats := a.OCSP.Stats()
	for kind, n := range map[string]*atomic.Int64{
		"ready": &stats.Ready, "signed": &stats.Signed, "live": &stats.Live, "unauthorized": &stats.Unauthorized,
		"malformed": &stats.Malformed, "try_later": &stats.TryLater,
	} {
		a.Registry.MustRegister(prometheus.NewCounterFunc(prometheus.CounterOpts{
			Name: "telamon_ocsp_answers_total", Help: "OCSP answers: given as they were ready, signed to be kept, signed for one request, and refusals.",
			ConstLabels: prometheus.Labels{"kind": kind},
		}, func() float64 { return float64(n.Load()) }))
	}
	a.Registry.MustRegister(prometheus.NewCounterFunc(prometheus.CounterOpts{
		Name: "telamon_ocsp_failures_total", Help: "Reads of the database and signatures for OCSP that failed.",
	}, func() float64 { return float64(stats.Failed.Load()) }))
}

// serveOCSP returns how OCSP is served.
func (a *App) serveOCSP() status.OCSPConfig {
	if a.OCSP == nil {
		return status.OCSPConfig{}
	}
	cfg := &a.Config.OCSP
	limiter := func(rate float64) *web.Limiter { return web.NewLimiter(a.Clock, rate, int(math.Ceil(2*rate))) }
	return status.OCSPConfig{
		Answers: a.OCSP, Clock: a.Clock, MaxAge: cfg.MaxAge, Live: limiter(cfg.LiveRate), LiveAddresses: limiter(cfg.LiveAddressRate),
	}
}
