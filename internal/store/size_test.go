package store_test

import (
	"slices"
	"testing"
	"time"

	"github.com/telamon-ca/telamon/internal/store"
	"github.com/telamon-ca/telamon/internal/testkit"
)

// TestSize measures a database of 2,000 certificates, whose bytes are the most of it.
func TestSize(t *testing.T) {
	eachWorld(t, func(t *testing.T, w *world, clock *testkit.Clock) {
		if err := w.db.EnsurePartitions(t.Context()); err != nil {
			t.Fatal(err)
		}
		w.addLot(t, 2000, clock.Now().Add(time.Hour))
		if _, err := w.db.Fill(t.Context(), w.fillSpec(2000, 1)); err != nil {
			t.Fatal(err)
		}
		if w.db.Engine() == "postgres" {
			w.exec(t, "ANALYZE")
		}
		size, err := w.db.Size(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		table := func(name string) store.TableSize {
			i := slices.IndexFunc(size.Tables, func(s store.TableSize) bool { return s.Name == name })
			if i < 0 {
				t.Fatalf("%s is not among %+v", name, size.Tables)
			}
			return size.Tables[i]
		}
		facts, bytes := table("certificate"), table("certificate_der")
		if facts.Rows != 2000 || bytes.Rows != 2000 || bytes.Bytes < 2000*int64(len(w.blob.DER)) || facts.Index == 0 {
			t.Errorf("the facts take %+v and the bytes %+v", facts, bytes)
		}
		if size.Engine != w.db.Engine() || size.Bytes < bytes.Bytes || size.Schema != newestVersion(t) || size.Oldest.IsZero() {
			t.Errorf("the database takes %+v", size)
		}
		if !slices.IsSortedFunc(size.Tables, func(a, b store.TableSize) int { return int(b.Bytes + b.Index - a.Bytes - a.Index) }) {
			t.Errorf("the largest is not first: %+v", size.Tables)
		}
	})
}
