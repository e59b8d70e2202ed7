package store_test

import (
	"bytes"
	"database/sql"
	"log/slog"
	"strings"
	"testing"

	"github.com/telamon-ca/telamon"
	"github.com/telamon-ca/telamon/internal/store"
	"github.com/telamon-ca/telamon/internal/testkit/dbtest"
)

// TestSynchronousCommit opens a PostgreSQL database whose own default is not to
// wait for the disk.
func TestSynchronousCommit(t *testing.T) {
	url := dbtest.Postgres(t)
	admin, err := sql.Open("pgx", url)
	if err != nil {
		t.Fatal(err)
	}
	defer admin.Close()
	var name string
	if err := admin.QueryRow("SELECT current_database()").Scan(&name); err != nil {
		t.Fatal(err)
	}
	if _, err := admin.Exec("ALTER DATABASE " + name + " SET synchronous_commit = off"); err != nil {
		t.Fatal(err)
	}
	for given, want := range map[string]string{
		"":                                 "on",
		" synchronous_commit=on":           "on",
		" synchronous_commit=remote_write": "remote_write",
		" synchronous_commit=remote_apply": "remote_apply",
		" Synchronous_Commit=Remote_Apply": "remote_apply",
	} {
		t.Run("given"+given, func(t *testing.T) {
			db := dbtest.Open(t, url+given, telamon.SystemClock{})
			var got string
			if err := store.Writer(db).QueryRow("SHOW synchronous_commit").Scan(&got); err != nil || got != want {
				t.Errorf("connections that write have %q, %v; want %q", got, err, want)
			}
		})
	}
	for _, given := range []string{
		" synchronous_commit=off", " synchronous_commit=local", " SYNCHRONOUS_COMMIT=OFF", " synchronous_commit=no",
		" options='-c synchronous_commit=off'",
	} {
		t.Run("refused"+given, func(t *testing.T) {
			db, err := store.Open(t.Context(), store.Config{URL: url + given, Clock: telamon.SystemClock{}})
			if err == nil {
				db.Close()
				t.Fatal("the database was opened all the same")
			}
			if !strings.Contains(err.Error(), "synchronous_commit") {
				t.Errorf("the error does not say what to change: %v", err)
			}
		})
	}
}

// TestNoSync compares what the log says at Open with what the server does.
func TestNoSync(t *testing.T) {
	url := dbtest.Postgres(t)
	var log bytes.Buffer
	db, err := store.Open(t.Context(), store.Config{URL: url, Clock: telamon.SystemClock{}, Log: slog.New(slog.NewTextHandler(&log, nil))})
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	var fsync string
	if err := store.Reader(db).QueryRow("SHOW fsync").Scan(&fsync); err != nil {
		t.Fatal(err)
	}
	if warned := strings.Contains(log.String(), "fsync=off"); warned != (fsync == "off") {
		t.Errorf("fsync is %s, and the log says: %s", fsync, &log)
	}
}
