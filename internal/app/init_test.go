package app_test

import (
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/telamon-ca/telamon"
	"github.com/telamon-ca/telamon/internal/app"
	"github.com/telamon-ca/telamon/internal/testkit/dbtest"
)

func TestInit(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		w.open()
		if info, err := os.Stat(w.cfg.Keys.KEKFile); err != nil || info.Mode() != 0o600 || info.Size() != 65 {
			t.Errorf("the key-encryption key is %v, %v", info, err)
		}
		issuers, series, err := w.app.Store.Issuers(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if len(issuers) != 8 || len(series) != 5 {
			t.Errorf("there are %d issuers and %d series, want 8 and 5", len(issuers), len(series))
		}
		for _, i := range issuers {
			subject := i.Certificate.Subject
			if len(subject.Organization) != 1 || subject.Organization[0] != "Example Ltd" || w.clock.Now().Before(i.Certificate.NotBefore) {
				t.Errorf("a CA is %s from %s", subject, i.Certificate.NotBefore)
			}
			for _, url := range append(i.Certificate.CRLDistributionPoints, i.Certificate.IssuingCertificateURL...) {
				if !strings.HasPrefix(url, w.cfg.StatusBaseURL+"/") {
					t.Errorf("a CA names %s", url)
				}
			}
			if i.Role != telamon.RoleRoot && len(i.Certificate.CRLDistributionPoints)+len(i.Certificate.IssuingCertificateURL) == 0 {
				t.Errorf("%s names no URL", subject)
			}
		}
		if err := w.init(app.InitOptions{MakeKEK: true}); err == nil {
			t.Error("an installation is made twice")
		}
		if again, _, err := w.app.Store.Issuers(t.Context()); err != nil || len(again) != len(issuers) {
			t.Errorf("after the second init there are %d issuers, %v", len(again), err)
		}
	})
}

// TestInitStrictTLS holds that the CAs of strict TLS pass the lints of public ones,
// also if the operator names neither country nor organization.
func TestInitStrictTLS(t *testing.T) {
	w := newWorld(t, dbtest.SQLite(t))
	if err := w.init(app.InitOptions{MakeKEK: true, StrictTLS: true}); err != nil {
		t.Fatal(err)
	}
	w.open()
	strict, err := w.app.Issuance.SeriesNamed(app.SeriesStrictEC)
	if err != nil {
		t.Fatal(err)
	}
	issuer, err := w.app.Issuance.Active(strict.ID)
	if err != nil {
		t.Fatal(err)
	}
	if got := issuer.Certificate.Subject.Country; len(got) != 1 || got[0] != "XX" {
		t.Errorf("the strict CA is %s, want the country XX", issuer.Certificate.Subject)
	}
	if got := issuer.Certificate.Policies; len(got) != 1 || got[0].String() != "2.5.29.32.0" {
		t.Errorf("the strict CA has the policies %v, want anyPolicy", got)
	}
	if err := w.init(app.InitOptions{Country: "Japan"}); err == nil {
		t.Error("an installation is made in the country Japan")
	}
}

// TestInitRefuses holds that what was there is as it was.
func TestInitRefuses(t *testing.T) {
	t.Run("a keystore that exists", func(t *testing.T) {
		w := install(t, dbtest.SQLite(t))
		w.cfg.Database = dbtest.SQLite(t)
		if err := w.init(app.InitOptions{}); err == nil {
			t.Error("another installation was made over its keys")
		}
	})
	t.Run("no base URL", func(t *testing.T) {
		w := newWorld(t, dbtest.SQLite(t))
		w.cfg.StatusBaseURL = ""
		if err := w.init(app.InitOptions{MakeKEK: true}); err == nil || exists(w.cfg.Keys.KEKFile) {
			t.Errorf("something was made: %v", err)
		}
	})
	t.Run("no key-encryption key", func(t *testing.T) {
		w := newWorld(t, "sqlite:"+filepath.Join(t.TempDir(), "telamon.db"))
		if err := w.init(app.InitOptions{}); err == nil || exists(w.cfg.Keys.Dir) || exists(strings.TrimPrefix(w.cfg.Database, "sqlite:")) {
			t.Errorf("something was made: %v", err)
		}
	})
	t.Run("a key-encryption key that exists stays", func(t *testing.T) {
		w := newWorld(t, dbtest.SQLite(t))
		if err := os.WriteFile(w.cfg.Keys.KEKFile, []byte("short"), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := w.init(app.InitOptions{MakeKEK: true}); err == nil {
			t.Error("an installation was made with a key that is none")
		}
		if text, err := os.ReadFile(w.cfg.Keys.KEKFile); err != nil || string(text) != "short" {
			t.Errorf("the file holds %q, %v", text, err)
		}
	})
	t.Run("a key-encryption key that cannot be looked at", func(t *testing.T) {
		w := newWorld(t, dbtest.SQLite(t))
		loop := filepath.Join(t.TempDir(), "loop")
		if err := os.Symlink("loop", loop); err != nil {
			t.Fatal(err)
		}
		w.cfg.Keys.KEKFile = loop
		if err := w.init(app.InitOptions{MakeKEK: true}); err == nil || exists(w.cfg.Keys.Dir) {
			t.Errorf("something was made: %v", err)
		}
	})
	t.Run("a key-encryption key that a link promises", func(t *testing.T) {
		w := newWorld(t, dbtest.SQLite(t))
		elsewhere := filepath.Join(t.TempDir(), "elsewhere")
		if err := os.Symlink(elsewhere, w.cfg.Keys.KEKFile); err != nil {
			t.Fatal(err)
		}
		if err := w.init(app.InitOptions{MakeKEK: true}); err == nil || exists(elsewhere) || exists(w.cfg.Keys.Dir) {
			t.Errorf("something was made: %v", err)
		}
	})
}

// TestOpenRefuses holds that nothing is opened that Init did not make.
func TestOpenRefuses(t *testing.T) {
	open := func(t *testing.T, w *world) error {
		t.Helper()
		opened, err := app.Open(t.Context(), w.cfg, w.clock, slog.New(slog.DiscardHandler), new(slog.LevelVar))
		if err == nil {
			opened.Close()
		}
		return err
	}
	w := install(t, dbtest.SQLite(t))
	if err := open(t, w); err != nil {
		t.Fatal(err)
	}
	t.Run("no database", func(t *testing.T) {
		other := *w
		path := filepath.Join(t.TempDir(), "telamon.db")
		other.cfg.Database = "sqlite:" + path
		if open(t, &other) == nil || exists(path) {
			t.Error("a database was made")
		}
	})
	t.Run("no keystore", func(t *testing.T) {
		other := *w
		other.cfg.Keys.Dir = filepath.Join(t.TempDir(), "keys")
		if open(t, &other) == nil || exists(other.cfg.Keys.Dir) {
			t.Error("a keystore was made")
		}
	})
	t.Run("another key-encryption key", func(t *testing.T) {
		other := *w
		other.cfg.Keys.KEKFile, other.cfg.Keys.KEK = "", app.Secret(strings.Repeat("5a", 32))
		if open(t, &other) == nil {
			t.Error("the keys were read with another key")
		}
	})
	t.Run("the key of the environment", func(t *testing.T) {
		other := *w
		text, err := os.ReadFile(w.cfg.Keys.KEKFile)
		if err != nil {
			t.Fatal(err)
		}
		other.cfg.Keys.KEKFile, other.cfg.Keys.KEK = "", app.Secret(strings.TrimSpace(string(text)))
		if err := open(t, &other); err != nil {
			t.Error(err)
		}
	})
	t.Run("a name that cannot be certified", func(t *testing.T) {
		other := &world{t: t, cfg: w.cfg, clock: w.clock, log: &buffer{}}
		other.cfg.Names.Atlas = []string{"not a name"}
		other.open()
		if server, err := other.app.Listen(t.Context()); err == nil {
			server.Close()
			t.Error("the server listens")
		}
	})
	t.Run("an address that is taken", func(t *testing.T) {
		first := &world{t: t, cfg: w.cfg, clock: w.clock, log: &buffer{}}
		first.start()
		second := &world{t: t, cfg: w.cfg, clock: w.clock, log: &buffer{}}
		second.cfg.Listen, second.cfg.AdminSocket = first.server.Addr.String(), ""
		second.open()
		if server, err := second.app.Listen(t.Context()); err == nil {
			server.Close()
			t.Error("the second server listens")
		}
	})
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}
