package store_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/telamon-ca/telamon"
	"github.com/telamon-ca/telamon/internal/audit"
	"github.com/telamon-ca/telamon/internal/fault"
	"github.com/telamon-ca/telamon/internal/store"
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
		const n = 2500 // several transactions
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
		if _, err := w.db.DropExpired(t.Context(), store.Dropping{Before: clock.Now().Add(time.Second)}); err == nil {
			t.Error("certificates that are valid may be dropped")
		}

		clock.Advance(24*time.Hour + time.Minute)
		before := clock.Now().Add(-25 * time.Hour)
		want := w.number(t, "SELECT count(*) FROM certificate WHERE not_after < $1", before.UnixMilli())
		if dropped, err := w.db.DropExpired(t.Context(), store.Dropping{Before: before}); dropped != want || err != nil || want < 2000 {
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
		if dropped, err := w.db.DropExpired(t.Context(), store.Dropping{Before: clock.Now()}); dropped != left-1 || err != nil {
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
		if _, err := w.db.DropExpired(t.Context(), store.Dropping{Before: clock.Now().AddDate(0, 0, -1)}); err != nil {
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

// TestDropExpiredArchives hands each certificate to the archive, with its bytes, before
// it is dropped, and drops none that the archive did not take.
func TestDropExpiredArchives(t *testing.T) {
	eachWorld(t, func(t *testing.T, w *world, clock *testkit.Clock) {
		if err := w.db.EnsurePartitions(t.Context()); err != nil {
			t.Fatal(err)
		}
		const n = 600
		for range n {
			cert := w.cert(w.pair)
			cert.NotAfter = cert.NotBefore.Add(time.Hour)
			w.mustIssue(t, cert)
		}
		clock.Advance(2 * time.Hour)
		full := errors.New("the archive is full")
		_, err := w.db.DropExpired(t.Context(), store.Dropping{Before: clock.Now(), Archive: func([]store.ExpiredCertificate) error { return full }})
		if left := w.number(t, "SELECT count(*) FROM certificate"); !errors.Is(err, full) || left != n {
			t.Errorf("an archive that is full: %v, and %d of %d certificates are left", err, left, n)
		}
		archived, paced := map[telamon.Serial]bool{}, 0
		dropped, err := w.db.DropExpired(t.Context(), store.Dropping{
			Before: clock.Now(), Pace: func(context.Context, time.Duration) error { paced++; return nil },
			Archive: func(certificates []store.ExpiredCertificate) error {
				for _, c := range certificates {
					if !bytes.Equal(c.Blob.DER, w.blob.DER) || !bytes.Equal(c.Blob.Request, w.blob.Request) || c.Certificate.Pair != w.pair ||
						c.Certificate.NotAfter.After(clock.Now()) {
						t.Errorf("archived as %+v", c.Certificate)
					}
					archived[c.Certificate.Serial] = true
				}
				return nil
			},
		})
		if err != nil || dropped != n || len(archived) != n || paced != 2 {
			t.Errorf("%d were dropped and %d archived in steps with %d pauses, %v; want all %d and 2", dropped, len(archived), paced, err, n)
		}
	})
}

// TestDropExpiredLimit drops no more than it may, and goes on with the next call.
func TestDropExpiredLimit(t *testing.T) {
	eachWorld(t, func(t *testing.T, w *world, clock *testkit.Clock) {
		for range 600 {
			cert := w.cert(w.pair)
			cert.NotAfter = cert.NotBefore.Add(time.Hour)
			w.mustIssue(t, cert)
		}
		clock.Advance(2 * time.Hour)
		var total int64
		for _, want := range []int64{250, 250, 100, 0} {
			dropped, err := w.db.DropExpired(t.Context(), store.Dropping{Before: clock.Now(), Limit: 250})
			if err != nil || dropped != want {
				t.Errorf("%d were dropped, %v; want %d", dropped, err, want)
			}
			total += dropped
		}
		if _, some, err := w.db.OldestCertificate(t.Context()); err != nil || some || total != 600 {
			t.Errorf("after %d were dropped there is an oldest certificate: %t, %v", total, some, err)
		}
	})
}

// TestPurgeEvents removes old events but those about keys, and the log verifies with
// the horizon that it tells by itself.
func TestPurgeEvents(t *testing.T) {
	eachTrail(t, func(t *testing.T, l *trail) {
		ids, kept := l.fill(t, 300, 700, 200)
		keep := func(action string) bool { return action == "issuer.create" }
		bound := audit.EventTime(ids[800])
		if horizon, err := l.db.AuditHorizon(t.Context()); err != nil || !horizon.IsZero() {
			t.Fatalf("the horizon of a whole log is %s, %v", horizon, err)
		}
		if _, err := l.db.PurgeEvents(t.Context(), store.Dropping{Before: l.clock.Now().Add(time.Hour)}, keep); err == nil {
			t.Error("events of the future may be purged")
		}
		purged, err := l.db.PurgeEvents(t.Context(), store.Dropping{Before: bound}, keep)
		if err != nil || purged != 800 {
			t.Fatalf("%d were purged, %v; want 800", purged, err)
		}
		turn(t, l.seq, 4) // one event for each transaction
		horizon, err := l.db.AuditHorizon(t.Context())
		if err != nil || !horizon.Equal(bound) {
			t.Fatalf("the horizon is %s, %v; want %s", horizon, err, bound)
		}
		result, problems := l.problems(t, func(o *audit.Options) { o.PurgedBefore, o.Trusted = horizon, kept })
		if len(problems) > 0 || result.Purged != 800 || result.Events != 404 {
			t.Errorf("the purged log verifies as %+v, with the problems %v", result, problems)
		}
		if purged, err := l.db.PurgeEvents(t.Context(), store.Dropping{Before: bound}, keep); err != nil || purged != 0 {
			t.Errorf("again, %d were purged, %v", purged, err)
		}
		// Somebody moves the horizon on, to hide that events are missing.
		l.exec(t, "UPDATE audit_horizon SET before = before + 100000000")
		if horizon, err := l.db.AuditHorizon(t.Context()); err != nil || !horizon.Equal(bound) {
			t.Errorf("a horizon that was altered is %s, %v; want the log's own %s", horizon, err, bound)
		}
		l.exec(t, "UPDATE audit_horizon SET event_id = $1", ids[1000][:])
		if horizon, err := l.db.AuditHorizon(t.Context()); err == nil {
			t.Errorf("a horizon by an event about something else is %s", horizon)
		}
	})
}

// TestPurgeEventsKeepsThoseOfKeys has events of CA keys among those that go.
func TestPurgeEventsKeepsThoseOfKeys(t *testing.T) {
	eachTrail(t, func(t *testing.T, l *trail) {
		var events []telamon.Event
		for i := range 900 {
			action := "certificate.issue"
			if i%3 == 0 {
				action = "issuer.create"
			}
			events = append(events, telamon.Event{Actor: operator, Action: action, Object: fmt.Sprint(i), Result: "ok"})
		}
		if _, err := l.db.RecordEvents(t.Context(), events); err != nil {
			t.Fatal(err)
		}
		turn(t, l.seq, 900)
		l.clock.Set(time.Now().Add(time.Hour)) // the IDs have the system's time
		bound := l.clock.Now().Add(-time.Minute)
		purged, err := l.db.PurgeEvents(t.Context(), store.Dropping{Before: bound},
			func(action string) bool { return action == "issuer.create" || action == "audit.purge" })
		if err != nil || purged != 600 {
			t.Errorf("%d were purged, %v; want 600", purged, err)
		}
		page, err := l.db.AuditEvents(t.Context(), store.AuditFilter{Action: "issuer.create"})
		if err != nil || len(page.Events) != 300 {
			t.Errorf("%d events of keys are left, %v; want 300", len(page.Events), err)
		}
	})
}
