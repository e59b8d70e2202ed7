package store_test

import (
	"testing"
	"time"

	"github.com/telamon-ca/telamon"
	"github.com/telamon-ca/telamon/internal/store"
	"github.com/telamon-ca/telamon/internal/testkit"
	"github.com/telamon-ca/telamon/internal/testkit/invariant"
)

// complaints counts what the invariants complain of.
type complaints struct {
	testing.TB
	n int
}

func (c *complaints) Helper()               {}
func (c *complaints) Errorf(string, ...any) { c.n++ }
func (c *complaints) Fatalf(string, ...any) { c.n += 1000; panic(c) } // of what comes after it nothing is seen

// complaints returns how many there are of the database.
func (w *world) complaints(t *testing.T) int {
	c := &complaints{TB: t}
	func() {
		defer func() {
			if p := recover(); p != nil && p != any(c) {
				panic(p)
			}
		}()
		invariant.Check(c, w.db)
	}()
	return c.n
}

// TestInvariantsOfClaims damages claims and evidence behind the store's back, one way
// after the other, and checks that each is seen.
func TestInvariantsOfClaims(t *testing.T) {
	for name, damage := range map[string]string{
		"a claim too many in the counts":   "UPDATE claim_count SET n = n + 1 WHERE part = 'all' AND unit = 2592000",
		"a claim missing in the seconds":   "UPDATE claim_count SET n = n - 1 WHERE part = 'all' AND unit = 1",
		"a verified one too many":          "UPDATE claim_count SET n = n + 1 WHERE part = 'verified'",
		"a claim that is not counted":      "UPDATE claim SET status = 'pending'",
		"a claim of another verification":  "UPDATE claim SET verification_id = 'ver_none' WHERE status = 'verified'",
		"a verification of another name":   "UPDATE verification SET name = 'example.org'",
		"a verification after the fact":    "UPDATE verification SET at = at + 86400000",
		"a verification of somebody else":  "UPDATE verification SET account_id = 'acc_none'",
		"a certificate without its record": "DELETE FROM verification",
		"a name without evidence":          "DELETE FROM certificate_evidence",
	} {
		t.Run(name, func(t *testing.T) {
			eachWorld(t, func(t *testing.T, w *world, clock *testkit.Clock) {
				c := w.newClaimant(t)
				w.exec(t, "UPDATE service SET domain_validation = TRUE")
				v := c.verify(t, c.submit(t, "example.com"), clock.Now().Add(time.Hour))
				clock.Advance(time.Minute)
				c.submit(t, "example.net")
				cert := w.cert(w.pair)
				blob := w.blob
				blob.Evidence = []byte(`[{"name":"www.example.com","verification":"` + v.ID.String() + `"},{"name":"example.com","verification":"` + v.ID.String() + `"}]`)
				if err := w.db.IssueCertificate(t.Context(), "", cert, blob, w.event(cert)); err != nil {
					t.Fatal(err)
				}
				before := w.complaints(t) // the certificate was not made by an issuer
				w.exec(t, damage)
				if after := w.complaints(t); after <= before {
					t.Errorf("%d complaints before the damage, %d after it", before, after)
				}
			})
		})
	}
	eachWorld(t, func(t *testing.T, w *world, clock *testkit.Clock) {
		c := w.newClaimant(t)
		c.verify(t, c.submit(t, "example.com"), clock.Now().Add(time.Hour))
		deleted := c.submit(t, "example.net")
		c.verify(t, deleted, clock.Now().Add(time.Hour))
		if err := w.db.DeleteClaim(t.Context(), operator, c.identity, deleted.ID); err != nil {
			t.Fatal(err)
		}
		if existing, err := w.db.SubmitClaim(t.Context(), operator, c.draft(telamon.ClaimIP, "192.0.2.1"), store.Extra{}); existing || err != nil {
			t.Fatal(err)
		}
		clock.Advance(2 * time.Hour)
		invariant.Check(t, w.db)
	})
}
