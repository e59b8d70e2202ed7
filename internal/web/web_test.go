package web_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"fmt"
	"io"
	"log/slog"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/telamon-ca/telamon"
	"github.com/telamon-ca/telamon/internal/fault"
	"github.com/telamon-ca/telamon/internal/testkit"
	"github.com/telamon-ca/telamon/internal/web"
)

// certificate returns a self-signed certificate that has expired, if asked.
func certificate(t *testing.T, name string, expired bool) tls.Certificate {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	from, to := time.Now().Add(-time.Hour), time.Now().Add(time.Hour)
	if expired {
		from, to = from.AddDate(-2, 0, 0), to.AddDate(-1, 0, 0)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: name}, DNSNames: []string{name}, NotBefore: from, NotAfter: to,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
}

// say answers with what the server knows of the client.
func say(face string) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		c := web.ClientOf(r.Context())
		fmt.Fprintf(w, "%s %s cert=%d", face, c.Address, len(c.Certificate))
	})
}

// serve starts two faces, "atlas" and "portal", on a TLS listener.
func serve(t *testing.T, clients web.Clients) string {
	t.Helper()
	server := certificate(t, "atlas.test", false)
	get := func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return &server, nil }
	faces := web.NewFaces(
		&web.Face{Name: "atlas", Hosts: []string{"atlas.test"}, Handler: say("atlas"), Certificate: get, AsksClientCert: true},
		&web.Face{Name: "portal", Hosts: []string{"portal.test"}, Handler: say("portal"), Certificate: get},
		&web.Face{Name: "one", Hosts: []string{"one.test"}, Handler: say("one"), Certificate: get, Misdirected: http.HandlerFunc(
			func(w http.ResponseWriter, _ *http.Request) {
				w.WriteHeader(http.StatusMisdirectedRequest)
				io.WriteString(w, "misdirected")
			})},
	)
	listener, err := tls.Listen("tcp", "127.0.0.1:0", faces.TLSConfig())
	if err != nil {
		t.Fatal(err)
	}
	srv := web.NewServer(clients.Wrap(faces), slog.New(slog.DiscardHandler))
	go srv.Serve(listener)
	t.Cleanup(func() { web.Drain(context.Background(), srv) })
	return listener.Addr().String()
}

// ask makes a request with a server name of TLS, a Host and headers.
func ask(t *testing.T, address, sni, host string, cert *tls.Certificate, header http.Header) (int, string) {
	t.Helper()
	config := &tls.Config{InsecureSkipVerify: true, ServerName: sni}
	asked := false
	config.GetClientCertificate = func(info *tls.CertificateRequestInfo) (*tls.Certificate, error) {
		asked = true
		if len(info.AcceptableCAs) > 0 {
			t.Errorf("the server names %d acceptable CAs, want none", len(info.AcceptableCAs))
		}
		if cert == nil {
			return &tls.Certificate{}, nil
		}
		return cert, nil
	}
	transport := &http.Transport{TLSClientConfig: config, DialTLSContext: func(ctx context.Context, network, _ string) (net.Conn, error) {
		return (&tls.Dialer{Config: config}).DialContext(ctx, network, address)
	}}
	defer transport.CloseIdleConnections()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "https://"+host+"/", nil)
	if err != nil {
		t.Fatal(err)
	}
	if header != nil {
		r.Header = header
	}
	response, err := transport.RoundTrip(r)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	if sni == "portal.test" && asked {
		t.Error("the portal asks for a client certificate")
	}
	return response.StatusCode, string(body)
}

func TestFaces(t *testing.T) {
	client := certificate(t, "client", true)
	address := serve(t, web.Clients{})
	size := fmt.Sprintf("cert=%d", len(client.Certificate[0]))
	tests := []struct {
		name, sni, host string
		cert            *tls.Certificate
		status          int
		want            string
	}{
		{"by server name", "atlas.test", "atlas.test", nil, 200, "atlas 127.0.0.1 cert=0"},
		{"an unknown name gets the first face", "other.test", "other.test", nil, 200, "atlas"},
		{"no server name gets the first face", "", "127.0.0.1", nil, 200, "atlas"},
		{"the other face", "portal.test", "portal.test", nil, 200, "portal"},
		{"an expired certificate of a stranger is no TLS error", "atlas.test", "atlas.test", &client, 200, size},
		{"Host of another face", "portal.test", "atlas.test", nil, 421, ""},
		{"Host of another face, the other way round", "atlas.test", "portal.test", nil, 421, ""},
		{"Host of another face, with a dot", "portal.test", "ATLAS.test.", nil, 421, ""},
		{"Host of another face, of one with words for it", "one.test", "atlas.test", nil, 421, "misdirected"},
		{"Host of a face with words for it", "atlas.test", "one.test", nil, 421, "misdirected"},
		{"an unknown Host stays on the face", "portal.test", "other.test", nil, 200, "portal"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			status, body := ask(t, address, tt.sni, tt.host, tt.cert, nil)
			if status != tt.status || !strings.Contains(body, tt.want) {
				t.Errorf("the answer is %d %q, want %d and %q", status, body, tt.status, tt.want)
			}
		})
	}
}

func TestProxies(t *testing.T) {
	proxy, client := certificate(t, "proxy", false), certificate(t, "client", false)
	loopback := []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}
	fingerprints := [][32]byte{sha256.Sum256(proxy.Certificate[0])}
	conveyed := http.Header{
		"Client-Cert":         {":" + base64.StdEncoding.EncodeToString(client.Certificate[0]) + ":"},
		"X-Forwarded-For":     {"203.0.113.9, 198.51.100.7"},
		"X-Ssl-Client-Serial": {"01:ab"},
	}
	bySerial := func(_ context.Context, serial string) []byte {
		if serial == "01AB" {
			return client.Certificate[0]
		}
		return nil
	}
	own, other := fmt.Sprintf("cert=%d", len(proxy.Certificate[0])), fmt.Sprintf("cert=%d", len(client.Certificate[0]))
	tests := []struct {
		name    string
		clients web.Clients
		cert    *tls.Certificate
		header  http.Header
		want    string
	}{
		{"a stranger's headers", web.Clients{}, nil, conveyed, "127.0.0.1 cert=0"},
		{"a trusted address without its certificate", web.Clients{Trusted: loopback, Fingerprints: fingerprints}, nil, conveyed, "127.0.0.1 cert=0"},
		{"a trusted address with another certificate", web.Clients{Trusted: loopback, Fingerprints: fingerprints}, &client, conveyed, "127.0.0.1 " + other},
		{"a proxy", web.Clients{Trusted: loopback, Fingerprints: fingerprints}, &proxy, conveyed, "198.51.100.7 " + other},
		{"a proxy's certificate from elsewhere", web.Clients{Trusted: []netip.Prefix{netip.MustParsePrefix("192.0.2.0/24")}, Fingerprints: fingerprints},
			&proxy, conveyed, "127.0.0.1 " + own},
		{"a proxy without a client certificate", web.Clients{Trusted: loopback, Fingerprints: fingerprints}, &proxy, nil, "127.0.0.1 cert=0"},
		{"a proxy behind a proxy", web.Clients{Trusted: append(loopback, netip.MustParsePrefix("198.51.100.0/24")), Fingerprints: fingerprints},
			&proxy, conveyed, "203.0.113.9 "},
		{"an IPv4-mapped address", web.Clients{Trusted: loopback, Fingerprints: fingerprints}, &proxy,
			http.Header{"X-Forwarded-For": {"::ffff:192.0.2.1"}}, "192.0.2.1 "},
		{"a serial number, not believed", web.Clients{Trusted: loopback}, nil, conveyed, "127.0.0.1 cert=0"},
		{"a serial number, believed", web.Clients{Trusted: loopback, BySerial: bySerial}, nil, conveyed, "198.51.100.7 " + other},
		{"a serial number of nothing", web.Clients{Trusted: loopback, BySerial: bySerial}, nil, http.Header{"X-Ssl-Client-Serial": {"02"}}, "cert=0"},
		{"two serial numbers", web.Clients{Trusted: loopback, BySerial: bySerial}, nil, http.Header{"X-Ssl-Client-Serial": {"01AB", "01AB"}}, "cert=0"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			address := serve(t, tt.clients)
			if _, body := ask(t, address, "atlas.test", "atlas.test", tt.cert, tt.header); !strings.Contains(body, tt.want) {
				t.Errorf("the server sees %q, want %q", body, tt.want)
			}
		})
	}
}

func TestLimiter(t *testing.T) {
	clock := testkit.NewClock(t, "2026-11-22T10:00:00Z")
	l := web.NewLimiter(clock, 2, 3)
	for i := range 3 {
		if err := l.Allow("a"); err != nil {
			t.Fatalf("act %d of a burst of 3 is refused: %v", i+1, err)
		}
	}
	err := l.Allow("a")
	if f := fault.From(err); f == nil || f.Kind != fault.Limited || f.Code != fault.CodeRateLimited || f.RetryAfter < time.Second {
		t.Errorf("act 4 reports %v, want rate_limited and a time to wait", err)
	}
	if err := l.Allow("b"); err != nil {
		t.Errorf("another key is refused: %v", err)
	}
	clock.Advance(500 * time.Millisecond)
	if err := l.Allow("a"); err != nil {
		t.Errorf("after half a second at 2 a second: %v", err)
	}
	var none *web.Limiter
	if err := none.Allow("a"); err != nil {
		t.Errorf("no limiter refuses: %v", err)
	}
}

// TestRequirement119RetryAfter holds that the time to wait is that of the bound that has to be
// waited for longest, is true to the nanosecond, and that what is refused, by many at once,
// makes nobody wait longer.
func TestRequirement119RetryAfter(t *testing.T) {
	clock := testkit.NewClock(t, "2026-11-22T10:00:00Z")
	fast, slow := web.NewLimiter(clock, 1, 2), web.NewLimiter(clock, 0.1, 2)
	act := func(key string) error {
		return web.AllowAll(web.Bound{Limiter: fast, Key: key}, web.Bound{Limiter: slow, Key: "account"}, web.Bound{})
	}
	for range 2 {
		if err := act("one"); err != nil {
			t.Fatal(err)
		}
	}
	var flood sync.WaitGroup
	for range 8 {
		flood.Go(func() {
			for range 200 {
				if f := fault.From(act("one")); f.Kind != fault.Limited || f.RetryAfter != 10*time.Second {
					t.Errorf("refused as %v, to come again in %s; want 10 s", f, f.RetryAfter)
					return
				}
			}
		})
	}
	flood.Wait()
	clock.Advance(10*time.Second - 1)
	if f := fault.From(act("another")); f.Kind != fault.Limited || f.RetryAfter != time.Second {
		t.Errorf("too early: %v, %s", f, f.RetryAfter)
	}
	clock.Advance(1)
	if err := act("one"); err != nil {
		t.Errorf("after the time to wait: %v", err)
	}
}

// BenchmarkLimiter is what a request of one of many accounts costs under both of its bounds:
//
//	go test ./internal/web -run '^$' -bench Limiter -cpu 1,2
func BenchmarkLimiter(b *testing.B) {
	credentials, accounts := web.NewLimiter(telamon.SystemClock{}, 1e9, 1e9), web.NewLimiter(telamon.SystemClock{}, 1e9, 1e9)
	var start atomic.Int64
	var keys [1024]string
	for i := range keys {
		keys[i] = telamon.NewAccountID().String()
	}
	b.ReportAllocs()
	b.RunParallel(func(pb *testing.PB) {
		for i := int(start.Add(101)); pb.Next(); i += 7 { // each at its own place
			key := keys[i%len(keys)]
			if err := web.AllowAll(web.Bound{Limiter: credentials, Key: key}, web.Bound{Limiter: accounts, Key: key}); err != nil {
				b.Error(err)
				return
			}
		}
	})
}

func TestInstrument(t *testing.T) {
	var logged strings.Builder
	var observed []string
	wrap := web.Instrument{
		Face: "atlas", Log: slog.New(slog.NewTextHandler(&logged, &slog.HandlerOptions{Level: slog.LevelDebug})), MaxBody: 4,
		Observe: func(face, pattern, method string, status int, _ time.Duration) {
			observed = append(observed, fmt.Sprintf("%s %q %s %d", face, pattern, method, status))
		},
	}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /panic", func(http.ResponseWriter, *http.Request) { panic("a bug") })
	mux.HandleFunc("POST /body", func(w http.ResponseWriter, r *http.Request) {
		if _, err := io.ReadAll(r.Body); err != nil {
			w.WriteHeader(http.StatusRequestEntityTooLarge)
			return
		}
		if web.RequestID(r.Context()) != w.Header().Get("X-Request-Id") {
			t.Error("the request's ID is not that of the answer")
		}
		w.WriteHeader(http.StatusNoContent)
	})
	for _, tt := range []struct {
		method, path, body string
		status             int
		observed           string
	}{
		{"GET", "/panic", "", 500, `atlas "GET /panic" GET 500`},
		{"POST", "/body", "1234", 204, `atlas "POST /body" POST 204`},
		{"POST", "/body", "12345", 413, `atlas "POST /body" POST 413`},
		{"GET", "/none", "", 404, `atlas "" GET 404`},
	} {
		w := httptest.NewRecorder()
		r := httptest.NewRequest(tt.method, tt.path, strings.NewReader(tt.body))
		r.Header.Set("X-Request-Id", "chosen-by-a-stranger")
		wrap.Wrap(mux).ServeHTTP(w, r)
		if w.Code != tt.status || observed[len(observed)-1] != tt.observed {
			t.Errorf("%s %s = %d, observed as %s; want %d and %s", tt.method, tt.path, w.Code, observed[len(observed)-1], tt.status, tt.observed)
		}
		if id := w.Header().Get("X-Request-Id"); len(id) != 32 {
			t.Errorf("the request ID is %q", id)
		}
	}
	if !strings.Contains(logged.String(), "handler panicked") || strings.Contains(logged.String(), "chosen-by-a-stranger") {
		t.Errorf("the log is %s", logged.String())
	}
}

func FuzzParseClientCert(f *testing.F) {
	f.Add(":" + base64.StdEncoding.EncodeToString([]byte("certificate")) + ":")
	f.Add("::")
	f.Add(":=:")
	f.Fuzz(func(t *testing.T, value string) {
		der, err := web.ParseClientCert(http.Header{"Client-Cert": {value}})
		if err == nil && ":"+base64.StdEncoding.EncodeToString(der)+":" != strings.TrimSpace(value) {
			t.Errorf("%q is read as %x", value, der)
		}
	})
}

// TestHostBehindProxy holds that the Host chooses where a proxy is believed, and the server
// name of TLS where none is.
func TestHostBehindProxy(t *testing.T) {
	proxy := certificate(t, "proxy", false)
	address := serve(t, web.Clients{
		Trusted: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}, Fingerprints: [][32]byte{sha256.Sum256(proxy.Certificate[0])},
	})
	for _, host := range []string{"atlas.test", "portal.test", "one.test", "other.test"} {
		want, _, _ := strings.Cut(strings.Replace(host, "other", "atlas", 1), ".")
		status, body := ask(t, address, "", host, &proxy, http.Header{"X-Forwarded-For": {"192.0.2.7"}})
		if status != 200 || body != want+" 192.0.2.7 cert=0" {
			t.Errorf("a proxy that asks for %s gets %d %q", host, status, body)
		}
		if status, _ := ask(t, address, "", host, nil, nil); (status == 421) != (want != "atlas") {
			t.Errorf("a stranger who asks for %s gets %d", host, status)
		}
	}
}
