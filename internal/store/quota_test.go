package store_test

import (
	"testing"
	"time"

	"github.com/telamon-ca/telamon"
	"github.com/telamon-ca/telamon/internal/fault"
	"github.com/telamon-ca/telamon/internal/store"
	"github.com/telamon-ca/telamon/internal/testkit"
	"github.com/telamon-ca/telamon/internal/testkit/dbtest"
)

// TestQuotaOfTen asks for 50 certificates at once where there is quota for ten,
// through two processes' worth of committers where the database allows it.
func TestQuotaOfTen(t *testing.T) {
	clock := testkit.NewClock(t, testTime)
	dbtest.EachURL(t, func(t *testing.T, url string) {
		replicas := []*store.DB{dbtest.Open(t, url, clock)}
		if replicas[0].Engine() == "postgres" {
			replicas = append(replicas, dbtest.Open(t, url, clock))
		}
		w := newWorld(t, replicas[0], clock)
		lot := w.addLot(t, 10, clock.Now().Add(time.Hour))
		errs := make(chan error)
		for i := range 50 {
			go func() {
				cert := w.cert(w.pair)
				errs <- replicas[i%len(replicas)].IssueCertificate(t.Context(), w.subscription, cert, w.blob, w.event(cert))
			}()
		}
		issued := 0
		for range 50 {
			if err := <-errs; err == nil {
				issued++
			} else {
				mustBe(t, err, fault.Limited, fault.CodeQuotaReached)
			}
		}
		if issued != 10 {
			t.Errorf("%d certificates were issued, want 10", issued)
		}
		if n := w.number(t, "SELECT count(*) FROM certificate"); n != 10 {
			t.Errorf("%d certificates are stored, want 10", n)
		}
		if n := w.number(t, "SELECT count(*) FROM certificate_der"); n != 10 {
			t.Errorf("the bytes of %d certificates are stored, want 10", n)
		}
		if n := w.number(t, "SELECT used FROM quota_lot WHERE id = $1", lot.String()); n != 10 {
			t.Errorf("%d of the lot are used, want 10", n)
		}
		if n, err := w.db.Remaining(t.Context(), w.subscription); n != 0 || err != nil {
			t.Errorf("%d, %v remain, want 0", n, err)
		}
		results := map[string]int{}
		for _, e := range w.events(t, "certificate.issue") {
			results[e.Result]++
		}
		if results["ok"] != 10 || results[fault.CodeQuotaReached] != 40 || len(results) != 2 {
			t.Errorf("the audit log has %v, want 10 ok and 40 quota_reached", results)
		}
		w.checkCounts(t)
	})
}

func TestLotsAreDrawnInOrder(t *testing.T) {
	eachWorld(t, func(t *testing.T, w *world, clock *testkit.Clock) {
		now := clock.Now()
		last := w.addLot(t, 5, now.Add(30*time.Hour))
		first := w.addLot(t, 3, now.Add(10*time.Hour))
		middle := w.addLot(t, 2, now.Add(20*time.Hour))
		want := func(inFirst, inMiddle, inLast int64) {
			t.Helper()
			for lot, n := range map[telamon.LotID]int64{first: inFirst, middle: inMiddle, last: inLast} {
				if used := w.number(t, "SELECT used FROM quota_lot WHERE id = $1", lot.String()); used != n {
					t.Errorf("%d of %s are used, want %d (lots: %s %s %s)", used, lot, n, first, middle, last)
				}
			}
		}
		issueAll := func(n int) {
			t.Helper()
			errs := make(chan error)
			for range n {
				go func() { errs <- w.issue(t.Context(), w.cert(w.pair)) }()
			}
			for range n {
				if err := <-errs; err != nil {
					t.Error(err)
				}
			}
		}
		issueAll(2)
		want(2, 0, 0)
		issueAll(5) // across three lots
		want(3, 2, 2)
		if n, err := w.db.Remaining(t.Context(), w.subscription); n != 3 || err != nil {
			t.Errorf("%d, %v remain, want 3", n, err)
		}
		clock.Advance(20 * time.Hour) // two lots are over
		issueAll(3)
		want(3, 2, 5)
		mustBe(t, w.issue(t.Context(), w.cert(w.pair)), fault.Limited, fault.CodeQuotaReached)
	})
}

func TestTermOfQuota(t *testing.T) {
	eachWorld(t, func(t *testing.T, w *world, clock *testkit.Clock) {
		mustBe(t, w.issue(t.Context(), w.cert(w.pair)), fault.Denied, "service_expired")
		w.addLot(t, 5, clock.Now().Add(time.Hour))
		if err := w.issue(t.Context(), w.cert(w.pair)); err != nil {
			t.Errorf("within the term: %v", err)
		}
		clock.Advance(time.Hour) // the term ends when it expires
		mustBe(t, w.issue(t.Context(), w.cert(w.pair)), fault.Denied, "service_expired")
		if n := w.number(t, "SELECT count(*) FROM certificate"); n != 1 {
			t.Errorf("%d certificates are stored, want 1", n)
		}
		if events := w.events(t, "certificate.issue"); len(events) != 3 || events[2].Result != "service_expired" {
			t.Errorf("the audit log has %+v, want the refusals too", events)
		}
	})
}
