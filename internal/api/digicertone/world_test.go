package digicertone

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"io"
	"log/slog"
	"math/big"
	"net"
	"net/http"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/telamon-ca/telamon"
	"github.com/telamon-ca/telamon/internal/directory"
	"github.com/telamon-ca/telamon/internal/iam"
	"github.com/telamon-ca/telamon/internal/issuance"
	"github.com/telamon-ca/telamon/internal/keystore"
	"github.com/telamon-ca/telamon/internal/lint"
	"github.com/telamon-ca/telamon/internal/signing"
	"github.com/telamon-ca/telamon/internal/store"
	"github.com/telamon-ca/telamon/internal/tbs"
	"github.com/telamon-ca/telamon/internal/testkit"
	"github.com/telamon-ca/telamon/internal/testkit/dbtest"
	"github.com/telamon-ca/telamon/internal/web"
)

// testNow is the time at which the world's clock stands.
const testNow = "2026-11-22T10:00:00Z"

// The names of the world's faces. A third one is there to be confused with them.
const (
	baseHost = "one.test"
	authHost = ClientAuthPrefix + baseHost
	elseHost = "atlas.test"
)

var operator = telamon.Actor{Kind: telamon.ActorOperator, RequestID: "req_1"}

// world is a platform of one account, served over TLS on both faces.
type world struct {
	iam     *iam.IAM
	signing *signing.Signing
	db      *store.DB
	clock   *testkit.Clock
	account telamon.AccountID
	api     *API
	faces   *web.Faces
	address string
	server  *tls.Certificate
	roots   *x509.CertPool
	log     *logged
}

// logged is what the server logs. It is safe for concurrent use.
type logged struct {
	mu   sync.Mutex
	text strings.Builder
}

func (l *logged) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(b)
}

func (l *logged) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

// newWorld returns a world whose API is configured by change, which may be nil.
func newWorld(t testing.TB, change func(*Config)) *world {
	t.Helper()
	w := &world{clock: testkit.NewClock(t, testNow), log: &logged{}}
	w.db = dbtest.Open(t, dbtest.SQLite(t), w.clock)
	kek, _ := keystore.NewKEK()
	keys := got(keystore.Create(keystore.Config{Dir: filepath.Join(t.TempDir(), "keys"), KEK: kek, Clock: w.clock}))(t)
	t.Cleanup(func() { keys.Close() })
	linter := got(lint.New(lint.Config{}))(t)
	engine := issuance.New(issuance.Config{Keys: keys, Clock: w.clock, StatusBaseURL: "http://status.test", Lint: linter.Check})
	for _, spec := range []issuance.HierarchySpec{
		{Name: "mtls", Kind: telamon.HierarchyClientAuth, Series: []issuance.SeriesSpec{
			{Name: "mtls-rsa", KeyType: tbs.ECP384, EKUFamily: telamon.EKUClientAuth, Years: 10},
			{Name: "mtls-ec", KeyType: tbs.ECP256, EKUFamily: telamon.EKUClientAuth, Years: 10},
		}},
		{Name: "signing", Kind: telamon.HierarchySigning, Series: []issuance.SeriesSpec{
			{Name: "signing-ec", KeyType: tbs.ECP256, EKUFamily: telamon.EKUSigning, Years: 7},
		}},
	} {
		spec.RootKeyType, spec.RootYears = tbs.ECP256, 20
		made := got(engine.CreateHierarchy(t.Context(), spec))(t)
		must(t, w.db.CreateHierarchy(t.Context(), operator, store.Hierarchy{
			ID: made.ID, Kind: spec.Kind, Name: spec.Name, Series: made.Series, Issuers: made.Issuers,
		}))
	}
	dir := got(directory.New(t.Context(), directory.Config{Store: w.db, Clock: w.clock, OnIssuers: engine.Load}))(t)
	w.iam = iam.New(iam.Config{
		Store: w.db, Directory: dir, Issuance: engine, Keys: keys, Passwords: testkit.Passwords, Clock: w.clock, ClientKeyTypes: []string{"RSA", "EC-P256", "EC-P384"},
		ClientSeriesRSA: "mtls-rsa", ClientSeriesEC: "mtls-ec",
	})
	w.signing = signing.New(signing.Config{Store: w.db, Issuance: engine, Keys: keys, Clock: w.clock, Series: "signing-ec"})
	w.account = got(w.iam.CreateAccount(t.Context(), operator, iam.NewAccount{Name: "Acme"}))(t).ID
	w.serve(t, change)
	return w
}

// serve serves the API on a listener of TLS.
func (w *world) serve(t testing.TB, change func(*Config)) {
	t.Helper()
	log := slog.New(slog.NewTextHandler(w.log, &slog.HandlerOptions{Level: slog.LevelDebug}))
	cfg := Config{IAM: w.iam, Signing: w.signing, Clock: w.clock, Log: log}
	if change != nil {
		change(&cfg)
	}
	w.api = New(cfg)
	w.server = newCertificate(t, nil, &x509.Certificate{DNSNames: []string{baseHost, authHost, elseHost}})
	w.roots = x509.NewCertPool()
	w.roots.AddCert(w.server.Leaf)
	get := func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return w.server, nil }
	wrap := func(h http.Handler) http.Handler { return web.Instrument{Face: "test", Log: cfg.Log}.Wrap(h) }
	w.faces = web.NewFaces(
		&web.Face{Name: "else", Hosts: []string{elseHost}, Handler: http.NotFoundHandler(), Certificate: get, AsksClientCert: true},
		&web.Face{Name: "base", Hosts: []string{baseHost}, Handler: wrap(w.api.Face(false)), Certificate: get, Misdirected: w.api.Misdirected()},
		&web.Face{Name: "auth", Hosts: []string{authHost}, Handler: wrap(w.api.Face(true)), Certificate: get, AsksClientCert: true, Misdirected: w.api.Misdirected()},
	)
	listener := got(tls.Listen("tcp", "127.0.0.1:0", w.faces.TLSConfig()))(t)
	w.address = listener.Addr().String()
	srv := web.NewServer(web.Clients{}.Wrap(w.faces), log)
	done := make(chan error, 1)
	go func() { done <- srv.Serve(listener) }()
	t.Cleanup(func() {
		if err := web.Drain(context.Background(), srv); err != nil {
			t.Error(err)
		}
		if err := <-done; !errors.Is(err, http.ErrServerClosed) {
			t.Error(err)
		}
	})
}

// newCertificate returns a certificate with what its template says, for a P-256 key if key
// is nil, signed by that key.
func newCertificate(t testing.TB, key crypto.Signer, template *x509.Certificate) *tls.Certificate {
	t.Helper()
	if key == nil {
		key = got(ecdsa.GenerateKey(elliptic.P256(), rand.Reader))(t)
	}
	template.SerialNumber, template.Subject = big.NewInt(1), pkix.Name{CommonName: "test"}
	if template.NotAfter.IsZero() {
		template.NotBefore, template.NotAfter = time.Now().Add(-time.Hour), time.Now().Add(time.Hour)
	}
	der := got(x509.CreateCertificate(rand.Reader, template, template, key.Public(), key))(t)
	return &tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key, Leaf: got(x509.ParseCertificate(der))(t)}
}

// client is how a test calls. Its zero value speaks to the face without certificates.
type client struct {
	auth   bool             // the face that asks for certificates
	cert   *tls.Certificate // nil: none
	key    string           // "" sends no header
	http11 bool
	tls12  bool
	// asked is set when the server asks for a certificate.
	asked *bool
}

// open returns an HTTP client whose connections stay open until the test ends.
func (w *world) open(t testing.TB, c client) *http.Client {
	t.Helper()
	config := &tls.Config{RootCAs: w.roots, NextProtos: []string{"h2", "http/1.1"}}
	if c.tls12 {
		config.MaxVersion = tls.VersionTLS12
	}
	config.GetClientCertificate = func(info *tls.CertificateRequestInfo) (*tls.Certificate, error) {
		if len(info.AcceptableCAs) > 0 {
			t.Errorf("the server names %d CAs, want none", len(info.AcceptableCAs))
		}
		if c.asked != nil {
			*c.asked = true
		}
		if c.cert == nil {
			return &tls.Certificate{}, nil
		}
		return c.cert, nil
	}
	transport := &http.Transport{
		TLSClientConfig: config, ForceAttemptHTTP2: !c.http11,
		DialContext: func(ctx context.Context, network, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, network, w.address)
		},
	}
	if c.http11 {
		config.NextProtos = []string{"http/1.1"}
	}
	t.Cleanup(transport.CloseIdleConnections)
	return &http.Client{Transport: transport, CheckRedirect: func(*http.Request, []*http.Request) error {
		t.Error("the server redirects")
		return http.ErrUseLastResponse
	}}
}

// answer is an answer whose body was read.
type answer struct {
	status int
	header http.Header
	body   string
	proto  string
}

// do makes one request on a connection of its own. The header holds pairs of name and
// value; the name "Host" sets the host.
func (w *world) do(t testing.TB, c client, method, path, body string, header ...string) answer {
	t.Helper()
	return w.send(t, w.open(t, c), c, method, path, body, header...)
}

// send is do over a client that is open.
func (w *world) send(t testing.TB, over *http.Client, c client, method, path, body string, header ...string) answer {
	t.Helper()
	host := baseHost
	if c.auth {
		host = authHost
	}
	var in io.Reader
	if body != "" {
		in = strings.NewReader(body)
	}
	r := got(http.NewRequestWithContext(t.Context(), method, "https://"+host+path, in))(t)
	if body != "" {
		r.Header.Set("Content-Type", "application/json")
	}
	if c.key != "" {
		r.Header.Set("X-Api-Key", c.key)
	}
	for i := 0; i+1 < len(header); i += 2 {
		if header[i] == "Host" {
			r.Host = header[i+1]
			continue
		}
		r.Header.Set(header[i], header[i+1])
	}
	response, err := over.Do(r)
	if err != nil {
		t.Fatalf("%s %s: %v", method, path, err)
	}
	defer response.Body.Close()
	text := got(io.ReadAll(response.Body))(t)
	return answer{response.StatusCode, response.Header, string(text), response.Proto}
}

// mustBe checks status and body of an answer.
func (a answer) mustBe(t testing.TB, status int, body string) {
	t.Helper()
	if a.status != status || a.body != body {
		t.Errorf("the answer is %d %s, want %d %s", a.status, a.body, status, body)
	}
}

// got returns the value of a call that must not fail.
func got[T any](v T, err error) func(testing.TB) T {
	return func(t testing.TB) T {
		t.Helper()
		must(t, err)
		return v
	}
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
