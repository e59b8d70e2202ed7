package store_test

import (
	"bufio"
	"context"
	"database/sql"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/telamon-ca/telamon"
	"github.com/telamon-ca/telamon/internal/fault"
	"github.com/telamon-ca/telamon/internal/store"
	"github.com/telamon-ca/telamon/internal/testkit"
	"github.com/telamon-ca/telamon/internal/testkit/dbtest"
)

// The environment of a child process that issues until it is killed.
const (
	childURL   = "TELAMON_STORE_CHILD_URL"
	childFacts = "TELAMON_STORE_CHILD_FACTS" // issuer and subscription
)

func TestMain(m *testing.M) {
	if url := os.Getenv(childURL); url != "" {
		fmt.Fprintln(os.Stderr, issueForever(url, strings.Fields(os.Getenv(childFacts))))
		os.Exit(1)
	}
	os.Exit(m.Run())
}

// issueForever issues from eight sides and prints each serial number that was
// acknowledged. It returns only if something fails.
func issueForever(url string, facts []string) error {
	ctx := context.Background()
	db, err := store.Open(ctx, store.Config{URL: url, Clock: telamon.SystemClock{}})
	if err != nil {
		return err
	}
	w := &world{
		db: db, clock: telamon.SystemClock{}, issuer: telamon.IssuerID(facts[0]), subscription: telamon.SubscriptionID(facts[1]),
		blob: store.Blob{DER: make([]byte, 900), Request: []byte("{}")},
	}
	errs := make(chan error)
	for range 8 {
		go func() {
			for {
				cert := w.cert(1)
				if err := w.issue(ctx, cert); err != nil {
					errs <- err
					return
				}
				os.Stdout.WriteString(cert.Serial.String() + "\n") // one write call: never half a line of another's
			}
		}()
	}
	return <-errs
}

// TestKill kills a process in the middle of its work, several times. What it
// acknowledged is stored, whole, and what it stored is counted.
func TestKill(t *testing.T) {
	dbtest.EachURL(t, func(t *testing.T, url string) {
		w := newWorld(t, dbtest.Open(t, url, telamon.SystemClock{}), telamon.SystemClock{})
		w.addLot(t, 1<<40, time.Now().Add(time.Hour))
		var acknowledged []string
		for range 3 {
			acknowledged = append(acknowledged, killAfter(t, w, url, 200)...)
		}
		reopened := dbtest.Open(t, url, telamon.SystemClock{})
		for _, text := range acknowledged {
			serial, _, err := telamon.ParseSerial(text)
			if err != nil {
				t.Fatal(err)
			}
			cert, err := reopened.Certificate(t.Context(), w.pair, serial)
			if err != nil {
				t.Fatalf("%s was acknowledged and is lost: %v", text, err)
			}
			if _, err := reopened.CertificateBlob(t.Context(), cert); err != nil {
				t.Fatalf("%s was acknowledged and its bytes are lost: %v", text, err)
			}
		}
		w.checkAgreement(t)
	})
}

// killAfter runs a child, kills it when it has acknowledged n certificates, and
// returns all that it acknowledged.
func killAfter(t *testing.T, w *world, url string, n int) (acknowledged []string) {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	child := exec.Command(self)
	child.Env = append(os.Environ(), childURL+"="+url, childFacts+"="+w.issuer.String()+" "+w.subscription.String())
	child.Stderr = os.Stderr
	out, err := child.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := child.Start(); err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewScanner(out)
	for lines.Scan() {
		acknowledged = append(acknowledged, lines.Text())
		if len(acknowledged) == n {
			if err := child.Process.Kill(); err != nil { // SIGKILL
				t.Error(err)
			}
		}
	}
	if err := child.Wait(); err == nil || len(acknowledged) < n {
		t.Fatalf("the child ended by itself after %d certificates: %v", len(acknowledged), err)
	}
	return acknowledged
}

// checkAgreement compares all that is written of each certificate.
func (w *world) checkAgreement(t *testing.T) {
	t.Helper()
	certs := w.number(t, "SELECT count(*) FROM certificate")
	for what, query := range map[string]string{
		"bytes":   "SELECT count(*) FROM certificate_der",
		"quota":   "SELECT CAST(sum(used) AS BIGINT) FROM quota_lot",
		"counter": "SELECT CAST(coalesce(sum(n), 0) AS BIGINT) FROM counter WHERE kind = 'issued'",
	} {
		if n := w.number(t, query); n != certs {
			t.Errorf("%d certificates are stored, but %s says %d", certs, what, n)
		}
	}
	ok := int64(0)
	for _, e := range w.events(t, "certificate.issue") {
		if e.Result == "ok" {
			ok++
		}
	}
	if ok != certs {
		t.Errorf("%d certificates are stored, but the audit log says %d", certs, ok)
	}
	w.checkCounts(t)
}

// TestFullDisk lets the database grow no further. Requests are told Unavailable,
// nothing that was acknowledged is lost, and when there is space again the store
// works again without being told.
func TestFullDisk(t *testing.T) {
	clock := testkit.NewClock(t, testTime)
	w := newWorld(t, dbtest.Open(t, dbtest.SQLite(t), clock), clock)
	w.addLot(t, 1000, clock.Now().Add(time.Hour))
	w.exec(t, "PRAGMA max_page_count = 1") // as small as it is now

	var acknowledged []telamon.Serial
	var full error
	for range 500 {
		cert := w.cert(w.pair)
		if full = w.issue(t.Context(), cert); full != nil {
			break
		}
		acknowledged = append(acknowledged, cert.Serial)
	}
	mustBe(t, full, fault.Unavailable, "store_unavailable")
	if err := w.db.Ready(t.Context()); !fault.Is(err, fault.Unavailable) {
		t.Errorf("with a full disk the database is ready: %v", err)
	}
	w.checkAgreement(t)

	// There is space again. PRAGMA works in no transaction that writes.
	if err := store.Unlimit(t.Context(), w.db); err != nil {
		t.Fatal(err)
	}
	if err := w.db.Ready(t.Context()); err != nil {
		t.Errorf("with space again the database is not ready: %v", err)
	}
	cert := w.cert(w.pair)
	if err := w.issue(t.Context(), cert); err != nil {
		t.Errorf("with space again: %v", err)
	}
	for _, serial := range append(acknowledged, cert.Serial) {
		if _, err := w.db.Certificate(t.Context(), w.pair, serial); err != nil {
			t.Errorf("%s was acknowledged and is lost: %v", serial, err)
		}
	}
	w.checkAgreement(t)
}

// TestLostConnections ends PostgreSQL's connections while certificates are
// issued, again and again. Each request is told the truth, and the store works on
// without being told.
func TestLostConnections(t *testing.T) {
	url := dbtest.Postgres(t)
	w := newWorld(t, dbtest.Open(t, url, telamon.SystemClock{}), telamon.SystemClock{})
	w.addLot(t, 1<<40, time.Now().Add(time.Hour))
	admin, err := sql.Open("pgx", url)
	if err != nil {
		t.Fatal(err)
	}
	defer admin.Close()

	const workers, each, kills = 8, 60, 20
	type result struct {
		serial telamon.Serial
		err    error
	}
	results := make(chan result, workers)
	var wg sync.WaitGroup
	for range workers {
		wg.Go(func() {
			for range each {
				cert := w.cert(w.pair)
				results <- result{cert.Serial, w.issue(context.Background(), cert)}
			}
		})
	}
	go func() { wg.Wait(); close(results) }()

	var acknowledged []telamon.Serial
	failed, n := 0, 0
	for r := range results {
		if n++; n%(workers*each/kills) == 0 {
			_, err := admin.Exec("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()")
			if err != nil {
				t.Error(err)
			}
		}
		if r.err == nil {
			acknowledged = append(acknowledged, r.serial)
			continue
		}
		failed++
		mustBe(t, r.err, fault.Unavailable, "store_unavailable")
	}
	t.Logf("%d acknowledged, %d told Unavailable in %d losses of every connection", len(acknowledged), failed, kills)
	if failed > workers*each/4 {
		t.Errorf("%d of %d requests failed: lost connections are not made good", failed, workers*each)
	}
	if err := w.db.Ready(t.Context()); err != nil {
		t.Errorf("the database is up and not ready: %v", err)
	}
	for _, serial := range acknowledged {
		if _, err := w.db.Certificate(t.Context(), w.pair, serial); err != nil {
			t.Errorf("%s was acknowledged and is lost: %v", serial, err)
		}
	}
	w.checkAgreement(t)
}

// TestClosed uses a store that was closed: each method says so, and none waits.
func TestClosed(t *testing.T) {
	dbtest.EachURL(t, func(t *testing.T, url string) {
		clock := testkit.NewClock(t, testTime)
		db, err := store.Open(t.Context(), store.Config{URL: url, Clock: clock})
		if err != nil {
			t.Fatal(err)
		}
		w := newWorld(t, db, clock)
		if err := db.Close(); err != nil {
			t.Fatal(err)
		}
		mustBe(t, w.issue(t.Context(), w.cert(w.pair)), fault.Unavailable, "store_unavailable")
		mustBe(t, db.SavePolicyVersion(t.Context(), "v", nil), fault.Unavailable, "store_unavailable")
		_, err = db.Certificate(t.Context(), w.pair, w.serial)
		mustBe(t, err, fault.Unavailable, "store_unavailable")
		if err := db.Ready(t.Context()); err == nil {
			t.Error("a closed database is ready")
		}
	})
}

func TestMissingFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "odd?name%20#1.db")
	config := store.Config{URL: "sqlite:" + path, Clock: telamon.SystemClock{}}
	if _, err := store.Open(t.Context(), config); err == nil {
		t.Fatal("a database that does not exist was opened without Create")
	}
	if _, err := os.Stat(path); !os.IsNotExist(err) {
		t.Errorf("a file was made: %v", err)
	}
	config.Create = true
	db, err := store.Open(t.Context(), config)
	if err != nil {
		t.Fatal(err)
	}
	if err := db.Close(); err != nil {
		t.Error(err)
	}
	if _, err := os.Stat(path); err != nil {
		t.Errorf("the database has another name than it was given: %v", err)
	}
}
