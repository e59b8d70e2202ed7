package signer

import (
	"bufio"
	"context"
	"crypto"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"iter"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/telamon-ca/telamon/internal/keystore"
	"github.com/telamon-ca/telamon/internal/tbs"
)

// DefaultWait is how long an operation waits for a signer that does not answer.
const DefaultWait = 5 * time.Second

// What the client bounds. Both together are far from what the server allows, so that
// several processes may use one signer.
const (
	connections = 32 // operations in hand at a time
	maxIdle     = 8  // connections kept for the next operations
)

// ClientConfig says where a signer is, and how both ends know each other.
type ClientConfig struct {
	Socket      string // path
	Certificate tls.Certificate
	Server      *x509.Certificate
	UIDs        []uint32 // users as which the signer may run
	// Wait is how long an operation waits for a signer that does not answer, and for
	// its turn; zero is DefaultWait.
	Wait time.Duration
}

// Client is the keystore behind a signer. It is safe for concurrent use, and
// connects when it has something to ask for.
//
// While the signer does not answer, operations wait for it, and then report
// ErrUnavailable. An operation whose answer was lost, as when the signer was killed,
// is asked for again if that does no harm; if it would, ErrUnknown is reported.
type Client struct {
	cfg   ClientConfig
	tls   *tls.Config
	turns chan struct{} // has one for each operation in hand

	mu   sync.Mutex
	idle []*connection // guarded by mu; the one used last is the last

	silent failure // why the last operation was not answered
	unwell failure // what Health found last
}

// failure is an error that is remembered until it is over.
type failure struct{ cause atomic.Pointer[error] }

func (f *failure) note(err error) {
	if err == nil {
		f.cause.Store(nil)
		return
	}
	f.cause.Store(&err)
}

func (f *failure) error() error {
	if cause := f.cause.Load(); cause != nil {
		return *cause
	}
	return nil
}

// connection is one connection to the signer.
type connection struct {
	*tls.Conn
	r      *bufio.Reader
	w      *bufio.Writer
	buffer []byte // of a frame
}

// NewClient returns a client that has not connected yet.
func NewClient(cfg ClientConfig) (*Client, error) {
	if cfg.Server == nil {
		return nil, errors.New("signer: the certificate of the signer is not given")
	}
	config, err := tlsConfig(cfg.Certificate, []*x509.Certificate{cfg.Server})
	if err != nil {
		return nil, fmt.Errorf("signer: %w", err)
	}
	if cfg.Socket == "" || len(cfg.UIDs) == 0 {
		return nil, errors.New("signer: a socket and the user of the signer are needed")
	}
	if cfg.Wait == 0 {
		cfg.Wait = DefaultWait
	}
	return &Client{cfg: cfg, tls: config, turns: make(chan struct{}, connections)}, nil
}

// Close closes the idle connections. Nothing may be asked for any more.
func (c *Client) Close() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, conn := range c.idle {
		conn.Close() // the signer may have ended
	}
	c.idle = nil
	return nil
}

// call asks for an operation and reads the whole answer.
func (c *Client) call(req request, content []byte) (response, []byte, error) {
	var write func(io.Writer) error
	if len(content) > 0 {
		write = func(w io.Writer) error {
			_, err := w.Write(content)
			return err
		}
	}
	var reply response
	var result []byte
	err := c.ask(req, write, func(r response, in *body) (err error) {
		reply = r
		result, err = in.whole()
		return err
	})
	return reply, result, err
}

// ask asks for an operation until it was answered, or until it must not be asked for
// again, and remembers which. Read is given the answer.
func (c *Client) ask(req request, write func(io.Writer) error, read func(response, *body) error) error {
	err := c.attempt(req, write, read)
	if errors.Is(err, ErrUnavailable) {
		c.silent.note(err)
	} else if c.silent.error() != nil {
		c.silent.note(nil)
	}
	return err
}

func (c *Client) attempt(req request, write func(io.Writer) error, read func(response, *body) error) error {
	ctx, cancel := context.WithTimeout(context.Background(), c.cfg.Wait)
	defer cancel()
	select {
	case c.turns <- struct{}{}:
		defer func() { <-c.turns }()
	case <-ctx.Done():
		return fmt.Errorf("%w: too many operations wait for it", ErrUnavailable)
	}
	repeat, wait := req.Operation.repeat(), newBackoff()
	for conn := c.reuse(repeat); ; conn = nil {
		reused := conn != nil
		if !reused {
			var err error
			if conn, err = c.connect(ctx, wait); err != nil {
				c.Close() // they may be what keeps the signer from taking another
				return fmt.Errorf("%w: %w", ErrUnavailable, err)
			}
		}
		sent, err := conn.ask(req, write, read)
		if _, ok := errors.AsType[*answered](err); err == nil || ok {
			c.keep(conn, repeat)
			return err
		}
		conn.Close()
		c.Close() // the others end when the signer does
		switch {
		case sent && repeat == repeatUnsent:
			return fmt.Errorf("%w: %w: %w", ErrUnavailable, ErrUnknown, err)
		case repeat == repeatNever || !reused && !wait.pause(ctx) || ctx.Err() != nil:
			return fmt.Errorf("%w: %w", ErrUnavailable, err)
		}
	}
}

// reuse returns an idle connection, nil if there is none, or if what is asked for
// must not meet one that has ended meanwhile.
func (c *Client) reuse(repeat repetition) *connection {
	c.mu.Lock()
	defer c.mu.Unlock()
	last := len(c.idle) - 1
	if last < 0 || repeat != repeatAny {
		return nil
	}
	conn := c.idle[last]
	c.idle = c.idle[:last]
	return conn
}

// keep keeps a connection for the next operation, unless there are enough. What was
// dialled for an operation that reuses none would never be used up.
func (c *Client) keep(conn *connection, repeat repetition) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if repeat != repeatAny || len(c.idle) >= maxIdle {
		conn.Close() // it has answered
		return
	}
	c.idle = append(c.idle, conn)
}

// An answered error is one of the operation, after which the connection is good.
type answered struct{ cause error }

func (e *answered) Error() string { return e.cause.Error() }

func (e *answered) Unwrap() error { return e.cause }

// connect tries to connect until ctx ends.
func (c *Client) connect(ctx context.Context, wait *backoff) (*connection, error) {
	for {
		conn, err := c.dial(ctx)
		if err == nil {
			return conn, nil
		}
		if !wait.pause(ctx) {
			return nil, err
		}
	}
}

func (c *Client) dial(ctx context.Context) (*connection, error) {
	var dialer net.Dialer
	plain, err := dialer.DialContext(ctx, "unix", c.cfg.Socket)
	if err != nil {
		return nil, err
	}
	if err := checkPeer(plain.(*net.UnixConn), c.cfg.UIDs); err != nil {
		plain.Close()
		return nil, err
	}
	conn := tls.Client(plain, c.tls)
	if err := conn.HandshakeContext(ctx); err != nil {
		conn.Close()
		return nil, err
	}
	return &connection{conn, bufio.NewReaderSize(conn, maxFrame), bufio.NewWriterSize(conn, maxFrame), make([]byte, maxFrame)}, nil
}

// ask asks for one operation. Sent is false if the signer cannot have begun it.
func (c *connection) ask(req request, write func(io.Writer) error, read func(response, *body) error) (sent bool, err error) {
	progress := func() error { return c.SetDeadline(time.Now().Add(req.Operation.answerTime())) }
	err = writeMessage(c.w, &req, write, progress)
	failed, isBody := errors.AsType[*bodyError](err)
	if err != nil && !isBody {
		return false, err
	}
	var reply response
	if err := readHeader(c.r, c.buffer, &reply); err != nil {
		return true, noEOF(err)
	}
	content := newBody(c.r, c.buffer, req.Operation.answerLimit(), progress)
	if isBody { // the signer has refused what was not whole
		if err := content.drain(); err != nil {
			return true, err
		}
		return true, &answered{failed.cause}
	}
	remote := reply.error()
	if remote == nil {
		err := read(reply, content)
		if failed, ok := errors.AsType[*remoteError](err); ok {
			return true, &answered{failed}
		}
		if err != nil {
			return true, err
		}
	}
	if err := content.drain(); err != nil {
		return true, err
	}
	if remote != nil {
		return true, &answered{remote}
	}
	return true, nil
}

// backoff spaces attempts out.
type backoff struct{ next time.Duration }

// The times between attempts grow from the first to the last.
const (
	firstPause = 10 * time.Millisecond
	lastPause  = 320 * time.Millisecond
)

func newBackoff() *backoff { return &backoff{firstPause} }

// pause waits, and returns false when ctx has ended.
func (b *backoff) pause(ctx context.Context) bool {
	timer := time.NewTimer(b.next)
	defer timer.Stop()
	b.next = min(2*b.next, lastPause)
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}

// Generate is [keystore.Keystore.Generate].
func (c *Client) Generate(name string, keyType tbs.KeyType) (crypto.PublicKey, error) {
	_, spki, err := c.call(request{Operation: opGenerate, Name: name, KeyType: keyType}, nil)
	if err != nil {
		return nil, err
	}
	return x509.ParsePKIXPublicKey(spki)
}

// Describe is [keystore.Keystore.Describe].
func (c *Client) Describe(name string) (keystore.InspectedKey, error) {
	reply, _, err := c.call(request{Operation: opDescribe, Name: name}, nil)
	if err != nil {
		return keystore.InspectedKey{}, err
	}
	if reply.Key == nil {
		return keystore.InspectedKey{}, fmt.Errorf("key %s is not described", name)
	}
	return reply.Key.parse(name)
}

// Public is [keystore.Keystore.Public].
func (c *Client) Public(name string) (crypto.PublicKey, error) {
	key, err := c.Describe(name)
	return key.Public, err
}

// Certificate is [keystore.Keystore.Certificate].
func (c *Client) Certificate(name string) (*x509.Certificate, error) {
	key, err := c.Describe(name)
	return key.Purpose.Certificate, err
}

// Bind is [keystore.Keystore.Bind].
func (c *Client) Bind(name string, purpose keystore.Purpose) error {
	var certificate []byte
	if purpose.Certificate != nil {
		certificate = purpose.Certificate.Raw
	}
	_, _, err := c.call(request{
		Operation: opBind, Name: name, Role: purpose.Role, EKUFamily: purpose.EKUFamily,
		Account: purpose.Owner.Account, KeyPair: purpose.Owner.KeyPair,
	}, certificate)
	return err
}

// RequestCertificate is [keystore.Keystore.RequestCertificate].
func (c *Client) RequestCertificate(name string, subject []byte) ([]byte, error) {
	_, der, err := c.call(request{Operation: opRequest, Name: name}, subject)
	return der, err
}

// SelfSign is [keystore.Keystore.SelfSign].
func (c *Client) SelfSign(name string, tbsDER []byte) ([]byte, error) {
	_, signature, err := c.call(request{Operation: opSelfSign, Name: name}, tbsDER)
	return signature, err
}

// SignCertificate is [keystore.Keystore.SignCertificate].
func (c *Client) SignCertificate(name string, tbsDER []byte) ([]byte, error) {
	_, signature, err := c.call(request{Operation: opSignCertificate, Name: name}, tbsDER)
	return signature, err
}

// SignCRL is [keystore.Keystore.SignCRL]. It is asked for once: the list is gone
// when it was read.
func (c *Client) SignCRL(name string, tbsCertList io.Reader) (signature []byte, err error) {
	write := func(w io.Writer) error {
		_, err := io.Copy(w, tbsCertList)
		return err
	}
	err = c.ask(request{Operation: opSignCRL, Name: name}, write, func(_ response, in *body) (err error) {
		signature, err = in.whole()
		return err
	})
	return signature, err
}

// SignOCSP is [keystore.Keystore.SignOCSP].
func (c *Client) SignOCSP(name string, responseData []byte) ([]byte, *tbs.SignatureAlgorithm, error) {
	reply, signature, err := c.call(request{Operation: opSignOCSP, Name: name}, responseData)
	if err != nil {
		return nil, nil, err
	}
	algorithm, err := tbs.SignatureByIdentifier(reply.Algorithm)
	return signature, algorithm, err
}

// SignHash is [keystore.Keystore.SignHash].
func (c *Client) SignHash(name string, owner keystore.Owner, algorithm *tbs.SignatureAlgorithm, digest []byte) ([]byte, error) {
	if algorithm == nil {
		return nil, fmt.Errorf("sign a hash with %s: no algorithm is given: %w", name, keystore.ErrPurpose)
	}
	_, signature, err := c.call(request{
		Operation: opSignHash, Name: name, Account: owner.Account, KeyPair: owner.KeyPair,
		Algorithm: algorithm.Name(), Hash: algorithm.HashName(),
	}, digest)
	return signature, err
}

// Retire is [keystore.Keystore.Retire].
func (c *Client) Retire(name string) error {
	_, _, err := c.call(request{Operation: opRetire, Name: name}, nil)
	return err
}

// Destroy is [keystore.Keystore.Destroy].
func (c *Client) Destroy(name string) error {
	_, _, err := c.call(request{Operation: opDestroy, Name: name}, nil)
	return err
}

// Names is [keystore.Keystore.Names].
func (c *Client) Names() ([]string, error) {
	_, text, err := c.call(request{Operation: opNames}, nil)
	if err != nil || len(text) == 0 {
		return nil, err
	}
	return strings.Split(string(text), "\n"), nil
}

// CheckKey is [keystore.Keystore.CheckKey].
func (c *Client) CheckKey(name string) error {
	_, _, err := c.call(request{Operation: opCheckKey, Name: name}, nil)
	return err
}

// Health reports why the signer could not sign now: it does not answer, it cannot
// write its journals, or it does not reach the device that has the keys.
func (c *Client) Health() error {
	_, _, err := c.call(request{Operation: opHealth}, nil)
	c.unwell.note(err)
	return err
}

// Failing reports from memory why the signer could not sign the last time that it was
// asked for something, or looked at by Health; nil if it could. A signer that is away
// for less than an operation waits is not missed.
func (c *Client) Failing() error {
	return errors.Join(c.silent.error(), c.unwell.error())
}

// ReadJournal is [keystore.Keystore.ReadJournal].
func (c *Client) ReadJournal(name string) iter.Seq2[keystore.Record, error] {
	return func(yield func(keystore.Record, error) bool) {
		err := c.ask(request{Operation: opJournal, Name: name}, nil, func(_ response, in *body) error {
			b := make([]byte, keystore.RecordSize)
			for {
				if _, err := io.ReadFull(in, b); err == io.EOF {
					return nil
				} else if err != nil {
					return err
				}
				record, err := keystore.ParseRecord(b)
				if err != nil {
					return err
				}
				if !yield(record, nil) {
					return errStopped
				}
			}
		})
		if err != nil && !errors.Is(err, errStopped) {
			yield(keystore.Record{}, fmt.Errorf("read journal of %s: %w", name, err))
		}
	}
}

// errStopped ends the reading of a journal that nobody wants to read on.
var errStopped = errors.New("stopped")
