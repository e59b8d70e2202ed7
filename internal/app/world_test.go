package app_test

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/telamon-ca/telamon/internal/app"
	"github.com/telamon-ca/telamon/internal/testkit"
	"github.com/telamon-ca/telamon/internal/testkit/dbtest"
)

// patience is how long a test waits for what must come.
const patience = 30 * time.Second

// world is an installation whose clock stands still.
type world struct {
	t     *testing.T
	cfg   app.Config
	clock *testkit.Clock
	log   *buffer

	app    *app.App
	server *app.Server
	ended  chan error
	cancel context.CancelFunc
}

// each runs f on a new installation with each database.
func each(t *testing.T, f func(t *testing.T, w *world)) {
	t.Helper()
	dbtest.EachURL(t, func(t *testing.T, url string) { f(t, install(t, url)) })
}

// newWorld returns what is to be an installation.
func newWorld(t *testing.T, url string) *world {
	t.Helper()
	// The path of a Unix socket has at most 107 bytes; those of tests may be long.
	dir, err := os.MkdirTemp("", "telamon-app-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	cfg := app.DefaultConfig()
	cfg.Database, cfg.Keys.Dir, cfg.Keys.KEKFile = url, filepath.Join(dir, "keys"), filepath.Join(dir, "kek")
	cfg.Listen, cfg.StatusListen, cfg.MetricsListen = "127.0.0.1:0", "127.0.0.1:0", "127.0.0.1:0"
	cfg.AdminSocket, cfg.StatusBaseURL = filepath.Join(dir, "run", "admin.sock"), "http://ca.example.com"
	cfg.Names.Atlas = []string{"ca.example.com", "*.ca.example.com", "192.0.2.1", "2001:db8::1"}
	return &world{t: t, cfg: cfg, clock: testkit.NewClock(t, "2031-05-31T23:59:30Z"), log: &buffer{}}
}

func install(t *testing.T, url string) *world {
	t.Helper()
	w := newWorld(t, url)
	w.install()
	return w
}

// install makes the installation.
func (w *world) install() {
	w.t.Helper()
	if err := w.init(app.InitOptions{MakeKEK: true, Organization: "Example Ltd"}); err != nil {
		w.t.Fatal(err)
	}
}

func (w *world) init(options app.InitOptions) error {
	return app.Init(context.Background(), w.cfg, options, w.clock, slog.New(slog.DiscardHandler))
}

// open opens the installation until the test ends.
func (w *world) open() {
	w.t.Helper()
	log, level, err := app.NewLog(w.cfg.Log, w.log)
	if err != nil {
		w.t.Fatal(err)
	}
	if w.app, err = app.Open(w.t.Context(), w.cfg, w.clock, log, level); err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(func() { w.app.Close() }) // some tests have closed the store
}

// listen opens the listeners as well.
func (w *world) listen() {
	w.t.Helper()
	w.open()
	var err error
	if w.server, err = w.app.Listen(w.t.Context()); err != nil {
		w.t.Fatal(err)
	}
}

// run serves until the test ends.
func (w *world) run() {
	ctx, cancel := context.WithCancel(context.Background())
	w.cancel, w.ended = cancel, make(chan error, 1)
	go func() { w.ended <- w.server.Run(ctx) }()
	w.t.Cleanup(func() { w.stop() })
}

func (w *world) start() {
	w.t.Helper()
	w.listen()
	w.run()
}

// stop stops the server and returns how it ended.
func (w *world) stop() error {
	w.cancel()
	select {
	case err := <-w.ended:
		w.ended <- nil // for the next stop
		return err
	case <-time.After(patience):
		return errors.New("the server does not end")
	}
}

// advance moves the clock on, and lets the directory know.
func (w *world) advance(d time.Duration) {
	w.t.Helper()
	w.clock.Advance(d)
	if err := w.app.Directory.Poll(context.Background()); err != nil {
		w.t.Fatal(err)
	}
}

// shown returns the chain that the server shows to a client of a name.
func (w *world) shown(name string) []*x509.Certificate {
	w.t.Helper()
	conn, err := tls.Dial("tcp", w.server.Addr.String(), &tls.Config{ServerName: name, InsecureSkipVerify: true}) // verified by the tests
	if err != nil {
		w.t.Fatal(err)
	}
	defer conn.Close()
	return conn.ConnectionState().PeerCertificates
}

// get returns the status and body of a page of a plain listener.
func (w *world) get(url string) (int, string) {
	w.t.Helper()
	res, err := http.Get(url)
	if err != nil {
		w.t.Fatal(err)
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	if err != nil {
		w.t.Fatal(err)
	}
	return res.StatusCode, string(body)
}

// await polls until the condition holds.
func (w *world) await(what string, holds func() bool) {
	w.t.Helper()
	ticker, deadline := time.NewTicker(10*time.Millisecond), time.After(patience)
	defer ticker.Stop()
	for !holds() {
		select {
		case <-ticker.C:
		case <-deadline:
			w.t.Fatalf("waited in vain for %s\n%s", what, w.log)
		}
	}
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

func (b *buffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.String()
}
