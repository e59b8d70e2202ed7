package doctor_test

import (
	"bytes"
	"context"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/telamon-ca/telamon"
	"github.com/telamon-ca/telamon/internal/app"
	"github.com/telamon-ca/telamon/internal/doctor"
	"github.com/telamon-ca/telamon/internal/iam"
	"github.com/telamon-ca/telamon/internal/keystore"
	"github.com/telamon-ca/telamon/internal/signer"
	"github.com/telamon-ca/telamon/internal/signing"
	"github.com/telamon-ca/telamon/internal/testkit"
	"github.com/telamon-ca/telamon/internal/testkit/dbtest"
)

const now = "2031-05-31T23:59:30Z"

// templates is where installations are made that tests copy: keys take long to make.
var templates string

func TestMain(m *testing.M) {
	var err error
	if templates, err = os.MkdirTemp("", "telamon-doctor-"); err != nil {
		panic(err)
	}
	status := m.Run()
	os.RemoveAll(templates)
	os.Exit(status)
}

// config returns the configuration of an installation with SQLite in dir.
func config(dir string) app.Config {
	cfg := app.DefaultConfig()
	cfg.Database = "sqlite:" + filepath.Join(dir, "data", "telamon.db")
	cfg.Keys.Dir, cfg.Keys.KEKFile = filepath.Join(dir, "keys"), filepath.Join(dir, "kek")
	cfg.Listen, cfg.StatusListen, cfg.MetricsListen = "127.0.0.1:0", "127.0.0.1:0", ""
	cfg.AdminSocket = filepath.Join(dir, "s")
	cfg.StatusBaseURL, cfg.Names.Atlas = "http://ca.example.com", []string{"ca.example.com"}
	cfg.Audit.CheckpointFile = filepath.Join(dir, "checkpoint")
	return cfg
}

// fixed is a clock that stands still for good.
type fixed time.Time

func (f fixed) Now() time.Time { return time.Time(f) }

func install() (string, error) {
	dir, err := os.MkdirTemp(templates, "")
	if err != nil {
		return "", err
	}
	at, err := time.Parse(time.RFC3339, now)
	if err != nil {
		return "", err
	}
	return dir, app.Init(context.Background(), config(dir), app.InitOptions{MakeKEK: true}, fixed(at), slog.New(slog.DiscardHandler))
}

var installation, another = sync.OnceValues(install), sync.OnceValues(install)

// world is a copy of an installation.
type world struct {
	t     *testing.T
	dir   string
	cfg   app.Config
	clock *testkit.Clock
}

func newWorld(t *testing.T, installation func() (string, error)) *world {
	t.Helper()
	dir, err := os.MkdirTemp("", "telamon-doc-") // the path of a Unix socket must be short
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	w := &world{t: t, dir: dir, cfg: config(dir), clock: testkit.NewClock(t, now)}
	template, err := installation()
	if err != nil {
		t.Fatal(err)
	}
	if err := os.CopyFS(dir, os.DirFS(template)); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"keys", "data"} {
		w.chmod(name, 0o700)
		entries, err := os.ReadDir(filepath.Join(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range entries {
			w.chmod(filepath.Join(name, e.Name()), 0o600)
		}
	}
	w.chmod("kek", 0o600)
	return w
}

func (w *world) chmod(name string, mode os.FileMode) {
	w.t.Helper()
	if err := os.Chmod(filepath.Join(w.dir, name), mode); err != nil {
		w.t.Fatal(err)
	}
}

func (w *world) write(name string, content []byte) {
	w.t.Helper()
	if err := os.WriteFile(filepath.Join(w.dir, name), content, 0o600); err != nil {
		w.t.Fatal(err)
	}
}

func (w *world) read(name string) []byte {
	w.t.Helper()
	content, err := os.ReadFile(filepath.Join(w.dir, name))
	if err != nil {
		w.t.Fatal(err)
	}
	return content
}

// serve runs a server, which does what do says, until the function that it returns is called.
func (w *world) serve(do ...func(*app.App)) (stop func()) {
	w.t.Helper()
	log, level, err := app.NewLog(w.cfg.Log, &bytes.Buffer{})
	if err != nil {
		w.t.Fatal(err)
	}
	a, err := app.Open(w.t.Context(), w.cfg, w.clock, log, level)
	if err != nil {
		w.t.Fatal(err)
	}
	server, err := a.Listen(w.t.Context())
	if err != nil {
		w.t.Fatal(err)
	}
	// What certificates name leads to this server, whose port is known only now.
	a.Config.StatusBaseURL = "http://" + server.StatusAddr.String()
	w.cfg.StatusBaseURL = a.Config.StatusBaseURL
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- server.Run(ctx) }()
	for _, f := range do {
		f(a)
	}
	w.awaitSettled(a)
	return sync.OnceFunc(func() {
		cancel()
		if err := <-ended; err != nil {
			w.t.Error(err)
		}
		a.Close()
	})
}

// awaitSettled waits until the server has done its first work: each issuer has a CRL,
// and all events have their places. Their IDs have the real time, which the clock of the
// test is years after.
func (w *world) awaitSettled(a *app.App) {
	w.t.Helper()
	settled := func() bool {
		shards, err := a.Store.CRLShards(w.t.Context())
		published := 0
		for _, s := range shards {
			if s.CRL != nil {
				published++
			}
		}
		lag, lagErr := a.Store.AuditLag(w.t.Context())
		return err == nil && lagErr == nil && published == len(a.Issuance.Issuers()) && lag.Pending == 0
	}
	ticker, deadline := time.NewTicker(10*time.Millisecond), time.After(30*time.Second)
	defer ticker.Stop()
	for !settled() {
		select {
		case <-ticker.C:
		case <-deadline:
			w.t.Fatal("the server does not publish its CRLs, or sequence the audit log")
		}
	}
}

// examine examines the installation and returns what is wrong, as "level check".
func (w *world) examine() (*doctor.Report, []string) {
	w.t.Helper()
	before := w.files()
	report := doctor.Examine(w.t.Context(), w.cfg, doctor.Options{Clock: w.clock})
	if !report.Running && !slices.Equal(w.files(), before) {
		w.t.Error("the examination has changed a file")
	}
	var wrong []string
	for _, f := range report.Findings {
		if (f.Level == doctor.OK) != (f.Do == "") {
			w.t.Errorf("%+v: something is to be done if and only if something is wrong", f)
		}
		if f.Level != doctor.OK {
			wrong = append(wrong, string(f.Level)+" "+f.Check)
		}
	}
	return report, slices.Compact(wrong)
}

// files returns the content of all files, but what SQLite makes beside the database.
func (w *world) files() (all []string) {
	w.t.Helper()
	for _, pattern := range []string{"*", "keys/*", "data/*.db"} {
		names, err := filepath.Glob(filepath.Join(w.dir, pattern))
		if err != nil {
			w.t.Fatal(err)
		}
		for _, name := range names {
			if content, err := os.ReadFile(name); err == nil {
				all = append(all, name+string(content))
			}
		}
	}
	return all
}

func TestExamine(t *testing.T) {
	w := newWorld(t, installation)
	stop := w.serve()
	defer stop()
	report, wrong := w.examine()
	if len(wrong) > 0 || !report.Running {
		t.Errorf("a good installation that runs has %q:\n%+v", wrong, report.Findings)
	}
	stop()
	if report, wrong = w.examine(); len(wrong) > 0 || report.Running || report.Worst() != doctor.OK {
		t.Errorf("a good installation that does not run has %q:\n%+v", wrong, report.Findings)
	}
	var checks []string
	for _, f := range report.Findings {
		checks = append(checks, f.Check)
	}
	for _, want := range []string{"configuration", "server", "files", "disk", "keystore", "database", "clock", "keys", "issuers", "responders", "crls", "journal", "audit"} {
		if !slices.Contains(checks, want) {
			t.Errorf("there is no finding of %s", want)
		}
	}
}

// TestExamineWrong spoils one thing at a time.
func TestExamineWrong(t *testing.T) {
	w := newWorld(t, installation)
	var pair *telamon.KeyPair
	gone := map[string][]byte{} // what the keystore had of a key pair that is deleted
	w.serve(func(a *app.App) {
		pair = keyPair(t, a, "kept")
		deleted := keyPair(t, a, "deleted")
		name := "keys/" + deleted.KeyName + ".key"
		gone[name] = w.read(name)
		if err := a.Signing.Delete(t.Context(), operator, deleted.Account, deleted.ID); err != nil {
			t.Fatal(err)
		}
	})()
	key := func(w *world) string {
		names, err := filepath.Glob(filepath.Join(w.dir, "keys", "tls-ec-2*.key"))
		if err != nil || len(names) != 1 {
			t.Fatalf("the keys are %q, %v", names, err)
		}
		return "keys/" + filepath.Base(names[0])
	}
	served := func() (string, error) { return w.dir, nil }
	for _, tt := range []struct {
		name  string
		spoil func(*world)
		want  []string
	}{
		{"nothing", func(*world) {}, nil},
		{"no database URL", func(w *world) { w.cfg.Database = "" }, []string{"fail configuration", "fail database"}},
		{"an exposed key-encryption key", func(w *world) { w.chmod("kek", 0o644) }, []string{"fail files", "fail keystore"}},
		{"an exposed database", func(w *world) { w.chmod("data/telamon.db", 0o640) }, []string{"fail files"}},
		{"an exposed keystore", func(w *world) { w.chmod("keys", 0o755) }, []string{"fail files"}},
		{"a key-encryption key among the keys", func(w *world) {
			w.write("keys/kek", w.read("kek"))
			w.cfg.Keys.KEKFile = filepath.Join(w.dir, "keys", "kek")
		}, []string{"fail files", "warn keystore"}},
		{"another key-encryption key", func(w *world) {
			_, text := keystore.NewKEK()
			w.write("kek", []byte(text))
		}, []string{"fail keystore"}},
		{"a damaged key", func(w *world) {
			content := w.read(key(w))
			content[len(content)-1] ^= 1
			w.write(key(w), content)
		}, []string{"fail keystore"}},
		{"a lost key", func(w *world) { os.Remove(filepath.Join(w.dir, key(w))) }, []string{"fail keys"}},
		{"a root that is offline", func(w *world) { os.Remove(filepath.Join(w.dir, "keys", "tls-root.key")) }, []string{"warn keys"}},
		{"a lost key of a key pair", func(w *world) { os.Remove(filepath.Join(w.dir, "keys", pair.KeyName+".key")) }, []string{"fail keypairs"}},
		{"a key of a key pair that is deleted", func(w *world) {
			for name, content := range gone {
				w.write(name, content)
			}
		}, []string{"warn keypairs"}},
		{"a torn journal", func(w *world) {
			journal := strings.TrimSuffix(key(w), ".key") + ".journal"
			w.write(journal, append(w.read(journal), "torn"...))
		}, []string{"warn keystore"}},
		{"a journal that was lost", func(w *world) {
			names, err := filepath.Glob(filepath.Join(w.dir, "keys", "*.journal"))
			if err != nil || len(names) == 0 {
				t.Fatalf("the journals are %q, %v", names, err)
			}
			for _, name := range names {
				if err := os.Remove(name); err != nil {
					t.Fatal(err)
				}
			}
			w.clock.Advance(2 * time.Hour)
		}, []string{"fail journal"}},
		{"a signer that is not there", func(w *world) {
			cert, private, err := signer.NewIdentity("x")
			if err != nil {
				t.Fatal(err)
			}
			w.write("x.crt", cert)
			w.write("x.key", private)
			path := filepath.Join(w.dir, "x")
			w.cfg.Keys.Signer = app.SignerConfig{
				Socket: path, CertFile: path + ".crt", KeyFile: path + ".key", SignerCertFile: path + ".crt", Wait: time.Millisecond,
			}
		}, []string{"fail signer"}},
		{"a signer whose files are not there", func(w *world) {
			w.cfg.Keys.Signer = app.SignerConfig{Socket: "s", CertFile: "none", KeyFile: "none", SignerCertFile: "none", Wait: time.Second}
		}, []string{"fail signer"}},
		{"no database", func(w *world) { os.RemoveAll(filepath.Join(w.dir, "data")) }, []string{"fail database"}},
		{"an empty database", func(w *world) { w.write("data/telamon.db", nil) }, []string{"fail database"}},
		{"a database of another installation", func(w *world) {
			other := newWorld(t, another)
			w.write("data/telamon.db", other.read("data/telamon.db"))
		}, []string{"fail keys", "fail audit"}},
		{"an older database", func(w *world) {
			template := newWorld(t, installation)
			w.write("data/telamon.db", template.read("data/telamon.db"))
			w.clock.Advance(time.Hour)
		}, []string{"warn journal", "fail audit"}},
		{"a clock that was set back", func(w *world) {
			at, err := time.Parse(time.RFC3339, "2031-05-31T20:00:00Z")
			if err != nil {
				t.Fatal(err)
			}
			w.clock = testkit.NewClock(t, at.Format(time.RFC3339))
		}, []string{"fail clock", "warn crls"}},
		{"CRLs that have ended", func(w *world) { w.clock.Advance(30 * 24 * time.Hour) }, []string{"fail crls"}},
		{"issuers that expire soon", func(w *world) { w.clock.Advance((3*365 - 10) * 24 * time.Hour) }, []string{"warn issuers", "fail crls"}},
		{"issuers that have expired", func(w *world) { w.clock.Advance(8 * 366 * 24 * time.Hour) }, []string{"fail issuers", "fail crls"}},
		{"no checkpoint that is exported", func(w *world) { w.cfg.Audit.CheckpointFile = "" }, []string{"warn audit"}},
		{"a strange checkpoint file", func(w *world) { w.write("checkpoint", []byte("hello")) }, []string{"fail audit"}},
		{"a socket that nobody answers on", func(w *world) {
			listener, err := net.Listen("unix", w.cfg.AdminSocket)
			if err != nil {
				t.Fatal(err)
			}
			listener.(*net.UnixListener).SetUnlinkOnClose(false)
			listener.Close()
			w.chmod("s", 0o600)
		}, nil},
	} {
		t.Run(tt.name, func(t *testing.T) {
			spoiled := newWorld(t, served)
			tt.spoil(spoiled)
			report, wrong := spoiled.examine()
			if !slices.Equal(wrong, tt.want) {
				t.Errorf("it finds %q, want %q:\n%+v", wrong, tt.want, report.Findings)
			}
		})
	}
}

var operator = telamon.Actor{Kind: telamon.ActorOperator}

// keyPair makes a key pair of an account of the same name.
func keyPair(t *testing.T, a *app.App, name string) *telamon.KeyPair {
	t.Helper()
	account, err := a.IAM.CreateAccount(t.Context(), operator, iam.NewAccount{Name: name})
	if err != nil {
		t.Fatal(err)
	}
	k, err := a.Signing.Create(t.Context(), operator, signing.NewKeyPair{
		Account: account.ID, Name: name, KeyType: "EC-P256", Certify: &signing.NewCertificate{},
	})
	if err != nil {
		t.Fatal(err)
	}
	return k
}

// TestExamineDatabase examines what only PostgreSQL has, and schemas of other releases.
func TestExamineDatabase(t *testing.T) {
	w := newWorld(t, installation)
	w.cfg.Database = dbtest.Postgres(t)
	cfg, clock := w.cfg, telamon.SystemClock{}
	cfg.Keys.Dir = filepath.Join(w.dir, "more-keys")
	if err := app.Init(t.Context(), cfg, app.InitOptions{}, clock, slog.New(slog.DiscardHandler)); err != nil {
		t.Fatal(err)
	}
	report := doctor.Examine(t.Context(), cfg, doctor.Options{Clock: clock})
	if report.Worst() != doctor.OK {
		t.Errorf("a good installation: %+v", report.Findings)
	}
	report = doctor.Examine(t.Context(), cfg, doctor.Options{Clock: w.clock})
	if !slices.ContainsFunc(report.Findings, func(f doctor.Finding) bool {
		return f.Level == doctor.Fail && f.Check == "clock" && strings.Contains(f.Text, "the database's clock")
	}) {
		t.Errorf("a clock that is years from the database's: %+v", report.Findings)
	}
}
