package store_test

import (
	"crypto/x509"
	"testing"
	"time"

	"github.com/telamon-ca/telamon"
	"github.com/telamon-ca/telamon/internal/fault"
	"github.com/telamon-ca/telamon/internal/store"
	"github.com/telamon-ca/telamon/internal/testkit"
	"github.com/telamon-ca/telamon/internal/testkit/dbtest"
)

// fillSpec fills the pair with n certificates over the last days.
func (w *world) fillSpec(n int64, days int) store.FillSpec {
	template := w.cert(w.pair)
	template.Serial = w.serial
	return store.FillSpec{
		Actor: operator, Account: w.account, N: n, Subscription: w.subscription, Template: *template, Blob: w.blob,
		From: w.clock.Now().AddDate(0, 0, -days), To: w.clock.Now(),
	}
}

func TestFill(t *testing.T) {
	eachWorld(t, func(t *testing.T, w *world, clock *testkit.Clock) {
		const n = 2_345 // two transactions
		w.addLot(t, n+100, clock.Now().Add(time.Hour))
		if written, err := w.db.Fill(t.Context(), w.fillSpec(n, 10)); written != n || err != nil {
			t.Fatalf("%d were written, %v; want %d", written, err, n)
		}
		for what, query := range map[string]string{
			"entries": "SELECT count(*) FROM certificate WHERE pair_id = 1",
			"bytes":   "SELECT count(*) FROM certificate_der d JOIN certificate c ON c.serial = d.serial AND c.not_after = d.not_after",
			"quota":   "SELECT CAST(sum(used) AS BIGINT) FROM quota_lot",
		} {
			if got := w.number(t, query); got != n {
				t.Errorf("%d %s, want %d", got, what, n)
			}
		}
		w.checkCounts(t)
		if events := w.events(t, "certificate.fill"); len(events) != 2 {
			t.Errorf("%d audit events, want one for each of two transactions", len(events))
		}

		from, to := clock.Now().AddDate(0, 0, -3), clock.Now().AddDate(0, 0, -2).Add(-time.Second)
		rows, total, err := w.db.ListCertificates(t.Context(), store.Issued, w.pair, from, to, 2, 50)
		if want := n / 10; len(rows) != 50 || total < int64(want-1) || total > int64(want+1) || err != nil {
			t.Fatalf("%d rows of %d in a day of ten, %v; want 50 of about %d", len(rows), total, err, want)
		}
		cert, err := w.db.Certificate(t.Context(), w.pair, rows[7].Serial)
		if err != nil {
			t.Fatal(err)
		}
		blob, err := w.db.CertificateBlob(t.Context(), cert)
		if err != nil {
			t.Fatal(err)
		}
		parsed, err := x509.ParseCertificate(blob.DER)
		if err != nil {
			t.Fatalf("the bytes are no certificate: %v", err)
		}
		if serial, ok := telamon.SerialFromInt(parsed.SerialNumber); !ok || serial != cert.Serial {
			t.Errorf("the bytes have the serial number %s, want %s", serial, cert.Serial)
		}

		written, err := w.db.Fill(t.Context(), w.fillSpec(101, 1))
		mustBe(t, err, fault.Limited, fault.CodeQuotaReached)
		if got := w.number(t, "SELECT count(*) FROM certificate"); written != 0 || got != n {
			t.Errorf("without enough quota %d were written and %d are stored, want none more", written, got)
		}
		w.checkCounts(t)

		spec := w.fillSpec(1, 1)
		spec.Template.Serial = telamon.NewSerial(clock.Now())
		_, err = w.db.Fill(t.Context(), spec)
		mustBe(t, err, fault.Invalid, "fill_spec")
	})
}

// BenchmarkFill measures certificates loaded in bulk:
//
//	go test ./internal/store/ -run '^$' -bench Fill -benchtime 1000000x
func BenchmarkFill(b *testing.B) {
	for name, url := range map[string]func(testing.TB) string{"sqlite": dbtest.SQLite, "postgres": dbtest.Postgres} {
		b.Run(name, func(b *testing.B) {
			db := dbtest.Open(b, url(b), telamon.SystemClock{})
			w := newWorld(b, db, telamon.SystemClock{})
			w.addLot(b, 1<<40, w.clock.Now().Add(time.Hour))
			b.ResetTimer()
			if _, err := db.Fill(b.Context(), w.fillSpec(int64(b.N), 365)); err != nil {
				b.Fatal(err)
			}
		})
	}
}

// TestFillRevoked fills a database with certificates of which some are revoked, as if
// they had been.
func TestFillRevoked(t *testing.T) {
	eachWorld(t, func(t *testing.T, w *world, clock *testkit.Clock) {
		spec := w.fillSpec(300, 30)
		spec.Revoked, spec.Subscription = 120, ""
		if n, err := w.db.Fill(t.Context(), spec); n != 300 || err != nil {
			t.Fatalf("filled %d, %v", n, err)
		}
		total, err := w.db.RevokedTotal(t.Context(), w.pair)
		if total != 120 || err != nil || w.number(t, "SELECT count(*) FROM certificate WHERE status = 'revoked'") != 120 {
			t.Errorf("%d are counted as revoked, %v; want 120", total, err)
		}
		entries := 0
		err = w.db.RevokedOf(t.Context(), w.issuer, 0, time.Time{}, func(*store.RevokedEntry) error {
			entries++
			return nil
		})
		if s := w.shard(t); entries != 120 || err != nil || !s.IsDirty() {
			t.Errorf("the CRL would have %d entries, %v; want 120", entries, err)
		}
		spec.Revoked = 301
		if _, err := w.db.Fill(t.Context(), spec); !fault.Is(err, fault.Invalid) {
			t.Errorf("more are revoked than filled: %v", err)
		}
	})
}
