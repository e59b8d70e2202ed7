package admin_test

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"encoding/pem"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/telamon-ca/telamon/internal/api/admin"
	"github.com/telamon-ca/telamon/internal/app"
	"github.com/telamon-ca/telamon/internal/testkit"
	"github.com/telamon-ca/telamon/internal/testkit/dbtest"
)

// patience is how long a test waits for what must come.
const patience = 30 * time.Second

// world is a running server and its operator's client.
type world struct {
	*admin.Client
	t      *testing.T
	app    *app.App
	clock  *testkit.Clock
	socket string
	// address is that of the TLS listener.
	address string
	logs    *logged
}

// logged is what the server logs. It is safe for concurrent use.
type logged struct {
	mu   sync.Mutex
	text bytes.Buffer // guarded by mu
}

// Write implements io.Writer.
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

// each runs f on a server of its own with each database.
func each(t *testing.T, f func(t *testing.T, w *world)) {
	t.Helper()
	dbtest.EachURL(t, func(t *testing.T, url string) { f(t, newWorld(t, url)) })
}

// socketDir returns a directory of the test's own with a short name: the path of a
// Unix socket has at most 107 bytes.
func socketDir(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "telamon-admin-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	return dir
}

func newWorld(t *testing.T, url string) *world {
	t.Helper()
	return newWorldWith(t, url, func(*app.Config) {})
}

// newWorldWith is newWorld with a change of the configuration.
func newWorldWith(t *testing.T, url string, change func(*app.Config)) *world {
	t.Helper()
	dir := socketDir(t)
	cfg := app.DefaultConfig()
	cfg.Database, cfg.Keys.Dir, cfg.Keys.KEKFile = url, filepath.Join(dir, "keys"), filepath.Join(dir, "kek")
	cfg.Listen, cfg.StatusListen, cfg.MetricsListen, cfg.AdminSocket = "127.0.0.1:0", "127.0.0.1:0", "", filepath.Join(dir, "s")
	cfg.StatusBaseURL, cfg.Names.Atlas = "http://ca.example.com", []string{"ca.example.com"}
	change(&cfg)
	if err := cfg.Check(); err != nil {
		t.Fatal(err)
	}
	logs := &logged{}
	clock, log := testkit.NewClock(t, "2028-02-29T12:00:00Z"), slog.New(slog.NewJSONHandler(logs, &slog.HandlerOptions{Level: slog.LevelDebug}))
	if err := app.Init(t.Context(), cfg, app.InitOptions{MakeKEK: true}, clock, log); err != nil {
		t.Fatal(err)
	}
	a, err := app.Open(t.Context(), cfg, clock, log, new(slog.LevelVar))
	if err != nil {
		t.Fatal(err)
	}
	server, err := a.Listen(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- server.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		select {
		case err := <-ended:
			if err := errors.Join(err, a.Close()); err != nil {
				t.Errorf("the server ended with: %v", err)
			}
		case <-time.After(patience):
			t.Error("the server does not end")
		}
	})
	w := &world{Client: admin.NewClient(cfg.AdminSocket), t: t, app: a, clock: clock, socket: cfg.AdminSocket, address: server.Addr.String(), logs: logs}
	w.Through(hold(t))
	return w
}

// do makes a call that must succeed, and returns the answer.
func do[T any](w *world, method, path string, body any) T {
	w.t.Helper()
	var answer T
	if err := w.Do(w.t.Context(), method, path, body, &answer); err != nil {
		w.t.Fatalf("%s %s: %v", method, path, err)
	}
	return answer
}

// done makes a call that must succeed without an answer.
func (w *world) done(method, path string, body any) {
	w.t.Helper()
	if answer := do[json.RawMessage](w, method, path, body); answer != nil {
		w.t.Errorf("%s %s answers %s", method, path, answer)
	}
}

// refused makes a call that must be refused with the status and code.
func (w *world) refused(method, path string, body any, status int, code string) {
	w.t.Helper()
	err := w.Do(w.t.Context(), method, path, body, nil)
	problem, ok := errors.AsType[*admin.Problem](err)
	if !ok || problem.Status != status || problem.Code != code {
		w.t.Errorf("%s %s: got %#v, want %d %s", method, path, err, status, code)
	}
}

// raw sends a body as it is, and returns the answer.
func (w *world) raw(method, path, body string) (*http.Response, string) {
	w.t.Helper()
	transport := &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, "unix", w.socket)
	}}
	defer transport.CloseIdleConnections()
	client := &http.Client{Transport: hold(w.t)(transport)}
	req, err := http.NewRequestWithContext(w.t.Context(), method, "http://admin"+path, strings.NewReader(body))
	if err != nil {
		w.t.Fatal(err)
	}
	res, err := client.Do(req)
	if err != nil {
		w.t.Fatal(err)
	}
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	if err != nil {
		w.t.Fatal(err)
	}
	return res, string(text)
}

// policy is the least that a service needs.
const policy = `{
	"validity": {"secondsmin": 3600, "secondsmax": 86400, "not_before_negative_skew": 60, "not_before_positive_skew": 60},
	"subject_dn": {"common_name": {"presence": "REQUIRED", "format": "^[a-z]+$"}},
	"signature": {
		"algorithm": {"presence": "OPTIONAL", "list": ["ECDSA"]}, "hash_algorithm": {"presence": "OPTIONAL", "list": ["SHA-256"]}
	},
	"public_key": {"key_type": "ECDSA", "allowed_lengths": [256], "key_format": "PKCS10"},
	"public_key_signature": "FORBIDDEN"
}`

// rsaKey is one for all tests, since RSA keys take long to make.
var rsaKey = sync.OnceValue(func() *rsa.PrivateKey {
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		panic(err)
	}
	return key
})

// csrOf returns the PEM of a CSR, of which only the key counts.
func csrOf(t *testing.T, key any) string {
	t.Helper()
	return csrNamed(t, key, "")
}

// csrNamed returns the PEM of a CSR for a common name.
func csrNamed(t *testing.T, key any, name string) string {
	t.Helper()
	der, err := x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{Subject: pkix.Name{CommonName: name}}, key)
	if err != nil {
		t.Fatal(err)
	}
	return string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE REQUEST", Bytes: der}))
}

func ecKey(t *testing.T) *ecdsa.PrivateKey {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return key
}
