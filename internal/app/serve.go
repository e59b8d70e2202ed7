package app

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"math/big"
	"net"
	"net/http"
	"net/http/pprof"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus/promhttp"
	"go.opentelemetry.io/contrib/instrumentation/net/http/otelhttp"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracehttp"
	"go.opentelemetry.io/otel/sdk/resource"
	"go.opentelemetry.io/otel/sdk/trace"
	"golang.org/x/net/netutil"

	"github.com/telamon-ca/telamon"
	"github.com/telamon-ca/telamon/internal/api/admin"
	"github.com/telamon-ca/telamon/internal/api/atlas"
	"github.com/telamon-ca/telamon/internal/fault"
	"github.com/telamon-ca/telamon/internal/portal"
	"github.com/telamon-ca/telamon/internal/status"
	"github.com/telamon-ca/telamon/internal/web"
)

// Server is an App with its listeners open.
type Server struct {
	app         *App
	certificate *serverCertificate
	servers     []*http.Server
	listeners   []net.Listener
	held        []net.Listener // open before, and not in listeners yet
	admin       *admin.API
	accounts    *web.Limiter // over all APIs
	stopTraces  func(context.Context) error
	socket      os.FileInfo // of the admin socket, nil if there is none

	// The addresses that are listened on; MetricsAddr is nil if it is off.
	Addr, StatusAddr, MetricsAddr net.Addr
}

// Listen opens the listeners, so that connections wait in line until Run serves
// them. A held listener serves the configured address that is its own; Listen takes
// the held ones over, also if it fails. The caller must call Run or Close.
func (a *App) Listen(ctx context.Context, held ...net.Listener) (*Server, error) {
	limits := a.Config.Limits
	s := &Server{
		app: a, held: held, stopTraces: func(context.Context) error { return nil },
		accounts: web.NewLimiter(a.Clock, limits.AccountRate, limits.AccountBurst),
	}
	if err := s.open(ctx); err != nil {
		return nil, errors.Join(err, s.Close())
	}
	return s, nil
}

func (s *Server) open(ctx context.Context) error {
	a := s.app
	var err error
	if s.certificate, err = newServerCertificate(ctx, a); err != nil {
		return err
	}
	if err := a.resolver.start(ctx); err != nil {
		return err
	}
	s.admin = a.AdminAPI()
	handler, faces, err := s.faces(ctx)
	if err != nil {
		return err
	}
	plain, err := s.listen("tcp", a.Config.Listen, handler, true)
	if err != nil {
		return err
	}
	s.Addr = plain.Addr()
	s.listeners[len(s.listeners)-1] = tls.NewListener(netutil.LimitListener(plain, a.Config.Limits.Connections), faces.TLSConfig())
	instrument := web.Instrument{Face: "status", Log: a.Log, Timeout: a.Config.Limits.RequestTimeout, MaxBody: 1 << 16}
	public := instrument.Wrap(status.New(status.Config{
		Issuers: a.Issuance, CRLs: a.Publisher, Clock: a.Clock, Log: a.Log, Ready: a.ready, OCSP: a.serveOCSP(),
	}))
	listener, err := s.listen("tcp", a.Config.StatusListen, public, true)
	if err != nil {
		return err
	}
	s.StatusAddr = listener.Addr()
	s.listeners[len(s.listeners)-1] = netutil.LimitListener(listener, a.Config.Limits.Connections)
	if a.Config.MetricsListen != "" {
		mux := http.NewServeMux()
		mux.HandleFunc("GET /debug/pprof/", pprof.Index)
		mux.HandleFunc("GET /debug/pprof/profile", pprof.Profile)
		mux.HandleFunc("GET /debug/pprof/trace", pprof.Trace)
		mux.Handle("GET /metrics", promhttp.HandlerFor(a.Registry, promhttp.HandlerOpts{Registry: a.Registry}))
		if listener, err = s.listen("tcp", a.Config.MetricsListen, mux, true); err != nil {
			return err
		}
		s.MetricsAddr = listener.Addr()
	}
	return s.listenAdmin()
}

// faces returns the handler of the TLS listener and the faces behind it.
func (s *Server) faces(ctx context.Context) (http.Handler, *web.Faces, error) {
	a, limits := s.app, s.app.Config.Limits
	api := atlas.New(atlas.Config{
		RA: a.RA, IAM: a.IAM, Clock: a.Clock, Log: a.Log, MaxBody: limits.BodyBytes, AtRoot: a.Config.Atlas.AtRoot,
		Addresses:   web.NewLimiter(a.Clock, limits.AddressRate, limits.AddressBurst),
		Credentials: web.NewLimiter(a.Clock, limits.CredentialRate, limits.CredentialBurst),
		Accounts:    s.accounts,
	})
	metrics := web.NewMetrics(a.Registry)
	instrument := web.Instrument{
		Face: "atlas", Log: a.Log, Observe: metrics.Observe, Timeout: limits.RequestTimeout, MaxBody: limits.BodyBytes + 1,
	}
	list := []*web.Face{{
		Name: "atlas", Hosts: a.Config.Names.Atlas, Handler: instrument.Wrap(api), Certificate: s.certificate.get, AsksClientCert: true,
	}}
	list = append(list, s.digicertONEFaces(instrument)...)
	if len(a.Config.Names.Portal) > 0 {
		instrument := instrument
		instrument.Face, instrument.MaxBodyOf = "portal", portal.MaxBody
		pages := portal.New(portal.Config{
			Approvals: a.RA, Clock: a.Clock, Log: a.Log, Platform: a.Config.Mail.Platform,
			SignIn: a.SignIn, IAM: a.IAM, RA: a.RA, Commerce: a.Commerce, Vetting: a.Vetting, AtlasURL: a.Config.atlasURL(),
			DigiCertONE: a.Config.digicertONEURLs(),
			RenderMail:  a.showMail,
			Addresses:   web.NewLimiter(a.Clock, limits.AddressRate, limits.AddressBurst),
			Forms:       web.NewLimiter(a.Clock, limits.FormRate, limits.FormBurst),
			Operator:    s.operatorPages(),
		})
		list = append(list, &web.Face{
			Name: "portal", Hosts: a.Config.Names.Portal, Handler: instrument.Wrap(pages), Certificate: s.certificate.get,
		})
	}
	list = append(list, s.adminFaces(instrument)...)
	faces := web.NewFaces(list...)
	clients, err := a.clients()
	if err != nil {
		return nil, nil, err
	}
	handler, err := s.traced(ctx, clients.Wrap(faces))
	return handler, faces, err
}

func (a *App) clients() (web.Clients, error) {
	clients := web.Clients{Trusted: a.Config.Proxy.Trusted}
	if a.Config.Proxy.InsecureSerialOnly {
		clients.BySerial = a.clientCertBySerial
	}
	for _, text := range a.Config.Proxy.Fingerprints {
		fingerprint, err := web.ParseFingerprint(text)
		if err != nil {
			return web.Clients{}, fmt.Errorf("proxy.fingerprints: %w", err)
		}
		clients.Fingerprints = append(clients.Fingerprints, fingerprint)
	}
	return clients, nil
}

// clientCertBySerial returns the DER of our mTLS certificate of a serial number,
// nil for none. Whether it is any good is judged as if the client had shown it.
func (a *App) clientCertBySerial(ctx context.Context, text string) []byte {
	n, ok := new(big.Int).SetString(text, 16)
	if !ok {
		return nil
	}
	serial, ok := telamon.SerialFromInt(n)
	if !ok {
		return nil
	}
	der, err := a.Store.ClientCertBySerial(ctx, serial)
	if err != nil && !fault.Is(err, fault.NotFound) {
		a.Log.ErrorContext(ctx, "cannot look up a client certificate", "error", err)
	}
	return der
}

// traced sends traces of the handler's requests if the configuration names a
// collector.
func (s *Server) traced(ctx context.Context, handler http.Handler) (http.Handler, error) {
	cfg := s.app.Config.Tracing
	if cfg.Endpoint == "" {
		return handler, nil
	}
	endpoint, err := url.JoinPath(cfg.Endpoint, "v1", "traces") // OTLP, Section "OTLP/HTTP Request"
	if err != nil {
		return nil, fmt.Errorf("tracing: %w", err)
	}
	exporter, err := otlptracehttp.New(ctx, otlptracehttp.WithEndpointURL(endpoint))
	if err != nil {
		return nil, fmt.Errorf("tracing: %w", err)
	}
	provider := trace.NewTracerProvider(trace.WithBatcher(exporter),
		trace.WithSampler(trace.ParentBased(trace.TraceIDRatioBased(cfg.Ratio))),
		trace.WithResource(resource.NewSchemaless(
			attribute.String("service.name", "telamon"), attribute.String("service.version", Version()))))
	s.stopTraces = provider.Shutdown
	return otelhttp.NewHandler(handler, "telamon", otelhttp.WithTracerProvider(provider)), nil
}

// listenAdmin opens the admin API on its Unix socket, which its owner alone can
// open: whoever can is the operator.
func (s *Server) listenAdmin() error {
	a, path := s.app, s.app.Config.AdminSocket
	if path == "" {
		return nil
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return fmt.Errorf("admin_socket: %w", err)
	}
	if err := removeStale(path); err != nil {
		return fmt.Errorf("admin_socket: %w", err)
	}
	// Made in a directory that nobody else can enter, and moved when its mode is
	// right, so that nobody else can open it for a moment.
	private, err := os.MkdirTemp(filepath.Dir(path), ".admin-")
	if err != nil {
		return fmt.Errorf("admin_socket: %w", err)
	}
	defer os.RemoveAll(private)
	made := filepath.Join(private, "s")
	instrument := web.Instrument{Face: "admin", Log: a.Log, MaxBody: adminBody}
	listener, err := s.listen("unix", made, instrument.Wrap(s.admin), false)
	if err != nil {
		return fmt.Errorf("admin_socket: %w", err)
	}
	listener.(*net.UnixListener).SetUnlinkOnClose(false) // it is elsewhere by then
	s.servers[len(s.servers)-1].ConnContext = web.WithPeer
	if err := a.Config.shareSocket(made); err != nil {
		return fmt.Errorf("admin_socket: %w", err)
	}
	info, err := os.Lstat(made)
	if err = errors.Join(err, os.Rename(made, path)); err != nil {
		return fmt.Errorf("admin_socket: %w", err)
	}
	s.socket = info
	return nil
}

// removeStale removes the socket that a killed server left, but not one that a
// running server answers on.
func removeStale(path string) error {
	info, err := os.Lstat(path)
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil || info.Mode().Type() != os.ModeSocket {
		return errors.Join(err, fmt.Errorf("%s is there and is no socket", path))
	}
	if conn, err := net.DialTimeout("unix", path, time.Second); err == nil {
		conn.Close()
		return fmt.Errorf("a server is running on %s", path)
	}
	return os.Remove(path)
}

func (s *Server) listen(network, address string, handler http.Handler, limited bool) (net.Listener, error) {
	var listener net.Listener
	at := slices.IndexFunc(s.held, func(h net.Listener) bool {
		return h.Addr().Network() == network && h.Addr().String() == address
	})
	if at >= 0 {
		listener = s.held[at]
		s.held = slices.Delete(s.held, at, at+1)
	} else {
		var err error
		if listener, err = net.Listen(network, address); err != nil {
			return nil, fmt.Errorf("listen: %w", err)
		}
	}
	server := web.NewServer(handler, s.app.Log)
	if !limited {
		server.ReadTimeout, server.WriteTimeout = 0, 0
	}
	s.servers, s.listeners = append(s.servers, server), append(s.listeners, listener)
	return listener, nil
}

// Run serves until ctx ends, then drains: what is in flight may finish within
// drain_timeout. It returns when everything has stopped.
func (s *Server) Run(ctx context.Context) error {
	background, stop := context.WithCancel(context.WithoutCancel(ctx))
	var work sync.WaitGroup
	s.app.startBackground(background, &work, s.certificate)
	failed := make(chan error, len(s.servers))
	for i, server := range s.servers {
		go func() {
			if err := server.Serve(s.listeners[i]); !errors.Is(err, http.ErrServerClosed) {
				failed <- fmt.Errorf("serve %s: %w", s.listeners[i].Addr(), err)
			}
		}()
	}
	s.app.Log.InfoContext(ctx, "serving", "address", s.Addr.String(), "status_address", s.StatusAddr.String())
	var cause error
	select {
	case <-ctx.Done():
	case cause = <-failed:
	}
	s.app.Log.InfoContext(ctx, "draining")
	drain, cancel := context.WithTimeout(context.WithoutCancel(ctx), s.app.Config.DrainTimeout)
	defer cancel()
	err := web.Drain(drain, s.servers...)
	if waitErr := s.app.RA.Wait(drain); waitErr != nil {
		s.app.Log.WarnContext(ctx, "checks of claims are cut short, and done again by their jobs", "error", waitErr)
	}
	stop()
	work.Wait()
	last, cancelLast := context.WithTimeout(context.WithoutCancel(ctx), finishTimeout) // drain may be over
	defer cancelLast()
	return errors.Join(cause, err, s.app.finish(last), s.stopTraces(last), s.removeSocket())
}

// finishTimeout is how long the last writes may take when nothing is served any
// more.
const finishTimeout = 5 * time.Second

// removeSocket removes the server's own admin socket. One that is there instead
// belongs to the next server, which may have started while this one drained.
func (s *Server) removeSocket() error {
	if s.socket == nil {
		return nil
	}
	path := s.app.Config.AdminSocket
	info, err := os.Lstat(path)
	switch {
	case errors.Is(err, os.ErrNotExist):
		return nil
	case err != nil:
		return err
	case !os.SameFile(info, s.socket) || !info.ModTime().Equal(s.socket.ModTime()): // a new file may have the old one's inode
		return nil
	}
	return os.Remove(path)
}

// Close closes the listeners of a server that does not run.
func (s *Server) Close() error {
	var errs []error
	for _, l := range slices.Concat(s.listeners, s.held) {
		errs = append(errs, l.Close())
	}
	return errors.Join(append(errs, s.removeSocket())...)
}

// Reload reads the files of the server certificate and the list of blocked keys anew and sets the log level of
// cfg. Everything else of the configuration needs a restart.
func (s *Server) Reload(ctx context.Context, cfg Config) error {
	level, err := logLevel(cfg.Log.Level)
	if err != nil {
		return fmt.Errorf("log.level: %w", err)
	}
	if err := s.certificate.refresh(ctx); err != nil {
		return err
	}
	if err := s.app.loadBlockedKeys(); err != nil {
		return err
	}
	s.app.Log.InfoContext(ctx, "reloaded", "level", level)
	s.app.Level.Set(level)
	return nil
}
