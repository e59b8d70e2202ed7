package app_test

import (
	"database/sql"
	"strings"
	"testing"

	"github.com/telamon-ca/telamon/internal/app"
	"github.com/telamon-ca/telamon/internal/testkit"
	"github.com/telamon-ca/telamon/internal/testkit/dbtest"
)

// TestReadDatabase looks at a database, and at one of an earlier release, which it does
// not migrate.
func TestReadDatabase(t *testing.T) {
	dbtest.EachURL(t, func(t *testing.T, url string) {
		cfg := app.Config{Database: url}
		if err := dbtest.Open(t, url, testkit.NewClock(t, "2026-11-30T12:00:00Z")).Close(); err != nil {
			t.Fatal(err)
		}
		db, err := app.ReadDatabase(t.Context(), cfg)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := db.AuditHead(t.Context()); err != nil {
			t.Error(err)
		}
		db.Close()
		driver, dsn := "pgx", url
		if path, ok := strings.CutPrefix(url, "sqlite:"); ok {
			driver, dsn = "sqlite", path
		}
		raw, err := sql.Open(driver, dsn)
		if err != nil {
			t.Fatal(err)
		}
		defer raw.Close()
		const newest = "(SELECT max(version_id) FROM goose_db_version)"
		if _, err := raw.ExecContext(t.Context(), "DELETE FROM goose_db_version WHERE version_id = "+newest); err != nil {
			t.Fatal(err)
		}
		var before, after int64
		for _, version := range []*int64{&before, &after} {
			if err := raw.QueryRowContext(t.Context(), "SELECT max(version_id) FROM goose_db_version").Scan(version); err != nil {
				t.Fatal(err)
			}
			if db, err := app.ReadDatabase(t.Context(), cfg); err == nil || !strings.Contains(err.Error(), "hint: ") {
				t.Errorf("a database of an earlier release: %v, %v; want a hint", db, err)
			}
		}
		if before != after {
			t.Errorf("the schema was %d, and is %d", before, after)
		}
	})
}
