package store_test

import (
	"database/sql"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	gocmp "github.com/google/go-cmp/cmp"
	"github.com/pressly/goose/v3"

	"github.com/telamon-ca/telamon"
	"github.com/telamon-ca/telamon/internal/store"
	"github.com/telamon-ca/telamon/internal/testkit"
	"github.com/telamon-ca/telamon/internal/testkit/dbtest"
)

// TestUpgrade brings databases of every earlier schema up to date, with rows in all the
// tables that releases of that schema filled: what they wrote is what can be read.
func TestUpgrade(t *testing.T) {
	versions := migrationNumbers(t)
	dbtest.EachURL(t, func(t *testing.T, url string) {
		for _, version := range versions[:len(versions)-1] {
			t.Run(fmt.Sprintf("from %d", version), func(t *testing.T) {
				if path, ok := strings.CutPrefix(url, "sqlite:"); ok {
					url = "sqlite:" + filepath.Join(filepath.Dir(path), fmt.Sprintf("%d.db", version))
				}
				old := oldDatabase(t, url, version)
				raw := openRaw(t, old)
				fillOld(t, raw, version)
				before := dump(t, raw, nil)
				if len(before) < 15 {
					t.Fatalf("only %d tables have rows", len(before))
				}
				db := dbtest.Open(t, old, testkit.NewClock(t, testTime))
				if got, err := db.SchemaVersion(t.Context()); got != versions[len(versions)-1] || err != nil {
					t.Errorf("the schema is version %d, %v", got, err)
				}
				if diff := gocmp.Diff(before, dump(t, openRaw(t, old), before)); diff != "" {
					t.Errorf("rows have changed (-before +after):\n%s", diff)
				}
				if issuers, _, err := db.Issuers(t.Context()); len(issuers) != 1 || err != nil {
					t.Errorf("%d issuers, %v; want one", len(issuers), err)
				}
				if err := db.RecordEvent(t.Context(), telamon.Event{Actor: operator, Action: "test.act", Result: "ok"}); err != nil {
					t.Errorf("it cannot be written to: %v", err)
				}
			})
		}
	})
}

// TestPreviousQueries prepares the statements of the release before on this release's
// schema: while replicas are exchanged one by one, both run on it.
func TestPreviousQueries(t *testing.T) {
	text, err := os.ReadFile("testdata/previous/queries.sql")
	if err != nil {
		t.Fatal(err)
	}
	queries := strings.Split("\n"+string(text), "\n-- name: ")[1:]
	if len(queries) < 100 {
		t.Fatalf("there are only %d statements", len(queries))
	}
	dbtest.Each(t, testkit.NewClock(t, testTime), func(t *testing.T, db *store.DB) {
		for _, query := range queries {
			name, statement, _ := strings.Cut(query, "\n")
			if err := store.Prepare(t.Context(), db, statement); err != nil {
				t.Errorf("%s: %v", name, err)
			}
		}
	})
}

// migrationNumbers returns the numbers of all migrations in order.
func migrationNumbers(t *testing.T) (numbers []int64) {
	t.Helper()
	for _, name := range migrations(t) {
		n, err := goose.NumericComponent(name)
		if err != nil {
			t.Fatal(err)
		}
		numbers = append(numbers, n)
	}
	return numbers
}

func openRaw(t *testing.T, url string) *sql.DB {
	t.Helper()
	driver, dsn := "pgx", url
	if path, ok := strings.CutPrefix(url, "sqlite:"); ok {
		driver, dsn = "sqlite", "file:"+path+"?_pragma=busy_timeout(5000)"
	}
	raw, err := sql.Open(driver, dsn)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { raw.Close() })
	return raw
}

// fillOld writes rows as releases of an earlier schema did.
func fillOld(t *testing.T, raw *sql.DB, version int64) {
	t.Helper()
	names := []string{"testdata/previous/rows-1.sql"}
	if version >= 2 {
		names = append(names, "testdata/previous/rows-2.sql")
	}
	for _, name := range names {
		text, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		ca := fmt.Sprintf("%x", (&world{clock: testkit.NewClock(t, testTime)}).sign(t).Raw)
		for statement := range strings.SplitSeq(string(text), ";\n") {
			statement = strings.ReplaceAll(statement, "$CA", ca)
			if raw.Driver() == pgxDriver(t) {
				statement = bytesOfPostgres(statement)
			}
			if strings.TrimSpace(statement) == "" {
				continue
			}
			if _, err := raw.ExecContext(t.Context(), statement); err != nil {
				t.Fatalf("%s: %v\n%s", name, err, statement)
			}
		}
	}
}

// pgxDriver returns the driver of PostgreSQL.
func pgxDriver(t *testing.T) any {
	t.Helper()
	db, err := sql.Open("pgx", "")
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	return db.Driver()
}

// bytesOfPostgres writes x'00' as PostgreSQL has it.
func bytesOfPostgres(statement string) string {
	return strings.ReplaceAll(statement, "x'", `'\x`)
}

// dump returns the rows of all tables that have some, by table and sorted: those columns
// that the rows of like have, or all of them.
func dump(t *testing.T, raw *sql.DB, like map[string][]map[string]string) map[string][]map[string]string {
	t.Helper()
	out := map[string][]map[string]string{}
	for _, table := range tablesOf(t, raw) {
		if like != nil && like[table] == nil {
			continue
		}
		rows, err := raw.QueryContext(t.Context(), "SELECT * FROM "+table)
		if err != nil {
			t.Fatal(err)
		}
		columns, err := rows.Columns()
		if err != nil {
			t.Fatal(err)
		}
		for rows.Next() {
			values, into := make([]any, len(columns)), make([]any, len(columns))
			for i := range values {
				into[i] = &values[i]
			}
			if err := rows.Scan(into...); err != nil {
				t.Fatal(err)
			}
			row := map[string]string{}
			for i, column := range columns {
				if like == nil || hasColumn(like[table], column) {
					row[column] = fmt.Sprintf("%v", values[i])
				}
			}
			out[table] = append(out[table], row)
		}
		if err := rows.Err(); err != nil {
			t.Fatal(err)
		}
		slices.SortFunc(out[table], func(a, b map[string]string) int { return strings.Compare(fmt.Sprint(a), fmt.Sprint(b)) })
	}
	return out
}

func hasColumn(rows []map[string]string, column string) bool {
	_, ok := rows[0][column]
	return ok
}

func tablesOf(t *testing.T, raw *sql.DB) (names []string) {
	t.Helper()
	query := "SELECT name FROM sqlite_schema WHERE type = 'table' AND name NOT LIKE 'goose%' AND name NOT LIKE 'sqlite%'"
	if raw.Driver() == pgxDriver(t) {
		query = "SELECT table_name FROM information_schema.tables WHERE table_schema = 'public' AND table_name NOT LIKE 'goose%'" +
			" AND table_name NOT LIKE 'certificate_der_%'"
	}
	rows, err := raw.QueryContext(t.Context(), query)
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	for rows.Next() {
		var name string
		if err := rows.Scan(&name); err != nil {
			t.Fatal(err)
		}
		names = append(names, name)
	}
	if err := rows.Err(); err != nil {
		t.Fatal(err)
	}
	return names
}
