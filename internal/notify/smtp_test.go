package notify

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"errors"
	"io"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/emersion/go-sasl"
	"github.com/emersion/go-smtp"

	"github.com/telamon-ca/telamon/internal/testkit"
	"github.com/telamon-ca/telamon/internal/world"
)

func startMail(t *testing.T) *world.Mail {
	t.Helper()
	m, err := world.StartMail("127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { m.Close() })
	return m
}

// configFor returns the configuration of a client that sends to addr and trusts the
// certificate in PEM.
func configFor(t *testing.T, addr string, certificate []byte) SMTPConfig {
	t.Helper()
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(certificate)
	at := netip.MustParseAddrPort(addr)
	return SMTPConfig{
		Host: at.Addr().String(), Port: int(at.Port()), From: "Telamon <ca@ca.example.test>", RootCAs: pool, Timeout: 10 * time.Second,
		Clock: testkit.NewClock(t, "2026-11-27T16:00:00Z"),
	}
}

func newSMTP(t *testing.T, config SMTPConfig) *SMTP {
	t.Helper()
	s, err := NewSMTP(config)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

var message = Message{
	To: "admin@example.test", Subject: "Grüße 長 – approve?", Text: "Zeile ä\n.\nlast = line\n", HTML: "<p>ä &amp; ö</p>", ID: "ntf_1",
	Headers: map[string]string{"X-Telamon-Claim": "clm_1"},
}

func TestSend(t *testing.T) {
	m := startMail(t)
	s := newSMTP(t, configFor(t, m.Addr(), m.Certificate()))
	if err := s.Send(t.Context(), message); err != nil {
		t.Fatal(err)
	}
	got := m.Messages()[0]
	if !got.TLS || got.From != "ca@ca.example.test" || len(got.To) != 1 || got.To[0] != message.To {
		t.Errorf("TLS %t, from %s, to %v", got.TLS, got.From, got.To)
	}
	if got.Subject != message.Subject || strings.TrimSpace(got.Text) != strings.TrimSpace(message.Text) || strings.TrimSpace(got.HTML) != message.HTML {
		t.Errorf("subject %q, text %q, HTML %q", got.Subject, got.Text, got.HTML)
	}
	for name, want := range map[string]string{
		"Message-ID": "<ntf_1@ca.example.test>", "Auto-Submitted": "auto-generated", "Date": "Fri, 27 Nov 2026 16:00:00 +0000", "X-Telamon-Claim": "clm_1",
		"From": `"Telamon" <ca@ca.example.test>`, "To": "<admin@example.test>",
	} {
		if got := got.Header.Get(name); got != want {
			t.Errorf("%s: %q, want %q", name, got, want)
		}
	}
	plain := message
	plain.ID, plain.HTML, plain.Headers = "", "", nil
	for range 2 {
		if err := s.Send(t.Context(), plain); err != nil {
			t.Fatal(err)
		}
	}
	all := m.Messages()
	if a, b := all[1].Header.Get("Message-ID"), all[2].Header.Get("Message-ID"); a == b || !strings.HasSuffix(a, "@ca.example.test>") {
		t.Errorf("new message IDs are %s and %s", a, b)
	}
	if all[1].HTML != "" {
		t.Errorf("HTML where none was given: %q", all[1].HTML)
	}
}

func TestSendCAFile(t *testing.T) {
	m := startMail(t)
	config := configFor(t, m.Addr(), nil)
	config.RootCAs, config.CAFile = nil, filepath.Join(t.TempDir(), "ca.pem")
	if err := os.WriteFile(config.CAFile, m.Certificate(), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := newSMTP(t, config).Send(t.Context(), message); err != nil {
		t.Error(err)
	}
}

// TestSendWrongCertificate checks that nothing is sent to a server that cannot show
// who it is, however STARTTLS is wanted.
func TestSendWrongCertificate(t *testing.T) {
	m, other := startMail(t), startMail(t)
	for _, mode := range []string{"", STARTTLSRequired, STARTTLSOpportunistic} {
		config := configFor(t, m.Addr(), other.Certificate())
		config.STARTTLS = mode
		err := newSMTP(t, config).Send(t.Context(), message)
		if _, ok := errors.AsType[*tls.CertificateVerificationError](err); !ok || IsPermanent(err) {
			t.Errorf("STARTTLS %q: err = %v, want the certificate refused for now", mode, err)
		}
	}
	if n := len(m.Messages()); n != 0 {
		t.Errorf("%d messages were sent", n)
	}
	config := configFor(t, m.Addr(), other.Certificate())
	config.STARTTLS = STARTTLSNone
	if err := newSMTP(t, config).Send(t.Context(), message); err != nil || m.Messages()[0].TLS {
		t.Errorf("without TLS: %v", err)
	}
}

func TestSendRejected(t *testing.T) {
	m := startMail(t)
	s := newSMTP(t, configFor(t, m.Addr(), m.Certificate()))
	for code, permanent := range map[int]bool{550: true, 553: true, 521: true, 450: false, 452: false, 530: false, 503: false} {
		m.Reject(message.To, code)
		err := s.Send(t.Context(), message)
		refusal, ok := errors.AsType[*SendError](err)
		if !ok || refusal.Code != code || refusal.Step != "name the recipient" || IsPermanent(err) != permanent || refusal.Enhanced == "" {
			t.Errorf("%d: err = %v, permanent %t, want %t", code, err, IsPermanent(err), permanent)
		}
	}
	big := message
	big.Text = strings.Repeat("a line of a mail that is far too long\n", 40_000)
	m.Reject(message.To, 0)
	if err := s.Send(t.Context(), big); !IsPermanent(err) {
		t.Errorf("a message that is too long: %v", err)
	}
	if IsPermanent(nil) || IsPermanent(io.EOF) {
		t.Error("an error that is not the sender's is permanent")
	}
}

func TestSendRefusesMessages(t *testing.T) {
	m := startMail(t)
	s := newSMTP(t, configFor(t, m.Addr(), m.Certificate()))
	header := func(name, value string) func(*Message) {
		return func(m *Message) { m.Headers = map[string]string{name: value} }
	}
	for name, edit := range map[string]func(*Message){
		"no recipient":              func(m *Message) { m.To = "" },
		"two recipients":            func(m *Message) { m.To = "a@example.test, b@example.test" },
		"a recipient with a name":   func(m *Message) { m.To = "A <a@example.test>" },
		"a command":                 func(m *Message) { m.To = "a@example.test>\r\nRCPT TO:<b@example.test" },
		"a header in the subject":   func(m *Message) { m.Subject = "x\r\nBcc: b@example.test" },
		"a header in a header":      header("X-A", "x\nBcc: b@example.test"),
		"a header in a header name": header("X-A: x\r\nBcc", "b@example.test"),
		"a header of ours":          header("bcc", "b@example.test"),
		"our date":                  header("DATE", "x"),
		"a header in the ID":        func(m *Message) { m.ID = "x>\r\nBcc: b@example.test" },
	} {
		t.Run(name, func(t *testing.T) {
			edited := message
			edit(&edited)
			if err := s.Send(t.Context(), edited); !IsPermanent(err) {
				t.Errorf("err = %v, want a permanent one", err)
			}
		})
	}
	if n := len(m.Messages()); n != 0 {
		t.Errorf("%d messages were sent", n)
	}
}

func TestNewSMTPRefusals(t *testing.T) {
	good := SMTPConfig{Host: "mail.example.test", From: "ca@example.test"}
	if s := newSMTP(t, good); s.config.Port != 587 || s.config.STARTTLS != STARTTLSRequired {
		t.Errorf("the defaults are %d, %s", s.config.Port, s.config.STARTTLS)
	}
	for name, edit := range map[string]func(*SMTPConfig){
		"no host":             func(c *SMTPConfig) { c.Host = "" },
		"a URL":               func(c *SMTPConfig) { c.Host = "unix:///x" },
		"no sender":           func(c *SMTPConfig) { c.From = "" },
		"a port":              func(c *SMTPConfig) { c.Port = 65536 },
		"an unknown mode":     func(c *SMTPConfig) { c.STARTTLS = "maybe" },
		"a negative timeout":  func(c *SMTPConfig) { c.Timeout = -1 },
		"no such file":        func(c *SMTPConfig) { c.CAFile = filepath.Join(t.TempDir(), "none") },
		"roots in two ways":   func(c *SMTPConfig) { c.CAFile, c.RootCAs = "x", x509.NewCertPool() },
		"a file without PEM":  func(c *SMTPConfig) { c.CAFile = "smtp_test.go" },
		"a command in a name": func(c *SMTPConfig) { c.From = "a@b\r\nx" },
	} {
		t.Run(name, func(t *testing.T) {
			config := good
			edit(&config)
			if _, err := NewSMTP(config); err == nil {
				t.Error("it is accepted")
			}
		})
	}
}

// A relay is a mail server that wants a login, or has no STARTTLS, or breaks off.
type relay struct {
	mechanism, user, password string
	echo                      bool // it repeats what it was told
	conn                      *smtp.Conn
	bodies                    chan string
}

func (r *relay) NewSession(c *smtp.Conn) (smtp.Session, error) {
	session := *r
	session.conn = c
	return &session, nil
}

func (r *relay) AuthMechanisms() []string {
	if r.mechanism == "" {
		return nil
	}
	return []string{r.mechanism}
}

func (r *relay) Auth(string) (sasl.Server, error) {
	check := func(user, password string) error {
		if user == r.user && password == r.password {
			return nil
		}
		if r.echo {
			return &smtp.SMTPError{Code: 535, Message: "no: " + password + " " + base64.StdEncoding.EncodeToString([]byte("\x00"+user+"\x00"+password))}
		}
		return smtp.ErrAuthFailed
	}
	return sasl.NewPlainServer(func(_, user, password string) error { return check(user, password) }), nil
}

func (r *relay) Mail(string, *smtp.MailOptions) error { return nil }
func (r *relay) Rcpt(string, *smtp.RcptOptions) error { return nil }
func (r *relay) Reset()                               {}
func (r *relay) Logout() error                        { return nil }

func (r *relay) Data(body io.Reader) error {
	text, err := io.ReadAll(body)
	r.bodies <- string(text)
	if r.echo {
		return &smtp.SMTPError{Code: 554, Message: "no: " + string(text[:20])}
	}
	return err
}

// startRelay serves r, with STARTTLS or implicit TLS if there is a certificate.
func startRelay(t *testing.T, r *relay, config *tls.Config, implicit bool) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	r.bodies = make(chan string, 10)
	server := smtp.NewServer(r)
	server.TLSConfig, server.AllowInsecureAuth = config, true
	listener := l
	if implicit {
		listener = tls.NewListener(l, config)
	}
	done := make(chan struct{})
	go func() { defer close(done); _ = server.Serve(listener) }()
	t.Cleanup(func() { server.Close(); l.Close(); <-done })
	return l.Addr().String()
}

func TestSendWithoutSTARTTLS(t *testing.T) {
	r := &relay{}
	addr := startRelay(t, r, nil, false)
	config := configFor(t, addr, nil)
	err := newSMTP(t, config).Send(t.Context(), message)
	if sent, ok := errors.AsType[*SendError](err); !ok || sent.Step != "connect" || IsPermanent(err) || !strings.Contains(err.Error(), "STARTTLS") {
		t.Errorf("err = %v, want STARTTLS missed", err)
	}
	if len(r.bodies) != 0 {
		t.Error("the message was sent in the clear")
	}
	config.STARTTLS = STARTTLSOpportunistic
	if err := newSMTP(t, config).Send(t.Context(), message); err != nil || len(r.bodies) != 1 {
		t.Errorf("opportunistic: %v, %d messages", err, len(r.bodies))
	}
}

func TestSendLogin(t *testing.T) {
	certificate, trust := testCertificate(t)
	for _, implicit := range []bool{false, true} {
		r := &relay{mechanism: "PLAIN", user: "telamon", password: "correct horse"}
		config := configFor(t, startRelay(t, r, &tls.Config{Certificates: []tls.Certificate{certificate}}, implicit), nil)
		config.RootCAs, config.ImplicitTLS, config.Username, config.Password = trust, implicit, "telamon", "correct horse"
		if err := newSMTP(t, config).Send(t.Context(), message); err != nil || len(r.bodies) != 1 {
			t.Errorf("implicit %t: %v", implicit, err)
		}
		config.Password = "wrong"
		err := newSMTP(t, config).Send(t.Context(), message)
		if sent, ok := errors.AsType[*SendError](err); !ok || sent.Step != "log in" || sent.Code != 535 || IsPermanent(err) {
			t.Errorf("implicit %t: a wrong password: %v", implicit, err)
		}
	}
	r := &relay{mechanism: "X-OURS"}
	config := configFor(t, startRelay(t, r, &tls.Config{Certificates: []tls.Certificate{certificate}}, false), nil)
	config.RootCAs, config.Username = trust, "telamon"
	if err := newSMTP(t, config).Send(t.Context(), message); err == nil || len(r.bodies) != 0 {
		t.Errorf("an unknown mechanism: %v", err)
	}
}

// TestSendSecrets checks that an error does not repeat what a server says, which
// may be our password or the message.
func TestSendSecrets(t *testing.T) {
	certificate, trust := testCertificate(t)
	r := &relay{mechanism: "PLAIN", user: "telamon", password: "another", echo: true}
	config := configFor(t, startRelay(t, r, &tls.Config{Certificates: []tls.Certificate{certificate}}, false), nil)
	config.RootCAs, config.Username, config.Password = trust, "telamon", "hunter2"
	for _, password := range []string{"hunter2", "another"} {
		config.Password = password
		err := newSMTP(t, config).Send(t.Context(), message)
		if err == nil {
			t.Fatal("it is sent")
		}
		for e := err; e != nil; e = errors.Unwrap(e) {
			if strings.Contains(e.Error(), password) || strings.Contains(e.Error(), "no:") || strings.Contains(e.Error(), "aHVudGVyMg") {
				t.Errorf("the error is %q", e)
			}
		}
	}
}

// TestSendBounded checks that a server which says nothing is left when the time is
// over, and that a server that is not there is a failure for now.
func TestSendBounded(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	closed := make(chan error, 1)
	accepted := make(chan struct{})
	go func() {
		conn, err := l.Accept()
		if err != nil {
			closed <- err
			return
		}
		defer conn.Close()
		close(accepted)
		_, err = conn.Read(make([]byte, 1))
		closed <- err
	}()
	ctx, cancel := context.WithCancel(t.Context())
	go func() { <-accepted; cancel() }()
	s := newSMTP(t, configFor(t, l.Addr().String(), nil))
	if err := s.Send(ctx, message); !errors.Is(err, context.Canceled) || IsPermanent(err) {
		t.Errorf("err = %v, want canceled", err)
	}
	if err := <-closed; !errors.Is(err, io.EOF) {
		t.Errorf("the connection ended with %v, want it closed", err)
	}
	l.Close()
	if err := s.Send(t.Context(), message); err == nil || IsPermanent(err) {
		t.Errorf("a server that is not there: %v", err)
	}
	config := configFor(t, silent(t), nil)
	config.Timeout = 50 * time.Millisecond
	if err := newSMTP(t, config).Send(t.Context(), message); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("err = %v, want the deadline", err)
	}
}

// silent returns the address of a listener that never says anything.
func silent(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	return l.Addr().String()
}
