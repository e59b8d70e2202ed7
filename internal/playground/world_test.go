package playground_test

import (
	"bytes"
	"context"
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/telamon-ca/telamon"
	"github.com/telamon-ca/telamon/internal/playground"
	"github.com/telamon-ca/telamon/internal/store"
	"github.com/telamon-ca/telamon/internal/testkit"
	"github.com/telamon-ca/telamon/internal/testkit/dbtest"
	"github.com/telamon-ca/telamon/internal/testkit/invariant"
)

var operator = telamon.Actor{Kind: telamon.ActorOperator, RequestID: "req_test"}

// patience is how long a test waits for what must come.
const patience = 60 * time.Second

// world is a playground that serves until the test ends.
type world struct {
	*playground.Running
	t     *testing.T
	dir   string
	clock *testkit.Clock // stands still at about the present, unless the options had another
	log   *buffer
	stop  func() // ends it now and checks how it ended

	synthetic bool // holds certificates that nobody signed, so invariants do not hold
}

// each runs f on a playground of each database.
func each(t *testing.T, f func(t *testing.T, w *world)) {
	t.Helper()
	t.Run("sqlite", func(t *testing.T) { f(t, start(t, playground.Options{})) })
	t.Run("postgres", func(t *testing.T) { f(t, start(t, playground.Options{Database: dbtest.Postgres(t)})) })
}

// start runs a playground with those options that are given, in a directory of the
// test's own if none is.
func start(t *testing.T, options playground.Options) *world {
	t.Helper()
	w := &world{t: t, dir: options.Dir, log: &buffer{}}
	if w.dir == "" {
		w.dir = t.TempDir()
	}
	// TLS clients compare the server's certificate with the real time.
	w.clock = testkit.NewClock(t, time.Now().UTC().Format(time.RFC3339))
	if options.Clock == nil {
		options.Clock = w.clock
	}
	options.Dir, options.Out, options.Log = w.dir, w.log, w.log
	options.Listen, options.StatusListen = "127.0.0.1:0", "127.0.0.1:0"
	started, done := make(chan *playground.Running, 1), make(chan error, 1)
	options.Started = func(r *playground.Running) { started <- r }
	ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
	go func() { done <- playground.Run(ctx, options) }()
	w.stop = sync.OnceFunc(func() {
		cancel()
		select {
		case err := <-done:
			if err != nil {
				t.Errorf("the playground ended with: %v", err)
			}
			w.checkInvariants()
		case <-time.After(patience):
			t.Error("the playground does not end")
		}
	})
	select {
	case w.Running = <-started:
		t.Cleanup(w.stop)
	case err := <-done:
		cancel()
		t.Fatalf("the playground did not start: %v", err)
	case <-time.After(patience):
		t.Fatal("the playground does not start")
	}
	return w
}

// checkInvariants looks at what a playground left that has ended.
func (w *world) checkInvariants() {
	if w.Running == nil || w.synthetic {
		return
	}
	db, err := store.Open(context.Background(), store.Config{URL: w.App.Config.Database, Clock: w.clock})
	if err != nil {
		w.t.Errorf("open the database: %v", err)
		return
	}
	defer db.Close()
	invariant.Check(w.t, db)
}

// advance moves the clock on. The directory would be stale until its next poll.
func (w *world) advance(d time.Duration) {
	w.clock.Advance(d)
	if err := w.App.Directory.Poll(context.Background()); err != nil {
		w.t.Errorf("poll: %v", err)
	}
}

func (w *world) credential(name string) *playground.Credential {
	w.t.Helper()
	c, err := w.Description.Credential(name)
	if err != nil {
		w.t.Fatal(err)
	}
	return c
}

// roots returns the CAs by which clients verify the server.
func (w *world) roots() *x509.CertPool {
	w.t.Helper()
	text, err := os.ReadFile(w.Description.ServerCAFile)
	if err != nil {
		w.t.Fatal(err)
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(text) {
		w.t.Fatalf("no roots in %s", w.Description.ServerCAFile)
	}
	return pool
}

func (w *world) pair(c *playground.Credential) tls.Certificate {
	w.t.Helper()
	pair, err := tls.LoadX509KeyPair(c.CertFile, c.KeyFile)
	if err != nil {
		w.t.Fatal(err)
	}
	return pair
}

// record returns what the platform knows of a credential.
func (w *world) record(t *testing.T, name string) telamon.Credential {
	t.Helper()
	account, err := w.App.IAM.AccountNamed(t.Context(), operator, w.Description.Account)
	if err != nil {
		t.Fatal(err)
	}
	all, err := w.App.IAM.Credentials(t.Context(), operator, account.ID, store.Page{Limit: 100})
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range all {
		if c.Name == name {
			return c
		}
	}
	t.Fatalf("the account has no credential %s", name)
	panic("unreachable")
}

// parts returns what another credential like that of a name is made of.
func (w *world) parts(t *testing.T, name string) (telamon.AccountID, telamon.SubscriptionID, telamon.IdentityID) {
	t.Helper()
	c := w.record(t, name)
	directory, err := w.App.Store.LoadDirectory(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, pair := range directory.Pairs {
		if pair.ID == c.Pair {
			return c.Account, pair.Subscription, pair.Identity
		}
	}
	t.Fatalf("there is no pair %d", c.Pair)
	panic("unreachable")
}

func tlsCertificate(leaf []byte, key crypto.Signer) tls.Certificate {
	return tls.Certificate{Certificate: [][]byte{leaf}, PrivateKey: key}
}

// client is a client over a connection of its own.
type client struct {
	http       *http.Client
	url, token string
}

// connect returns a client that shows these certificates, or none.
func (w *world) connect(certs ...tls.Certificate) *client {
	w.t.Helper()
	transport := &http.Transport{TLSClientConfig: &tls.Config{Certificates: certs, RootCAs: w.roots()}}
	w.t.Cleanup(transport.CloseIdleConnections)
	return &client{http: &http.Client{Transport: transport, Timeout: patience}, url: w.Description.AtlasURL}
}

// loggedIn returns a client that works with a credential of the playground.
func (w *world) loggedIn(name string) *client {
	w.t.Helper()
	credential := w.credential(name)
	c := w.connect(w.pair(credential))
	if a := c.login(credential.APIKey, credential.APISecret); a.status != http.StatusOK {
		w.t.Fatalf("login as %s: %s", name, a)
	}
	return c
}

// answer is what a request came back with; status is 0 if it did not.
type answer struct {
	status int
	header http.Header
	body   []byte
	err    error
}

func (a *answer) String() string {
	return fmt.Sprintf("status %d, %.500s, %v", a.status, a.body, a.err)
}

// member returns a member of the body as text, "" if there is none.
func (a *answer) member(name string) string {
	var members map[string]any
	if json.Unmarshal(a.body, &members) != nil || members[name] == nil {
		return ""
	}
	return fmt.Sprint(members[name])
}

// login keeps the token that it gets.
func (c *client) login(key, secret string) *answer {
	a := c.do(http.MethodPost, "/login", map[string]any{"api_key": key, "api_secret": secret})
	if token := a.member("access_token"); token != "" {
		c.token = token
	}
	return a
}

// do sends a request, whose body is JSON of any value but nil.
func (c *client) do(method, path string, body any) *answer {
	var sent io.Reader
	if body != nil {
		text, err := json.Marshal(body)
		if err != nil {
			return &answer{err: err}
		}
		sent = bytes.NewReader(text)
	}
	req, err := http.NewRequest(method, c.url+path, sent)
	if err != nil {
		return &answer{err: err}
	}
	if body != nil {
		req.Header.Set("Content-Type", "application/json;charset=utf-8")
	}
	if c.token != "" {
		req.Header.Set("Authorization", "Bearer "+c.token)
	}
	return c.send(req)
}

// send sends a request that is ready.
func (c *client) send(req *http.Request) *answer {
	res, err := c.http.Do(req)
	if err != nil {
		return &answer{err: err}
	}
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	return &answer{status: res.StatusCode, header: res.Header, body: text, err: err}
}

// issue requests a certificate and returns its serial number and PEM.
func (c *client) issue(t *testing.T, request map[string]any) (serial, certificate string) {
	t.Helper()
	a := c.do(http.MethodPost, "/certificates", request)
	if a.status != http.StatusCreated {
		t.Fatalf("POST /certificates: %s", a)
	}
	location := a.header.Get("Location")
	serial = location[strings.LastIndexByte(location, '/')+1:]
	a = c.do(http.MethodGet, "/certificates/"+serial, nil)
	if certificate = a.member("certificate"); a.status != http.StatusOK || certificate == "" {
		t.Fatalf("GET /certificates/%s: %s", serial, a)
	}
	return serial, certificate
}

// rsaKey is one for all requests, since RSA keys take long to make.
var rsaKey = sync.OnceValue(func() *rsa.PrivateKey {
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		panic(err)
	}
	return key
})

// csrFor returns the PEM of a CSR, of which only the key counts.
func csrFor(t *testing.T, key any) string {
	t.Helper()
	der, err := x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{}, key)
	if err != nil {
		t.Fatal(err)
	}
	return string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE REQUEST", Bytes: der}))
}

// plainRequest asks for the least that every policy with CSRs of RSA keys allows.
func plainRequest(t *testing.T) map[string]any {
	t.Helper()
	return map[string]any{"subject_dn": map[string]any{"common_name": "testsubject"}, "public_key": csrFor(t, rsaKey())}
}

func parseCertificate(t *testing.T, text string) *x509.Certificate {
	t.Helper()
	block, _ := pem.Decode([]byte(text))
	if block == nil {
		t.Fatalf("no PEM in %.100q", text)
	}
	cert, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		t.Fatal(err)
	}
	return cert
}

// buffer is a bytes.Buffer that is safe for concurrent use.
type buffer struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (b *buffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.Write(p)
}

func (b *buffer) Bytes() []byte {
	b.mu.Lock()
	defer b.mu.Unlock()
	return bytes.Clone(b.text.Bytes())
}
