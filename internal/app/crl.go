package app

import (
	"errors"
	"fmt"
	"os"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/telamon-ca/telamon/internal/publish"
)

func defaultCRL() CRLConfig {
	s := publish.DefaultSchedule
	return CRLConfig{
		Every: s.Every, Lifetime: s.Lifetime, RootEvery: s.RootEvery, RootLifetime: s.RootLifetime, Bucket: BucketConfig{Region: "us-east-1"},
	}
}

func (c *CRLConfig) schedule() publish.Schedule {
	return publish.Schedule{
		Every: c.Every, Lifetime: c.Lifetime, RootEvery: c.RootEvery, RootLifetime: c.RootLifetime, Gap: publish.DefaultSchedule.Gap,
	}
}

// problem reports what is wrong.
func (c *CRLConfig) problem() error {
	err := c.schedule().Check()
	if c.Directory != "" {
		if info, statErr := os.Stat(c.Directory); statErr != nil {
			err = errors.Join(err, fmt.Errorf("directory: %w", statErr))
		} else if !info.IsDir() {
			err = errors.Join(err, fmt.Errorf("directory: %s is none", c.Directory))
		}
	}
	if c.Bucket.Endpoint != "" {
		if bucketErr := c.Bucket.config().Check(); bucketErr != nil {
			err = errors.Join(err, fmt.Errorf("bucket: %w", bucketErr))
		}
	}
	return err
}

func (c *BucketConfig) config() publish.BucketConfig {
	return publish.BucketConfig{
		Endpoint: c.Endpoint, Name: c.Name, Prefix: c.Prefix, Region: c.Region, AccessKey: c.AccessKey, Secret: string(c.Secret),
	}
}

// wireCRLs makes the publisher.
func (a *App) wireCRLs() error {
	cfg := &a.Config.CRL
	var copies []publish.Target
	if cfg.Directory != "" {
		copies = append(copies, publish.NewDirectory(cfg.Directory))
	}
	if cfg.Bucket.Endpoint != "" {
		bucket, err := publish.NewBucket(cfg.Bucket.config())
		if err != nil {
			return fmt.Errorf("crl.bucket: %w", err)
		}
		copies = append(copies, bucket)
	}
	published := prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "telamon_crl_publications_total", Help: "CRLs that were tried, by result: ok or failed.",
	}, []string{"result"})
	took := prometheus.NewHistogram(prometheus.HistogramOpts{
		Name: "telamon_crl_build_seconds", Help: "How long a CRL takes from its first row to its last octet in the database.",
		Buckets: []float64{.01, .1, .5, 1, 3, 10, 30},
	})
	a.Registry.MustRegister(published, took)
	a.Publisher = publish.New(publish.Config{
		Store: a.Store, Issuers: a.Issuance, Keys: a.CAKeys, Clock: a.Clock, Log: a.Log, Schedule: cfg.schedule(), Copies: copies,
		Observe: func(o publish.Outcome) {
			if o.Err != nil {
				published.WithLabelValues("failed").Inc()
				return
			}
			published.WithLabelValues("ok").Inc()
			took.Observe(o.Took.Seconds())
		},
	})
	gauge := func(name, help string, value func(publish.Health) float64) {
		a.Registry.MustRegister(prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: name, Help: help}, func() float64 {
			return value(a.Publisher.Health())
		}))
	}
	gauge("telamon_crl_next_update_seconds", "When the first CRL that must be renewed expires, in Unix time; 0 if there is none.",
		func(h publish.Health) float64 {
			if h.NextUpdate.IsZero() {
				return 0
			}
			return float64(h.NextUpdate.Unix())
		})
	gauge("telamon_crl_waiting_seconds", "How long the oldest revocation has waited for a CRL.",
		func(h publish.Health) float64 { return h.Waiting.Seconds() })
	gauge("telamon_crl_failing", "CRLs whose last attempt by this process failed.",
		func(h publish.Health) float64 { return float64(h.Failing) })
	gauge("telamon_crl_uncopied", "CRLs that a directory or bucket has not.",
		func(h publish.Health) float64 { return float64(h.Uncopied) })
	return nil
}
