package store_test

import (
	"testing"
	"time"

	"github.com/telamon-ca/telamon"
	"github.com/telamon-ca/telamon/internal/testkit"
)

// TestLastExpiryOfLost counts a certificate that a restore lost, and that is revoked
// nevertheless, among those that the issuer's last CRL must outlive.
func TestLastExpiryOfLost(t *testing.T) {
	eachWorld(t, func(t *testing.T, w *world, clock *testkit.Clock) {
		issuers, _, err := w.db.Issuers(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		issuer := &issuers[0]
		known := w.cert(w.pair)
		w.mustIssue(t, known)
		event := telamon.Event{Actor: operator, Action: "certificate.revoke", Object: "lost", Result: "ok"}
		if err := w.db.RevokeLost(t.Context(), issuer, telamon.NewSerial(clock.Now()), telamon.Revocation{Reason: telamon.ReasonSuperseded}, event); err != nil {
			t.Fatal(err)
		}
		got, err := w.db.LastExpiry(t.Context(), issuer.ID, clock.Now().Add(-time.Hour), clock.Now())
		if err != nil || !got.Equal(issuer.Certificate.NotAfter) || !got.After(known.NotAfter) {
			t.Errorf("the last certificate expires at %s, %v; want %s, when the issuer does", got, err, issuer.Certificate.NotAfter)
		}
	})
}
