package store_test

import (
	"database/sql"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	gocmp "github.com/google/go-cmp/cmp"

	"github.com/telamon-ca/telamon"
	"github.com/telamon-ca/telamon/internal/fault"
	"github.com/telamon-ca/telamon/internal/store"
	"github.com/telamon-ca/telamon/internal/testkit"
	"github.com/telamon-ca/telamon/internal/testkit/dbtest"
)

// TestOpenAgain opens a database from empty and then again, also by two at once
// and with a schema that is newer than this release.
func TestOpenAgain(t *testing.T) {
	clock := testkit.NewClock(t, testTime)
	version := func(t *testing.T, db *store.DB, want int64) {
		t.Helper()
		if got, err := db.SchemaVersion(t.Context()); got != want || err != nil {
			t.Errorf("the schema is version %d, %v; want %d", got, err, want)
		}
	}
	newest := newestVersion(t)
	t.Run("from empty", func(t *testing.T) {
		db := dbtest.Open(t, "sqlite:"+filepath.Join(t.TempDir(), "new.db"), clock)
		version(t, db, newest)
	})
	dbtest.EachURL(t, func(t *testing.T, url string) {
		first := dbtest.Open(t, url, clock)
		w := newWorld(t, first, clock)
		version(t, dbtest.Open(t, url, clock), newest)
		w.exec(t, "INSERT INTO goose_db_version (version_id, is_applied) VALUES (9999, TRUE)")
		newer := dbtest.Open(t, url, clock)
		version(t, newer, 9999)
		if err := newer.RecordEvent(t.Context(), telamon.Event{Actor: operator, Action: "test.act", Result: "ok"}); err != nil {
			t.Errorf("release N-1 does not run on schema N: %v", err)
		}
	})
}

// TestMigrateClaims brings a database of the release without claims, with its rows, up
// to date.
func TestMigrateClaims(t *testing.T) {
	dbtest.EachURL(t, func(t *testing.T, url string) {
		driver, dsn := "pgx", url
		if path, ok := strings.CutPrefix(url, "sqlite:"); ok {
			driver, dsn = "sqlite", path+".old"
			url = "sqlite:" + dsn
		}
		raw, err := sql.Open(driver, dsn)
		if err != nil {
			t.Fatal(err)
		}
		defer raw.Close()
		exec := func(statements ...string) {
			t.Helper()
			for _, statement := range statements {
				if _, err := raw.ExecContext(t.Context(), statement); err != nil {
					t.Fatalf("%s: %v", statement, err)
				}
			}
		}
		if driver == "pgx" {
			exec("DROP SCHEMA public CASCADE", "CREATE SCHEMA public")
		}
		if err := store.MigrateTo(t.Context(), url, 1); err != nil {
			t.Fatal(err)
		}
		want := telamon.Service{
			ID: telamon.NewServiceID(), Name: "tls", Version: 3, PolicyTemplate: []byte(`{"a":1}`), Series: telamon.NewSeriesID(),
			DomainValidation: true, StrictCAA: true, CreatedAt: time.UnixMilli(1000).UTC(), ChangedAt: time.UnixMilli(2000).UTC(),
		}
		account, identity := telamon.NewAccountID(), telamon.NewIdentityID()
		exec("INSERT INTO hierarchy (id, name, kind, created_at) VALUES ('h', 'tls', 'tls', 0)",
			"INSERT INTO issuer_series (id, hierarchy_id, name, key_type, eku_family, created_at) VALUES ('"+want.Series.String()+"', 'h', 'tls-ec', 'EC-P256', 'tls', 0)",
			"INSERT INTO service (id, name, version, policy_template, series_id, domain_validation, strict_content, strict_caa, strict_mpic,"+
				" unlimited, created_at, changed_at) VALUES ('"+want.ID.String()+"', 'tls', 3, '{\"a\":1}', '"+want.Series.String()+
				"', TRUE, FALSE, TRUE, FALSE, FALSE, 1000, 2000)",
			"INSERT INTO account (id, name, state, created_at) VALUES ('"+account.String()+"', 'Acme', 'active', 0)",
			"INSERT INTO identity (id, account_id, name, data, state, created_at) VALUES ('"+identity.String()+"', '"+account.String()+"', 'Acme', '{}', 'active', 0)")

		clock := testkit.NewClock(t, testTime)
		db := dbtest.Open(t, url, clock)
		if version, err := db.SchemaVersion(t.Context()); version != newestVersion(t) || err != nil {
			t.Errorf("the schema is version %d, %v", version, err)
		}
		got, err := db.Service(t.Context(), want.ID)
		if diff := gocmp.Diff(want, got); diff != "" || err != nil {
			t.Errorf("the service: %v (-want +got):\n%s", err, diff)
		}
		// What release N-1 writes is good on this schema.
		exec("INSERT INTO service (id, name, version, policy_template, series_id, domain_validation, strict_content, strict_caa, strict_mpic," +
			" unlimited, created_at, changed_at) SELECT 'svc_2', 'tls-2', version, policy_template, series_id, domain_validation, strict_content," +
			" strict_caa, strict_mpic, unlimited, created_at, changed_at FROM service")
		c := &claimant{&world{db: db, clock: clock, account: account}, identity}
		c.verify(t, c.submit(t, "example.com"), clock.Now().Add(time.Hour))
		c.mustAgree(t)
	})
}

func migrations(t *testing.T) []string {
	t.Helper()
	files, err := filepath.Glob("migrations/*.sql")
	if err != nil || len(files) == 0 {
		t.Fatalf("no migrations: %v", err)
	}
	return files
}

// newestVersion returns the highest number of a migration. There may be gaps below.
func newestVersion(t *testing.T) int64 {
	t.Helper()
	number, _, _ := strings.Cut(filepath.Base(slices.Max(migrations(t))), "_")
	version, err := strconv.ParseInt(number, 10, 64)
	if err != nil {
		t.Fatal(err)
	}
	return version
}

// TestConstraintNames holds that every rule of the schema has a name that reads as
// one: errors are told apart by them. PostgreSQL would make one up.
func TestConstraintNames(t *testing.T) {
	madeUp := regexp.MustCompile(`_(fkey|check|key|excl)\d*$`)
	w := newWorld(t, dbtest.Open(t, dbtest.Postgres(t), telamon.SystemClock{}), telamon.SystemClock{})
	rules := textPairs(t, w, "SELECT conname, contype FROM pg_constraint WHERE connamespace = 'public'::regnamespace"+
		" AND conrelid::regclass::text NOT LIKE 'goose%'")
	if len(rules) < 40 {
		t.Fatalf("only %d constraints: the query is wrong", len(rules))
	}
	for _, rule := range rules {
		if rule[1] != "p" && madeUp.MatchString(rule[0]) {
			t.Errorf("the constraint %s has no name of its own", rule[0])
		}
	}
	indexes := textPairs(t, w, "SELECT indexrelid::regclass::text, pg_get_indexdef(indexrelid) FROM pg_index"+
		" WHERE indisunique AND NOT indisprimary AND indrelid::regclass::text NOT LIKE 'goose%' AND indrelid::regclass::text NOT LIKE 'pg_%'")
	var named []string
	for _, index := range indexes {
		named = append(named, index[0])
		columns, known := store.UniqueColumns[index[0]]
		if !known {
			t.Errorf("uniqueColumns has no row for %s", index[0])
		}
		table, list, _ := strings.Cut(strings.TrimPrefix(index[1][strings.Index(index[1], "public.")+7:], ""), " USING btree (")
		list, _, _ = strings.Cut(list, ")")
		var want []string
		for column := range strings.SplitSeq(list, ", ") {
			want = append(want, table+"."+column)
		}
		if got := strings.Join(want, ", "); columns != got {
			t.Errorf("uniqueColumns says %q of %s, want %q", columns, index[0], got)
		}
	}
	for name := range store.UniqueColumns {
		if !slices.Contains(named, name) {
			t.Errorf("uniqueColumns has %s, which the schema has not", name)
		}
	}
}

// textPairs returns rows of two texts.
func textPairs(t *testing.T, w *world, query string) (out [][2]string) {
	t.Helper()
	rows, err := store.Reader(w.db).Query(query)
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	for rows.Next() {
		var row [2]string
		if err := rows.Scan(&row[0], &row[1]); err != nil {
			t.Fatal(err)
		}
		out = append(out, row)
	}
	if err := rows.Err(); err != nil {
		t.Fatal(err)
	}
	return out
}

func TestCreateHierarchy(t *testing.T) {
	eachWorld(t, func(t *testing.T, w *world, clock *testkit.Clock) {
		issuers, series, err := w.db.Issuers(t.Context())
		if err != nil || len(issuers) != 1 || len(series) != 1 {
			t.Fatalf("%d issuers and %d series, %v; want one of each", len(issuers), len(series), err)
		}
		if i := issuers[0]; i.ID != w.issuer || i.Series != w.series || i.Parent != "" || !i.RetireAt.IsZero() ||
			!i.ActivateAt.Equal(clock.Now()) || i.Certificate.Subject.CommonName != "Test CA" {
			t.Errorf("the issuer is %+v", i)
		}
		create := func(name, seriesName string) error {
			h := store.Hierarchy{ID: telamon.NewHierarchyID(), Kind: telamon.HierarchySigning, Name: name}
			h.Series = []telamon.Series{{ID: telamon.NewSeriesID(), Hierarchy: h.ID, Name: seriesName, KeyType: "EC-P256", EKUFamily: telamon.EKUSigning}}
			return w.db.CreateHierarchy(t.Context(), operator, h)
		}
		mustBe(t, create("tls", "new"), fault.Conflict, "name_taken")
		mustBe(t, create("new", "tls-ecdsa"), fault.Conflict, "name_taken")
		if all, err := w.db.Hierarchies(t.Context()); len(all) != 1 || err != nil {
			t.Errorf("%d hierarchies, %v; want the first alone", len(all), err)
		}
		if err := create("new", "new"); err != nil {
			t.Error(err)
		}
	})
}

func TestLease(t *testing.T) {
	dbtest.EachURL(t, func(t *testing.T, url string) {
		clock := testkit.NewClock(t, testTime)
		a, b := dbtest.Open(t, url, clock), dbtest.Open(t, url, clock)
		take := func(who string, db *store.DB, want bool) {
			t.Helper()
			if got, err := db.TakeLease(t.Context(), "sequencer", 10*time.Second); got != want || err != nil {
				t.Errorf("%s holds the lease: %v, %v; want %v", who, got, err, want)
			}
		}
		take("a", a, true)
		take("b beside it", b, false)
		clock.Advance(6 * time.Second)
		take("a once more", a, true)
		clock.Advance(10 * time.Second)
		take("b in the lease's last instant", b, false)
		clock.Advance(time.Millisecond)
		take("b after the lease ran out", b, true)
		take("a after it lost the lease", a, false)
		if err := a.DropLease(t.Context(), "sequencer"); err != nil {
			t.Fatal(err)
		}
		take("a after it dropped what it had not", a, false)
		if err := b.DropLease(t.Context(), "sequencer"); err != nil {
			t.Fatal(err)
		}
		take("a after b dropped it", a, true)
	})
}

func TestChanges(t *testing.T) {
	eachWorld(t, func(t *testing.T, w *world, clock *testkit.Clock) {
		seen := func() []string {
			t.Helper()
			changes, err := w.db.Changes(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			var out []string
			for _, c := range changes {
				out = append(out, string(c.Kind)+" "+c.Object)
			}
			return out
		}
		issuer := "issuer " + w.issuer.String()
		if got := seen(); !slices.Equal(got, []string{issuer}) {
			t.Errorf("the feed has %v, want %s", got, issuer)
		}
		clock.Advance(14 * time.Second)
		// A transaction that began ten seconds ago commits only now.
		w.exec(t, "INSERT INTO change (id, at, kind, object) VALUES ($1, $2, 'account', 'late')",
			[]byte("0123456789abcdef"), clock.Now().Add(-10*time.Second).UnixMilli())
		if got := seen(); !slices.Equal(got, []string{issuer, "account late"}) {
			t.Errorf("after 14 s the feed has %v, want both", got)
		}
		clock.Advance(2 * time.Second)
		if got := seen(); !slices.Equal(got, []string{"account late"}) {
			t.Errorf("after 16 s the feed has %v, want the late one", got)
		}
		clock.Advance(time.Hour)
		w.mustIssue(t, w.cert(w.pair))
		if err := w.db.PurgeFeeds(t.Context()); err != nil {
			t.Fatal(err)
		}
		if n := w.number(t, "SELECT count(*) FROM change"); n != 0 {
			t.Errorf("%d changes are left after an hour", n)
		}
		if n := w.number(t, "SELECT count(*) FROM commit_marker"); n != 1 {
			t.Errorf("%d markers are left, want that of the last commit", n)
		}
	})
}

// TestReadyProbes holds that a database that nobody wrote to for a while is not
// trusted.
func TestReadyProbes(t *testing.T) {
	eachWorld(t, func(t *testing.T, w *world, clock *testkit.Clock) {
		probes := 0
		store.FailBegin(w.db, func() error { probes++; return sql.ErrConnDone })
		if err := w.db.Ready(t.Context()); err != nil || probes != 0 {
			t.Errorf("right after a write: %v after %d probes, want none", err, probes)
		}
		clock.Advance(6 * time.Second)
		if err := w.db.Ready(t.Context()); !fault.Is(err, fault.Unavailable) || probes == 0 {
			t.Errorf("six seconds after the last write: %v after %d probes, want Unavailable", err, probes)
		}
		store.FailBegin(w.db, nil)
		if err := w.db.Ready(t.Context()); err != nil {
			t.Errorf("when it is up again: %v", err)
		}
	})
}
