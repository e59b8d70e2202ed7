package store_test

import (
	"crypto/sha256"
	"crypto/x509"
	"testing"
	"time"

	"github.com/telamon-ca/telamon"
	"github.com/telamon-ca/telamon/internal/testkit"
)

// TestSignedBy issues certificates hour by hour, more than are read at a time.
func TestSignedBy(t *testing.T) {
	eachWorld(t, func(t *testing.T, w *world, clock *testkit.Clock) {
		parsed, err := x509.ParseCertificate(w.blob.DER)
		if err != nil {
			t.Fatal(err)
		}
		const hours, perHour = 4, 130
		start := w.clock.Now()
		made := map[telamon.Serial]int{}
		for hour := range hours {
			for range perHour {
				cert := w.cert(w.pair)
				w.mustIssue(t, cert)
				made[cert.Serial] = hour
			}
			clock.Advance(time.Hour)
		}
		count := func(issuer telamon.IssuerID, from, until time.Time) (n int) {
			t.Helper()
			var last telamon.Serial
			for signed, err := range w.db.SignedBy(t.Context(), issuer, from, until) {
				if err != nil {
					t.Fatal(err)
				}
				if _, ok := made[signed.Serial]; !ok || signed.Hash != sha256.Sum256(parsed.RawTBSCertificate) || string(signed.Serial[:]) <= string(last[:]) {
					t.Fatalf("%+v follows %s", signed, last)
				}
				last = signed.Serial
				n++
			}
			return n
		}
		for _, tt := range []struct {
			name        string
			from, until time.Time
			want        int
		}{
			{"all", time.Time{}, w.clock.Now(), hours * perHour},
			{"two hours", start.Add(time.Hour), start.Add(2 * time.Hour), 2 * perHour},
			{"one hour", start, start, perHour},
			{"none", start.Add(hours * time.Hour), start.Add(2 * hours * time.Hour), 0},
		} {
			if got := count(w.issuer, tt.from, tt.until); got != tt.want {
				t.Errorf("%s: %d certificates, want %d", tt.name, got, tt.want)
			}
		}
		if got := count(telamon.NewIssuerID(), time.Time{}, w.clock.Now()); got != 0 {
			t.Errorf("another issuer has %d certificates", got)
		}
	})
}
