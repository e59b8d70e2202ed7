// Package notify tells people what happens to what is theirs: it writes mail from
// templates and hands it to a mail server.
//
// It decides neither who is told nor when, and knows no claims but what a template
// shows. It trusts the mail server that the configuration names to deliver, once
// that has shown its certificate; not what the server answers, and no text that
// somebody else chose, such as the name of an account.
package notify

import (
	"context"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/hex"
	"errors"
	"fmt"
	"net"
	"net/mail"
	"net/textproto"
	"os"
	"slices"
	"strings"
	"time"
	"unicode"

	gomail "github.com/wneessen/go-mail"
	"github.com/wneessen/go-mail/smtp"

	"github.com/telamon-ca/telamon"
)

// What STARTTLS of an [SMTPConfig] can say.
const (
	// STARTTLSRequired sends nothing to a server that does not offer STARTTLS.
	STARTTLSRequired = "required"
	// STARTTLSOpportunistic uses STARTTLS if it is offered, and then verifies the
	// server's certificate.
	STARTTLSOpportunistic = "opportunistic"
	// STARTTLSNone sends in the clear, for a relay on this machine.
	STARTTLSNone = "none"
)

// defaultTimeout bounds the sending of a message.
const defaultTimeout = 30 * time.Second

// An SMTPConfig says through which server mail is sent.
type SMTPConfig struct {
	Host string // a name or an IP address, by which the server's certificate is verified
	Port int    // 0 is 465 with ImplicitTLS and 587 otherwise
	// STARTTLS is "required", "opportunistic" or "none"; "" is "required". It means
	// nothing with ImplicitTLS.
	STARTTLS    string
	ImplicitTLS bool // TLS from the start (RFC 8314, Section 3.3)
	// Username and Password log in, if Username is not empty. They are never sent in
	// the clear but to a server on this machine.
	Username string
	Password string
	From     string // the sender: an address, or "Name <address>"
	// RootCAs verify the server's certificate, CAFile names a file of them in PEM. If
	// neither is given, the system's do.
	RootCAs *x509.CertPool
	CAFile  string
	Hello   string        // the name that we give the server; "" is the domain of From
	Timeout time.Duration // of one message, from start to end; 0 is 30 seconds
	// Clock gives the date of a message; nil is the machine's.
	Clock telamon.Clock
}

// A Message is one mail to one recipient, in plain text and HTML.
type Message struct {
	To      string // an address alone
	Subject string
	Text    string
	HTML    string            // "" sends the text alone
	Headers map[string]string // in addition to our own
	// ID is the Message-ID without its brackets, or the part of it before our domain.
	// A message that is sent again should have its first ID. "" is a new one.
	ID string
}

// SMTP sends mail through one server, with one connection for each message. It is
// safe for concurrent use.
type SMTP struct {
	config  SMTPConfig
	from    mail.Address
	domain  string // of from
	options []gomail.Option
	tls     *tls.Config
}

// NewSMTP checks the configuration. It connects to nothing.
func NewSMTP(config SMTPConfig) (*SMTP, error) {
	from, err := mail.ParseAddress(config.From)
	if err != nil {
		return nil, fmt.Errorf("read the sender of mail: %w", err)
	}
	s := &SMTP{config: config, from: *from, domain: from.Address[strings.LastIndexByte(from.Address, '@')+1:]}
	if err := s.complete(); err != nil {
		return nil, err
	}
	roots, err := s.config.roots()
	if err != nil {
		return nil, err
	}
	s.tls = &tls.Config{ServerName: s.config.Host, RootCAs: roots, MinVersion: tls.VersionTLS12}
	policy := map[string]gomail.TLSPolicy{
		STARTTLSRequired: gomail.TLSMandatory, STARTTLSOpportunistic: gomail.TLSOpportunistic, STARTTLSNone: gomail.NoTLS,
	}[s.config.STARTTLS]
	if s.config.ImplicitTLS {
		policy = gomail.NoTLS // on top of the connection that dial makes
	}
	s.options = []gomail.Option{
		gomail.WithPort(s.config.Port), gomail.WithTLSConfig(s.tls), gomail.WithTLSPolicy(policy),
		gomail.WithTimeout(2 * s.config.Timeout), // the context ends before
		gomail.WithHELO(s.config.Hello),
	}
	if _, err := s.client(nil); err != nil {
		return nil, fmt.Errorf("read the configuration of SMTP: %w", err)
	}
	return s, nil
}

// complete sets what was left out, and checks what a client would not.
func (s *SMTP) complete() error {
	c := &s.config
	if c.STARTTLS == "" {
		c.STARTTLS = STARTTLSRequired
	}
	if !slices.Contains([]string{STARTTLSRequired, STARTTLSOpportunistic, STARTTLSNone}, c.STARTTLS) {
		return fmt.Errorf("read the configuration of SMTP: starttls is %q, not required, opportunistic or none", c.STARTTLS)
	}
	if strings.Contains(c.Host, "://") {
		return errors.New("read the configuration of SMTP: the host is a URL")
	}
	if c.Port == 0 {
		c.Port = 587
		if c.ImplicitTLS {
			c.Port = 465
		}
	}
	if c.Timeout < 0 {
		return errors.New("read the configuration of SMTP: the timeout is negative")
	}
	if c.Timeout == 0 {
		c.Timeout = defaultTimeout
	}
	if c.Hello == "" {
		c.Hello = s.domain
	}
	if c.Clock == nil {
		c.Clock = telamon.SystemClock{}
	}
	return nil
}

// roots returns what verifies the server; nil is the system's.
func (c SMTPConfig) roots() (*x509.CertPool, error) {
	if c.CAFile == "" {
		return c.RootCAs, nil
	}
	if c.RootCAs != nil {
		return nil, errors.New("read the configuration of SMTP: roots are given in two ways")
	}
	text, err := os.ReadFile(c.CAFile)
	if err != nil {
		return nil, fmt.Errorf("read the roots of SMTP: %w", err)
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(text) {
		return nil, fmt.Errorf("read the roots of SMTP: no certificate in %s", c.CAFile)
	}
	return pool, nil
}

type dialFunc = func(ctx context.Context, network, address string) (net.Conn, error)

// client returns a client for one connection.
func (s *SMTP) client(dial dialFunc) (*gomail.Client, error) {
	options := s.options
	if dial != nil {
		options = append(slices.Clone(options), gomail.WithDialContextFunc(dial))
	}
	return gomail.NewClient(s.config.Host, options...)
}

// Send hands the message to the server; on return without an error the server has
// taken charge of it. It reports a *[SendError], which [IsPermanent] can judge.
func (s *SMTP) Send(ctx context.Context, m Message) error {
	msg, err := s.compose(m)
	if err != nil {
		return &SendError{Step: "compose the message", Permanent: true, Err: err}
	}
	ctx, cancel := context.WithTimeout(ctx, s.config.Timeout)
	defer cancel()
	if err := s.deliver(ctx, m.To, msg); err != nil {
		if ctx.Err() != nil { // the rest follows from it
			return &SendError{Step: err.Step, Err: ctx.Err()}
		}
		return err
	}
	return nil
}

// deliver makes a connection for one message. The end of ctx ends it, whatever the
// other side does.
func (s *SMTP) deliver(ctx context.Context, to string, msg *gomail.Msg) *SendError {
	var raw net.Conn // below TLS
	client, err := s.client(func(_ context.Context, network, address string) (conn net.Conn, err error) {
		raw, conn, err = s.dial(ctx, network, address)
		return conn, err
	})
	if err != nil {
		return failed("make a client", err)
	}
	connection, err := client.DialToSMTPClientWithContext(ctx)
	if raw != nil {
		defer raw.Close() // the client forgets it when the greeting or STARTTLS fails
	}
	if err != nil {
		return failed("connect", err)
	}
	if err := s.login(connection); err != nil {
		return err
	}
	if err := transfer(connection, s.from.Address, to, msg); err != nil {
		return err
	}
	_ = connection.Quit() // the message is delivered, whatever this answers
	return nil
}

// dial connects. It returns the connection itself, which is nil if there is none,
// and the one to speak through.
func (s *SMTP) dial(ctx context.Context, network, address string) (raw, conn net.Conn, err error) {
	raw, err = new(net.Dialer).DialContext(ctx, network, address)
	if err != nil {
		return nil, nil, err
	}
	context.AfterFunc(ctx, func() { raw.Close() })
	if !s.config.ImplicitTLS {
		return raw, raw, nil
	}
	secure := tls.Client(raw, s.tls)
	return raw, secure, secure.HandshakeContext(ctx)
}

// login authenticates us (RFC 4954) by the best method that the server offers. The
// server's words are no part of the error, for they may repeat ours.
func (s *SMTP) login(c *smtp.Client) *SendError {
	user, password, host := s.config.Username, s.config.Password, s.config.Host
	if user == "" {
		return nil
	}
	_, offered := c.Extension("AUTH")
	mechanisms := strings.Fields(strings.ToUpper(offered))
	var auth smtp.Auth
	switch {
	case slices.Contains(mechanisms, "SCRAM-SHA-256"):
		auth = smtp.ScramSHA256Auth(user, password)
	case slices.Contains(mechanisms, "PLAIN"):
		auth = smtp.PlainAuth("", user, password, host, false)
	case slices.Contains(mechanisms, "LOGIN"):
		auth = smtp.LoginAuth(user, password, host, false)
	default:
		return &SendError{Step: "log in", Err: errors.New("the server offers no method that we have")}
	}
	err := c.Auth(auth)
	if err == nil {
		return nil
	}
	refused := failed("log in", err)
	if errors.Is(err, smtp.ErrUnencrypted) {
		refused.Err = smtp.ErrUnencrypted
	} else if refused.Err != nil {
		refused.Err = errors.New("the exchange failed")
	}
	return refused
}

// transfer makes the transaction of one message (RFC 5321, Section 3.3).
func transfer(c *smtp.Client, from, to string, msg *gomail.Msg) *SendError {
	if err := c.Mail(bracketed(from)); err != nil {
		return failed("name the sender", err)
	}
	if err := c.Rcpt(bracketed(to)); err != nil {
		return judged("name the recipient", err)
	}
	w, err := c.Data()
	if err != nil {
		return failed("begin the message", err)
	}
	if _, err := msg.WriteTo(w); err != nil {
		return failed("send the message", err)
	}
	if err := w.Close(); err != nil {
		return judged("end the message", err)
	}
	return nil
}

// bracketed returns an address as a command names it, quoted where it must be.
func bracketed(address string) string { return (&mail.Address{Address: address}).String() }

// ours are the headers that a message cannot set.
var ours = []string{
	"From", "To", "Cc", "Bcc", "Sender", "Subject", "Date", "Message-Id", "Mime-Version", "Content-Type", "Content-Transfer-Encoding", "Auto-Submitted",
}

// compose writes the message with our headers.
func (s *SMTP) compose(m Message) (*gomail.Msg, error) {
	if address, err := mail.ParseAddress(m.To); err != nil || address.Address != m.To {
		return nil, errors.New("the recipient is not an address")
	}
	msg := gomail.NewMsg(gomail.WithNoDefaultUserAgent())
	msg.FromMailAddress(&s.from)
	msg.ToMailAddress(&mail.Address{Address: m.To})
	if strings.ContainsFunc(m.Subject, unicode.IsControl) {
		return nil, errors.New("the subject has a control character")
	}
	msg.Subject(m.Subject)
	msg.SetDateWithValue(s.config.Clock.Now())
	id, err := s.messageID(m.ID)
	if err != nil {
		return nil, err
	}
	msg.SetMessageIDWithValue(id)
	// RFC 3834, Section 5: no vacation notices, please.
	msg.SetGenHeader("Auto-Submitted", "auto-generated")
	for name, value := range m.Headers {
		if !isHeaderName(name) || slices.Contains(ours, textproto.CanonicalMIMEHeaderKey(name)) || strings.ContainsFunc(value, unicode.IsControl) {
			return nil, fmt.Errorf("the header %q cannot be set so", name)
		}
		msg.SetGenHeader(gomail.Header(name), value)
	}
	msg.SetBodyString(gomail.TypeTextPlain, m.Text)
	if m.HTML != "" {
		msg.AddAlternativeString(gomail.TypeTextHTML, m.HTML)
	}
	return msg, nil
}

// messageID completes the ID of a message (RFC 5322, Section 3.6.4).
func (s *SMTP) messageID(id string) (string, error) {
	if id == "" {
		var random [16]byte
		_, _ = rand.Read(random[:]) // never fails
		id = hex.EncodeToString(random[:])
	}
	if !strings.Contains(id, "@") {
		id += "@" + s.domain
	}
	if strings.ContainsFunc(id, func(r rune) bool { return r <= ' ' || r > '~' || r == '<' || r == '>' }) {
		return "", errors.New("the message ID is not one")
	}
	return id, nil
}

func isHeaderName(name string) bool {
	return name != "" && !strings.ContainsFunc(name, func(r rune) bool { return r <= ' ' || r > '~' || r == ':' })
}
