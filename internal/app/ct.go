package app

import (
	"crypto/x509"
	"encoding/base64"
	"errors"
	"fmt"
	"log/slog"
	"os"

	"github.com/telamon-ca/telamon"
	"github.com/telamon-ca/telamon/internal/ct"
	"github.com/telamon-ca/telamon/internal/ra"
)

// submitter returns what submits to the configured logs, nil if no series is logged.
func (c *CTConfig) submitter(clock telamon.Clock, log *slog.Logger) (*ct.Submitter, error) {
	if len(c.Series) == 0 {
		return nil, nil
	}
	cfg := ct.Config{Want: c.SCTs, Timeout: c.Timeout, Clock: clock, Log: log}
	for _, l := range c.Logs {
		key, err := base64.StdEncoding.DecodeString(l.Key)
		if err != nil {
			return nil, fmt.Errorf("the key of %s is no base64: %w", l.URL, err)
		}
		cfg.Logs = append(cfg.Logs, ct.LogConfig{URL: l.URL, Key: key, Operator: l.Operator})
	}
	if c.CAFile != "" {
		text, err := os.ReadFile(c.CAFile)
		if err != nil {
			return nil, err
		}
		cfg.RootCAs = x509.NewCertPool()
		if !cfg.RootCAs.AppendCertsFromPEM(text) {
			return nil, errors.New("ca_file holds no certificate")
		}
	}
	return ct.New(cfg)
}

// transparency says which certificates are logged. A series that does not exist, or
// signs no TLS certificates, is a mistake that must not go unnoticed.
func (a *App) transparency() (ra.Transparency, error) {
	cfg := a.Config.CT
	submitter, err := cfg.submitter(a.Clock, a.Log)
	if err != nil {
		return ra.Transparency{}, fmt.Errorf("ct: %w", err)
	}
	for _, name := range cfg.Series {
		series, err := a.Issuance.SeriesNamed(name)
		if err != nil {
			return ra.Transparency{}, fmt.Errorf("ct.series: %s: %w", name, err)
		}
		if series.EKUFamily != telamon.EKUServerAuth && series.EKUFamily != telamon.EKUTLS {
			return ra.Transparency{}, fmt.Errorf("ct.series: %s signs no TLS certificates", name)
		}
	}
	return ra.Transparency{Logs: submitter, Series: cfg.Series}, nil
}
