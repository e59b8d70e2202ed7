package backup_test

import (
	"bytes"
	"context"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/telamon-ca/telamon"
	"github.com/telamon-ca/telamon/internal/app"
	"github.com/telamon-ca/telamon/internal/backup"
	"github.com/telamon-ca/telamon/internal/testkit"
)

const now = "2031-05-31T23:59:30Z"

var operator = telamon.Actor{Kind: telamon.ActorOperator}

// world is an installation in a directory, whose clock stands still.
type world struct {
	t     *testing.T
	dir   string
	cfg   app.Config
	clock *testkit.Clock
}

// configIn returns the configuration of an installation with SQLite in dir.
func configIn(dir string) app.Config {
	cfg := app.DefaultConfig()
	cfg.Database = "sqlite:" + filepath.Join(dir, "data", "telamon.db")
	cfg.Keys.Dir, cfg.Keys.KEKFile = filepath.Join(dir, "keys"), filepath.Join(dir, "kek")
	cfg.Listen, cfg.StatusListen, cfg.MetricsListen, cfg.AdminSocket = "127.0.0.1:0", "127.0.0.1:0", "", ""
	cfg.StatusBaseURL, cfg.Names.Atlas = "http://ca.example.com", []string{"ca.example.com"}
	cfg.Audit.CheckpointFile = filepath.Join(dir, "checkpoint")
	return cfg
}

// installations are two that tests copy: keys take long to make.
var installations = [2]func() (string, error){sync.OnceValues(install), sync.OnceValues(install)}

// install makes an installation in a new directory.
func install() (string, error) {
	dir, err := os.MkdirTemp(templates, "")
	if err != nil {
		return "", err
	}
	at, err := time.Parse(time.RFC3339, now)
	if err != nil {
		return "", err
	}
	return dir, app.Init(context.Background(), configIn(dir), app.InitOptions{MakeKEK: true}, fixed(at), slog.New(slog.DiscardHandler))
}

// fixed is a clock that stands still for good.
type fixed time.Time

func (f fixed) Now() time.Time { return time.Time(f) }

// templates is where installations are made.
var templates string

func TestMain(m *testing.M) {
	var err error
	if templates, err = os.MkdirTemp("", "telamon-backup-"); err != nil {
		panic(err)
	}
	status := m.Run()
	os.RemoveAll(templates)
	os.Exit(status)
}

// newWorld returns an installation, and newOther another one.
func newWorld(t *testing.T) *world { return copyOf(t, installations[0]) }
func newOther(t *testing.T) *world { return copyOf(t, installations[1]) }

func copyOf(t *testing.T, installation func() (string, error)) *world {
	t.Helper()
	dir := t.TempDir()
	w := &world{t: t, dir: dir, cfg: configIn(dir), clock: testkit.NewClock(t, now)}
	template, err := installation()
	if err != nil {
		t.Fatal(err)
	}
	if err := os.CopyFS(dir, os.DirFS(template)); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{w.cfg.Keys.KEKFile, filepath.Join(dir, "data", "telamon.db")} {
		if err := os.Chmod(path, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return w
}

// config returns what backups need to know.
func (w *world) config() backup.Config {
	w.t.Helper()
	cfg, err := app.BackupConfig(w.cfg, w.clock, slog.New(slog.DiscardHandler))
	if err != nil {
		w.t.Fatal(err)
	}
	return cfg
}

// open opens the installation as a server does.
func (w *world) open(clock telamon.Clock) (*app.App, error) {
	log, level, err := app.NewLog(w.cfg.Log, &bytes.Buffer{})
	if err != nil {
		return nil, err
	}
	return app.Open(w.t.Context(), w.cfg, clock, log, level)
}

// serve runs a server that issues itself a certificate, does what do says, and stops:
// the audit log is sequenced, and its checkpoint exported.
func (w *world) serve(do func(*app.App)) {
	w.t.Helper()
	w.serveBy(w.clock, do)
}

func (w *world) serveBy(clock telamon.Clock, do func(*app.App)) {
	w.t.Helper()
	a, err := w.open(clock)
	if err != nil {
		w.t.Fatal(err)
	}
	defer a.Close()
	server, err := a.Listen(w.t.Context())
	if err != nil {
		w.t.Fatal(err)
	}
	if do != nil {
		do(a)
	}
	ctx, cancel := context.WithCancel(w.t.Context())
	cancel()
	if err := server.Run(ctx); err != nil {
		w.t.Fatal(err)
	}
}

// record writes an audit event.
func (w *world) record(object string) func(*app.App) {
	return func(a *app.App) {
		w.t.Helper()
		err := a.Store.RecordEvent(w.t.Context(), telamon.Event{Actor: operator, Action: "identity.read", Object: object, Result: "ok"})
		if err != nil {
			w.t.Fatal(err)
		}
	}
}

// backup makes a backup.
func (w *world) backup(name string) string {
	w.t.Helper()
	path := filepath.Join(w.dir, name)
	made, err := backup.Create(w.t.Context(), w.config(), path)
	if err != nil {
		w.t.Fatal(err)
	}
	if len(made.Warnings) > 0 {
		w.t.Errorf("the backup has the warnings %q", made.Warnings)
	}
	return path
}

// lose removes the database and, if keys says so, the keystore.
func (w *world) lose(keys bool) {
	w.t.Helper()
	if err := os.RemoveAll(filepath.Join(w.dir, "data")); err != nil {
		w.t.Fatal(err)
	}
	if keys {
		if err := os.RemoveAll(w.cfg.Keys.Dir); err != nil {
			w.t.Fatal(err)
		}
	}
}

// exported returns the checkpoint that left the installation.
func (w *world) exported() backup.Evidence {
	w.t.Helper()
	text, err := os.ReadFile(w.cfg.Audit.CheckpointFile)
	if err != nil {
		w.t.Fatal(err)
	}
	return backup.Evidence{Checkpoints: []string{string(text)}}
}

// restore restores with the options.
func (w *world) restore(o backup.Options) (*backup.Restored, error) {
	w.t.Helper()
	o.Actor = operator
	return backup.Restore(w.t.Context(), w.config(), o)
}
