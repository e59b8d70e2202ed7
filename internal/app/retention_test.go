package app_test

import (
	"bufio"
	"compress/gzip"
	"crypto/x509"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"

	"golang.org/x/mod/sumdb/note"

	"github.com/telamon-ca/telamon/internal/api/admin"
	"github.com/telamon-ca/telamon/internal/app"
	"github.com/telamon-ca/telamon/internal/retention"
	"github.com/telamon-ca/telamon/internal/rules"
	"github.com/telamon-ca/telamon/internal/testkit/dbtest"
	"github.com/telamon-ca/telamon/internal/testkit/invariant"
)

// TestRequirement104Retention has a certificate of the ledger for two years after its
// expiry, to the second, and then in the archive; the audit log verifies all along.
func TestRequirement104Retention(t *testing.T) {
	dbtest.EachURL(t, func(t *testing.T, url string) {
		dir, w := t.TempDir(), newWorld(t, url)
		w.clock.Set(time.Now().Truncate(time.Second)) // the IDs of events have the system's time
		w.install()
		w.start()
		leaf := w.shown("ca.example.com")[0]
		if err := errors.Join(w.stop(), w.app.Close()); err != nil {
			t.Fatal(err)
		}
		key, err := app.AuditVerifierKey(w.cfg)
		if err != nil {
			t.Fatal(err)
		}
		verifier, err := note.NewVerifier(key)
		if err != nil {
			t.Fatal(err)
		}
		archived := func() []string {
			files, err := filepath.Glob(filepath.Join(dir, "*", "*.jsonl.gz"))
			if err != nil {
				t.Fatal(err)
			}
			return files
		}
		turn := func(at time.Time, audit time.Duration, files int) {
			t.Helper()
			w.clock.Set(at)
			w.open()
			keeper := retention.New(retention.Config{
				Store: w.app.Store, Rules: rules.Default(), Clock: w.clock, Log: w.app.Log,
				Certificates: 730 * rules.Day, Audit: audit, Archive: &retention.Archive{Dir: dir},
			})
			if err := keeper.Turn(t.Context()); err != nil {
				t.Fatal(err)
			}
			if got := archived(); len(got) != files {
				t.Errorf("at %s the archive has %q, want %d files", at, got, files)
			}
			found, err := admin.VerifyLog(t.Context(), w.app.Store, verifier, admin.Verify{}, at)
			if err != nil || !found.OK {
				t.Errorf("at %s the audit log verifies as %+v, %v", at, found, err)
			}
			if files == 0 { // every certificate that was ever issued is there
				invariant.Check(t, w.app.Store)
			}
			if err := w.app.Close(); err != nil {
				t.Fatal(err)
			}
		}
		end := leaf.NotAfter.Add(730 * 24 * time.Hour)
		turn(end, 730*rules.Day, 0) // nor does any event go that is about it
		turn(end.Add(time.Second), 0, 1)
		turn(end.Add(time.Hour), 0, 1)

		file, err := os.Open(archived()[0])
		if err != nil {
			t.Fatal(err)
		}
		defer file.Close()
		text, err := gzip.NewReader(file)
		if err != nil {
			t.Fatal(err)
		}
		lines := bufio.NewScanner(text)
		lines.Buffer(nil, 1<<20)
		var entry struct {
			Serial      string
			NotAfter    time.Time `json:"not_after"`
			Certificate []byte
			Request     json.RawMessage
		}
		if !lines.Scan() || json.Unmarshal(lines.Bytes(), &entry) != nil || lines.Scan() {
			t.Fatalf("the archive does not have the one certificate: %v", lines.Err())
		}
		kept, err := x509.ParseCertificate(entry.Certificate)
		if err != nil || !kept.Equal(leaf) || !entry.NotAfter.Equal(leaf.NotAfter) || len(entry.Request) == 0 {
			t.Errorf("the archive has %+v, %v", entry, err)
		}
	})
}
