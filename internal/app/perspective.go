package app

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"sync/atomic"
	"time"

	"golang.org/x/net/netutil"

	"github.com/telamon-ca/telamon"
	"github.com/telamon-ca/telamon/internal/dcv"
	"github.com/telamon-ca/telamon/internal/egress"
	"github.com/telamon-ca/telamon/internal/perspective"
	"github.com/telamon-ca/telamon/internal/rules"
	"github.com/telamon-ca/telamon/internal/web"
)

// Agent is a remote network perspective with its listener open. It has no database
// and no keys but that of its certificate.
type Agent struct {
	cfg         AgentConfig
	log         *slog.Logger
	resolver    *resolving
	certificate atomic.Pointer[tls.Certificate]
	listener    net.Listener
	server      *http.Server

	Addr net.Addr // that is listened on
}

// agentTimeout bounds a request to an agent, from its first octet to the last one of
// the answer.
const agentTimeout = dcv.Timeout + 10*time.Second

// ListenAgent starts the resolver that cfg names and opens the listener, so that
// connections wait in line until Run serves them. The caller must call Run or Close.
func ListenAgent(ctx context.Context, cfg AgentConfig, clock telamon.Clock, log *slog.Logger) (*Agent, error) {
	validation := &ValidationConfig{Resolver: cfg.Resolver, DNSSEC: cfg.DNSSEC, Unbound: cfg.Unbound}
	a := &Agent{cfg: cfg, log: log, resolver: &resolving{cfg: validation, log: log}}
	if err := a.open(ctx, clock); err != nil {
		return nil, errors.Join(err, a.Close())
	}
	return a, nil
}

func (a *Agent) open(ctx context.Context, clock telamon.Clock) error {
	dialer := &egress.Dialer{Policy: egress.Policy{Allow: a.cfg.AllowNetworks}, Lookup: a.resolver.addresses}
	engine := dcv.New(dcv.Config{
		Resolver: a.resolver, DNSSEC: a.cfg.DNSSEC || a.cfg.Resolver == unboundResolver, Dial: dialer.DialContext,
		HTTPPort: a.cfg.HTTPPort, HTTPSPort: a.cfg.HTTPSPort, CAAValid: rules.Default().CAAValid(), Clock: clock,
	})
	handler, err := perspective.NewHandler(perspective.HandlerConfig{
		Name: a.cfg.Name, Region: a.cfg.Region, Version: Version(), Local: engine, Log: a.log,
	})
	if err != nil {
		return err
	}
	config, err := a.tls(clock)
	if err != nil {
		return err
	}
	if err := a.Reload(ctx); err != nil {
		return err
	}
	if err := a.resolver.start(ctx); err != nil {
		return err
	}
	plain, err := net.Listen("tcp", a.cfg.Listen)
	if err != nil {
		return fmt.Errorf("listen: %w", err)
	}
	a.Addr, a.listener = plain.Addr(), tls.NewListener(netutil.LimitListener(plain, a.cfg.Connections), config)
	a.server = web.NewServer(web.Instrument{Face: "perspective", Log: a.log, Timeout: agentTimeout}.Wrap(handler), a.log)
	return nil
}

func (a *Agent) tls(clock telamon.Clock) (*tls.Config, error) {
	fingerprints, cas, err := a.cfg.clients()
	if err != nil {
		return nil, err
	}
	return perspective.ServerTLS(perspective.ServerTLSConfig{
		Certificate:  func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return a.certificate.Load(), nil },
		Fingerprints: fingerprints, ClientCAs: cas, Clock: clock,
	})
}

// Reload reads the files of the certificate anew. The old one stays if that fails.
func (a *Agent) Reload(ctx context.Context) error {
	cert, err := tls.LoadX509KeyPair(a.cfg.TLS.CertFile, a.cfg.TLS.KeyFile)
	if err != nil {
		return fmt.Errorf("read the certificate of the perspective: %w", err)
	}
	a.certificate.Store(&cert)
	a.log.InfoContext(ctx, "read the certificate", "subject", cert.Leaf.Subject.String(), "not_after", cert.Leaf.NotAfter)
	return nil
}

// Run serves until ctx ends, then drains: what is in flight may finish within
// drain_timeout. It keeps the resolver running, and returns when everything has
// stopped.
func (a *Agent) Run(ctx context.Context) error {
	failed := make(chan error, 1)
	go func() {
		if err := a.server.Serve(a.listener); !errors.Is(err, http.ErrServerClosed) {
			failed <- fmt.Errorf("serve %s: %w", a.Addr, err)
		}
	}()
	a.log.InfoContext(ctx, "serving", "address", a.Addr.String(), "name", a.cfg.Name, "region", a.cfg.Region)
	cause := a.watch(ctx, failed)
	a.log.InfoContext(ctx, "draining")
	drain, cancel := context.WithTimeout(context.WithoutCancel(ctx), a.cfg.DrainTimeout)
	defer cancel()
	return errors.Join(cause, web.Drain(drain, a.server), a.resolver.close())
}

// watch keeps the resolver running until ctx ends or the server fails.
func (a *Agent) watch(ctx context.Context, failed <-chan error) error {
	ticker := time.NewTicker(resolverEvery)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case err := <-failed:
			return err
		case <-ticker.C:
			if err := a.resolver.watch(ctx); err != nil {
				a.log.ErrorContext(ctx, "cannot keep the resolver running", "error", err)
			}
		}
	}
}

// Close closes the listener and stops the resolver of an agent that does not run.
func (a *Agent) Close() error {
	var err error
	if a.listener != nil {
		err = a.listener.Close()
	}
	return errors.Join(err, a.resolver.close())
}
