package world

import (
	"context"
	"crypto/tls"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/mail"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/emersion/go-smtp"
)

// The limits of the mail server.
const (
	maxMessages     = 1000
	maxMessageBytes = 1 << 20
	maxRecipients   = 50
	mailTimeout     = 30 * time.Second
)

// ErrClosed is the end of a wait for mail by the end of the server.
var ErrClosed = errors.New("the mail server is closed")

// Mail is the mail server of every domain of the world: it takes all mail by SMTP,
// with STARTTLS if the client wants it, and keeps the last 1000 messages in memory.
// It is safe for concurrent use.
type Mail struct {
	server      *smtp.Server
	listener    net.Listener
	certificate tls.Certificate
	serving     sync.WaitGroup

	mu       sync.Mutex // guards what follows
	messages []Message
	received int            // how many there have been
	rejects  map[string]int // SMTP codes by recipient
	changed  chan struct{}  // closed and replaced when there is a new message
	closed   bool
}

// A Message is one that was received. Whoever has it may read it, not change it.
type Message struct {
	From    string   // the envelope's sender, an address alone
	To      []string // the envelope's recipients
	Subject string   // decoded
	Text    string   // the first text/plain part, decoded; "" if there is none
	HTML    string   // the first text/html part
	Header  mail.Header
	TLS     bool // it came after STARTTLS
	At      time.Time
	Raw     []byte
}

// StartMail listens on addr, whose port may be 0, and serves until Close.
func StartMail(addr string) (*Mail, error) {
	certificate, err := selfSigned()
	if err != nil {
		return nil, err
	}
	listener, err := net.Listen("tcp", addr)
	if err != nil {
		return nil, fmt.Errorf("listen for SMTP: %w", err)
	}
	m := &Mail{listener: listener, certificate: certificate, rejects: map[string]int{}, changed: make(chan struct{})}
	m.server = smtp.NewServer(smtp.BackendFunc(func(c *smtp.Conn) (smtp.Session, error) { return &mailSession{mail: m, conn: c}, nil }))
	m.server.Domain = "localhost"
	m.server.TLSConfig = &tls.Config{Certificates: []tls.Certificate{certificate}, MinVersion: tls.VersionTLS12}
	m.server.MaxMessageBytes = maxMessageBytes
	m.server.MaxRecipients = maxRecipients
	m.server.ReadTimeout = mailTimeout
	m.server.WriteTimeout = mailTimeout
	m.server.EnableSMTPUTF8 = true
	m.server.ErrorLog = log.New(io.Discard, "", 0)
	m.serving.Go(func() { _ = m.server.Serve(listener) })
	return m, nil
}

// Addr returns the address of the listener.
func (m *Mail) Addr() string { return m.listener.Addr().String() }

// Certificate returns the server's certificate in PEM, which a client has to trust.
// It is for localhost and the loopback addresses.
func (m *Mail) Certificate() []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: m.certificate.Certificate[0]})
}

// Close ends the listener and all connections. Who waits for mail gets [ErrClosed].
func (m *Mail) Close() error {
	err := m.server.Close()
	if errors.Is(err, smtp.ErrServerClosed) {
		err = nil
	}
	_ = m.listener.Close() // in case the server had not begun to serve
	m.serving.Wait()
	m.mu.Lock()
	defer m.mu.Unlock()
	if !m.closed {
		m.closed = true
		close(m.changed)
	}
	return err
}

// Messages returns the messages that were received, oldest first.
func (m *Mail) Messages() []Message {
	m.mu.Lock()
	defer m.mu.Unlock()
	return slices.Clone(m.messages)
}

// Wait returns the first message for which the condition holds, of those that are
// there and those that come, or an error when ctx or the server ends.
func (m *Mail) Wait(ctx context.Context, condition func(Message) bool) (Message, error) {
	for seen := 0; ; {
		m.mu.Lock()
		first := m.received - len(m.messages) // the number of the oldest one that is there
		fresh := slices.Clone(m.messages[min(max(seen-first, 0), len(m.messages)):])
		seen = m.received
		changed, closed := m.changed, m.closed
		m.mu.Unlock()
		if i := slices.IndexFunc(fresh, condition); i >= 0 {
			return fresh[i], nil
		}
		if closed {
			return Message{}, ErrClosed
		}
		select {
		case <-ctx.Done():
			return Message{}, fmt.Errorf("wait for mail: %w", ctx.Err())
		case <-changed:
		}
	}
}

// Clear forgets the messages.
func (m *Mail) Clear() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.messages = nil
}

// Reject lets the server refuse a recipient with an SMTP code between 400 and 599;
// 0 ends it.
func (m *Mail) Reject(rcpt string, code int) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if code == 0 {
		delete(m.rejects, strings.ToLower(rcpt))
		return
	}
	m.rejects[strings.ToLower(rcpt)] = code
}

func (m *Mail) rejectionOf(rcpt string) int {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.rejects[strings.ToLower(rcpt)]
}

func (m *Mail) add(message Message) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.closed {
		return
	}
	if len(m.messages) == maxMessages {
		m.messages = slices.Delete(slices.Clone(m.messages), 0, 1)
	}
	m.messages = append(m.messages, message)
	m.received++
	close(m.changed)
	m.changed = make(chan struct{})
}

// A mailSession is one client's. It is used by one goroutine.
type mailSession struct {
	mail *Mail
	conn *smtp.Conn
	from string
	to   []string
}

// Mail implements smtp.Session.
func (s *mailSession) Mail(from string, _ *smtp.MailOptions) error {
	s.from = from
	return nil
}

// Rcpt implements smtp.Session.
func (s *mailSession) Rcpt(to string, _ *smtp.RcptOptions) error {
	if code := s.mail.rejectionOf(to); code != 0 {
		return &smtp.SMTPError{Code: code, EnhancedCode: smtp.EnhancedCode{code / 100, 1, 1}, Message: "this recipient is refused"}
	}
	s.to = append(s.to, to)
	return nil
}

// Data implements smtp.Session.
func (s *mailSession) Data(r io.Reader) error {
	raw, err := io.ReadAll(r)
	if err != nil {
		return err // the library's own: it knows the answer
	}
	message, err := parseMessage(raw)
	if err != nil {
		return &smtp.SMTPError{Code: 554, EnhancedCode: smtp.EnhancedCode{5, 6, 0}, Message: "the message cannot be read"}
	}
	_, message.TLS = s.conn.TLSConnectionState()
	message.From, message.To, message.At = s.from, slices.Clone(s.to), time.Now().UTC()
	s.mail.add(message)
	return nil
}

// Reset implements smtp.Session.
func (s *mailSession) Reset() { s.from, s.to = "", nil }

// Logout implements smtp.Session.
func (s *mailSession) Logout() error { return nil }
