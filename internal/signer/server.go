package signer

import (
	"bufio"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"strings"
	"sync"
	"time"

	"golang.org/x/net/netutil"

	"github.com/telamon-ca/telamon/internal/keystore"
	"github.com/telamon-ca/telamon/internal/tbs"
)

// What the server bounds. The times are those of the machine: they are about its
// sockets.
const (
	handshakeTime  = 5 * time.Second
	frameTime      = 30 * time.Second // until the next frame of a message
	drainTime      = 10 * time.Second
	idleTime       = 5 * time.Minute // until the next request
	maxConnections = 256
)

// ServerConfig says whose keys are offered to whom.
type ServerConfig struct {
	Keys        *keystore.Keystore
	Certificate tls.Certificate
	Clients     []*x509.Certificate // that may connect
	UIDs        []uint32            // users as which clients may run
	Log         *slog.Logger
	// Idle is how long a connection stays open without a request; zero is 5 minutes. A
	// client connects anew.
	Idle time.Duration
}

// Server offers the operations of a keystore.
type Server struct {
	keys *keystore.Keystore
	tls  *tls.Config
	uids []uint32
	log  *slog.Logger
	idle time.Duration

	mu      sync.Mutex
	conns   map[net.Conn]bool // whether a request is being answered; guarded by mu
	closing bool              // guarded by mu

	healthMu sync.Mutex
	healthAt time.Time // guarded by healthMu
	health   error     // guarded by healthMu
}

// NewServer returns a server that does not listen yet.
func NewServer(cfg ServerConfig) (*Server, error) {
	config, err := tlsConfig(cfg.Certificate, cfg.Clients)
	if err != nil {
		return nil, fmt.Errorf("signer: %w", err)
	}
	if len(cfg.UIDs) == 0 {
		return nil, errors.New("signer: no user may connect")
	}
	if cfg.Idle == 0 {
		cfg.Idle = idleTime
	}
	return &Server{keys: cfg.Keys, tls: config, uids: cfg.UIDs, log: cfg.Log, idle: cfg.Idle, conns: map[net.Conn]bool{}}, nil
}

// Serve answers on the listener, of a Unix socket, until ctx ends. Then it lets
// requests in hand finish and closes the listener.
func (s *Server) Serve(ctx context.Context, listener net.Listener) error {
	limited := netutil.LimitListener(&checkedListener{listener, s}, maxConnections)
	stop := context.AfterFunc(ctx, func() { limited.Close() })
	defer stop()
	var work sync.WaitGroup
	for {
		conn, err := limited.Accept()
		if err == nil && ctx.Err() == nil {
			work.Go(func() { s.serve(conn) })
			continue
		}
		limited.Close() // a connection may have come before it was closed
		if err == nil {
			conn.Close()
		} else if ctx.Err() == nil {
			s.drain(&work)
			return fmt.Errorf("signer: %w", err)
		}
		s.drain(&work)
		return nil
	}
}

// drain closes what waits for requests at once, and the rest when it is answered.
func (s *Server) drain(work *sync.WaitGroup) {
	s.each(func(conn net.Conn, busy bool) bool { return !busy })
	late := time.AfterFunc(drainTime, func() { s.each(func(net.Conn, bool) bool { return true }) })
	defer late.Stop()
	work.Wait()
}

// each closes the connections for which f holds. From then on none stays open.
func (s *Server) each(f func(conn net.Conn, busy bool) bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.closing = true
	for conn, busy := range s.conns {
		if f(conn, busy) {
			conn.Close()
		}
	}
}

// checkedListener accepts connections of users who may connect, and closes others.
type checkedListener struct {
	net.Listener
	server *Server
}

// Accept implements net.Listener.
func (l *checkedListener) Accept() (net.Conn, error) {
	for {
		conn, err := l.Listener.Accept()
		if err != nil {
			return nil, err
		}
		unix, ok := conn.(*net.UnixConn)
		err = errors.New("it is no connection of a Unix socket")
		if ok {
			err = checkPeer(unix, l.server.uids)
		}
		if err == nil {
			return conn, nil
		}
		l.server.log.Warn("refused a connection", "error", err)
		conn.Close()
	}
}

// serve answers the requests of one connection, one at a time.
func (s *Server) serve(plain net.Conn) {
	conn := tls.Server(plain, s.tls)
	defer conn.Close()
	defer s.leave(conn)
	if !s.enter(conn) {
		return
	}
	defer func() {
		if r := recover(); r != nil {
			s.log.Error("a request made the signer panic", "panic", r)
		}
	}()
	if err := plain.SetDeadline(time.Now().Add(handshakeTime)); err != nil {
		return
	}
	if err := conn.Handshake(); err != nil {
		s.log.Warn("refused a connection", "error", err)
		return
	}
	r, w, buffer := bufio.NewReaderSize(conn, maxFrame), bufio.NewWriterSize(conn, maxFrame), make([]byte, maxFrame)
	for s.mark(conn, false) {
		if err := s.answer(conn, r, w, buffer); err != nil {
			if !errors.Is(err, io.EOF) && !errors.Is(err, net.ErrClosed) {
				s.log.Warn("a connection ended", "error", err)
			}
			return
		}
	}
}

// enter notes a connection, and returns false if the server stops.
func (s *Server) enter(conn net.Conn) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.conns[conn] = true
	return !s.closing
}

func (s *Server) leave(conn net.Conn) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.conns, conn)
}

// mark notes whether a request is in hand, and returns false if the server stops.
func (s *Server) mark(conn net.Conn, busy bool) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.conns[conn] = busy
	return !s.closing
}

// answer reads one request and writes its response. An error ends the connection.
func (s *Server) answer(conn *tls.Conn, r *bufio.Reader, w *bufio.Writer, buffer []byte) error {
	if err := conn.SetDeadline(time.Now().Add(s.idle)); err != nil {
		return err
	}
	if _, err := r.Peek(1); errors.Is(err, os.ErrDeadlineExceeded) {
		return io.EOF // the client has nothing to ask
	} else if err != nil {
		return err
	}
	s.mark(conn, true)
	progress := func() error { return conn.SetDeadline(time.Now().Add(frameTime)) }
	if err := progress(); err != nil {
		return err
	}
	var req request
	if err := readHeader(r, buffer, &req); err != nil {
		return noEOF(err)
	}
	content := newBody(r, buffer, req.Operation.limit(), progress)
	reply, out, err := s.do(&req, content)
	if err != nil {
		reply, out = respond(err), nil
		s.log.Warn("an operation failed", "operation", req.Operation, "key", req.Name, "error", err)
	}
	if err := content.drain(); err != nil {
		return fmt.Errorf("read what is left of a request: %w", err)
	}
	err = writeMessage(w, &reply, out, progress)
	if failed, ok := errors.AsType[*bodyError](err); ok {
		s.log.Warn("an operation failed", "operation", req.Operation, "key", req.Name, "error", failed)
		return nil
	}
	return err
}

// do does what a request asks for, and returns what writes the response's body.
// Requests are read whole, but for a CRL.
func (s *Server) do(req *request, content *body) (reply response, out func(io.Writer) error, err error) {
	var result []byte
	out = func(w io.Writer) error {
		_, err := w.Write(result)
		return err
	}
	if req.Operation == opSignCRL {
		result, err = s.keys.SignCRL(req.Name, content)
		return reply, out, err
	}
	in, err := content.whole()
	if err != nil {
		return reply, nil, err
	}
	switch req.Operation {
	case opSignCertificate:
		result, err = s.keys.SignCertificate(req.Name, in)
	case opSignOCSP:
		var algorithm *tbs.SignatureAlgorithm
		if result, algorithm, err = s.keys.SignOCSP(req.Name, in); err == nil {
			reply.Algorithm = algorithm.Identifier()
		}
	case opSignHash:
		result, err = s.signHash(req, in)
	case opJournal:
		out = func(w io.Writer) error { return s.writeJournal(w, req.Name) }
	case opDescribe:
		var key keystore.InspectedKey
		if key, err = s.keys.Describe(req.Name); err == nil {
			reply.Key, err = newKeyText(key)
		}
	case opHealth:
		err = s.checkHealth(time.Now())
	default:
		result, err = s.manage(req, in)
	}
	return reply, out, err
}

func (s *Server) signHash(req *request, digest []byte) ([]byte, error) {
	algorithm, err := tbs.SignatureNamed(req.Algorithm, req.Hash)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", err, errRefused)
	}
	return s.keys.SignHash(req.Name, req.owner(), algorithm, digest)
}

// writeJournal writes the records of a key's journal.
func (s *Server) writeJournal(w io.Writer, name string) error {
	for record, err := range s.keys.ReadJournal(name) {
		if err != nil {
			return err
		}
		if _, err := w.Write(record.Marshal()); err != nil {
			return err
		}
	}
	return nil
}

// manage does what concerns the keys themselves, and logs it.
func (s *Server) manage(req *request, in []byte) (result []byte, err error) {
	changes := true
	switch req.Operation {
	case opGenerate:
		if _, err := tbs.ParseKeyType(string(req.KeyType)); err != nil {
			return nil, fmt.Errorf("%w: %w", err, errRefused)
		}
		public, err := s.keys.Generate(req.Name, req.KeyType)
		if err != nil {
			return nil, err
		}
		result, err = x509.MarshalPKIXPublicKey(public)
		if err != nil {
			return nil, err
		}
	case opBind:
		purpose, err := req.purpose(in)
		if err != nil {
			return nil, err
		}
		if err := s.keys.Bind(req.Name, purpose); err != nil {
			return nil, err
		}
	case opRequest:
		result, err = s.keys.RequestCertificate(req.Name, in)
	case opSelfSign:
		result, err = s.keys.SelfSign(req.Name, in)
	case opRetire:
		err = s.keys.Retire(req.Name)
	case opDestroy:
		err = s.keys.Destroy(req.Name)
	default:
		changes = false
		result, err = s.read(req)
	}
	if err == nil && changes {
		s.log.Info("did what concerns a key itself", "operation", req.Operation, "key", req.Name)
	}
	return result, err
}

// read answers what is to be known of the keys.
func (s *Server) read(req *request) ([]byte, error) {
	switch req.Operation {
	case opNames:
		return []byte(strings.Join(s.keys.Names(), "\n")), nil
	case opCheckKey:
		return nil, s.keys.CheckKey(req.Name)
	}
	return nil, fmt.Errorf("there is no operation %.40q: %w", req.Operation, errRefused)
}

// healthEvery is for how long what was found of the device's health is told again.
const healthEvery = 2 * time.Second

// healthTries is how many keys may be lost before the device is taken to be.
const healthTries = 3

// checkHealth reports why nothing can be journaled, or why the device with the keys
// cannot be used. One key that it has suffices: which are lost is for CheckKey to tell.
func (s *Server) checkHealth(now time.Time) error {
	if err := s.keys.Ready(); err != nil {
		return err
	}
	s.healthMu.Lock()
	defer s.healthMu.Unlock()
	if age := now.Sub(s.healthAt); age >= 0 && age < healthEvery {
		return s.health
	}
	s.health = nil
	for i, name := range s.keys.Names() {
		if s.health = s.keys.CheckKey(name); s.health == nil || i+1 == healthTries {
			break
		}
	}
	s.healthAt = now
	return s.health
}
