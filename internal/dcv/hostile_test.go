package dcv_test

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/netip"
	"os"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/telamon-ca/telamon"
	"github.com/telamon-ca/telamon/internal/dcv"
	"github.com/telamon-ca/telamon/internal/egress"
	"github.com/telamon-ca/telamon/internal/resolver"
	"github.com/telamon-ca/telamon/internal/testkit"
)

// host is a web server of a stranger: it gets a connection whose request, if it is one
// of HTTP, has been read. The connection is closed when it returns.
type host func(conn net.Conn)

// engine returns an engine whose connections all lead to the host.
func (h host) engine(t testing.TB, wait *sync.WaitGroup) *dcv.Engine {
	return dcv.New(dcv.Config{Clock: testkit.NewClock(t, "2026-11-27T16:00:00Z"), Dial: func(context.Context, string, string) (net.Conn, error) {
		client, server := net.Pipe()
		wait.Go(func() {
			defer server.Close()
			h(server)
		})
		return client, nil
	}})
}

// fileQuestion asks for the token in a file of a host.
func fileQuestion(name, scheme string) dcv.Question {
	return dcv.Question{Method: telamon.MethodHTTP, Kind: telamon.ClaimDomain, Name: name, ADN: name, Scheme: scheme, Values: []string{token}}
}

// readRequest reads what the engine asks for.
func readRequest(conn net.Conn) {
	if req, err := http.ReadRequest(bufio.NewReader(conn)); err == nil {
		_, _ = io.Copy(io.Discard, req.Body)
	}
}

// repeat is an answer that begins with a text and goes on with another one for ever.
func repeat(head, more string) host {
	return func(conn net.Conn) {
		readRequest(conn)
		_, err := io.WriteString(conn, head)
		for err == nil {
			_, err = io.WriteString(conn, more)
		}
	}
}

// gzipped returns a megabyte of white space in few octets.
func gzipped() string {
	var b bytes.Buffer
	w := gzip.NewWriter(&b)
	_, _ = w.Write(bytes.Repeat([]byte(" "), 1<<20))
	_ = w.Close()
	return b.String()
}

// TestHTTPFile has the raw answers of requirement 64: what counts, and what does not.
func TestHTTPFile(t *testing.T) {
	length := func(n int) string { return fmt.Sprintf("HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n", n) }
	for title, tt := range map[string]struct {
		answer string
		found  bool
	}{
		"a length":                {length(32) + token, true},
		"no length":               {"HTTP/1.1 200 OK\r\n\r\n" + token + "\r\n", true},
		"HTTP/1.0":                {"HTTP/1.0 200 OK\r\n\r\n" + token, true},
		"chunks":                  {"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n10\r\n" + token[:16] + "\r\n10\r\n" + token[16:] + "\r\n0\r\n\r\n", true},
		"interim answers":         {"HTTP/1.1 103 Early Hints\r\n\r\n" + length(32) + token, true},
		"as long as may be":       {length(dcv.MaxFile) + token + strings.Repeat("\n", dcv.MaxFile-32), true},
		"one octet too long":      {length(dcv.MaxFile+1) + token + strings.Repeat("\n", dcv.MaxFile-31), false},
		"shorter than its length": {length(40) + token, false},
		"longer than its length":  {length(31) + token, false},
		"two lengths":             {"HTTP/1.1 200 OK\r\nContent-Length: 32\r\nContent-Length: 33\r\n\r\n" + token, false},
		"a negative length":       {"HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n" + token, false},
		"a chunk that is none":    {"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nfffffffffffffffff\r\n" + token, false},
		"half of the chunks":      {"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n20\r\n" + token + "\r\n", false},
		"HTTP/0.9":                {token, false},
		"a wide space":            {length(34) + "\u00a0" + token, false},
		"a byte order mark":       {length(35) + "\ufeff" + token, false},
		"an octet of zero":        {length(33) + "\x00" + token, false},
		"capitals":                {length(32) + strings.ToUpper(token), false},
		"twice":                   {length(64) + token + token, false},
		"compressed":              {"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\n\r\n" + gzipped(), false},
		"in the status":           {"HTTP/1.1 200 " + token + "\r\nX-Token: " + token + "\r\n\r\n", false},
		"a redirect":              {"HTTP/1.1 302 Found\r\nLocation: http://example.org/\r\n\r\n" + token, false},
		"a redirect to nowhere":   {"HTTP/1.1 301 Moved\r\nLocation: http://[::1\r\n\r\n" + token, false},
		"another protocol":        {"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n" + token, false},
		"no content":              {"HTTP/1.1 204 No Content\r\n\r\n" + token, false},
		"part of a file":          {"HTTP/1.1 206 Partial Content\r\n\r\n" + token, false},
		"an error":                {"HTTP/1.1 404 Not Found\r\n\r\n" + token, false},
		"nothing":                 {"", false},
	} {
		var wait sync.WaitGroup
		h := host(func(conn net.Conn) {
			readRequest(conn)
			_, _ = io.WriteString(conn, tt.answer)
		})
		got, err := h.engine(t, &wait).Validate(t.Context(), fileQuestion("a.example.com", "http"))
		if err != nil || got.Found != tt.found || got.Found == (got.Problem != "") || strings.Contains(got.Problem, token) {
			t.Errorf("%s: %+v, %v; want found %v", title, got, err, tt.found)
		}
		if strings.Contains(title, "redirect") && !strings.Contains(got.Problem, "is not 200: 30") {
			t.Errorf("%s: DOM-03 reads %q", title, got.Problem)
		}
		wait.Wait()
	}
}

// TestEndlessAnswers has hosts that never stop: what is read of them is bounded, and
// nothing of it goes on when the validation has ended.
func TestEndlessAnswers(t *testing.T) {
	for title, h := range map[string]host{
		"a body":           repeat("HTTP/1.1 200 OK\r\n\r\n", strings.Repeat(" ", 4096)),
		"chunks":           repeat("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", "1\r\n \r\n"),
		"a chunk's header": repeat("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1;", strings.Repeat("x", 4096)),
		"trailers":         repeat("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n20\r\n"+token+"\r\n0\r\n", "X-A: "+strings.Repeat("x", 1024)+"\r\n"),
		"a status":         repeat("HTTP/1.1 200 ", strings.Repeat("x", 4096)),
		"headers":          repeat("HTTP/1.1 200 OK\r\n", "X-A: b\r\n"),
		"a header":         repeat("HTTP/1.1 200 OK\r\nX-A: ", strings.Repeat("x", 4096)),
		"interim answers":  repeat("", "HTTP/1.1 103 Early Hints\r\nX-A: b\r\n\r\n"),
		"zeros":            repeat("", strings.Repeat("\x00", 4096)),
	} {
		for _, scheme := range []string{"http", "https"} {
			var wait sync.WaitGroup
			var sent atomic.Int64
			counted := host(func(conn net.Conn) { h(&counter{Conn: conn, sent: &sent}) })
			got, err := counted.engine(t, &wait).Validate(t.Context(), fileQuestion("a.example.com", scheme))
			if err != nil || got.Found || len(got.Problem) > 200 {
				t.Errorf("%s by %s: %+v, %v", title, scheme, got, err)
			}
			wait.Wait() // or it still reads
			if sent.Load() > 256<<10 {
				t.Errorf("%s by %s: %d octets were read", title, scheme, sent.Load())
			}
		}
	}
}

// counter counts what is written.
type counter struct {
	net.Conn
	sent *atomic.Int64
}

func (c *counter) Write(p []byte) (int, error) {
	n, err := c.Conn.Write(p)
	c.sent.Add(int64(n))
	return n, err
}

// drip is an answer that comes an octet a second.
func drip(head, more string) host {
	return func(conn net.Conn) {
		readRequest(conn)
		tick := time.NewTicker(time.Second)
		defer tick.Stop()
		_, err := io.WriteString(conn, head)
		for err == nil {
			<-tick.C
			_, err = io.WriteString(conn, more)
		}
	}
}

// TestTimeout has hosts and resolvers that take their time. A validation ends when its
// time is up, with all that it started: the bubble would not end with one of its
// goroutines blocked.
func TestTimeout(t *testing.T) {
	silent := host(func(conn net.Conn) { _, _ = io.Copy(io.Discard, conn) })
	for title, h := range map[string]host{
		"silence":          silent,
		"a slow status":    drip("HTTP/1.1 200 ", "x"),
		"a slow header":    drip("HTTP/1.1 200 OK\r\nX-A: ", "x"),
		"slow headers":     drip("HTTP/1.1 200 OK\r\n", "X-A: b\r\n"),
		"a slow body":      drip("HTTP/1.1 200 OK\r\n\r\n", " "),
		"slow chunks":      drip("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", "1\r\n \r\n"),
		"slow interims":    drip("", "HTTP/1.1 102 Processing\r\n\r\n"),
		"half of a file":   drip("HTTP/1.1 200 OK\r\nContent-Length: 4000\r\n\r\n"+token, " "),
		"the same and TLS": silent,
	} {
		scheme := "http"
		if strings.Contains(title, "TLS") {
			scheme = "https"
		}
		synctest.Test(t, func(t *testing.T) {
			var wait sync.WaitGroup
			start := time.Now()
			got, err := h.engine(t, &wait).Validate(t.Context(), fileQuestion("a.example.com", scheme))
			if err != nil || got.Found || !strings.HasSuffix(got.Problem, "no answer in time") {
				t.Errorf("%s: %+v, %v", title, got, err)
			}
			if took := time.Since(start); took != dcv.Timeout {
				t.Errorf("%s: took %s", title, took)
			}
			wait.Wait()
			if took := time.Since(start); took > dcv.Timeout+time.Second {
				t.Errorf("%s: the connection was open for %s", title, took)
			}
		})
	}
}

// TestHastyHost has a host that answers before it is asked, and of which nothing must
// come into the program's log.
func TestHastyHost(t *testing.T) {
	var logged bytes.Buffer
	log.SetOutput(&logged)
	defer log.SetOutput(os.Stderr)
	var wait sync.WaitGroup
	h := host(func(conn net.Conn) {
		var reading sync.WaitGroup
		reading.Go(func() { readRequest(conn) })
		_, _ = io.WriteString(conn, "HTTP/1.1 404 Not Found\r\nX-A: "+token+"\r\n\r\n")
		reading.Wait()
	})
	for range 300 {
		got, err := h.engine(t, &wait).Validate(t.Context(), fileQuestion("a.example.com", "http"))
		if err != nil || got.Found || !strings.Contains(got.Problem, "is not 200: 404") {
			t.Errorf("%+v, %v", got, err)
		}
	}
	wait.Wait()
	if logged.Len() > 0 {
		t.Errorf("logged: %s", &logged)
	}
}

// TestCancelled has a caller that does not wait: that is a failure of the perspective
// and no finding.
func TestCancelled(t *testing.T) {
	for _, scheme := range []string{"http", "https"} {
		synctest.Test(t, func(t *testing.T) {
			var wait sync.WaitGroup
			ctx, cancel := context.WithTimeout(t.Context(), time.Second)
			defer cancel()
			engine := host(func(conn net.Conn) { _, _ = io.Copy(io.Discard, conn) }).engine(t, &wait)
			if got, err := engine.Validate(ctx, fileQuestion("a.example.com", scheme)); !errors.Is(err, context.DeadlineExceeded) || got.Problem != "" {
				t.Errorf("%+v, %v", got, err)
			}
			wait.Wait()
		})
	}
}

// TestSlowDial has a host that does not take the connection.
func TestSlowDial(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		engine := dcv.New(dcv.Config{Dial: func(ctx context.Context, _, _ string) (net.Conn, error) {
			<-ctx.Done()
			return nil, ctx.Err()
		}})
		start := time.Now()
		got, err := engine.Validate(t.Context(), fileQuestion("a.example.com", "http"))
		if err != nil || got.Found || time.Since(start) != dcv.Timeout {
			t.Errorf("%+v, %v after %s", got, err, time.Since(start))
		}
	})
}

// silence is a resolver that never answers.
type silence struct{}

func (silence) Lookup(ctx context.Context, name string, kind resolver.Type) (*resolver.Answer, error) {
	<-ctx.Done()
	return nil, &resolver.LookupError{Name: name, Type: kind, Reason: "no answer in time", Err: ctx.Err()}
}

func (silence) ProvenInsecure(ctx context.Context, _ string) (bool, error) {
	<-ctx.Done()
	return false, ctx.Err()
}

// TestSilentResolver has a DNS that never answers: nothing is shown, nothing is allowed.
func TestSilentResolver(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		engine := dcv.New(dcv.Config{Resolver: silence{}, DNSSEC: true, Clock: testkit.NewClock(t, "2026-11-27T16:00:00Z")})
		took := func(what string, ask func()) {
			start := time.Now()
			if ask(); time.Since(start) != dcv.Timeout {
				t.Errorf("%s took %s", what, time.Since(start))
			}
		}
		for _, method := range []telamon.Method{telamon.MethodDNS, telamon.MethodPersist} {
			took(string(method), func() {
				q := dcv.Question{Method: method, Kind: telamon.ClaimDomain, Name: "a.example.com", ADN: "a.example.com", Values: []string{token}}
				if got, err := engine.Validate(t.Context(), q); err != nil || got.Found || !strings.Contains(got.Problem, "no answer in time") {
					t.Errorf("%s: %+v, %v", method, got, err)
				}
			})
		}
		took("CAA", func() {
			if got, err := engine.CheckCAA(t.Context(), caaQuestion("a.example.com")); err != nil || got.Allowed || got.Problem == "" {
				t.Errorf("CAA: %+v, %v", got, err)
			}
		})
		took("the contacts", func() {
			boxes := engine.Mailboxes(t.Context(), "a.b.c.d.example.com", nil)
			if len(boxes.List) != 25 || len(boxes.Problems) != 10 {
				t.Errorf("the mailboxes are %+v", boxes)
			}
		})
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if got, err := engine.CheckCAA(ctx, caaQuestion("a.example.com")); !errors.Is(err, context.Canceled) || got.Allowed {
			t.Errorf("a caller that does not wait: %+v, %v", got, err)
		}
	})
}

// TestRebinding has a name whose addresses change between look-ups, and one with an
// address of either kind (requirement 65): what was checked is what is dialled.
func TestRebinding(t *testing.T) {
	o := newOutside(t)
	o.HTTP.Handle("rebound.example.com", http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, token) }))
	good, bad := netip.MustParseAddr("127.0.0.1"), netip.MustParseAddr("169.254.169.254")
	answers := [][]netip.Addr{{good}, {bad}, {bad, good}, {netip.MustParseAddr("::ffff:169.254.169.254")}}
	lookups := 0
	dialer := &egress.Dialer{
		Policy: egress.Policy{Allow: []netip.Prefix{netip.MustParsePrefix("127.0.0.1/32")}},
		Lookup: func(context.Context, string) ([]netip.Addr, error) {
			lookups++
			return answers[lookups-1], nil
		},
	}
	engine := dcv.New(dcv.Config{Dial: dialer.DialContext, HTTPPort: netip.MustParseAddrPort(o.HTTP.Addr()).Port()})
	for i, want := range []bool{true, false, true, false} {
		got, err := engine.Validate(t.Context(), fileQuestion("rebound.example.com", "http"))
		if err != nil || got.Found != want || want != slices.Equal(got.Evidence.Addresses, []string{"127.0.0.1"}) {
			t.Errorf("%v: %+v, %v; want found %v", answers[i], got, err, want)
		}
		if lookups != i+1 {
			t.Errorf("the host was looked up %d times for %d validations", lookups, i+1)
		}
	}
}

// TestIPAddress has BR 3.2.2.5.1: a file on a claimed address, by either scheme, on the
// authorized ports. An address is no server name of TLS (RFC 6066, Section 3).
func TestIPAddress(t *testing.T) {
	for name, want := range map[string]string{"192.0.2.7": "192.0.2.7", "2001:db8::7": "[2001:db8::7]"} {
		for scheme, port := range map[string]string{"http": "80", "https": "443"} {
			var dialled, asked, server string
			var wait sync.WaitGroup
			h := host(func(conn net.Conn) {
				if scheme == "https" {
					conn = tls.Server(conn, &tls.Config{GetConfigForClient: func(hello *tls.ClientHelloInfo) (*tls.Config, error) {
						server = hello.ServerName
						return nil, errors.New("that is all")
					}})
				}
				if req, err := http.ReadRequest(bufio.NewReader(conn)); err == nil {
					asked = req.Host
				}
				_, _ = io.WriteString(conn, "HTTP/1.1 200 OK\r\n\r\n"+token)
			})
			engine := dcv.New(dcv.Config{Dial: func(_ context.Context, _, address string) (net.Conn, error) {
				dialled = address
				client, far := net.Pipe()
				wait.Go(func() {
					defer far.Close()
					h(far)
				})
				return client, nil
			}})
			q := fileQuestion(name, scheme)
			q.Kind = telamon.ClaimIP
			got, err := engine.Validate(t.Context(), q)
			wait.Wait()
			if err != nil || dialled != want+":"+port || server != "" || got.Evidence.URL != scheme+"://"+want+"/.well-known/pki-validation/gsdv.txt" {
				t.Errorf("%s by %s: %+v, %v; dialled %s as %q", name, scheme, got, err, dialled, server)
			}
			if scheme == "http" && (!got.Found || got.Coverage != telamon.CoversExact || asked != want) {
				t.Errorf("%s: %+v; asked %q", name, got, asked)
			}
		}
	}
}
