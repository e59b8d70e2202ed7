package store_test

import (
	"slices"
	"testing"
	"time"

	"github.com/telamon-ca/telamon"
	"github.com/telamon-ca/telamon/internal/fault"
	"github.com/telamon-ca/telamon/internal/testkit"
	"github.com/telamon-ca/telamon/internal/testkit/dbtest"
)

// partitions returns the names of the partitions of certificate bytes.
func (w *world) partitions(t *testing.T) (names []string) {
	t.Helper()
	for _, row := range textPairs(t, w, "SELECT c.relname, '' FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid"+
		" WHERE i.inhparent = 'certificate_der'::regclass ORDER BY 1") {
		names = append(names, row[0])
	}
	return names
}

func TestEnsurePartitions(t *testing.T) {
	clock := testkit.NewClock(t, testTime)
	w := newWorld(t, dbtest.Open(t, dbtest.Postgres(t), clock), clock)
	expiring := func(days int) *telamon.Certificate {
		cert := w.cert(w.pair)
		cert.NotAfter = cert.NotBefore.AddDate(0, 0, days)
		w.mustIssue(t, cert)
		return cert
	}
	early := expiring(90) // in February, which has no partition yet
	for range 2 {
		if err := w.db.EnsurePartitions(t.Context()); err != nil {
			t.Fatal(err)
		}
		names := w.partitions(t)
		if len(names) != 16 || !slices.Contains(names, "certificate_der_2026_11") || !slices.Contains(names, "certificate_der_2028_02") ||
			slices.Contains(names, "certificate_der_2027_02") {
			t.Errorf("the partitions are %v, want 16: the default one and the 16 months from this one on without 2027-02", names)
		}
	}
	late := expiring(120)
	if n := w.number(t, "SELECT count(*) FROM certificate_der_2027_03"); n != 1 {
		t.Errorf("%d rows are in the partition of March, want the new one", n)
	}
	for _, cert := range []*telamon.Certificate{early, late} {
		if _, err := w.db.CertificateBlob(t.Context(), cert); err != nil {
			t.Errorf("the bytes of a certificate until %s: %v", cert.NotAfter, err)
		}
	}
	clock.Advance(31 * 24 * time.Hour)
	if err := w.db.EnsurePartitions(t.Context()); err != nil {
		t.Fatal(err)
	}
	if names := w.partitions(t); !slices.Contains(names, "certificate_der_2028_03") {
		t.Errorf("a month later the partitions are %v, want one month more", names)
	}
}

func TestDropExpired(t *testing.T) {
	eachWorld(t, func(t *testing.T, w *world, clock *testkit.Clock) {
		if err := w.db.EnsurePartitions(t.Context()); err != nil {
			t.Fatal(err)
		}
		const n = 2500 // three transactions
		w.addLot(t, n, clock.Now().Add(time.Hour))
		spec := w.fillSpec(n, 10)
		spec.Template.NotAfter = spec.Template.NotBefore.Add(24 * time.Hour) // all but a tenth have expired
		if _, err := w.db.Fill(t.Context(), spec); err != nil {
			t.Fatal(err)
		}
		long, revoked := w.cert(w.pair), w.cert(w.another)
		long.AcceptedAt = clock.Now().AddDate(0, 0, -10) // in a second with some that go
		revoked.NotAfter = revoked.NotBefore.Add(time.Hour)
		w.mustIssue(t, long)
		w.mustIssue(t, revoked)
		err := w.db.RevokeCertificate(t.Context(), w.another, revoked.Serial, telamon.Revocation{Reason: telamon.ReasonSuperseded},
			telamon.Event{Actor: operator, Action: "certificate.revoke", Result: "ok"})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := w.db.DropExpired(t.Context(), clock.Now().Add(time.Second)); err == nil {
			t.Error("certificates that are valid may be dropped")
		}

		clock.Advance(24*time.Hour + time.Minute)
		before := clock.Now().Add(-25 * time.Hour)
		want := w.number(t, "SELECT count(*) FROM certificate WHERE not_after < $1", before.UnixMilli())
		if dropped, err := w.db.DropExpired(t.Context(), before); dropped != want || err != nil || want < 2000 {
			t.Errorf("%d were dropped, %v; want %d", dropped, err, want)
		}
		left := w.number(t, "SELECT count(*) FROM certificate")
		if left != n+2-want {
			t.Errorf("%d entries are left, want %d", left, n+2-want)
		}
		for _, kind := range []string{"issued", "expiring"} {
			for _, table := range []string{"hour_count", "second_count"} {
				if got := w.number(t, "SELECT CAST(sum(n) AS BIGINT) FROM "+table+" WHERE kind = $1", kind); got != left {
					t.Errorf("%s counts %d %s, want %d", table, got, kind, left)
				}
				if got := w.number(t, "SELECT count(*) FROM "+table+" WHERE n = 0"); got != 0 {
					t.Errorf("%s keeps %d rows that count nothing", table, got)
				}
			}
		}
		if total, err := w.db.IssuedTotal(t.Context(), w.pair); total != n+1 || err != nil {
			t.Errorf("the all-time counter says %d, %v; want %d still", total, err, n+1)
		}
		clock.Advance(24 * time.Hour)
		if dropped, err := w.db.DropExpired(t.Context(), clock.Now()); dropped != left-1 || err != nil {
			t.Errorf("%d were dropped, %v; want all of %d but one", dropped, err, left)
		}
		if _, err := w.db.Certificate(t.Context(), w.pair, long.Serial); err != nil {
			t.Errorf("a certificate that is valid: %v", err)
		}
		if n := w.number(t, "SELECT count(*) FROM second_count WHERE kind = 'revoked'"); n != 0 {
			t.Errorf("the revocation of a dropped certificate is counted in %d rows", n)
		}
		if _, err := w.db.Certificate(t.Context(), w.another, revoked.Serial); true {
			mustBe(t, err, fault.NotFound, "certificate_not_found")
		}
		if n := len(w.events(t, "certificate.drop")); n < 4 {
			t.Errorf("%d audit events, want one for each transaction", n)
		}
		clock.Advance(40 * 24 * time.Hour) // November is over
		if _, err := w.db.DropExpired(t.Context(), clock.Now().AddDate(0, 0, -1)); err != nil {
			t.Fatal(err)
		}
		if n := w.number(t, "SELECT count(*) FROM certificate_der"); n != 1 {
			t.Errorf("the bytes of %d certificates are left, want 1", n)
		}
		if w.db.Engine() == "postgres" && slices.Contains(w.partitions(t), "certificate_der_2026_11") {
			t.Error("the partition of a month that is over was not dropped")
		}
	})
}
