package store_test

import (
	"database/sql"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/telamon-ca/telamon"
	"github.com/telamon-ca/telamon/internal/store"
	"github.com/telamon-ca/telamon/internal/testkit"
	"github.com/telamon-ca/telamon/internal/testkit/dbtest"
)

// TestCopyTo copies a database while certificates are issued: the copy has all that
// was acknowledged before, and nothing by halves.
func TestCopyTo(t *testing.T) {
	clock := testkit.NewClock(t, testTime)
	w := newWorld(t, dbtest.Open(t, dbtest.SQLite(t), clock), clock)
	var before []*telamon.Certificate
	for range 50 {
		before = append(before, w.cert(w.pair))
		w.mustIssue(t, before[len(before)-1])
	}
	var writers sync.WaitGroup
	var stop atomic.Bool
	started := make(chan struct{}, 4)
	for range 4 {
		writers.Go(func() {
			for n := 0; n < 100_000 && !stop.Load(); n++ {
				cert := w.cert(w.pair)
				if err := w.db.IssueCertificate(t.Context(), "", cert, w.blob, w.event(cert)); err != nil {
					t.Error(err)
					return
				}
				if n == 0 {
					started <- struct{}{}
				}
			}
		})
	}
	for range 4 {
		<-started
	}
	path := filepath.Join(t.TempDir(), "a copy?.db")
	err := w.db.CopyTo(t.Context(), path)
	stop.Store(true)
	writers.Wait()
	if err != nil {
		t.Fatal(err)
	}
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("the copy is %v, %v; want a file for its owner alone", info, err)
	}
	if _, err := os.Stat(path + "-wal"); err == nil {
		t.Error("the copy has a WAL: it is not one file")
	}
	again := &world{db: dbtest.Open(t, "sqlite:"+path, clock), clock: clock}
	for _, cert := range before {
		if _, err := again.db.Certificate(t.Context(), w.pair, cert.Serial); err != nil {
			t.Errorf("certificate %s of before the copy: %v", cert.Serial, err)
		}
	}
	certs := again.number(t, "SELECT count(*) FROM certificate")
	for what, query := range map[string]string{
		"bytes": "SELECT count(*) FROM certificate_der", "events": "SELECT count(*) FROM audit_event WHERE account_id <> ''",
		"counted": "SELECT sum(n) FROM counter WHERE kind = 'issued'",
	} {
		if n := again.number(t, query); n != certs {
			t.Errorf("the copy has %d certificates and %d %s", certs, n, what)
		}
	}
	if n := again.number(t, "SELECT count(*) FROM pragma_integrity_check WHERE integrity_check <> 'ok'"); n != 0 {
		t.Errorf("the copy has %d problems", n)
	}
	if err := w.db.CopyTo(t.Context(), path); err == nil {
		t.Error("a file that exists was copied over")
	}
}

// TestReadOnly opens databases of the first schema, of this release's and of a newer
// one for reading: nothing is migrated or written.
func TestReadOnly(t *testing.T) {
	clock := testkit.NewClock(t, testTime)
	dbtest.EachURL(t, func(t *testing.T, url string) {
		w := newWorld(t, dbtest.Open(t, url, clock), clock)
		look := func(url string) (missing []int64, newer int64) {
			t.Helper()
			db, err := store.Open(t.Context(), store.Config{URL: url, Clock: clock, ReadOnly: true})
			if err != nil {
				t.Fatal(err)
			}
			defer db.Close()
			if missing, newer, err = db.Migrations(t.Context()); err != nil {
				t.Error(err)
			}
			if _, err := db.AuditHead(t.Context()); err != nil {
				t.Errorf("read the audit log's head: %v", err)
			}
			if err := db.RecordEvent(t.Context(), telamon.Event{Actor: operator, Action: "test.act", Result: "ok"}); err == nil {
				t.Error("it was written to")
			}
			return missing, newer
		}
		if missing, newer := look(url); len(missing) > 0 || newer != 0 {
			t.Errorf("a new database lacks %v and is of %d", missing, newer)
		}
		w.exec(t, "INSERT INTO goose_db_version (version_id, is_applied) VALUES (9999, TRUE)")
		if missing, newer := look(url); len(missing) > 0 || newer != 9999 {
			t.Errorf("a newer database lacks %v and is of %d, want 9999", missing, newer)
		}
		old := oldDatabase(t, url, 1)
		if missing, newer := look(old); len(missing) != len(migrations(t))-1 || newer != 0 {
			t.Errorf("the first schema lacks %v and is of %d", missing, newer)
		}
	})
	if _, err := store.Open(t.Context(), store.Config{URL: "sqlite:" + filepath.Join(t.TempDir(), "none"), Clock: clock, ReadOnly: true}); err == nil {
		t.Error("a file that does not exist was opened")
	}
}

// oldDatabase returns a database of an older version of the schema, in the place of
// that of url on PostgreSQL and beside it on SQLite.
func oldDatabase(t *testing.T, url string, version int64) string {
	t.Helper()
	if path, ok := strings.CutPrefix(url, "sqlite:"); ok {
		url = "sqlite:" + path + ".old"
	} else {
		raw, err := sql.Open("pgx", url)
		if err != nil {
			t.Fatal(err)
		}
		defer raw.Close()
		for _, statement := range []string{"DROP SCHEMA public CASCADE", "CREATE SCHEMA public"} {
			if _, err := raw.ExecContext(t.Context(), statement); err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := store.MigrateTo(t.Context(), url, version); err != nil {
		t.Fatal(err)
	}
	return url
}

// TestReadOnlyOfThePrimary opens for reading alone what a connection string asks to be a
// server that takes writes, as one with several hosts does.
func TestReadOnlyOfThePrimary(t *testing.T) {
	clock := testkit.NewClock(t, testTime)
	db, err := store.Open(t.Context(), store.Config{
		URL: dbtest.Postgres(t) + " target_session_attrs=read-write", Clock: clock, ReadOnly: true,
	})
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	if _, err := db.SchemaVersion(t.Context()); err != nil {
		t.Error(err)
	}
	if err := db.RecordEvent(t.Context(), telamon.Event{Actor: operator, Action: "identity.read", Result: "ok"}); err == nil {
		t.Error("a database that is open for reading alone is written to")
	}
}
