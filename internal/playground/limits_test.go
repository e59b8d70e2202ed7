package playground_test

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/telamon-ca/telamon/internal/app"
	"github.com/telamon-ca/telamon/internal/playground"
)

// raw is a connection to which a test writes what no HTTP library would.
type raw struct {
	*tls.Conn
	t  *testing.T
	in *bufio.Reader
}

func (w *world) host() string {
	w.t.Helper()
	u, err := url.Parse(w.Description.AtlasURL)
	if err != nil {
		w.t.Fatal(err)
	}
	return u.Host
}

// dial opens a connection with the certificate of a credential.
func (w *world) dial(t *testing.T, credential string) *raw {
	t.Helper()
	config := &tls.Config{ServerName: "localhost", RootCAs: w.roots(), Certificates: []tls.Certificate{w.pair(w.credential(credential))}}
	conn, err := tls.Dial("tcp", w.host(), config)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	if err := conn.SetDeadline(time.Now().Add(patience)); err != nil {
		t.Fatal(err)
	}
	return &raw{Conn: conn, t: t, in: bufio.NewReader(conn)}
}

func (r *raw) write(text string) {
	r.t.Helper()
	if _, err := io.WriteString(r, text); err != nil {
		r.t.Fatal(err)
	}
}

// head writes the head of a request for a certificate.
func (r *raw) head(token string, more ...string) {
	r.t.Helper()
	r.write("POST /v2/certificates HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nAuthorization: Bearer " + token + "\r\n" +
		strings.Join(append(more, "\r\n"), "\r\n"))
}

// read reads one answer.
func (r *raw) read() *answer {
	r.t.Helper()
	res, err := http.ReadResponse(r.in, nil)
	if err != nil {
		return &answer{err: err}
	}
	defer res.Body.Close()
	a := &answer{status: res.StatusCode, header: res.Header}
	if res.StatusCode >= 200 {
		a.body, a.err = io.ReadAll(res.Body)
	}
	return a
}

// bodyOf returns a request of exactly n octets, or as it is for 0.
func bodyOf(t *testing.T, n int) string {
	t.Helper()
	text, err := json.Marshal(plainRequest(t))
	if err != nil {
		t.Fatal(err)
	}
	return string(text) + string(bytes.Repeat([]byte(" "), max(0, n-len(text))))
}

// TestLimits sends what is too large, too little or too late.
func TestLimits(t *testing.T) {
	t.Parallel()
	w := start(t, playground.Options{})
	token := w.loggedIn("dev_pkcs10").token
	largest := int(app.DefaultConfig().Limits.BodyBytes)
	t.Run("all", func(t *testing.T) {
		for _, tt := range []struct {
			name        string
			send        func(t *testing.T, r *raw)
			status      int
			description string
		}{
			{"no length", func(_ *testing.T, r *raw) { r.head(token) }, 411, "Content-Length required"},
			{"no body", func(_ *testing.T, r *raw) { r.head(token, "Content-Length: 0") }, 400, "Bad Request"},
			{"the largest body", func(t *testing.T, r *raw) {
				r.head(token, fmt.Sprintf("Content-Length: %d", largest))
				r.write(bodyOf(t, largest))
			}, 201, ""},
			{"too large a body", func(t *testing.T, r *raw) {
				r.head(token, fmt.Sprintf("Content-Length: %d", largest+1))
				r.write(bodyOf(t, largest+1))
			}, 400, "Bad Request"},
			{"too large a body in chunks", func(t *testing.T, r *raw) {
				r.head(token, "Transfer-Encoding: chunked")
				r.write(fmt.Sprintf("%x\r\n%s\r\n0\r\n\r\n", largest+1, bodyOf(t, largest+1)))
			}, 400, "Bad Request"},
			{"too large a head", func(_ *testing.T, r *raw) { r.head(token, "X-Padding: "+strings.Repeat("x", 80<<10)) }, 431, ""},
			{"a body that breaks off", func(t *testing.T, r *raw) {
				body := bodyOf(t, 0)
				r.head(token, fmt.Sprintf("Content-Length: %d", len(body)))
				r.write(body[:len(body)/2])
				if err := r.CloseWrite(); err != nil {
					t.Error(err)
				}
			}, 400, "Bad Request"},
			{"a body that does not end", func(t *testing.T, r *raw) {
				body := bodyOf(t, 0)
				r.head(token, fmt.Sprintf("Content-Length: %d", len(body)))
				r.write(body[:len(body)/2])
			}, 400, "Bad Request"},
			{"a head that does not end", func(_ *testing.T, r *raw) { r.write("POST /v2/certificates HTTP/1.1\r\nHost:") }, 0, ""},
			{"nothing", func(*testing.T, *raw) {}, 0, ""},
		} {
			t.Run(tt.name, func(t *testing.T) {
				t.Parallel()
				r := w.dial(t, "dev_pkcs10")
				tt.send(t, r)
				a := r.read()
				if a.status != tt.status || a.member("description") != tt.description {
					t.Errorf("%s, want status %d %q", a, tt.status, tt.description)
				}
				if timeout, ok := a.err.(net.Error); ok && timeout.Timeout() {
					t.Errorf("the server waits for ever: %v", a.err)
				}
			})
		}
	})
	if a := w.loggedIn("dev_pkcs10").do(http.MethodGet, "/counters/certificates/issued", nil); a.member("value") != "2" {
		t.Errorf("after the main job and the largest body: %s", a)
	}
}

// TestHTTP2 speaks the newer protocol, which has limits of its own.
func TestHTTP2(t *testing.T) {
	t.Parallel()
	w := start(t, playground.Options{})
	credential := w.credential("dev_pkcs10")
	c := w.connect(w.pair(credential))
	c.http.Transport.(*http.Transport).ForceAttemptHTTP2 = true
	if a := c.login(credential.APIKey, credential.APISecret); a.status != http.StatusOK {
		t.Fatalf("login: %s", a)
	}
	res, err := c.http.Post(c.url+"/login", "application/json", nil)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	if res.ProtoMajor != 2 || res.StatusCode != http.StatusBadRequest {
		t.Errorf("a login without a body: %s %s", res.Proto, res.Status)
	}
	c.issue(t, plainRequest(t))
	request := plainRequest(t)
	request["padding"] = strings.Repeat("x", int(app.DefaultConfig().Limits.BodyBytes))
	if a := c.do(http.MethodPost, "/certificates", request); a.status != http.StatusBadRequest {
		t.Errorf("too large a body: %s", a)
	}
	answers := make(chan *answer)
	const requests = 50
	delete(request, "padding")
	for range requests {
		go func() { answers <- c.do(http.MethodPost, "/certificates", request) }()
	}
	for range requests {
		if a := <-answers; a.status != http.StatusCreated {
			t.Errorf("one of %d: %s", requests, a)
		}
	}
}

// TestDrain ends a playground while a request is being sent.
func TestDrain(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, w *world) {
		token := w.loggedIn("dev_pkcs10").token
		r, idle := w.dial(t, "dev_pkcs10"), w.dial(t, "dev_pkcs10")
		idle.write("GET /v2/trustchain HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer " + token + "\r\n\r\n")
		if a := idle.read(); a.status != http.StatusOK {
			t.Fatalf("trust chain: %s", a)
		}
		body := bodyOf(t, 0)
		r.head(token, fmt.Sprintf("Content-Length: %d", len(body)), "Expect: 100-continue")
		if a := r.read(); a.status != http.StatusContinue {
			t.Fatalf("before the body: %s", a)
		}
		stopped := make(chan struct{})
		go func() {
			defer close(stopped)
			w.stop()
		}()
		w.untilClosed(t)
		if a := idle.read(); a.err == nil {
			t.Errorf("an idle connection stays: %s", a)
		}
		r.write(body)
		a := r.read()
		if a.status != http.StatusCreated {
			t.Errorf("the request in flight: %s", a)
		}
		<-stopped
		again := start(t, playground.Options{Dir: w.dir})
		serial := strings.TrimPrefix(a.header.Get("Location"), "/v2")
		if a := again.loggedIn("dev_pkcs10").do(http.MethodGet, serial, nil); a.member("status") != "ISSUED" {
			t.Errorf("%s after a restart: %s", serial, a)
		}
	})
}

// untilClosed returns when the listener takes no connections any more.
func (w *world) untilClosed(t *testing.T) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	for ctx.Err() == nil {
		conn, err := (&net.Dialer{}).DialContext(ctx, "tcp", w.host())
		if err != nil {
			return
		}
		conn.Close()
	}
	t.Fatal("the listener stays open")
}
