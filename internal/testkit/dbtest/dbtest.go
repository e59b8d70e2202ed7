// Package dbtest gives tests a fresh database of each engine: SQLite in a file of
// the test's own, and PostgreSQL as a clone of a migrated template in the cluster
// that TELAMON_TEST_POSTGRES names ("host=... user=..."). It mocks nothing.
package dbtest

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/google/uuid"
	_ "github.com/jackc/pgx/v5/stdlib" // the PostgreSQL driver

	"github.com/telamon-ca/telamon"
	"github.com/telamon-ca/telamon/internal/store"
	"github.com/telamon-ca/telamon/internal/testkit"
)

// Each runs f once on a fresh SQLite database and once on a fresh PostgreSQL one,
// as subtests. The databases are removed when the subtest ends.
func Each(t *testing.T, clock telamon.Clock, f func(t *testing.T, db *store.DB)) {
	t.Helper()
	EachURL(t, func(t *testing.T, url string) { f(t, Open(t, url, clock)) })
}

// EachURL is Each for tests that open the database themselves, several times or
// by several processes.
func EachURL(t *testing.T, f func(t *testing.T, url string)) {
	t.Helper()
	t.Run("sqlite", func(t *testing.T) { f(t, SQLite(t)) })
	t.Run("postgres", func(t *testing.T) { f(t, Postgres(t)) })
}

// Open opens a database and closes it when the test ends.
func Open(t testing.TB, url string, clock telamon.Clock) *store.DB {
	t.Helper()
	db, err := store.Open(t.Context(), store.Config{URL: url, Clock: clock, Create: true})
	if err != nil {
		t.Fatalf("open %s: %v", url, err)
	}
	t.Cleanup(func() {
		if err := db.Close(); err != nil {
			t.Errorf("close the database: %v", err)
		}
	})
	return db
}

// SQLite returns the URL of a migrated SQLite database of the test's own.
func SQLite(t testing.TB) string {
	t.Helper()
	template, err := sqliteTemplate()
	if err != nil {
		t.Fatalf("make a SQLite template: %v", err)
	}
	path := filepath.Join(t.TempDir(), "telamon.db")
	if err := os.WriteFile(path, template, 0o600); err != nil {
		t.Fatal(err)
	}
	return "sqlite:" + path
}

// sqliteTemplate returns the bytes of a migrated database.
var sqliteTemplate = sync.OnceValues(func() ([]byte, error) {
	dir, err := os.MkdirTemp("", "telamon-sqlite-")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	path := filepath.Join(dir, "template.db")
	ctx := context.Background()
	db, err := store.Open(ctx, store.Config{URL: "sqlite:" + path, Clock: telamon.SystemClock{}, Create: true})
	if err != nil {
		return nil, err
	}
	if err := db.Close(); err != nil { // writes the WAL back
		return nil, err
	}
	return os.ReadFile(path)
})

// Postgres returns the connection string of a migrated PostgreSQL database of the
// test's own. Without a cluster the test is skipped, or fails where nothing may be.
func Postgres(t testing.TB) string {
	t.Helper()
	cluster := os.Getenv("TELAMON_TEST_POSTGRES")
	if cluster == "" {
		testkit.Require(t, "PostgreSQL (set TELAMON_TEST_POSTGRES, or run ./test)")
		return ""
	}
	template, err := postgresTemplate(cluster)
	if err != nil {
		t.Fatalf("make a PostgreSQL template: %v", err)
	}
	admin, err := sql.Open("pgx", cluster)
	if err != nil {
		t.Fatal(err)
	}
	name := databaseName("t")
	if _, err := admin.ExecContext(t.Context(), fmt.Sprintf("CREATE DATABASE %s TEMPLATE %s", name, template)); err != nil {
		t.Fatalf("clone the template: %v", err)
	}
	t.Cleanup(func() {
		if _, err := admin.Exec("DROP DATABASE " + name + " WITH (FORCE)"); err != nil {
			t.Errorf("drop the test's database: %v", err)
		}
		admin.Close()
	})
	return withDatabase(cluster, name)
}

var templates sync.Map // by cluster: func() (string, error)

// postgresTemplate returns the name of a migrated database of the cluster, which
// is made by the first process that needs one of this schema, and kept.
func postgresTemplate(cluster string) (string, error) {
	once, _ := templates.LoadOrStore(cluster, sync.OnceValues(func() (string, error) { return makeTemplate(cluster) }))
	return once.(func() (string, error))()
}

func makeTemplate(cluster string) (string, error) {
	admin, err := sql.Open("pgx", cluster)
	if err != nil {
		return "", err
	}
	defer admin.Close()
	ctx, name := context.Background(), "telamon_template_"+store.SchemaID()
	exists := func() (n int, err error) {
		err = admin.QueryRowContext(ctx, "SELECT count(*) FROM pg_database WHERE datname = $1", name).Scan(&n)
		return n, err
	}
	if n, err := exists(); n > 0 || err != nil {
		return name, err
	}
	// Made under another name, since other processes may do the same at once.
	draft := databaseName("draft")
	if _, err := admin.ExecContext(ctx, "CREATE DATABASE "+draft); err != nil {
		return "", err
	}
	db, err := store.Open(ctx, store.Config{URL: withDatabase(cluster, draft), Clock: telamon.SystemClock{}})
	if err != nil {
		return "", err
	}
	if err := db.Close(); err != nil {
		return "", err
	}
	if _, err := admin.ExecContext(ctx, "ALTER DATABASE "+draft+" RENAME TO "+name); err != nil {
		if n, lookErr := exists(); n == 0 || lookErr != nil {
			return "", errors.Join(err, lookErr)
		}
		_, err = admin.ExecContext(ctx, "DROP DATABASE "+draft) // another process was first
		return name, err
	}
	return name, nil
}

func databaseName(prefix string) string {
	return "telamon_" + prefix + "_" + strings.ReplaceAll(uuid.NewString(), "-", "")
}

// withDatabase returns the keyword connection string with another database name.
func withDatabase(dsn, name string) string {
	var kept []string
	for _, word := range strings.Fields(dsn) {
		if !strings.HasPrefix(word, "dbname=") {
			kept = append(kept, word)
		}
	}
	return strings.Join(append(kept, "dbname="+name), " ")
}
