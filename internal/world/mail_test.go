package world

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"net/smtp"
	"net/textproto"
	"strings"
	"testing"
)

func startMail(t *testing.T) *Mail {
	t.Helper()
	m, err := StartMail("127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := m.Close(); err != nil {
			t.Errorf("close: %v", err)
		}
	})
	return m
}

const alternatives = "From: CA <ca@example.test>\r\nTo: a@example.test\r\nSubject: =?utf-8?q?Gr=C3=BC=C3=9Fe?=\r\nMIME-Version: 1.0\r\n" +
	"Content-Type: multipart/mixed; boundary=m\r\n\r\n--m\r\nContent-Type: multipart/alternative; boundary=b\r\n\r\n" +
	"--b\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\nGr=C3=BC=C3=9Fe =\r\nan alle\r\n" +
	"--b\r\nContent-Type: text/html\r\nContent-Transfer-Encoding: base64\r\n\r\nPGI+\r\naGk8L2I+\r\n--b--\r\n--m\r\nContent-Type: text/plain\r\n\r\nsecond\r\n--m--\r\n"

// submit sends a message as net/smtp does, with STARTTLS, which it always uses if
// it is offered, unless trust is nil.
func submit(m *Mail, trust *x509.CertPool, to, body string) error {
	c, err := smtp.Dial(m.Addr())
	if err != nil {
		return err
	}
	defer c.Close()
	if trust != nil {
		if err := c.StartTLS(&tls.Config{RootCAs: trust, ServerName: "localhost"}); err != nil {
			return err
		}
	}
	if err := c.Mail("ca@example.test"); err != nil {
		return err
	}
	if err := c.Rcpt(to); err != nil {
		return err
	}
	w, err := c.Data()
	if err != nil {
		return err
	}
	if _, err := w.Write([]byte(body)); err != nil {
		return err
	}
	return w.Close()
}

func trusting(t *testing.T, m *Mail) *x509.CertPool {
	t.Helper()
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(m.Certificate()) {
		t.Fatal("the certificate cannot be read")
	}
	return pool
}

func TestMail(t *testing.T) {
	m := startMail(t)
	if err := submit(m, trusting(t, m), "a@example.test", alternatives); err != nil {
		t.Fatal(err)
	}
	if err := submit(m, nil, "b@example.test", "Subject: plain\r\n\r\nhello\r\n"); err != nil {
		t.Fatal(err)
	}
	got := m.Messages()
	if len(got) != 2 {
		t.Fatalf("%d messages", len(got))
	}
	first, second := got[0], got[1]
	if first.From != "ca@example.test" || len(first.To) != 1 || first.To[0] != "a@example.test" || !first.TLS || first.Subject != "Grüße" ||
		first.Text != "Grüße an alle" || first.HTML != "<b>hi</b>" || first.At.IsZero() || first.Header.Get("From") != "CA <ca@example.test>" {
		t.Errorf("the first message is %+v", first)
	}
	if second.TLS || second.Text != "hello\n" || second.Subject != "plain" || !strings.HasPrefix(string(second.Raw), "Subject: plain\r\n") {
		t.Errorf("the second message is %+v", second)
	}
	m.Clear()
	if len(m.Messages()) != 0 {
		t.Error("messages are left after Clear")
	}
}

func TestMailRefusals(t *testing.T) {
	m := startMail(t)
	m.Reject("No@example.test", 550)
	m.Reject("later@example.test", 451)
	tests := []struct {
		name, to, body string
		code           int
	}{
		{"a rejected recipient", "no@example.test", "Subject: x\r\n\r\n", 550},
		{"a recipient for later", "later@example.test", "Subject: x\r\n\r\n", 451},
		{"no message at all", "a@example.test", "this has no header\r\n", 554},
		{"a broken multipart", "a@example.test", "Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n\r\nx", 554},
		{"too long", "a@example.test", "Subject: x\r\n\r\n" + strings.Repeat(strings.Repeat("x", 100)+"\r\n", maxMessageBytes/100), 552},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			err := submit(m, nil, tt.to, tt.body)
			if refusal, ok := errors.AsType[*textproto.Error](err); !ok || refusal.Code != tt.code {
				t.Errorf("err = %v, want code %d", err, tt.code)
			}
		})
	}
	m.Reject("no@example.test", 0)
	if err := submit(m, nil, "no@example.test", "Subject: x\r\n\r\n"); err != nil {
		t.Errorf("after the end of the rejection: %v", err)
	}
	if n := len(m.Messages()); n != 1 {
		t.Errorf("%d messages were kept, want 1", n)
	}
}

func TestMailWait(t *testing.T) {
	m := startMail(t)
	to := func(rcpt string) func(Message) bool { return func(m Message) bool { return m.To[0] == rcpt } }
	found := make(chan Message, 1)
	waiting := make(chan struct{}, 1)
	go func() {
		message, err := m.Wait(t.Context(), func(m Message) bool {
			select {
			case waiting <- struct{}{}:
			default:
			}
			return to("b@example.test")(m)
		})
		if err != nil {
			t.Errorf("wait: %v", err)
		}
		found <- message
	}()
	if err := submit(m, nil, "a@example.test", "Subject: one\r\n\r\n"); err != nil {
		t.Fatal(err)
	}
	<-waiting // it has seen the first message, and goes on
	m.Clear()
	if err := submit(m, nil, "b@example.test", "Subject: two\r\n\r\n"); err != nil {
		t.Fatal(err)
	}
	if got := <-found; got.Subject != "two" {
		t.Errorf("found %q", got.Subject)
	}
	if got, err := m.Wait(t.Context(), to("b@example.test")); err != nil || got.Subject != "two" {
		t.Errorf("a message that is there already: %q, %v", got.Subject, err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := m.Wait(ctx, to("c@example.test")); !errors.Is(err, context.Canceled) {
		t.Errorf("err = %v, want canceled", err)
	}
	if err := m.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := m.Wait(t.Context(), to("c@example.test")); !errors.Is(err, ErrClosed) {
		t.Errorf("err = %v, want ErrClosed", err)
	}
}

// TestMailBounded checks that the oldest messages go.
func TestMailBounded(t *testing.T) {
	m := startMail(t)
	for i := range maxMessages + 2 {
		m.add(Message{Subject: strings.Repeat("x", i)})
	}
	got := m.Messages()
	if len(got) != maxMessages || len(got[0].Subject) != 2 {
		t.Errorf("%d messages, the first is number %d", len(got), len(got[0].Subject))
	}
}

// FuzzMessage checks that the parser neither panics nor makes more of a message
// than there is.
func FuzzMessage(f *testing.F) {
	f.Add([]byte(alternatives))
	f.Fuzz(func(t *testing.T, raw []byte) {
		m, err := parseMessage(raw)
		if err == nil && len(m.Text)+len(m.HTML) > len(raw) {
			t.Errorf("%d octets became %d", len(raw), len(m.Text)+len(m.HTML))
		}
	})
}
