package store_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/telamon-ca/telamon"
	"github.com/telamon-ca/telamon/internal/audit"
	"github.com/telamon-ca/telamon/internal/fault"
	"github.com/telamon-ca/telamon/internal/store"
	"github.com/telamon-ca/telamon/internal/testkit"
	"github.com/telamon-ca/telamon/internal/testkit/dbtest"
)

const testTime = "2026-11-23T08:59:58.250Z"

// eachWorld runs f on both databases, each filled by newWorld and with a clock of
// its own.
func eachWorld(t *testing.T, f func(t *testing.T, w *world, clock *testkit.Clock)) {
	t.Helper()
	dbtest.EachURL(t, func(t *testing.T, url string) {
		clock := testkit.NewClock(t, testTime)
		f(t, newWorld(t, dbtest.Open(t, url, clock), clock), clock)
	})
}

// mustBe fails the test unless err is a fault of the kind and code.
func mustBe(t *testing.T, err error, kind fault.Kind, code string) {
	t.Helper()
	if f := fault.From(err); f == nil || f.Kind != kind || f.Code != code {
		t.Errorf("the error is %v, want %s %s", err, kind, code)
	}
}

// events returns the audit events with the action, oldest first.
func (w *world) events(t testing.TB, action string) []*audit.Payload {
	t.Helper()
	rows, err := store.Reader(w.db).Query("SELECT payload FROM audit_event ORDER BY id")
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	var out []*audit.Payload
	for rows.Next() {
		var payload []byte
		if err := rows.Scan(&payload); err != nil {
			t.Fatal(err)
		}
		p, err := audit.Decode(payload)
		if err != nil {
			t.Fatal(err)
		}
		if p.Action == action {
			out = append(out, p)
		}
	}
	if err := rows.Err(); err != nil {
		t.Fatal(err)
	}
	return out
}

func TestIssueCertificate(t *testing.T) {
	eachWorld(t, func(t *testing.T, w *world, clock *testkit.Clock) {
		old := w.cert(w.pair)
		w.mustIssue(t, old)
		cert := w.cert(w.pair)
		cert.RekeyOf = &old.Serial
		w.mustIssue(t, cert)

		got, err := w.db.Certificate(t.Context(), w.pair, cert.Serial)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(cert, got); diff != "" {
			t.Errorf("the ledger entry is not what was issued (-want +got):\n%s", diff)
		}
		blob, err := w.db.CertificateBlob(t.Context(), got)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(w.blob, blob); diff != "" {
			t.Errorf("the bytes are not what was issued (-want +got):\n%s", diff)
		}
		if _, err := w.db.Certificate(t.Context(), w.another, cert.Serial); true {
			mustBe(t, err, fault.NotFound, "certificate_not_found")
		}
		if _, err := w.db.Certificate(t.Context(), w.pair, telamon.NewSerial(clock.Now())); true {
			mustBe(t, err, fault.NotFound, "certificate_not_found")
		}
		if n, err := w.db.IssuedTotal(t.Context(), w.pair); n != 2 || err != nil {
			t.Errorf("the counter says %d, %v; want 2", n, err)
		}
		if n, err := w.db.IssuedTotal(t.Context(), w.another); n != 0 || err != nil {
			t.Errorf("the counter of the other pair says %d, %v; want 0", n, err)
		}
		events := w.events(t, "certificate.issue")
		if len(events) != 2 || events[1].Object != cert.Serial.String() || events[1].Result != "ok" || events[1].Account != w.account {
			t.Errorf("the audit log has %+v, want an event for each of the two", events)
		}
	})
}

func TestRevokeCertificate(t *testing.T) {
	eachWorld(t, func(t *testing.T, w *world, clock *testkit.Clock) {
		cert := w.cert(w.pair)
		w.mustIssue(t, cert)
		revoke := func(pair telamon.PairID, rev telamon.Revocation) error {
			return w.db.RevokeCertificate(t.Context(), pair, cert.Serial, rev, telamon.Event{
				Actor: operator, Account: w.account, Action: "certificate.revoke", Object: cert.Serial.String(), Result: "ok",
			})
		}
		want := func(step string, rev *telamon.Revocation, updated time.Time) {
			t.Helper()
			want := *cert
			want.Revocation, want.UpdatedAt = rev, updated
			if rev != nil {
				want.Status = telamon.StatusRevoked
			}
			got, err := w.db.Certificate(t.Context(), w.pair, cert.Serial)
			if diff := cmp.Diff(&want, got); err != nil || diff != "" {
				t.Errorf("%s: %v (-want +got):\n%s", step, err, diff)
			}
		}
		compromised := clock.Now().Add(-24 * time.Hour)

		mustBe(t, revoke(w.another, telamon.Revocation{Reason: telamon.ReasonSuperseded}), fault.NotFound, "certificate_not_found")
		want("by another pair", nil, cert.UpdatedAt)

		clock.Advance(time.Minute)
		first := clock.Now()
		if err := revoke(w.pair, telamon.Revocation{Reason: telamon.ReasonSuperseded}); err != nil {
			t.Fatal(err)
		}
		want("the first time", &telamon.Revocation{At: first, Reason: telamon.ReasonSuperseded}, first)

		clock.Advance(time.Minute)
		mustBe(t, revoke(w.pair, telamon.Revocation{Reason: telamon.ReasonKeyCompromise, CompromisedAt: compromised}),
			fault.Conflict, fault.CodeAlreadyRevoked)
		want("again without attestation", &telamon.Revocation{At: first, Reason: telamon.ReasonSuperseded}, first)

		attested := telamon.Revocation{Reason: telamon.ReasonKeyCompromise, CompromisedAt: compromised, Attested: true}
		if err := revoke(w.pair, attested); err != nil {
			t.Fatal(err)
		}
		final := &telamon.Revocation{At: first, Reason: telamon.ReasonKeyCompromise, CompromisedAt: compromised, Attested: true}
		want("again with attestation", final, clock.Now())
		attestedAt := clock.Now()

		clock.Advance(time.Minute)
		mustBe(t, revoke(w.pair, attested), fault.Conflict, fault.CodeAlreadyRevoked)
		want("attested already", final, attestedAt)

		if n, err := w.db.RevokedTotal(t.Context(), w.pair); n != 1 || err != nil {
			t.Errorf("the counter says %d, %v; want 1", n, err)
		}
		var results []string
		for _, e := range w.events(t, "certificate.revoke") {
			results = append(results, e.Result)
		}
		if diff := cmp.Diff([]string{"certificate_not_found", "ok", "already_revoked", "ok", "already_revoked"}, results); diff != "" {
			t.Errorf("the audit log has other results (-want +got):\n%s", diff)
		}
	})
}

// TestRevokeAtOnce revokes the same certificates from many sides at once: each is
// revoked by exactly one of them.
func TestRevokeAtOnce(t *testing.T) {
	eachWorld(t, func(t *testing.T, w *world, clock *testkit.Clock) {
		const certs, sides = 5, 8
		var serials []telamon.Serial
		for range certs {
			cert := w.cert(w.pair)
			w.mustIssue(t, cert)
			serials = append(serials, cert.Serial)
		}
		errs := make(chan error, certs*sides)
		for range sides {
			for _, serial := range serials {
				go func() {
					errs <- w.db.RevokeCertificate(t.Context(), w.pair, serial, telamon.Revocation{Reason: telamon.ReasonUnspecified},
						telamon.Event{Actor: operator, Action: "certificate.revoke", Object: serial.String(), Result: "ok"})
				}()
			}
		}
		var ok int
		for range certs * sides {
			if err := <-errs; err == nil {
				ok++
			} else {
				mustBe(t, err, fault.Conflict, fault.CodeAlreadyRevoked)
			}
		}
		if n, err := w.db.RevokedTotal(t.Context(), w.pair); ok != certs || n != certs || err != nil {
			t.Errorf("%d revocations succeeded and the counter says %d, %v; want %d of both", ok, n, err, certs)
		}
	})
}

// TestPoisonedUnit writes a duplicate serial among good certificates, so often
// that they share batches: it fails alone, and only its refusal is kept.
func TestPoisonedUnit(t *testing.T) {
	eachWorld(t, func(t *testing.T, w *world, clock *testkit.Clock) {
		const good = 30
		lot := w.addLot(t, 1000, clock.Now().Add(time.Hour))
		taken := w.cert(w.pair)
		if err := w.issue(t.Context(), taken); err != nil {
			t.Fatal(err)
		}
		type result struct {
			poisoned bool
			err      error
		}
		results := make(chan result)
		for i := range good + 3 {
			cert := w.cert(w.pair)
			poisoned := i%10 == 5
			if poisoned {
				cert.Serial = taken.Serial
			}
			go func() { results <- result{poisoned, w.issue(t.Context(), cert)} }()
		}
		for range good + 3 {
			r := <-results
			if r.poisoned && !fault.Is(r.err, fault.Internal) {
				t.Errorf("a duplicate serial gives %v, want an internal error", r.err)
			}
			if !r.poisoned && r.err != nil {
				t.Errorf("a good certificate beside a poisoned one: %v", r.err)
			}
		}
		if n := w.number(t, "SELECT count(*) FROM certificate"); n != good+1 {
			t.Errorf("%d certificates are stored, want %d", n, good+1)
		}
		if n := w.number(t, "SELECT used FROM quota_lot WHERE id = $1", lot.String()); n != good+1 {
			t.Errorf("%d certificates of quota are used, want %d", n, good+1)
		}
		refused := 0
		for _, e := range w.events(t, "certificate.issue") {
			if e.Result == "internal" && e.Object == taken.Serial.String() {
				refused++
			}
		}
		if refused != 3 {
			t.Errorf("the audit log has %d refusals of the duplicate, want 3", refused)
		}
		if err := w.db.Ready(t.Context()); err != nil {
			t.Errorf("a duplicate serial made the database look ill: %v", err)
		}
		w.checkCounts(t)
	})
}

// checkCounts compares every counter with the rows that it counts.
func (w *world) checkCounts(t *testing.T) {
	t.Helper()
	for _, check := range []struct{ name, query string }{
		{"issued", "SELECT count(*) FROM certificate WHERE pair_id = $1"},
		{"revoked", "SELECT count(*) FROM certificate WHERE pair_id = $1 AND status = 'revoked'"},
		{"expiring", "SELECT count(*) FROM certificate WHERE pair_id = $1"},
	} {
		for _, pair := range []telamon.PairID{w.pair, w.another} {
			want := w.number(t, check.query, int64(pair))
			for _, table := range []string{"counter", "hour_count", "second_count"} {
				if table == "counter" && check.name == "expiring" {
					continue
				}
				got := w.number(t, "SELECT CAST(coalesce(sum(n), 0) AS BIGINT) FROM "+table+" WHERE pair_id = $1 AND kind = $2", int64(pair), check.name)
				if got != want {
					t.Errorf("%s counts %d %s certificates of pair %d, want %d", table, got, check.name, pair, want)
				}
			}
		}
	}
}

func TestCallerWhoIsGone(t *testing.T) {
	eachWorld(t, func(t *testing.T, w *world, clock *testkit.Clock) {
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if err := w.issue(ctx, w.cert(w.pair)); !errors.Is(err, context.Canceled) {
			t.Errorf("a caller who cancelled is told %v", err)
		}
		ctx, cancel = context.WithDeadline(t.Context(), time.Unix(1, 0))
		defer cancel()
		mustBe(t, w.issue(ctx, w.cert(w.pair)), fault.Unavailable, "store_unavailable")
		if err := w.db.SavePolicyVersion(ctx, "v1", nil); !fault.Is(err, fault.Unavailable) {
			t.Errorf("a caller whose time ran out is told %v", err)
		}
		if err := w.db.Ready(t.Context()); err != nil {
			t.Errorf("callers who are gone made the database look ill: %v", err)
		}
	})
}

func TestSavePolicyVersion(t *testing.T) {
	eachWorld(t, func(t *testing.T, w *world, clock *testkit.Clock) {
		for range 2 {
			if err := w.db.SavePolicyVersion(t.Context(), "v1", []byte(`{}`)); err != nil {
				t.Fatal(err)
			}
		}
		if n := w.number(t, "SELECT count(*) FROM policy_version"); n != 1 {
			t.Errorf("%d rows are kept of one version", n)
		}
	})
}
